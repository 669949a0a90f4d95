-- One row per session and day: what happened in it on that day, in numbers that add up over its days.
--
-- Turns, tool calls and session events count on the day on which they happened; a session over midnight has two rows.
-- What adds up to a session that is longer than a day stands here as well: the streak of turns on the tier `reasoning` that
-- the day begins with, its longest, and the one that it ends with. A turn of another tier, or of none, ends a streak.
--
-- A session says that it ended by an event `done`, `error` or `escalation`: the last of them, unless a turn came after it.
--
-- Times are summed as decimals, so that they come out the same in whichever order rows are met.
--
-- Example: five turns on the tiers pro, reasoning, reasoning, pro, reasoning: the day begins with a streak of 0, its longest
-- is 2, and it ends with one of 1.
--
-- grain: session_id
-- partition: day
-- window: 0..0
-- question: What did each session do on each day?
-- sql:
--   SELECT day, session_id, turn_count, tool_call_count, tool_failure_count, cost_usd, ending FROM sessions.session_days ORDER BY ALL
-- answer:
--   2026-01-05 | s-1 | 2 | 2 | 1 | 0.046500000 | done
--   2026-01-05 | s-2 | 1 | 0 | 0 | null | null
--   2026-01-06 | greeting-1 | 1 | 0 | 0 | null | null
--   2026-01-06 | parcel-7 | 2 | 1 | 1 | null | null
--   2026-01-06 | s-2 | 1 | 1 | 0 | 0.050000000 | error
WITH turns AS (
    SELECT
        *,
        row_number() OVER (PARTITION BY day, session_id ORDER BY turn_index, happened_at, event_id) AS nth,
        row_number() OVER (PARTITION BY day, session_id ORDER BY turn_index DESC, happened_at DESC, event_id DESC)
            AS nth_last,
        coalesce(lower(tier) = 'reasoning', FALSE) AS is_reasoning
    FROM sessions.turns
    WHERE day BETWEEN $start AND $stop
),

streaks AS ( -- turns on the tier reasoning with no other between them have as many others before them
    SELECT
        day,
        session_id,
        count(event_id) AS streak,
        min(nth) AS first_nth,
        min(nth_last) AS last_nth
    FROM (
        SELECT
            *,
            sum(CASE WHEN is_reasoning THEN 0 ELSE 1 END) OVER (PARTITION BY day, session_id ORDER BY nth) AS others
        FROM turns
    ) AS counted
    WHERE is_reasoning
    GROUP BY day, session_id, others
),

streaked AS (
    SELECT
        day,
        session_id,
        max(streak) AS longest,
        max(CASE WHEN first_nth = 1 THEN streak END) AS first_one,
        max(CASE WHEN last_nth = 1 THEN streak END) AS last_one
    FROM streaks
    GROUP BY day, session_id
),

of_turns AS (
    SELECT
        day,
        session_id,
        min(happened_at) AS began_at,
        max(happened_at) AS ended_at,
        arg_min(user_id, CASE WHEN user_id IS NOT NULL THEN nth END) AS user_id,
        arg_min(agent_id, CASE WHEN agent_id IS NOT NULL THEN nth END) AS agent_id,
        arg_min(project_id, CASE WHEN project_id IS NOT NULL THEN nth END) AS project_id,
        count(event_id) AS turn_count,
        count(CASE WHEN cost_usd IS NULL THEN event_id END) AS uncosted_turn_count,
        CAST(least(sum(input_tokens), 9223372036854775807) AS BIGINT) AS input_tokens, -- absurd counts end at what a column holds
        CAST(least(sum(output_tokens), 9223372036854775807) AS BIGINT) AS output_tokens,
        CAST(least(sum(cache_read_tokens), 9223372036854775807) AS BIGINT) AS cache_read_tokens,
        CAST(least(sum(cache_write_tokens), 9223372036854775807) AS BIGINT) AS cache_write_tokens,
        CAST(least(sum(reasoning_tokens), 9223372036854775807) AS BIGINT) AS reasoning_tokens,
        sum(cost_usd) AS cost_usd,
        CAST(sum(TRY_CAST(duration_ms AS DECIMAL(18, 3))) AS DOUBLE) AS duration_ms
    FROM turns
    GROUP BY day, session_id
),

of_tools AS (
    SELECT
        day,
        session_id,
        min(happened_at) AS began_at,
        max(happened_at) AS ended_at,
        count(event_id) AS tool_call_count,
        count(CASE WHEN NOT ok THEN event_id END) AS tool_failure_count,
        sum(charged_usd) AS cost_usd,
        CAST(sum(TRY_CAST(duration_ms AS DECIMAL(18, 3))) AS DOUBLE) AS duration_ms
    FROM sessions.tool_calls
    WHERE day BETWEEN $start AND $stop
    GROUP BY day, session_id
),

events AS (
    SELECT
        day,
        event_id,
        CASE WHEN ts_suspect THEN received_at ELSE ts END AS happened_at,
        session_id,
        event_type,
        row_number() OVER (
            PARTITION BY day, session_id, event_type IN ('done', 'error', 'escalation')
            ORDER BY CASE WHEN ts_suspect THEN received_at ELSE ts END DESC, event_id DESC
        ) AS nth_last
    FROM landed.session_events
    WHERE day BETWEEN $start AND $stop
),

