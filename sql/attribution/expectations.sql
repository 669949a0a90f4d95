-- One row per key that an action was expected to bring about: what was expected, what came, and whether that will do.
--
-- A missing or null key is unmet. Numbers are met within 0.05, or within 10 % of what was expected; what is a billionth of
-- that beyond is rounding, so that 1.1 meets 1 (as doubles, 1.1 - 1 is a little over 0.1). Booleans meet booleans only.
-- Objects and lists are compared as canonical JSON, so that the order of keys does not matter. Everything else is met by
-- equality. Actions that are still open are not judged.
--
-- Example: {"reward": 1.0, "refunded": true} was expected and {"reward": 0.91, "refunded": 1} came. `reward` is met (0.09 is
-- less than 10 % of 1.0), `refunded` is not (1 is no boolean).
--
-- grain: action_id, key
-- partition: day
-- window: 0..0
-- not portable: tells JSON numbers, booleans and texts apart by json_each, which Spark does not have
-- question: Which expectations were not met, and what came instead?
-- sql:
--   SELECT action_id, key, expected, actual FROM attribution.expectations WHERE NOT is_met ORDER BY ALL
-- answer:
--   plan-1 | refunds | 2 | 1
--   refund-2 | amount_usd | 80.0 | null
--   refund-2 | refunded | true | false
WITH closed AS (
    SELECT
        day,
        action_id,
        expected_outcome,
        outcome
    FROM attribution.actions
    WHERE status <> 'open' AND day BETWEEN $start AND $stop
),

expected AS (
    SELECT
        closed.day,
        closed.action_id,
        part.key,
        part.value,
        part.type
    FROM closed, json_each(closed.expected_outcome) AS part
),

actual AS (
    SELECT
        closed.day,
        closed.action_id,
        part.key,
        part.value,
        part.type
    FROM closed, json_each(closed.outcome) AS part
),

paired AS (
    SELECT
        expected.day,
        expected.action_id,
        expected.key,
        expected.value AS expected,
        actual.value AS actual,
        expected.type AS expected_type,
        actual.type AS actual_type,
        expected.type IN ('UBIGINT', 'BIGINT', 'DOUBLE')
        AND actual.type IN ('UBIGINT', 'BIGINT', 'DOUBLE') AS are_numbers
    FROM expected
    LEFT JOIN actual
        ON expected.day = actual.day AND expected.action_id = actual.action_id AND expected.key = actual.key
)

SELECT
    day, -- day on which the action began [not null]
    action_id, -- the action [not null]
    key, -- a key of expected_outcome [not null]
    CAST(expected AS VARCHAR) AS expected, -- JSON: the value that was expected [not null]
    CAST(actual AS VARCHAR) AS actual, -- JSON: the value in the outcome; null when the key is missing
    CASE
        WHEN actual IS NULL OR expected_type = 'NULL' OR actual_type = 'NULL' THEN FALSE
        WHEN are_numbers
            THEN
                abs(CAST(actual AS DOUBLE) - CAST(expected AS DOUBLE))
                <= greatest(CAST(0.05 AS DOUBLE), CAST(0.1 AS DOUBLE) * abs(CAST(expected AS DOUBLE)))
                * CAST(1.000000001 AS DOUBLE)
        WHEN expected_type <> actual_type THEN FALSE
        ELSE json_normalize(actual) = json_normalize(expected)
    END AS is_met -- whether the outcome will do [not null]
FROM paired
