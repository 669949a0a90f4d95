-- Which step decided each failure: the blame of every step of every unsuccessful action, with what it rests on.
--
-- A step weighs by the prior of its class, and, where the goal has failing and passing runs in the last 28 days, by how far what
-- it is tells these apart; which prior and which contrast stands in attribution.blame_methods. Blame is the weight divided by
-- the sum of the action's. Labels of the same goal are left out, of the action itself too: so blame may be held against labels.
--
-- evidence_kind says what it rests on, at most: `contrast` where the goal's outcomes are mixed; `repetition` where the prior is
-- the one of that name; else `prior_only`, which without labels or mixed outcomes anywhere is the same for each step.
-- Statistics go up to the day of the action (stats_through); later days change it only when this day is made again. Actions
-- that were evicted, or of which nothing was expected, are neither successes nor failures.
--
-- The first thing that went wrong explains the failure, and what comes after it only what that leaves. With c the contrast of a
-- step's signs (0 where they do not go with failure) and s the sum of c over the steps before, the method `contrast` weighs
-- lift * (1.02 - exp(-c)) * exp(-s): 1 - exp(-c) is the share of runs with the sign that would not have failed without it,
-- and 0.02 keeps steps without any from having no blame at all.
--
-- Example: an action of 3 steps whose lifts are 1 and whose contrasts are 0, 2 and 1. They weigh 0.02, 1.02 - exp(-2) = 0.885
-- and (1.02 - exp(-1)) * exp(-2) = 0.088: blame 0.02, 0.891 and 0.089, margin 0.802.
--
-- grain: action_id, position
-- partition: day
-- window: -27..0, attribution.blame_steps 0..0, attribution.blame_lifts 0..0, attribution.blame_contrasts 0..0,
--   attribution.blame_methods 0..0
-- question: What decided the refund that failed?
-- sql:
--   SELECT position, round(blame, 2) AS blame, blame_rank, evidence_kind, failures, passes
--   FROM attribution.blame WHERE action_id = 'refund-2' ORDER BY blame_rank
-- answer:
--   1 | 0.95 | 1 | contrast | 1 | 1
--   0 | 0.05 | 2 | contrast | 1 | 1
WITH failed AS (
    SELECT
        day,
        action_id,
        position,
        action_type,
        goal_id,
        actor,
        decision,
        component,
        occurrences,
        is_first,
        doubt,
        CAST(place AS VARCHAR) AS place,
        CASE WHEN occurrences < 3 THEN 'few' WHEN is_first THEN 'first' ELSE 'again' END AS repetition
    FROM attribution.blame_steps
    WHERE is_failure AND day BETWEEN $start AND $stop
),

goals AS (
    SELECT DISTINCT
        day,
        action_type,
        goal_id
    FROM failed
),

runs AS (
    SELECT
        goals.day,
        goals.action_type,
        goals.goal_id,
        sum(sign.failing_runs) AS failures,
        sum(sign.passing_runs) AS passes
    FROM goals
    INNER JOIN attribution.blame_signs AS sign
        ON
            goals.action_type = sign.action_type
            AND goals.goal_id = sign.goal_id
            AND sign.sign = 'run'
            AND sign.day BETWEEN goals.day - 27 AND goals.day
    WHERE sign.day BETWEEN $start - 27 AND $stop
    GROUP BY goals.day, goals.action_type, goals.goal_id
),

chosen AS (
    SELECT
        day,
        action_type,
        max(CASE WHEN evidence = 'labels' THEN method END) AS prior_method,
        max(CASE WHEN evidence = 'runs' THEN method END) AS contrast_method,
        max(CASE WHEN evidence = 'labels' THEN labelled_actions END) AS labelled_actions
    FROM attribution.blame_methods
    WHERE is_chosen AND day BETWEEN $start AND $stop
    GROUP BY day, action_type
),

lifts AS (
    SELECT
        day,
        action_type,
        held_goal,
        feature,
        value,
        lift
    FROM attribution.blame_lifts
    WHERE day BETWEEN $start AND $stop
),

known AS (
    SELECT DISTINCT
        day,
        action_type
    FROM lifts
),

held AS (
    SELECT DISTINCT
        day,
        action_type,
        held_goal
    FROM lifts
    WHERE held_goal <> ''
),

looked_up AS (
    SELECT
        runs.day,
        runs.action_type,
        runs.goal_id,
        runs.failures,
        runs.passes,
        coalesce(known.action_type, '') AS lift_class,
        coalesce(held.held_goal, '') AS held_goal
    FROM runs
    LEFT JOIN known
        ON runs.day = known.day AND runs.action_type = known.action_type
    LEFT JOIN held
        ON runs.day = held.day AND runs.action_type = held.action_type AND runs.goal_id = held.held_goal
),

