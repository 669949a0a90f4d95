-- What was spent on each day (UTC), by user, agent, project, provider, model and tier, and how much of the budgets that is.
--
-- A row counts turns by all of these. Calls of tools that were charged stand in rows of their own, without provider, model
-- and tier; user and agent are those of the turn that made the call, on its day or the day before, and so is the project
-- where the call names none.
-- Costs are exact: the sum of a day is that of cost_usd in sessions.turns and of charged_usd in sessions.tool_calls.
-- Turns whose cost nobody knows are counted in uncosted_turn_count, and are not in cost_usd.
--
-- Budgets are the limits of sessions.budgets for a day. The shares are those of all that the user, the project, or everybody
-- spent on the day, and so the same in each of their rows; null where there is no limit, or one of 0.
--
-- Example: ann's turns cost 0.03 with one model and 0.01 with another, and a tool of hers 0.01; her limit is 0.10 a day.
-- These are three rows; in each user_budget_share is 0.05 / 0.10 = 0.5.
--
-- grain: day, user_id, agent_id, project_id, provider, model, tier
-- partition: day
-- window: -1..0, sessions.tool_calls 0..0
-- question: What did each user spend in all, and on what?
-- sql:
--   SELECT user_id, coalesce(model, 'tools') AS what, sum(turn_count) AS turn_count, sum(cost_usd) AS cost_usd
--   FROM sessions.cost_days GROUP BY ALL ORDER BY ALL
-- answer:
--   ada | nw-mini-2 | 2 | null
--   ann | claude-sonnet-4-5 | 2 | 0.042300000
--   ann | tools | 0 | 0.004200000
--   bob | gpt-oss:120b | 1 | null
--   bob | nw-reason-1 | 1 | 0.050000000
--   null | nw-large-2 | 1 | null
WITH turns AS (
    SELECT *
    FROM sessions.turns
    WHERE day BETWEEN $start - 1 AND $stop
),

tools AS (
    SELECT *
    FROM sessions.tool_calls
    WHERE day BETWEEN $start AND $stop AND charged_usd IS NOT NULL
),

makers AS ( -- the turn that made a call; sent twice under two ids it still counts once
    SELECT
        day,
        session_id,
        turn_index,
        min(user_id) AS user_id,
        min(agent_id) AS agent_id,
        min(project_id) AS project_id
    FROM turns
    GROUP BY day, session_id, turn_index
),

spent AS (
    SELECT
        day,
        user_id,
        agent_id,
        project_id,
        provider,
        model,
        tier,
        1 AS turn_count,
        0 AS tool_call_count,
        input_tokens,
        output_tokens,
        cache_read_tokens,
        cache_write_tokens,
        reasoning_tokens,
        CASE WHEN cost_usd IS NULL THEN 1 ELSE 0 END AS uncosted_turn_count,
        charged_usd,
        cost_usd
    FROM turns
    WHERE day BETWEEN $start AND $stop
    UNION ALL
    SELECT
        tools.day,
        coalesce(maker.user_id, before_midnight.user_id) AS user_id,
        coalesce(maker.agent_id, before_midnight.agent_id) AS agent_id,
        coalesce(tools.project_id, maker.project_id, before_midnight.project_id) AS project_id,
        NULL AS provider,
        NULL AS model,
        NULL AS tier,
        0 AS turn_count,
        1 AS tool_call_count,
        0 AS input_tokens,
        0 AS output_tokens,
        0 AS cache_read_tokens,
        0 AS cache_write_tokens,
        0 AS reasoning_tokens,
        0 AS uncosted_turn_count,
        tools.charged_usd,
        tools.charged_usd AS cost_usd
    FROM tools
    LEFT JOIN makers AS maker
        ON tools.day = maker.day AND tools.session_id = maker.session_id AND tools.turn_index = maker.turn_index
    LEFT JOIN makers AS before_midnight
        ON
            tools.day - 1 = before_midnight.day
            AND tools.session_id = before_midnight.session_id
            AND tools.turn_index = before_midnight.turn_index
),

