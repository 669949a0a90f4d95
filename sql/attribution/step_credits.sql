-- Share of an action's outcome earned by each of its steps.
--
-- Later and surer steps earn more: weight = 0.9^(n-1-i) * (0.5 + 0.5 * confidence), divided by the action's sum of weights.
-- The factor 0.9^(n-1) is common to an action and cancels, so that one sum per action, in any order, is enough.
-- Actions that are still open have no credit.
--
-- Example: two steps with confidence 0 and 1 weigh 0.9 * 0.5 = 0.45 and 1 * 1 = 1; they earn 0.45 / 1.45 = 0.3103 and
-- 1 / 1.45 = 0.6897.
--
-- 0.9^-i overflows near i = 6,700. Actions with more steps than 6,000 (only imports have them) are weighed from their end.
-- They are taken out after the sum, not before: DuckDB then turns the window into a hash aggregate and a join, at a third of
-- the CPU and half the memory of a window above a join (measured on 20 million steps).
--
-- grain: action_id, position
-- partition: day
-- window: 0..0
-- question: Which decisions earned most of the success, over all actions?
-- sql:
--   SELECT decision, round(sum(credit * success_score), 3) AS earned
--   FROM attribution.step_credits
--   JOIN attribution.steps USING (day, action_id, position)
--   JOIN attribution.success_scores USING (day, action_id)
--   GROUP BY decision
--   ORDER BY earned DESC, decision
-- answer:
--   query_index | 0.603
--   compare | 0.597
--   issue_refund | 0.407
--   check_policy | 0.33
--   track | 0.315
--   look_up_order | 0.264
--   respond | 0.185
WITH weighed AS (
    SELECT
        day,
        action_id,
        position,
        pow(0.9, -position) * (0.5 + 0.5 * confidence) AS weight
    FROM attribution.steps
    WHERE day BETWEEN $start AND $stop
),

shared AS (
    SELECT
        day,
        action_id,
        position,
        weight / sum(weight) OVER (PARTITION BY day, action_id) AS credit
    FROM weighed
),

open_actions AS (
    SELECT
        day,
        action_id
    FROM attribution.actions
    WHERE status = 'open' AND day BETWEEN $start AND $stop
),

long_actions AS (
    SELECT
        day,
        action_id,
        max(position) AS last_position
    FROM attribution.steps
    WHERE position >= 6000 AND day BETWEEN $start AND $stop
    GROUP BY day, action_id
),

apart AS (
    SELECT
        day,
        action_id
    FROM long_actions
    UNION ALL
    SELECT
        day,
        action_id
    FROM open_actions
),

long_closed AS (
    SELECT
        long_actions.day,
        long_actions.action_id,
        long_actions.last_position
    FROM long_actions
    ANTI JOIN open_actions ON long_actions.day = open_actions.day AND long_actions.action_id = open_actions.action_id
),

weighed_from_end AS (
    SELECT
        step.day,
        step.action_id,
        step.position,
        pow(0.9, long_action.last_position - step.position) * (0.5 + 0.5 * step.confidence) AS weight
    FROM attribution.steps AS step
    INNER JOIN long_closed AS long_action ON step.day = long_action.day AND step.action_id = long_action.action_id
    WHERE step.day BETWEEN $start AND $stop
),

credits AS (
    SELECT
        shared.day,
        shared.action_id,
        shared.position,
        shared.credit
    FROM shared
    ANTI JOIN apart ON shared.day = apart.day AND shared.action_id = apart.action_id
    UNION ALL
    SELECT
        day,
        action_id,
        position,
        weight / sum(weight) OVER (PARTITION BY day, action_id) AS credit
    FROM weighed_from_end
)

SELECT
    day, -- day on which the action began [not null]
    action_id, -- the action that the step belongs to [not null]
    position, -- place among the action's steps, dense from 0 [not null] [0..]
    credit, -- share of the outcome; sums to 1 per action [not null] [0..1]
    round(credit, 4) AS credit_rounded -- the same to 4 decimals, to be read by people [not null] [0..1]
FROM credits
