-- One row per correction of an overseer: what had failed before it, and how the work went on after it.
--
-- Operations are held against a correction by the signature (sig_hash) that both name, which is the very operation that was
-- corrected, and by their class of task. Before and after mean the seven days to the moment of the correction and the seven
-- days from it; a correction of today has only a part of its days after, and its row is made again as they come. Operations
-- that are corrections themselves (source overseer_correction) are not counted.
--
-- Advice is repeated when this is at least the third correction with the same advice on the task class within seven days;
-- the same is what folds to the same template (operations.messages). Then it is no slip of the agent: whoever needs the same
-- advice again and again lacks something, mostly data. Whether advice helps is not told by the rates alone: it is the hard
-- cases that get it.
--
-- Example: an operation fails twice, is corrected, and succeeds at the next attempt: sig_failures_before 2, sig_ops_after 1,
-- sig_successes_after 1, has_next_succeeded true. Another operation of the class fails an hour later: task_ops_after 2,
-- task_successes_after 1.
--
-- grain: event_id
-- partition: day
-- window: -7..7, landed.corrections 0..0, operations.messages -7..0
-- question: Which advice was given, did the next attempt succeed, and is it given again and again?
-- sql:
--   SELECT event_id, correction, sig_failures_before AS failures, has_next_succeeded, equal_corrections, is_repeated_advice
--   FROM operations.correction_outcomes
--   ORDER BY event_id
-- answer:
--   example-correction-01 | Widen the radius to 40 miles. | 2 | true | 1 | false
--   example-correction-02 | Widen the radius to 60 miles. | 0 | null | 2 | false
--   example-correction-03 | Widen the radius to 40 miles. | 1 | false | 3 | true
WITH corrections AS (
    SELECT
        *,
        CASE WHEN ts_suspect THEN received_at ELSE ts END AS happened_at,
        nullif(sig_hash, '') AS signature
    FROM landed.corrections
    WHERE day BETWEEN $start AND $stop
),

ops AS (
    SELECT
        event_id,
        CASE WHEN ts_suspect THEN received_at ELSE ts END AS happened_at,
        sig_hash AS signature,
        task_class,
        success
    FROM landed.ops
    WHERE day BETWEEN $start - 7 AND $stop + 7 AND source <> 'overseer_correction'
),

-- What a correction and an operation may have in common.
corrected AS (
    SELECT
        day,
        event_id,
        happened_at,
        'sig_hash' AS key_name,
        signature AS key
    FROM corrections
    WHERE signature IS NOT NULL
    UNION ALL
    SELECT
        day,
        event_id,
        happened_at,
        'task_class' AS key_name,
        task_class AS key
    FROM corrections
),

worked AS (
    SELECT
        event_id,
        happened_at,
        'sig_hash' AS key_name,
        signature AS key,
        success
    FROM ops
    WHERE signature IN (SELECT signature FROM corrections)
    UNION ALL
    SELECT
        event_id,
        happened_at,
        'task_class' AS key_name,
        task_class AS key,
        success
    FROM ops
    WHERE task_class IN (SELECT task_class FROM corrections)
),

-- Operations on a line of time, with three marks for each correction: seven days before, the moment itself, seven days
-- after. place puts marks before or after the operations of the same instant, so that one running count tells all: what
-- lies between two marks is the difference of their counts. (Pairing each correction with each operation of its class is
-- shorter and takes the product of both; a moving window of seven days takes nine times as long.)
timeline AS (
    SELECT
        NULL AS day,
        event_id,
        key_name,
        key,
        happened_at,
        1 AS place,
        'op' AS mark,
        success
    FROM worked
    UNION ALL
    SELECT
        day,
        event_id,
        key_name,
        key,
        happened_at - INTERVAL 7 DAY AS happened_at,
        0 AS place,
        'from' AS mark,
        NULL AS success
    FROM corrected
    UNION ALL
    SELECT
        day,
        event_id,
        key_name,
        key,
        happened_at,
        0 AS place,
        'told' AS mark,
        NULL AS success
    FROM corrected
    UNION ALL
    SELECT
        day,
        event_id,
        key_name,
        key,
        happened_at + INTERVAL 7 DAY AS happened_at,
        2 AS place,
        'until' AS mark,
        NULL AS success
    FROM corrected
),

