-- One row per retry of an operation that had failed: which attempt it was, whether a correction came before it, what came of it.
--
-- What is tried is told by the signature of the operation (sig_hash) within its class of task. An operation is a retry when
-- one with the same signature failed in the seven days before it and none has succeeded since; its attempt is the number of
-- those failures, plus one. Operations of the same instant are no retries of each other. Those without a signature or class,
-- and those that are corrections (source overseer_correction), are not counted.
--
-- A correction names what it corrects by the same signature. It belongs to the next attempt: the retry is corrected when it
-- was given after the failure before, up to the moment of the retry itself. The operation may say the same by `correction`,
-- the advice that was applied to it; this holds also for corrections without a signature. Advice is known by its template
-- (operations.messages): that of the corrections, and of the text applied where a correction of the class gave it, word for
-- word, in the days to the retry. Through action_id a retry is an attempt at the goal of its action.
--
-- Once corrected, an agent may remember. A retry without a correction of its own after attempts that had one is therefore
-- neither corrected nor plain: was_corrected_before tells it.
--
-- Example: an operation fails at 11:00 and 11:01, is corrected at 11:02 and succeeds at 11:03. The second is attempt 2, not
-- corrected; the third is attempt 3, corrected, a success. Tried again at 11:04 it would be no retry.
--
-- grain: event_id
-- partition: day
-- window: -7..0
-- question: What was tried again, and did it have advice?
-- sql:
--   SELECT event_id, attempt, success, is_corrected, templates FROM operations.retries ORDER BY event_id
-- answer:
--   example-op-02 | 2 | false | false | []
--   example-op-04 | 3 | true | true | ['Widen the radius to <*> miles.']
--   example-op-08 | 2 | false | true | ['Widen the radius to <*> miles.']
WITH ops AS (
    SELECT
        day,
        event_id,
        task_class,
        sig_hash,
        CASE WHEN ts_suspect THEN received_at ELSE ts END AS happened_at,
        success,
        nullif(correction, '') AS applied,
        agent_id,
        action_id
    FROM landed.ops
    WHERE day BETWEEN $start - 7 AND $stop AND source <> 'overseer_correction' AND sig_hash <> '' AND task_class <> ''
),

-- What was tried more than once, the last time on these days, and failed: nothing else can have been retried.
tried AS (
    SELECT
        task_class,
        sig_hash
    FROM ops
    GROUP BY task_class, sig_hash
    HAVING count(*) > 1 AND count(CASE WHEN NOT success THEN 1 END) > 0 AND max(day) >= $start
),

attempts AS (
    SELECT ops.*
    FROM ops
    INNER JOIN tried ON ops.task_class = tried.task_class AND ops.sig_hash = tried.sig_hash
),

advice AS (
    SELECT
        day,
        event_id,
        name AS task_class,
        message,
        template
    FROM operations.messages
    WHERE day BETWEEN $start - 7 AND $stop AND kind = 'correction'
),

told AS (
    SELECT
        tried.task_class,
        tried.sig_hash,
        CASE WHEN corrections.ts_suspect THEN corrections.received_at ELSE corrections.ts END AS happened_at,
        advice.template
    FROM landed.corrections AS corrections
    INNER JOIN advice ON corrections.day = advice.day AND corrections.event_id = advice.event_id
    INNER JOIN tried ON corrections.sig_hash = tried.sig_hash
    WHERE corrections.day BETWEEN $start - 7 AND $stop
),

-- Attempts and corrections on one line of time, so that each finds the other without pairing all with all. At the same
-- instant the correction comes first.
timeline AS (
    SELECT
        day,
        event_id,
        task_class,
        sig_hash,
        happened_at,
        success,
        applied,
        agent_id,
        action_id,
        happened_at AS attempted_at,
        CASE WHEN applied IS NOT NULL THEN happened_at END AS told_at,
        NULL AS template
    FROM attempts
    UNION ALL
    SELECT
        NULL AS day,
        NULL AS event_id,
        task_class,
        sig_hash,
        happened_at,
        NULL AS success,
        NULL AS applied,
        NULL AS agent_id,
        NULL AS action_id,
        NULL AS attempted_at,
        happened_at AS told_at,
        template
    FROM told
),

