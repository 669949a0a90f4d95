-- One row per session, however many days it went on.
--
-- It is worked out from sessions.session_days alone, all of it anew: a session may be taken up again after weeks, which no
-- window of days would hold, and most sessions have a row or two there.
-- A model that has days should read session_days, not this table: any news here would make all of its days again.
--
-- Streaks on the tier `reasoning` go over midnight: what a day ends with goes on with what the next one begins with.
-- A session may say that it ended, and be taken up again: ending is null when a turn came after what it said last.
--
-- Example: four turns on the tier reasoning before midnight and three after it are a streak of 7: has_long_reasoning_streak.
--
-- grain: session_id
-- partition: none
-- question: How did each session end, and what did it cost?
-- sql:
--   SELECT session_id, day_count, turn_count, tool_call_count, cost_usd, longest_reasoning_streak AS streak, ending FROM sessions.sessions
--   ORDER BY session_id
-- answer:
--   greeting-1 | 1 | 1 | 0 | null | 0 | null
--   parcel-7 | 1 | 2 | 1 | null | 0 | null
--   s-1 | 1 | 2 | 2 | 0.046500000 | 1 | done
--   s-2 | 2 | 2 | 1 | 0.050000000 | 2 | error
WITH days AS (
    SELECT
        *,
        sum(CASE WHEN turn_count = first_reasoning_streak THEN 0 ELSE 1 END) OVER (PARTITION BY session_id ORDER BY day)
            AS breaks -- days so far with a turn on another tier
    FROM sessions.session_days
),

pieces AS ( -- the streak that a day ends with, or is made of, belongs behind the break; the one that it begins with before
    SELECT
        session_id,
        breaks,
        last_reasoning_streak AS streak
    FROM days
    UNION ALL
    SELECT
        session_id,
        breaks - 1 AS breaks,
        first_reasoning_streak AS streak
    FROM days
    WHERE turn_count <> first_reasoning_streak
),

streaks AS (
    SELECT
        session_id,
        max(streak) AS longest
    FROM (
        SELECT
            session_id,
            sum(streak) AS streak
        FROM pieces
        GROUP BY session_id, breaks
    ) AS joined
    GROUP BY session_id
),

summed AS (
    SELECT
        session_id,
        min(day) AS first_day,
        max(day) AS last_day,
        count(day) AS day_count,
        min(began_at) AS began_at,
        max(ended_at) AS ended_at,
        arg_min(user_id, CASE WHEN user_id IS NOT NULL THEN day END) AS user_id,
        arg_min(agent_id, CASE WHEN agent_id IS NOT NULL THEN day END) AS agent_id,
        arg_min(project_id, CASE WHEN project_id IS NOT NULL THEN day END) AS project_id,
        CAST(sum(turn_count) AS BIGINT) AS turn_count,
        CAST(sum(uncosted_turn_count) AS BIGINT) AS uncosted_turn_count,
        CAST(sum(tool_call_count) AS BIGINT) AS tool_call_count,
        CAST(sum(tool_failure_count) AS BIGINT) AS tool_failure_count,
        CAST(least(sum(input_tokens), 9223372036854775807) AS BIGINT) AS input_tokens, -- absurd counts end at what a column holds
        CAST(least(sum(output_tokens), 9223372036854775807) AS BIGINT) AS output_tokens,
        CAST(least(sum(cache_read_tokens), 9223372036854775807) AS BIGINT) AS cache_read_tokens,
        CAST(least(sum(cache_write_tokens), 9223372036854775807) AS BIGINT) AS cache_write_tokens,
        CAST(least(sum(reasoning_tokens), 9223372036854775807) AS BIGINT) AS reasoning_tokens,
        sum(cost_usd) AS cost_usd,
        CAST(sum(TRY_CAST(model_ms AS DECIMAL(18, 3))) AS DOUBLE) AS model_ms,
        CAST(sum(TRY_CAST(tool_ms AS DECIMAL(18, 3))) AS DOUBLE) AS tool_ms,
        CAST(sum(error_count) AS BIGINT) AS error_count,
        CAST(sum(warning_count) AS BIGINT) AS warning_count,
        CAST(sum(fallback_count) AS BIGINT) AS fallback_count,
        CAST(sum(escalation_count) AS BIGINT) AS escalation_count,
        CAST(sum(compression_count) AS BIGINT) AS compression_count,
        CAST(sum(restoration_count) AS BIGINT) AS restoration_count,
        max(longest_reasoning_streak) AS longest_within_day,
        max(last_turn_at) AS last_turn_at,
        arg_max(ending, CASE WHEN ending IS NOT NULL THEN day END) AS ending,
        max(ending_at) AS ending_at
    FROM days
    GROUP BY session_id
)

SELECT
    summed.session_id, -- the session [not null]
    summed.first_day, -- first day (UTC) on which something happened in it [not null]
    summed.last_day, -- last day (UTC) on which something happened in it [not null]
    summed.day_count, -- days on which something happened [not null] [1..]
    summed.began_at, -- first that happened in it [not null]
    summed.ended_at, -- last that happened in it, so far [not null]
    date_diff('millisecond', summed.began_at, summed.ended_at) AS duration_ms, -- from the first to the last that happened,
    -- in milliseconds [not null] [0..]
    summed.user_id, -- the user served, as the first turn says that names one
    summed.agent_id, -- the agent, as the first turn says that names one
    summed.project_id, -- the project that pays, as the first turn says that names one
    summed.turn_count, -- exchanges with a model [not null] [0..]
    summed.uncosted_turn_count, -- of them those whose cost nobody knows, and which cost_usd therefore lacks [not null] [0..]
    summed.tool_call_count, -- calls of tools [not null] [0..]
    summed.tool_failure_count, -- of them those that failed [not null] [0..]
    summed.input_tokens, -- tokens read, cached ones included [not null] [0..]
    summed.output_tokens, -- tokens written, reasoning included [not null] [0..]
    summed.cache_read_tokens, -- input tokens read from a cache [not null] [0..]
    summed.cache_write_tokens, -- input tokens written to a cache [not null] [0..]
    summed.reasoning_tokens, -- output tokens spent on reasoning [not null] [0..]
    summed.cost_usd, -- known cost of turns and tools in US dollars; null when nobody knows any of it [0..]
    summed.model_ms, -- time that models took, in milliseconds [not null] [0..]
    summed.tool_ms, -- time that tools took, in milliseconds [not null] [0..]
    summed.error_count, -- events `error` [not null] [0..]
    summed.warning_count, -- events `warning` [not null] [0..]
    summed.fallback_count, -- changes to another provider [not null] [0..]
    summed.escalation_count, -- escalations to another tier or to people [not null] [0..]
    summed.compression_count, -- times that the context was compressed [not null] [0..]
    summed.restoration_count > 0 AS is_restored, -- whether it went on from a checkpoint [not null]
    CAST(greatest(summed.longest_within_day, streaks.longest) AS BIGINT) AS longest_reasoning_streak, -- most turns in a row
    -- on the tier reasoning [not null] [0..]
    greatest(summed.longest_within_day, streaks.longest) > 5 AS has_long_reasoning_streak, -- whether those are over 5
    -- [not null]
    CASE
        WHEN summed.last_turn_at IS NULL OR summed.ending_at >= summed.last_turn_at THEN summed.ending
    END AS ending -- how it ended, as it said itself: done, error or escalation; null when it did not say
FROM summed
INNER JOIN streaks ON summed.session_id = streaks.session_id