running AS (
    SELECT
        *,
        count(success) OVER (
            PARTITION BY key_name, key ORDER BY happened_at, place, event_id
            ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
        ) AS ops,
        count(CASE WHEN success THEN 1 END) OVER (
            PARTITION BY key_name, key ORDER BY happened_at, place, event_id
            ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
        ) AS successes
    FROM timeline
),

marked AS (
    SELECT
        day,
        event_id,
        key_name,
        key,
        max(CASE WHEN mark = 'told' THEN ops END) AS ops_told,
        max(CASE WHEN mark = 'told' THEN ops END) - max(CASE WHEN mark = 'from' THEN ops END) AS ops_before,
        max(CASE WHEN mark = 'told' THEN successes END) - max(CASE WHEN mark = 'from' THEN successes END)
            AS successes_before,
        max(CASE WHEN mark = 'until' THEN ops END) - max(CASE WHEN mark = 'told' THEN ops END) AS ops_after,
        max(CASE WHEN mark = 'until' THEN successes END) - max(CASE WHEN mark = 'told' THEN successes END)
            AS successes_after
    FROM running
    WHERE mark <> 'op'
    GROUP BY day, event_id, key_name, key
),

by_signature AS (
    SELECT
        marked.*,
        next_one.success AS next_success
    FROM marked
    LEFT JOIN running AS next_one
        ON
            marked.key_name = next_one.key_name
            AND marked.key = next_one.key
            AND marked.ops_told + 1 = next_one.ops
            AND next_one.mark = 'op'
            AND marked.ops_after > 0
    WHERE marked.key_name = 'sig_hash'
),

advice AS (
    SELECT
        day,
        event_id,
        template,
        count(*) OVER (
            PARTITION BY name, template ORDER BY ts RANGE BETWEEN INTERVAL 7 DAY PRECEDING AND CURRENT ROW
        ) AS equal_corrections
    FROM operations.messages
    WHERE day BETWEEN $start - 7 AND $stop AND kind = 'correction'
)

SELECT
    corrections.day, -- day on which the advice was given [not null]
    corrections.event_id, -- the event `correction` [not null]
    corrections.happened_at, -- when it was given [not null]
    corrections.model, -- the model that gave it [not null]
    corrections.task_class, -- class of the task corrected [not null]
    corrections.signature AS sig_hash, -- signature of the operation corrected; null when the correction names none
    corrections.reason, -- what went wrong, as the overseer has it [not null]
    corrections.correction, -- the advice [not null]
    corrections.applied_at_turn, -- turn at which it was applied [not null]
    corrections.latency_ms, -- how long the overseer took, in milliseconds [not null] [0..]
    by_signature.ops_before - by_signature.successes_before
        AS sig_failures_before, -- failed operations of the signature before it; null, as the next ones, without one [0..]
    by_signature.ops_after AS sig_ops_after, -- operations of the signature after it [0..]
    by_signature.successes_after AS sig_successes_after, -- those of them that succeeded [0..]
    by_signature.next_success AS has_next_succeeded, -- whether the first of them succeeded; null when none followed
    by_class.ops_before AS task_ops_before, -- operations of the task class before it [not null] [0..]
    by_class.ops_before - by_class.successes_before
        AS task_failures_before, -- those of them that failed [not null] [0..]
    by_class.ops_after AS task_ops_after, -- operations of the task class after it [not null] [0..]
    by_class.successes_after AS task_successes_after, -- those of them that succeeded [not null] [0..]
    advice.template, -- the advice without what varies; see operations.messages [not null]
    advice.equal_corrections, -- corrections of the task class with this template in the seven days to this one [not null] [1..]
    advice.equal_corrections >= 3 AS is_repeated_advice -- whether they are three or more: rather a gap in the data than drift
    -- [not null]
FROM corrections
INNER JOIN marked AS by_class
    ON
        corrections.day = by_class.day
        AND corrections.event_id = by_class.event_id
        AND by_class.key_name = 'task_class'
LEFT JOIN by_signature ON corrections.day = by_signature.day AND corrections.event_id = by_signature.event_id
INNER JOIN advice ON corrections.day = advice.day AND corrections.event_id = advice.event_id
