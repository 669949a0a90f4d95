-- How well each action did, from 0 to 1: the share of its expected keys that its outcome met.
--
-- An outcome with an `error` (not null, false, 0 or empty) or with status `error` scores 0. Where nothing was expected the
-- score is neutral: 0.5, or 0.2 for a timeout. Actions that are still open have no score; evicted ones score like any other.
--
-- Example: of 3 expected keys 2 are met: 0.6667. The same with {"error": "card declined"} in the outcome: 0.
--
-- grain: action_id
-- partition: day
-- window: 0..0
-- not portable: tells JSON null, false, 0 and texts apart by json_type, which Spark does not have
-- question: How well does each type of action do?
-- sql:
--   SELECT action_type, count(*) AS actions, round(avg(success_score), 2) AS success
--   FROM attribution.success_scores JOIN attribution.actions USING (day, action_id)
--   GROUP BY action_type ORDER BY success DESC
-- answer:
--   search | 2 | 0.6
--   courier | 1 | 0.5
--   refund | 2 | 0.5
--   plan | 1 | 0.0
WITH closed AS (
    SELECT
        day,
        action_id,
        status,
        json_extract_string(outcome, '$.status') AS outcome_status,
        coalesce(json_type(outcome, '$.error'), 'NULL') AS error_type,
        CAST(json_extract(outcome, '$.error') AS VARCHAR) AS error
    FROM attribution.actions
    WHERE status <> 'open' AND day BETWEEN $start AND $stop
),

told AS (
    SELECT
        day,
        action_id,
        status,
        coalesce(outcome_status = 'error', FALSE) OR CASE
            WHEN error_type = 'NULL' THEN FALSE
            WHEN error_type IN ('UBIGINT', 'BIGINT', 'DOUBLE') THEN CAST(error AS DOUBLE) <> 0
            ELSE error NOT IN ('false', '""', '[]', '{}')
        END AS is_error
    FROM closed
),

judged AS (
    SELECT
        day,
        action_id,
        count(key) AS expected_count,
        count(CASE WHEN is_met THEN key END) AS met_count
    FROM attribution.expectations
    WHERE day BETWEEN $start AND $stop
    GROUP BY day, action_id
)

SELECT
    told.day, -- day on which the action began [not null]
    told.action_id, -- the action [not null]
    CASE
        WHEN told.is_error THEN 0.0
        WHEN judged.expected_count > 0 THEN judged.met_count / judged.expected_count
        WHEN told.status = 'timeout' THEN 0.2
        ELSE 0.5
    END AS success_score, -- share of the expected keys that were met; see above where there are none [not null] [0..1]
    told.is_error, -- whether the outcome reports an error [not null]
    coalesce(judged.expected_count, 0) AS expected_count, -- keys that were expected [not null] [0..]
    coalesce(judged.met_count, 0) AS met_count -- keys that were met, error or not [not null] [0..]
FROM told
LEFT JOIN judged ON told.day = judged.day AND told.action_id = judged.action_id
