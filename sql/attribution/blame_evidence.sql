-- What there is to say of each step that blame judges: the lifts of its features, and the contrast of its signs.
--
-- A day judges the steps of its failures, for attribution.blame, and those of all actions labelled in the 90 days that end with
-- it (of several labels of an action the latest counts), for attribution.blame_trials. Both are judged alike, by what is known at
-- the end of the day: lifts are those of attribution.blame_lifts without the labels of the step's own goal, 1 where nothing was
-- learned; scores are those of attribution.blame_contrasts, for failures of the last 28 days whose goal has failing and passing
-- runs.
--
-- Place and decision tell of one another, as teams take turns, so that the product of their lifts counts some evidence twice, and
-- the place is the noisier. tie_lift is place_lift to the power 0.1: times decision_lift it orders steps whose decisions tie,
-- and hardly any others.
--
-- The first thing that went wrong explains the failure, and what comes after it only what that leaves. With c the contrast of a
-- step's signs (0 where they do not go with failure) and s the sum of c over the steps before, contrast is
-- (1.02 - exp(-c)) * exp(-s): 1 - exp(-c) is the share of runs with the sign that would not have failed without it, and 0.02
-- keeps steps without any from having no blame at all.
--
-- Example: an action of 3 steps whose contrasts c are 0, 2 and 1. Their contrast is 0.02, 1.02 - exp(-2) = 0.885 and
-- (1.02 - exp(-1)) * exp(-2) = 0.088.
--
-- grain: action_id, action_day, position
-- partition: day
-- window: -89..0, attribution.blame_steps 0..0, attribution.blame_lifts 0..0, attribution.blame_contrasts 0..0
-- question: What speaks against the steps of the refund that failed?
-- sql:
--   SELECT position, round(place_lift, 2) AS place_lift, round(ochiai, 2) AS ochiai, round(contrast, 3) AS contrast,
--       is_decisive
--   FROM attribution.blame_evidence WHERE day = DATE '2026-01-05' AND action_id = 'refund-2' ORDER BY position
-- answer:
--   0 | 1.0 | 0.71 | 0.02 | false
--   1 | 1.0 | 0.71 | 0.353 | true
WITH days AS (
    SELECT day
    FROM attribution.blame_steps
    WHERE day BETWEEN $start AND $stop
    UNION
    SELECT day
    FROM attribution.labelled_steps
    WHERE day BETWEEN $start AND $stop
),

labels AS (
    SELECT
        days.day,
        step.action_id,
        step.action_day,
        max(step.day) AS label_day
    FROM days
    INNER JOIN attribution.labelled_steps AS step ON step.day BETWEEN days.day - 89 AND days.day
    WHERE step.day BETWEEN $start - 89 AND $stop
    GROUP BY days.day, step.action_id, step.action_day
),

