-- How much likelier than any other a step with some feature is to have decided a failure: the priors of blame.
--
-- Learned per class of task from the labels of the 90 days that end with the day (of several of an action the latest). With t
-- steps of labelled actions that have the feature, c of them decisive, T steps and C labels in all, and r = C / T, the lift is
-- (c + 5 r a) / (t + 5) / r, where a is the same over all classes, with a = 1: so a class with few labels says what
-- all classes say, and all classes with few labels say nothing (lift 1).
--
-- held_goal is a goal whose labels were left out, so that no label judges its own goal: a labelled goal has rows of its own
-- for the features that its steps have. Where held_goal is empty nothing was left out. The class '' stands for all classes.
--
-- A class without labels gets lifts of places from contrast. A component that is in more of a goal's failures than its
-- successes let expect, a - F b / P > 0 (attribution.blame_signs of 28 days), votes with that excess for the mean place at
-- which failures show it; the votes count like labels.
--
-- Example: of 100 steps 10 were decisive, and of the 20 at place 0 of those 6. In the only class the lift of place 0 over all
-- classes is (6 + 5 * 0.1) / 25 / 0.1 = 2.6, and that of the class (6 + 5 * 0.1 * 2.6) / 25 / 0.1 = 2.92.
--
-- grain: action_type, held_goal, feature, value
-- partition: day
-- window: -89..0, attribution.blame_steps 0..0, attribution.blame_signs -27..0
-- question: What do labels say of where refunds fail?
-- sql:
--   SELECT value, step_count, decisive_count, round(lift, 3) AS lift FROM attribution.blame_lifts
--   WHERE day = DATE '2026-01-05' AND action_type = 'refund' AND held_goal = '' AND feature = 'place' ORDER BY value
-- answer:
--   0 | 1 | 0.0 | 0.694
--   1 | 1 | 1.0 | 1.306
WITH days AS (
    SELECT day
    FROM attribution.blame_steps
    WHERE day BETWEEN $start AND $stop
    UNION
    SELECT day
    FROM attribution.labelled_steps
    WHERE day BETWEEN $start AND $stop
),

labelled AS (
    SELECT
        days.day,
        step.action_type,
        step.goal_id,
        CAST(step.place AS VARCHAR) AS place,
        step.decision,
        step.actor,
        step.repetition,
        step.doubt,
        CASE WHEN step.is_decisive THEN 1.0 ELSE 0.0 END AS decisive,
        step.day = max(step.day) OVER (PARTITION BY days.day, step.action_id, step.action_day) AS is_latest
    FROM days
    INNER JOIN attribution.labelled_steps AS step ON step.day BETWEEN days.day - 89 AND days.day
    WHERE step.day BETWEEN $start - 89 AND $stop
),

judged AS (
    SELECT *
    FROM labelled
    WHERE is_latest
),

featured AS (
    SELECT
        judged.day,
        judged.action_type,
        judged.goal_id,
        listed.feature,
        CASE listed.feature
            WHEN 'place' THEN judged.place
            WHEN 'decision' THEN judged.decision
            WHEN 'actor' THEN judged.actor
            WHEN 'repetition' THEN judged.repetition
            ELSE judged.doubt
        END AS value,
        judged.decisive
    FROM judged
    CROSS JOIN (VALUES ('place'), ('decision'), ('actor'), ('repetition'), ('doubt')) AS listed (feature)
),

per_goal AS (
    SELECT
        day,
        action_type,
        goal_id,
        feature,
        value,
        count(decisive) AS step_count,
        sum(decisive) AS decisive_count
    FROM featured
    GROUP BY day, action_type, goal_id, feature, value
),

per_class AS (
    SELECT
        day,
        action_type,
        feature,
        value,
        sum(step_count) AS step_count,
        sum(decisive_count) AS decisive_count
    FROM per_goal
    GROUP BY day, action_type, feature, value
),

