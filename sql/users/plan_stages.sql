-- What became of each stage of a user's plans: reached, expired, replaced, or still going on.
--
-- A stage begins when those before it should be done. It is reached when the next plan says so, expired when its days are
-- over before the next plan was made or, without one, by the last day of which reports are written, and replaced when another
-- plan came first.
--
-- Example: a plan of Monday 5 January has two stages of 7 days that expire after 14. The first began on 5 January and
-- expires on the 19th, the second begins on the 12th. The plan of 12 January calls the first one reached: its ending is
-- reached, on 12 January; that of the second is replaced, on the same day.
--
-- grain: user_id, planned_on, position
-- partition: none
-- question: What became of the stages of ann's plans?
-- sql:
--   SELECT planned_on, name, begins_on, expires_on, ending, ended_on
--   FROM users.plan_stages
--   WHERE user_id = 'ann'
--   ORDER BY planned_on, position
-- answer:
--   2026-01-05 | answer with the date she asked for | 2026-01-05 | 2026-01-19 | reached | 2026-01-12
--   2026-01-05 | fewer redone figures | 2026-01-12 | 2026-01-26 | replaced | 2026-01-12
--   2026-01-12 | fewer redone figures | 2026-01-12 | 2026-01-26 | null | null
WITH plans AS (
    SELECT
        day AS planned_on,
        user_id,
        version,
        stages,
        lead(day) OVER (PARTITION BY user_id ORDER BY day) AS next_planned_on,
        lead(reached_stages) OVER (PARTITION BY user_id ORDER BY day) AS reached_stages
    FROM users.meta_plans
    WHERE status = 'ok'
),

numbers AS (SELECT unnest(generate_series(0, 7)) AS position),

placed AS (
    SELECT
        plans.planned_on,
        plans.user_id,
        plans.version,
        plans.next_planned_on,
        plans.reached_stages,
        numbers.position,
        plans.stages[numbers.position + 1] AS stage
    FROM plans
    INNER JOIN numbers ON len(plans.stages) > numbers.position -- 8 stages at most
),

begun AS (
    SELECT
        placed.planned_on,
        placed.user_id,
        placed.version,
        placed.next_planned_on,
        placed.reached_stages,
        placed.position,
        stage.name,
        stage.failure_strategy,
        placed.planned_on + CAST(
            coalesce(
                sum(stage.expected_days) OVER (
                    PARTITION BY placed.user_id, placed.planned_on
                    ORDER BY placed.position ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
                ),
                0
            ) AS INTEGER
        ) AS begins_on,
        CAST(stage.expected_days AS INTEGER) AS expected_days,
        CAST(stage.expiration_days AS INTEGER) AS expiration_days
    FROM placed
),

told AS (SELECT max(day) AS last_day FROM users.daily_reports),

ended AS (
    SELECT
        begun.*,
        begun.begins_on + begun.expiration_days AS expires_on,
        CASE
            WHEN list_contains(begun.reached_stages, begun.name) THEN 'reached'
            WHEN
                begun.begins_on + begun.expiration_days <= coalesce(begun.next_planned_on, told.last_day)
                THEN 'expired'
            WHEN begun.next_planned_on IS NOT NULL THEN 'replaced'
        END AS ending
    FROM begun
    CROSS JOIN told
)

SELECT
    user_id, -- the user [not null]
    planned_on, -- the Monday on which it was planned [not null]
    position, -- place in the plan, from 0 [not null] [0..]
    version, -- number of the user's plan, from 1 [not null] [1..]
    name, -- what it is about [not null]
    failure_strategy, -- what to do when it expires [not null]
    begins_on, -- the day on which it should begin [not null]
    begins_on + expected_days AS expected_on, -- the day by which it should be done [not null]
    expires_on, -- the day on which it is given up [not null]
    ending, -- reached, expired or replaced; null while it goes on
    CASE WHEN ending = 'expired' THEN expires_on WHEN ending IS NOT NULL THEN next_planned_on END
        AS ended_on -- when that was; null while it goes on
FROM ended