of_events AS (
    SELECT
        day,
        session_id,
        min(happened_at) AS began_at,
        max(happened_at) AS ended_at,
        count(CASE WHEN event_type = 'error' THEN event_id END) AS error_count,
        count(CASE WHEN event_type = 'warning' THEN event_id END) AS warning_count,
        count(CASE WHEN event_type = 'fallback' THEN event_id END) AS fallback_count,
        count(CASE WHEN event_type = 'escalation' THEN event_id END) AS escalation_count,
        count(CASE WHEN event_type = 'compressed' THEN event_id END) AS compression_count,
        count(CASE WHEN event_type = 'restored' THEN event_id END) AS restoration_count,
        max(CASE WHEN event_type IN ('done', 'error', 'escalation') AND nth_last = 1 THEN event_type END) AS ending,
        max(CASE WHEN event_type IN ('done', 'error', 'escalation') THEN happened_at END) AS ending_at
    FROM events
    GROUP BY day, session_id
),

sessions AS (
    SELECT
        day,
        session_id
    FROM of_turns
    UNION
    SELECT
        day,
        session_id
    FROM of_tools
    UNION
    SELECT
        day,
        session_id
    FROM of_events
)

SELECT
    session.day, -- the day [not null]
    session.session_id, -- the session [not null]
    least(of_turns.began_at, of_tools.began_at, of_events.began_at) AS began_at, -- first that happened on the day [not null]
    greatest(of_turns.ended_at, of_tools.ended_at, of_events.ended_at) AS ended_at, -- last that happened [not null]
    of_turns.user_id, -- the user served, as the first turn says that names one
    of_turns.agent_id, -- the agent, as the first turn says that names one
    of_turns.project_id, -- the project that pays, as the first turn says that names one
    coalesce(of_turns.turn_count, 0) AS turn_count, -- exchanges with a model [not null] [0..]
    coalesce(of_turns.uncosted_turn_count, 0) AS uncosted_turn_count, -- of them those whose cost nobody knows, and which
    -- cost_usd therefore lacks [not null] [0..]
    coalesce(of_tools.tool_call_count, 0) AS tool_call_count, -- calls of tools [not null] [0..]
    coalesce(of_tools.tool_failure_count, 0) AS tool_failure_count, -- of them those that failed [not null] [0..]
    coalesce(of_turns.input_tokens, 0) AS input_tokens, -- tokens read, cached ones included [not null] [0..]
    coalesce(of_turns.output_tokens, 0) AS output_tokens, -- tokens written, reasoning included [not null] [0..]
    coalesce(of_turns.cache_read_tokens, 0) AS cache_read_tokens, -- input tokens read from a cache [not null] [0..]
    coalesce(of_turns.cache_write_tokens, 0) AS cache_write_tokens, -- input tokens written to a cache [not null] [0..]
    coalesce(of_turns.reasoning_tokens, 0) AS reasoning_tokens, -- output tokens spent on reasoning [not null] [0..]
    coalesce(of_turns.cost_usd + coalesce(of_tools.cost_usd, 0), of_tools.cost_usd) AS cost_usd, -- known cost of turns and
    -- tools in US dollars; null when nobody knows any of it [0..]
    coalesce(of_turns.duration_ms, 0) AS model_ms, -- time that models took, in milliseconds [not null] [0..]
    coalesce(of_tools.duration_ms, 0) AS tool_ms, -- time that tools took, in milliseconds [not null] [0..]
    coalesce(of_events.error_count, 0) AS error_count, -- events `error` [not null] [0..]
    coalesce(of_events.warning_count, 0) AS warning_count, -- events `warning` [not null] [0..]
    coalesce(of_events.fallback_count, 0) AS fallback_count, -- changes to another provider [not null] [0..]
    coalesce(of_events.escalation_count, 0) AS escalation_count, -- escalations to another tier or to people [not null] [0..]
    coalesce(of_events.compression_count, 0) AS compression_count, -- times that the context was compressed [not null] [0..]
    coalesce(of_events.restoration_count, 0) AS restoration_count, -- times that it went on from a checkpoint [not null] [0..]
    coalesce(streaked.first_one, 0) AS first_reasoning_streak, -- turns on the tier reasoning that the day begins with
    -- [not null] [0..]
    coalesce(streaked.longest, 0) AS longest_reasoning_streak, -- most turns on it in a row [not null] [0..]
    coalesce(streaked.last_one, 0) AS last_reasoning_streak, -- turns on it that the day ends with [not null] [0..]
    of_turns.ended_at AS last_turn_at, -- when the last turn was; null without one
    of_events.ending, -- the last event of those that end a session: done, error or escalation; null without one
    of_events.ending_at -- when that was; null without one
FROM sessions AS session
LEFT JOIN of_turns ON session.day = of_turns.day AND session.session_id = of_turns.session_id
LEFT JOIN streaked ON session.day = streaked.day AND session.session_id = streaked.session_id
LEFT JOIN of_tools ON session.day = of_tools.day AND session.session_id = of_tools.session_id
LEFT JOIN of_events ON session.day = of_events.day AND session.session_id = of_events.session_id