joined AS (
    SELECT
        *,
        max(told_at) OVER (
            PARTITION BY task_class, sig_hash ORDER BY happened_at
            RANGE BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
        ) AS last_told_at,
        min(attempted_at) OVER (
            PARTITION BY task_class, sig_hash ORDER BY happened_at
            RANGE BETWEEN CURRENT ROW AND UNBOUNDED FOLLOWING
        ) AS next_attempt_at
    FROM timeline
),

-- Frames end just before the operation itself, so that neither it nor what is of the same instant is in them.
looked_back AS (
    SELECT
        *,
        max(CASE WHEN success THEN happened_at END) OVER (
            PARTITION BY task_class, sig_hash ORDER BY happened_at
            RANGE BETWEEN INTERVAL 7 DAY PRECEDING AND INTERVAL 1 MICROSECOND PRECEDING
        ) AS last_success_at,
        max(CASE WHEN NOT success THEN happened_at END) OVER (
            PARTITION BY task_class, sig_hash ORDER BY happened_at
            RANGE BETWEEN INTERVAL 7 DAY PRECEDING AND INTERVAL 1 MICROSECOND PRECEDING
        ) AS last_failure_at,
        max(CASE WHEN NOT success THEN last_told_at END) OVER (
            PARTITION BY task_class, sig_hash ORDER BY happened_at
            RANGE BETWEEN INTERVAL 7 DAY PRECEDING AND INTERVAL 1 MICROSECOND PRECEDING
        ) AS told_before_failure_at,
        count(CASE WHEN NOT success THEN 1 END) OVER (
            PARTITION BY task_class, sig_hash ORDER BY happened_at
            RANGE BETWEEN INTERVAL 7 DAY PRECEDING AND INTERVAL 1 MICROSECOND PRECEDING
        ) AS failures
    FROM joined
    WHERE attempted_at IS NOT NULL
),

-- Failures since a success are those that look back on the same one.
counted AS (
    SELECT
        *,
        CASE
            WHEN last_success_at IS NULL THEN failures
            ELSE count(CASE WHEN NOT success THEN 1 END) OVER (
                PARTITION BY task_class, sig_hash, last_success_at ORDER BY happened_at
                RANGE BETWEEN INTERVAL 7 DAY PRECEDING AND INTERVAL 1 MICROSECOND PRECEDING
            )
        END AS failures_before
    FROM looked_back
),

retries AS (
    SELECT
        *,
        failures_before + 1 AS attempt
    FROM counted
    WHERE day BETWEEN $start AND $stop AND failures_before > 0
),

named AS (
    SELECT
        retries.day,
        retries.event_id,
        joined.template
    FROM retries
    INNER JOIN joined
        ON
            retries.task_class = joined.task_class
            AND retries.sig_hash = joined.sig_hash
            AND retries.happened_at = joined.next_attempt_at
    WHERE joined.template IS NOT NULL
    UNION ALL
    SELECT
        retries.day,
        retries.event_id,
        advice.template
    FROM retries
    INNER JOIN advice
        ON
            retries.task_class = advice.task_class
            AND retries.applied = advice.message
            AND advice.day BETWEEN retries.day - 7 AND retries.day
),

listed AS (
    SELECT
        day,
        event_id,
        list_sort(list(DISTINCT template)) AS templates
    FROM named
    GROUP BY day, event_id
)

SELECT
    retries.day, -- day of the retry [not null]
    retries.event_id, -- the event `op` [not null]
    retries.happened_at, -- when it was [not null]
    retries.task_class, -- class of the task that it served [not null]
    retries.sig_hash, -- signature of the operation; what the failures before it have in common [not null]
    retries.agent_id, -- the agent that called it
    retries.action_id, -- the action that it belongs to, and by it the goal
    retries.attempt, -- which attempt it was: 2 is the first retry [not null] [2..]
    retries.success, -- whether it did what was asked [not null]
    coalesce(retries.last_told_at > retries.last_failure_at, FALSE)
        AS is_corrected, -- whether a correction came since the failure before [not null]
    coalesce(
        retries.told_before_failure_at >= retries.happened_at - INTERVAL 7 DAY
        AND (retries.last_success_at IS NULL OR retries.told_before_failure_at > retries.last_success_at), FALSE
    ) AS was_corrected_before, -- whether one came before that failure, since the last success or in seven days [not null]
    coalesce(listed.templates, []) AS templates -- the advice, each different one once, in order; empty where it has none,
    -- or only a text that no correction gave [not null]
FROM retries
LEFT JOIN listed ON retries.day = listed.day AND retries.event_id = listed.event_id
