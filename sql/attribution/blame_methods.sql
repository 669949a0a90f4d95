-- How well each method finds the step that labels name, and which method speaks for a class of tasks.
--
-- Means over the trials of the last 90 days (attribution.blame_trials), in each of which the labels of its own goal were left
-- out. Of the methods that need the same (`position` to `repetition` need labels, `contrast` to `famas` runs) the simplest is
-- chosen whose mean reciprocal rank is within 0.02 of the best: less is no difference that so few labels could show. Where
-- labels name fewer than 10 goals that is the simplest of all, `position` or `contrast`.
--
-- Example: 12 labelled actions of 12 goals, 6 of which `position` ranks first and 6 second: top_1 is 0.5, and
-- mean_reciprocal_rank (6 * 1 + 6 * 0.5) / 12 = 0.75. If `position_decision` has 0.76, `position` is chosen.
--
-- grain: action_type, method
-- partition: day
-- window: 0..0
-- question: How good are the simplest rules at refunds?
-- sql:
--   SELECT method, labelled_actions, round(top_1, 2) AS top_1, is_chosen FROM attribution.blame_methods
--   WHERE day = DATE '2026-01-05' AND action_type = 'refund' AND evidence <> 'runs' ORDER BY method
-- answer:
--   credit_baseline | 1 | 0.0 | false
--   decision_position | 1 | 0.0 | false
--   earliest | 1 | 0.0 | false
--   last | 1 | 1.0 | false
--   position | 1 | 0.0 | true
--   position_actor | 1 | 0.0 | false
--   position_decision | 1 | 0.0 | false
--   repetition | 1 | 0.0 | false
--   uniform | 1 | 0.5 | false
WITH measured AS (
    SELECT
        day,
        action_type,
        method,
        evidence,
        simplicity,
        count(action_id) AS labelled_actions,
        count(DISTINCT goal_id) AS labelled_goals,
        sum(CAST(top_1 AS DECIMAL(18, 9))) / count(action_id) AS top_1,
        sum(CAST(top_3 AS DECIMAL(18, 9))) / count(action_id) AS top_3,
        sum(CAST(reciprocal_rank AS DECIMAL(18, 9))) / count(action_id) AS mean_reciprocal_rank,
        sum(CAST(actor_hit AS DECIMAL(18, 9))) / count(action_id) AS actor_accuracy
    FROM attribution.blame_trials
    WHERE day BETWEEN $start AND $stop
    GROUP BY day, action_type, method, evidence, simplicity
),

contested AS (
    SELECT
        *,
        max(mean_reciprocal_rank) OVER (PARTITION BY day, action_type, evidence) AS best
    FROM measured
),

preferred AS (
    SELECT
        *,
        row_number() OVER (
            PARTITION BY day, action_type, evidence
            ORDER BY
                CASE WHEN labelled_goals < 10 OR mean_reciprocal_rank >= best - 0.02 THEN 0 ELSE 1 END,
                simplicity
        ) AS nth
    FROM contested
)

SELECT
    day, -- last of the days that it rests on [not null]
    action_type, -- class of the task [not null]
    method, -- how steps are ranked [not null]
    evidence, -- what it needs: none, labels or runs (failing and passing ones of the goal) [not null]
    labelled_actions, -- labelled actions that it ranks [not null] [1..]
    labelled_goals, -- goals of these [not null] [1..]
    top_1, -- share of actions whose decisive step it ranks first [not null] [0..1]
    top_3, -- share of those whose decisive step is among its first three [not null] [0..1]
    mean_reciprocal_rank, -- mean of 1 / rank of the decisive step [not null] [0..1]
    actor_accuracy, -- share of actions whose first step is one of the labelled actor [not null] [0..1]
    evidence <> 'none' AND nth = 1 AS is_chosen -- whether it speaks for the class where it has what it needs [not null]
FROM preferred