every_class AS (
    SELECT
        day,
        feature,
        value,
        sum(step_count) AS step_count,
        sum(decisive_count) AS decisive_count
    FROM per_class
    GROUP BY day, feature, value
),

every_goal AS (
    SELECT
        day,
        goal_id,
        feature,
        value,
        sum(step_count) AS step_count,
        sum(decisive_count) AS decisive_count
    FROM per_goal
    GROUP BY day, goal_id, feature, value
),

class_sums AS (
    SELECT
        day,
        action_type,
        count(decisive) AS step_count,
        sum(decisive) AS decisive_count
    FROM judged
    GROUP BY day, action_type
),

goal_sums AS (
    SELECT
        day,
        action_type,
        goal_id,
        count(decisive) AS step_count,
        sum(decisive) AS decisive_count
    FROM judged
    GROUP BY day, action_type, goal_id
),

counted AS (
    SELECT
        per_class.day,
        per_class.action_type,
        '' AS held_goal,
        per_class.feature,
        per_class.value,
        per_class.step_count AS t,
        per_class.decisive_count AS c,
        class_sums.step_count AS class_steps,
        class_sums.decisive_count AS class_decisive,
        every_class.step_count AS all_t,
        every_class.decisive_count AS all_c
    FROM per_class
    INNER JOIN class_sums ON per_class.day = class_sums.day AND per_class.action_type = class_sums.action_type
    INNER JOIN every_class
        ON
            per_class.day = every_class.day
            AND per_class.feature = every_class.feature
            AND per_class.value = every_class.value
    UNION ALL
    SELECT
        per_goal.day,
        per_goal.action_type,
        per_goal.goal_id AS held_goal,
        per_goal.feature,
        per_goal.value,
        per_class.step_count - per_goal.step_count AS t,
        per_class.decisive_count - per_goal.decisive_count AS c,
        class_sums.step_count - goal_sums.step_count AS class_steps,
        class_sums.decisive_count - goal_sums.decisive_count AS class_decisive,
        every_class.step_count - every_goal.step_count AS all_t,
        every_class.decisive_count - every_goal.decisive_count AS all_c
    FROM per_goal
    INNER JOIN per_class
        ON
            per_goal.day = per_class.day
            AND per_goal.action_type = per_class.action_type
            AND per_goal.feature = per_class.feature
            AND per_goal.value = per_class.value
    INNER JOIN class_sums ON per_goal.day = class_sums.day AND per_goal.action_type = class_sums.action_type
    INNER JOIN goal_sums
        ON
            per_goal.day = goal_sums.day
            AND per_goal.action_type = goal_sums.action_type
            AND per_goal.goal_id = goal_sums.goal_id
    INNER JOIN every_class
        ON
            per_goal.day = every_class.day
            AND per_goal.feature = every_class.feature
            AND per_goal.value = every_class.value
    INNER JOIN every_goal
        ON
            per_goal.day = every_goal.day
            AND per_goal.goal_id = every_goal.goal_id
            AND per_goal.feature = every_goal.feature
            AND per_goal.value = every_goal.value
    UNION ALL
    SELECT
        day,
        '' AS action_type,
        '' AS held_goal,
        feature,
        value,
        0 AS t,
        0 AS c,
        0 AS class_steps,
        0 AS class_decisive,
        step_count AS all_t,
        decisive_count AS all_c
    FROM every_class
    WHERE NOT EXISTS (
        SELECT 1 FROM class_sums
        WHERE class_sums.day = every_class.day AND class_sums.action_type = ''
    )
),

every_sum AS (
    SELECT
        day,
        sum(step_count) AS step_count,
        sum(decisive_count) AS decisive_count
    FROM class_sums
    GROUP BY day
),

held_sums AS (
    SELECT
        day,
        goal_id,
        sum(step_count) AS step_count,
        sum(decisive_count) AS decisive_count
    FROM goal_sums
    GROUP BY day, goal_id
),