judged AS (
    SELECT
        labels.day,
        labels.action_id,
        labels.action_day,
        step.position,
        step.action_type,
        step.goal_id,
        step.step_count,
        step.actor,
        step.decision,
        step.component,
        step.occurrences,
        step.is_first,
        step.repetition,
        step.place,
        step.doubt,
        step.credit,
        step.is_failure,
        step.is_decisive,
        step.labelled_actor
    FROM labels
    INNER JOIN attribution.labelled_steps AS step
        ON
            labels.label_day = step.day
            AND labels.action_id = step.action_id
            AND labels.action_day = step.action_day
    WHERE step.day BETWEEN $start - 89 AND $stop
    UNION ALL
    SELECT
        day,
        action_id,
        day AS action_day,
        position,
        action_type,
        goal_id,
        step_count,
        actor,
        decision,
        component,
        occurrences,
        is_first,
        repetition,
        place,
        doubt,
        NULL AS credit,
        is_failure,
        NULL AS is_decisive,
        NULL AS labelled_actor
    FROM attribution.blame_steps AS step
    WHERE
        is_failure
        AND day BETWEEN $start AND $stop
        AND NOT EXISTS (
            SELECT 1 FROM labels
            WHERE labels.day = step.day AND labels.action_day = step.day AND labels.action_id = step.action_id
        )
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

goals AS (
    SELECT DISTINCT
        day,
        action_type,
        goal_id
    FROM judged
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
        goals.day,
        goals.action_type,
        goals.goal_id,
        coalesce(known.action_type, '') AS lift_class,
        coalesce(held.held_goal, '') AS held_goal
    FROM goals
    LEFT JOIN known ON goals.day = known.day AND goals.action_type = known.action_type
    LEFT JOIN held
        ON goals.day = held.day AND goals.action_type = held.action_type AND goals.goal_id = held.held_goal
),

contrasted AS (
    SELECT
        judged.*,
        coalesce(place.lift, 1.0) AS place_lift,
        pow(coalesce(place.lift, 1.0), 0.1) AS tie_lift,
        coalesce(actor.lift, 1.0) AS actor_lift,
        coalesce(decision.lift, 1.0) AS decision_lift,
        coalesce(repetition.lift, 1.0) * coalesce(doubt.lift, 1.0) AS repetition_lift,
        did.ochiai,
        did.kulczynski2,
        did.famas * (1 + ln(judged.occurrences) / -ln(0.9)) AS famas,
        CASE
            WHEN judged.is_first THEN greatest(did.contrast, coalesce(repeated.contrast, did.contrast), 0)
            ELSE 0
        END + CASE
            WHEN judged.doubt = 'contradicted' THEN greatest(coalesce(contradicted.contrast, 0), 0)
            ELSE 0
        END AS sign_contrast
    FROM judged
    INNER JOIN looked_up
        ON
            judged.day = looked_up.day
            AND judged.action_type = looked_up.action_type
            AND judged.goal_id = looked_up.goal_id
    LEFT JOIN lifts AS place
        ON
            judged.day = place.day
            AND looked_up.lift_class = place.action_type
            AND looked_up.held_goal = place.held_goal
            AND place.feature = 'place'
            AND CAST(judged.place AS VARCHAR) = place.value
    LEFT JOIN lifts AS actor
        ON
            judged.day = actor.day
            AND looked_up.lift_class = actor.action_type
            AND looked_up.held_goal = actor.held_goal
            AND actor.feature = 'actor'
            AND judged.actor = actor.value
    LEFT JOIN lifts AS decision
        ON
            judged.day = decision.day
            AND looked_up.lift_class = decision.action_type
            AND looked_up.held_goal = decision.held_goal
            AND decision.feature = 'decision'
            AND judged.decision = decision.value
    LEFT JOIN lifts AS repetition
        ON
            judged.day = repetition.day
            AND looked_up.lift_class = repetition.action_type
            AND looked_up.held_goal = repetition.held_goal
            AND repetition.feature = 'repetition'
            AND judged.repetition = repetition.value
    LEFT JOIN lifts AS doubt
        ON
            judged.day = doubt.day
            AND looked_up.lift_class = doubt.action_type
            AND looked_up.held_goal = doubt.held_goal
            AND doubt.feature = 'doubt'
            AND judged.doubt = doubt.value
    LEFT JOIN attribution.blame_contrasts AS did
        ON
            judged.day = did.day
            AND judged.action_type = did.action_type
            AND judged.goal_id = did.goal_id
            AND 'did: ' || judged.component = did.sign
            AND judged.is_failure
            AND judged.action_day >= judged.day - 27
    LEFT JOIN attribution.blame_contrasts AS repeated
        ON
            judged.day = repeated.day
            AND judged.action_type = repeated.action_type
            AND judged.goal_id = repeated.goal_id
            AND 'repeated: ' || judged.component = repeated.sign
            AND judged.is_failure
            AND judged.action_day >= judged.day - 27
            AND judged.occurrences >= 3
    LEFT JOIN attribution.blame_contrasts AS contradicted
        ON
            judged.day = contradicted.day
            AND judged.action_type = contradicted.action_type
            AND judged.goal_id = contradicted.goal_id
            AND contradicted.sign = 'contradicted'
            AND judged.is_failure
            AND judged.action_day >= judged.day - 27
            AND judged.doubt = 'contradicted'
),

explained AS (
    SELECT
        *,
        (1.02 - exp(-sign_contrast))
        * exp(
            -coalesce(
                sum(sign_contrast) OVER (
                    PARTITION BY day, action_id, action_day
                    ORDER BY position
                    ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
                ),
                0
            )
        ) AS contrast
    FROM contrasted
)

SELECT
    day, -- the day as of which it is judged [not null]
    action_id, -- the action [not null]
    action_day, -- day on which that began [not null]
    position, -- place among the action's steps, dense from 0 [not null] [0..]
    action_type, -- class of the task; empty where it was not told [not null]
    goal_id, -- the goal pursued; of its own where the action has none [not null]
    step_count, -- steps of the action [not null] [1..]
    place, -- position, coarser the later it is [not null] [0..]
    actor, -- who decided, normalised [not null]
    decision, -- the choice made, normalised [not null]
    repetition, -- few, first or again [not null]
    doubt, -- contradicted, unsure or none [not null]
    is_failure, -- whether the action failed; null when that cannot be said, only for labelled ones
    is_decisive, -- whether the label names the step; null for actions without label
    labelled_actor, -- the actor that the label names, else the decisive step's; null for actions without label
    credit, -- the baseline: credit that grows towards the end; null for actions without label [0..1]
    place_lift, -- lift of the place [not null] [0..]
    tie_lift, -- the same to the power 0.1: what it says where decisions tie [not null] [0..]
    actor_lift, -- lift of the actor [not null] [0..]
    decision_lift, -- lift of the decision [not null] [0..]
    repetition_lift, -- lift of repetition times that of doubt [not null] [0..]
    ochiai, -- score of Ochiai of the component; null where the goal has no contrast [0..]
    kulczynski2, -- second score of Kulczynski [0..]
    famas, -- score of FAMAS, with its factor for repetition within the run: 1 + ln(times) / -ln(0.9) [0..]
    contrast -- what the step's signs explain and earlier ones do not; 0.02 where the goal has no contrast [not null] [0..]
FROM explained