summed AS (
    SELECT
        day,
        user_id,
        agent_id,
        project_id,
        provider,
        model,
        tier,
        CAST(sum(turn_count) AS BIGINT) AS turn_count,
        CAST(sum(tool_call_count) AS BIGINT) AS tool_call_count,
        CAST(least(sum(input_tokens), 9223372036854775807) AS BIGINT) AS input_tokens, -- absurd counts end at what a column holds
        CAST(least(sum(output_tokens), 9223372036854775807) AS BIGINT) AS output_tokens,
        CAST(least(sum(cache_read_tokens), 9223372036854775807) AS BIGINT) AS cache_read_tokens,
        CAST(least(sum(cache_write_tokens), 9223372036854775807) AS BIGINT) AS cache_write_tokens,
        CAST(least(sum(reasoning_tokens), 9223372036854775807) AS BIGINT) AS reasoning_tokens,
        CAST(sum(uncosted_turn_count) AS BIGINT) AS uncosted_turn_count,
        sum(charged_usd) AS charged_usd,
        sum(cost_usd) AS cost_usd
    FROM spent
    GROUP BY day, user_id, agent_id, project_id, provider, model, tier
),

totals AS (
    SELECT
        *,
        CAST(sum(cost_usd) OVER (PARTITION BY day, user_id) AS DOUBLE) AS user_usd,
        CAST(sum(cost_usd) OVER (PARTITION BY day, project_id) AS DOUBLE) AS project_usd,
        CAST(sum(cost_usd) OVER (PARTITION BY day) AS DOUBLE) AS total_usd
    FROM summed
)

SELECT
    totals.day, -- the day [not null]
    totals.user_id, -- the user served; null where turns name none
    totals.agent_id, -- the agent that asked; null where turns name none
    totals.project_id, -- the project that pays; null where turns and calls name none
    totals.provider, -- who served the model; null for calls of tools
    totals.model, -- the model that answered; null for calls of tools
    totals.tier, -- tier of the model; null for calls of tools
    totals.turn_count, -- exchanges with the model [not null] [0..]
    totals.tool_call_count, -- calls of tools that were charged [not null] [0..]
    totals.input_tokens, -- tokens read, cached ones included [not null] [0..]
    totals.output_tokens, -- tokens written, reasoning included [not null] [0..]
    totals.cache_read_tokens, -- input tokens read from a cache [not null] [0..]
    totals.cache_write_tokens, -- input tokens written to a cache [not null] [0..]
    totals.reasoning_tokens, -- output tokens spent on reasoning [not null] [0..]
    totals.uncosted_turn_count, -- turns whose cost nobody knows, and which cost_usd therefore lacks [not null] [0..]
    totals.charged_usd, -- the part of it that was charged, in US dollars; null where events say of no charge [0..]
    totals.cost_usd, -- known cost in US dollars: as charged, else as computed; null when nobody knows any of it [0..]
    CASE
        WHEN totals.user_id IS NOT NULL
            THEN totals.user_usd / nullif(CAST(coalesce(of_user.limit_usd, each_user.limit_usd) AS DOUBLE), 0)
    END AS user_budget_share, -- what the user spent on the day, as a share of the user's limit [0..]
    CASE
        WHEN totals.project_id IS NOT NULL
            THEN totals.project_usd / nullif(CAST(coalesce(of_project.limit_usd, each_project.limit_usd) AS DOUBLE), 0)
    END AS project_budget_share, -- what the project spent on the day, as a share of the project's limit [0..]
    totals.total_usd / nullif(CAST(of_all.limit_usd AS DOUBLE), 0) AS total_budget_share -- what all spent on the day, as a
    -- share of the limit for all [0..]
FROM totals
LEFT JOIN sessions.budgets AS of_user ON totals.user_id = of_user.name AND of_user.scope = 'user'
LEFT JOIN sessions.budgets AS each_user ON each_user.scope = 'user' AND each_user.name IS NULL
LEFT JOIN sessions.budgets AS of_project ON totals.project_id = of_project.name AND of_project.scope = 'project'
LEFT JOIN sessions.budgets AS each_project ON each_project.scope = 'project' AND each_project.name IS NULL
LEFT JOIN sessions.budgets AS of_all ON of_all.scope = 'total'
