-- Which budgets were overspent: one row per day (UTC) and limit of sessions.budgets that the known cost of the day exceeds.
--
-- A limit for every user, or every project, holds for those that have none of their own. What turns cost of which nobody
-- knows the cost is not in it, so that there may be more breaches than are here: uncosted_turn_count says where to look.
-- The limits of today are held against all days.
--
-- Example: with OPLAKE_BUDGETS='{"user": 0.03, "user:bob": 1}' a day on which ann and bob spend 0.05 US dollars each has
-- one row, with scope user, name ann and excess_usd 0.02.
--
-- grain: scope, name
-- partition: day
-- window: 0..0
-- alert: a budget was overspent
-- question: With OPLAKE_BUDGETS='{"user": 0.04, "project": 1}', who spent too much?
-- sql:
--   SELECT day, scope, name, limit_usd, spent_usd, excess_usd FROM sessions.budget_breaches ORDER BY ALL
-- answer:
--   2026-01-05 | user | ann | 0.040000000 | 0.046500000 | 0.006500000
--   2026-01-06 | user | bob | 0.040000000 | 0.050000000 | 0.010000000
WITH spent AS (
    SELECT
        day,
        'total' AS scope,
        CAST(NULL AS VARCHAR) AS name,
        sum(cost_usd) AS spent_usd,
        sum(uncosted_turn_count) AS uncosted_turn_count
    FROM sessions.cost_days
    WHERE day BETWEEN $start AND $stop
    GROUP BY day
    UNION ALL
    SELECT
        day,
        'user' AS scope,
        user_id AS name,
        sum(cost_usd) AS spent_usd,
        sum(uncosted_turn_count) AS uncosted_turn_count
    FROM sessions.cost_days
    WHERE day BETWEEN $start AND $stop AND user_id IS NOT NULL
    GROUP BY day, user_id
    UNION ALL
    SELECT
        day,
        'project' AS scope,
        project_id AS name,
        sum(cost_usd) AS spent_usd,
        sum(uncosted_turn_count) AS uncosted_turn_count
    FROM sessions.cost_days
    WHERE day BETWEEN $start AND $stop AND project_id IS NOT NULL
    GROUP BY day, project_id
),

limited AS (
    SELECT
        spent.*,
        coalesce(its.limit_usd, each.limit_usd) AS limit_usd
    FROM spent
    LEFT JOIN sessions.budgets AS its ON spent.scope = its.scope AND spent.name = its.name
    LEFT JOIN sessions.budgets AS each ON spent.scope = each.scope AND each.name IS NULL
)

SELECT
    day, -- the day [not null]
    scope, -- what is limited: total, user or project [not null]
    name, -- the user or project; null for total
    limit_usd, -- the limit of the day in US dollars [not null] [0..]
    spent_usd, -- known cost of the day in US dollars [not null] [0..]
    spent_usd - limit_usd AS excess_usd, -- how much that is over the limit, in US dollars [not null] [0..]
    CAST(uncosted_turn_count AS BIGINT) AS uncosted_turn_count -- turns of the day whose cost nobody knows, and which
    -- spent_usd therefore lacks [not null] [0..]
FROM limited
WHERE spent_usd > limit_usd