rated AS (
    SELECT
        counted.*,
        CASE
            WHEN counted.class_decisive > 0 AND counted.class_steps > 0
                THEN counted.class_decisive / counted.class_steps
        END AS rate,
        CASE
            WHEN every_sum.decisive_count > coalesce(held_sums.decisive_count, 0)
                THEN
                    (every_sum.decisive_count - coalesce(held_sums.decisive_count, 0))
                    / (every_sum.step_count - coalesce(held_sums.step_count, 0))
        END AS all_rate
    FROM counted
    INNER JOIN every_sum ON counted.day = every_sum.day
    LEFT JOIN held_sums ON counted.day = held_sums.day AND counted.held_goal = held_sums.goal_id
),

backed AS (
    SELECT
        *,
        coalesce((all_c + 5 * all_rate) / (all_t + 5) / all_rate, 1.0) AS all_lift
    FROM rated
),

goal_runs AS (
    SELECT
        days.day,
        sign.action_type,
        sign.goal_id,
        sign.sign,
        sum(sign.failing_runs) AS a,
        sum(sign.passing_runs) AS b,
        sum(sign.failing_occurrences) AS occurrences,
        sum(sign.failing_places) AS places
    FROM days
    INNER JOIN attribution.blame_signs AS sign ON sign.day BETWEEN days.day - 27 AND days.day
    WHERE (sign.sign = 'run' OR sign.sign LIKE 'did: %') AND sign.day BETWEEN $start - 27 AND $stop
    GROUP BY days.day, sign.action_type, sign.goal_id, sign.sign
),

placed AS (
    SELECT
        *,
        CAST(floor(places / a + 0.5) AS BIGINT) AS place
    FROM goal_runs
    WHERE sign <> 'run' AND a > 0
),

votes AS (
    SELECT
        did.day,
        did.action_type,
        CAST(did.place AS VARCHAR) AS value,
        sum(did.occurrences) AS t,
        sum(CAST(greatest(did.a - run.a * (did.b / run.b), 0) AS DECIMAL(18, 6))) AS c
    FROM placed AS did
    INNER JOIN goal_runs AS run
        ON did.day = run.day AND did.action_type = run.action_type AND did.goal_id = run.goal_id AND run.sign = 'run'
    LEFT JOIN class_sums ON did.day = class_sums.day AND did.action_type = class_sums.action_type
    WHERE run.b > 0 AND class_sums.action_type IS NULL
    GROUP BY did.day, did.action_type, did.place
),

vote_sums AS (
    SELECT
        day,
        action_type,
        sum(c) / sum(t) AS rate
    FROM votes
    GROUP BY day, action_type
    HAVING sum(c) > 0
)

SELECT
    day, -- last of the days that it rests on [not null]
    action_type, -- class of the task; empty for all [not null]
    held_goal, -- the goal whose labels were left out; empty for none [not null]
    feature, -- place, decision, actor, repetition or doubt [not null]
    value, -- what the step has there [not null]
    'labels' AS learned_from, -- labels or contrast [not null]
    CAST(t AS BIGINT) AS step_count, -- steps of the class with the feature [not null] [0..]
    CAST(c AS DOUBLE) AS decisive_count, -- those that decided it [not null] [0..]
    CASE
        WHEN rate IS NULL THEN all_lift
        ELSE (c + 5 * rate * all_lift) / (t + 5) / rate
    END AS lift -- how much likelier such a step decides a failure than any [not null] [0..]
FROM backed
UNION ALL
SELECT
    votes.day,
    votes.action_type,
    '' AS held_goal,
    'place' AS feature,
    votes.value,
    'contrast' AS learned_from,
    CAST(votes.t AS BIGINT) AS step_count,
    CAST(votes.c AS DOUBLE) AS decisive_count,
    (votes.c + 5 * vote_sums.rate) / (votes.t + 5) / vote_sums.rate AS lift
FROM votes
INNER JOIN vote_sums ON votes.day = vote_sums.day AND votes.action_type = vote_sums.action_type