contrasted AS (
    SELECT
        failed.day,
        failed.action_id,
        failed.position,
        failed.action_type,
        failed.goal_id,
        looked_up.failures,
        looked_up.passes,
        coalesce(chosen.prior_method, 'position') AS prior_method,
        coalesce(chosen.contrast_method, 'contrast') AS contrast_method,
        coalesce(chosen.labelled_actions, 0) AS labelled_actions,
        coalesce(place.lift, 1.0) AS place_lift,
        coalesce(actor.lift, 1.0) AS actor_lift,
        coalesce(decision.lift, 1.0) AS decision_lift,
        coalesce(repetition.lift, 1.0) * coalesce(doubt.lift, 1.0) AS repetition_lift,
        did.ochiai,
        did.kulczynski2,
        did.famas * (1 + ln(failed.occurrences) / -ln(0.9)) AS famas,
        CASE
            WHEN failed.is_first THEN greatest(did.contrast, coalesce(repeated.contrast, did.contrast), 0)
            ELSE 0
        END + CASE
            WHEN failed.doubt = 'contradicted' THEN greatest(coalesce(contradicted.contrast, 0), 0)
            ELSE 0
        END AS sign_contrast
    FROM failed
    INNER JOIN looked_up
        ON
            failed.day = looked_up.day
            AND failed.action_type = looked_up.action_type
            AND failed.goal_id = looked_up.goal_id
    LEFT JOIN chosen ON failed.day = chosen.day AND failed.action_type = chosen.action_type
    LEFT JOIN lifts AS place
        ON
            failed.day = place.day
            AND looked_up.lift_class = place.action_type
            AND looked_up.held_goal = place.held_goal
            AND place.feature = 'place'
            AND failed.place = place.value
    LEFT JOIN lifts AS actor
        ON
            failed.day = actor.day
            AND looked_up.lift_class = actor.action_type
            AND looked_up.held_goal = actor.held_goal
            AND actor.feature = 'actor'
            AND failed.actor = actor.value
    LEFT JOIN lifts AS decision
        ON
            failed.day = decision.day
            AND looked_up.lift_class = decision.action_type
            AND looked_up.held_goal = decision.held_goal
            AND decision.feature = 'decision'
            AND failed.decision = decision.value
    LEFT JOIN lifts AS repetition
        ON
            failed.day = repetition.day
            AND looked_up.lift_class = repetition.action_type
            AND looked_up.held_goal = repetition.held_goal
            AND repetition.feature = 'repetition'
            AND failed.repetition = repetition.value
    LEFT JOIN lifts AS doubt
        ON
            failed.day = doubt.day
            AND looked_up.lift_class = doubt.action_type
            AND looked_up.held_goal = doubt.held_goal
            AND doubt.feature = 'doubt'
            AND failed.doubt = doubt.value
    LEFT JOIN attribution.blame_contrasts AS did
        ON
            failed.day = did.day
            AND failed.action_type = did.action_type
            AND failed.goal_id = did.goal_id
            AND 'did: ' || failed.component = did.sign
    LEFT JOIN attribution.blame_contrasts AS repeated
        ON
            failed.day = repeated.day
            AND failed.action_type = repeated.action_type
            AND failed.goal_id = repeated.goal_id
            AND 'repeated: ' || failed.component = repeated.sign
            AND failed.occurrences >= 3
    LEFT JOIN attribution.blame_contrasts AS contradicted
        ON
            failed.day = contradicted.day
            AND failed.action_type = contradicted.action_type
            AND failed.goal_id = contradicted.goal_id
            AND contradicted.sign = 'contradicted'
            AND failed.doubt = 'contradicted'
),

explained AS (
    SELECT
        *,
        (1.02 - exp(-sign_contrast))
        * exp(
            -coalesce(
                sum(sign_contrast) OVER (
                    PARTITION BY day, action_id ORDER BY position ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
                ),
                0
            )
        ) AS contrast
    FROM contrasted
),

weighed AS (
    SELECT
        *,
        CASE
            WHEN passes > 0 THEN contrast_method
            ELSE prior_method
        END AS method,
        CASE
            WHEN passes > 0 THEN 'contrast'
            WHEN prior_method = 'repetition' THEN 'repetition'
            ELSE 'prior_only'
        END AS evidence_kind,
        CASE
            WHEN passes > 0
                THEN place_lift * CASE contrast_method
                    WHEN 'ochiai' THEN ochiai
                    WHEN 'kulczynski2' THEN kulczynski2
                    WHEN 'famas' THEN famas
                    ELSE contrast
                END
            WHEN prior_method = 'position' THEN place_lift
            WHEN prior_method = 'position_actor' THEN place_lift * actor_lift
            WHEN prior_method = 'position_decision' THEN place_lift * decision_lift
            ELSE place_lift * decision_lift * repetition_lift
        END AS weight
    FROM explained
),

shared AS (
    SELECT
        *,
        weight / sum(weight) OVER (PARTITION BY day, action_id) AS blame,
        row_number() OVER (PARTITION BY day, action_id ORDER BY weight DESC, position) AS blame_rank
    FROM weighed
),

led AS (
    SELECT
        day,
        action_id,
        max(CASE WHEN blame_rank = 1 THEN blame END)
        - coalesce(max(CASE WHEN blame_rank = 2 THEN blame END), 0) AS margin
    FROM shared
    WHERE blame_rank <= 2
    GROUP BY day, action_id
)

SELECT
    shared.day, -- day on which the action began [not null]
    shared.action_id, -- the action that failed [not null]
    shared.position, -- place among the action's steps, dense from 0 [not null] [0..]
    shared.action_type, -- class of the task; empty where it was not told [not null]
    shared.goal_id, -- the goal pursued; of its own where the action has none [not null]
    shared.blame, -- share of the failure; sums to 1 per action [not null] [0..1]
    shared.blame_rank, -- 1 for the step with most; of equal ones the earlier first [not null] [1..]
    shared.evidence_kind, -- contrast, repetition or prior_only: what it rests on at most [not null]
    shared.method, -- the method that speaks for the class (attribution.blame_methods) [not null]
    CAST(shared.failures AS BIGINT) AS failures, -- failing runs of the goal in 28 days [not null] [1..]
    CAST(shared.passes AS BIGINT) AS passes, -- passing runs of it [not null] [0..]
    shared.labelled_actions, -- labelled actions of the class; 0 where the prior comes of contrast or of other classes
    -- [not null] [0..]
    led.margin, -- blame of the action's first step less that of the runner-up [not null] [0..1]
    shared.day AS stats_through -- last day of the statistics that it rests on [not null]
FROM shared
INNER JOIN led ON shared.day = led.day AND shared.action_id = led.action_id
