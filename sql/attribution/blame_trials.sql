-- Where each method ranks the step that a label names: the trials by which methods are compared.
--
-- Each labelled action of the last 90 days is ranked by each method, with the labels of its own goal left out (of all
-- classes). Methods without labels: `uniform`, `earliest`, `last`, `credit_baseline` (credit that grows towards the end).
-- With labels of other goals (attribution.blame_lifts): `position`; `position_actor` and `position_decision`, the products
-- of two lifts; `repetition`, position_decision times the lifts of repetition and of doubt. With successes of the same goal
-- (attribution.blame_contrasts), for failures whose goal has some: `ochiai`, `kulczynski2`, `famas` and `contrast`, each
-- times the lift of the place. How often a run itself repeats a step is a factor of `famas`: 1 + ln(times) / -ln(0.9).
--
-- Steps that tie are ranked in their order. Under `uniform` each is as likely as any, and its figures are what that expects:
-- in an action of n steps 1 / n for is_top_1, and (1 + 1/2 + ... + 1/n) / n for the reciprocal rank.
--
-- Example: an action of 4 steps whose second was decisive. `earliest` gives it rank 2 and reciprocal rank 0.5; `uniform` has
-- top_1 0.25, top_3 0.75 and reciprocal rank (1 + 0.5 + 0.333 + 0.25) / 4 = 0.521.
--
-- grain: action_id, action_day, method
-- partition: day
-- window: -89..0, attribution.blame_steps 0..0, attribution.blame_lifts 0..0, attribution.blame_contrasts 0..0
-- question: Which rule finds the step that broke the refund?
-- sql:
--   SELECT method, top_1, round(reciprocal_rank, 3) AS reciprocal_rank FROM attribution.blame_trials
--   WHERE day = DATE '2026-01-05' AND action_id = 'refund-2' AND evidence = 'none' ORDER BY method
-- answer:
--   credit_baseline | 0.0 | 0.5
--   earliest | 0.0 | 0.5
--   last | 1.0 | 1.0
--   uniform | 0.5 | 0.75
WITH days AS (
    SELECT DISTINCT day
    FROM attribution.blame_steps
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

labelled AS (
    SELECT
        labels.day,
        labels.action_id,
        labels.action_day,
        step.action_type,
        step.goal_id,
        step.position,
        step.step_count,
        step.place,
        step.actor,
        step.decision,
        step.component,
        step.occurrences,
        step.is_first,
        step.doubt,
        step.credit,
        step.is_failure,
        step.is_decisive,
        lower(step.labelled_actor) AS labelled_actor,
        CASE WHEN step.occurrences < 3 THEN 'few' WHEN step.is_first THEN 'first' ELSE 'again' END AS repetition
    FROM labels
    INNER JOIN attribution.labelled_steps AS step
        ON
            labels.label_day = step.day
            AND labels.action_id = step.action_id
            AND labels.action_day = step.action_day
    WHERE step.day BETWEEN $start - 89 AND $stop
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
    WHERE held_goal <> '' AND day BETWEEN $start AND $stop
),

lifted AS (
    SELECT
        labelled.*,
        place.lift AS place_lift,
        actor.lift AS actor_lift,
        decision.lift AS decision_lift,
        repetition.lift * doubt.lift AS repetition_lift
    FROM labelled
    INNER JOIN lifts AS place
        ON
            labelled.day = place.day
            AND labelled.action_type = place.action_type
            AND labelled.goal_id = place.held_goal
            AND place.feature = 'place'
            AND CAST(labelled.place AS VARCHAR) = place.value
    INNER JOIN lifts AS actor
        ON
            labelled.day = actor.day
            AND labelled.action_type = actor.action_type
            AND labelled.goal_id = actor.held_goal
            AND actor.feature = 'actor'
            AND labelled.actor = actor.value
    INNER JOIN lifts AS decision
        ON
            labelled.day = decision.day
            AND labelled.action_type = decision.action_type
            AND labelled.goal_id = decision.held_goal
            AND decision.feature = 'decision'
            AND labelled.decision = decision.value
    INNER JOIN lifts AS repetition
        ON
            labelled.day = repetition.day
            AND labelled.action_type = repetition.action_type
            AND labelled.goal_id = repetition.held_goal
            AND repetition.feature = 'repetition'
            AND labelled.repetition = repetition.value
    INNER JOIN lifts AS doubt
        ON
            labelled.day = doubt.day
            AND labelled.action_type = doubt.action_type
            AND labelled.goal_id = doubt.held_goal
            AND doubt.feature = 'doubt'
            AND labelled.doubt = doubt.value
),

compared AS (
    SELECT
        lifted.*,
        did.ochiai,
        did.kulczynski2,
        did.famas * (1 + ln(lifted.occurrences) / -ln(0.9)) AS famas,
        CASE
            WHEN lifted.is_first THEN greatest(did.contrast, coalesce(repeated.contrast, did.contrast), 0)
            ELSE 0
        END + CASE
            WHEN lifted.doubt = 'contradicted' THEN greatest(coalesce(contradicted.contrast, 0), 0)
            ELSE 0
        END AS sign_contrast
    FROM lifted
    LEFT JOIN attribution.blame_contrasts AS did
        ON
            lifted.day = did.day
            AND lifted.action_type = did.action_type
            AND lifted.goal_id = did.goal_id
            AND 'did: ' || lifted.component = did.sign
            AND lifted.is_failure
    LEFT JOIN attribution.blame_contrasts AS repeated
        ON
            lifted.day = repeated.day
            AND lifted.action_type = repeated.action_type
            AND lifted.goal_id = repeated.goal_id
            AND 'repeated: ' || lifted.component = repeated.sign
            AND lifted.occurrences >= 3
    LEFT JOIN attribution.blame_contrasts AS contradicted
        ON
            lifted.day = contradicted.day
            AND lifted.action_type = contradicted.action_type
            AND lifted.goal_id = contradicted.goal_id
            AND contradicted.sign = 'contradicted'
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
    FROM compared
),

methods AS (
    SELECT
        listed.name AS method,
        listed.needs AS evidence,
        listed.rank AS simplicity
    FROM (
        VALUES
        ('uniform', 'none', 0),
        ('earliest', 'none', 1),
        ('last', 'none', 2),
        ('credit_baseline', 'none', 3),
        ('position', 'labels', 4),
        ('position_actor', 'labels', 5),
        ('position_decision', 'labels', 6),
        ('repetition', 'labels', 7),
        ('contrast', 'runs', 8),
        ('ochiai', 'runs', 9),
        ('kulczynski2', 'runs', 10),
        ('famas', 'runs', 11)
    ) AS listed (name, needs, rank)
),

scored AS (
    SELECT
        explained.day,
        explained.action_id,
        explained.action_day,
        explained.action_type,
        explained.goal_id,
        explained.position,
        explained.step_count,
        explained.actor,
        explained.is_decisive,
        explained.labelled_actor,
        methods.method,
        methods.evidence,
        methods.simplicity,
        CASE methods.method
            WHEN 'uniform' THEN 1
            WHEN 'earliest' THEN -explained.position
            WHEN 'last' THEN explained.position
            WHEN 'credit_baseline' THEN explained.credit
            WHEN 'position' THEN explained.place_lift
            WHEN 'position_actor' THEN explained.place_lift * explained.actor_lift
            WHEN 'position_decision' THEN explained.place_lift * explained.decision_lift
            WHEN 'repetition' THEN explained.place_lift * explained.decision_lift * explained.repetition_lift
            WHEN 'contrast' THEN explained.place_lift * explained.contrast
            WHEN 'ochiai' THEN explained.place_lift * explained.ochiai
            WHEN 'kulczynski2' THEN explained.place_lift * explained.kulczynski2
            ELSE explained.place_lift * explained.famas
        END AS score
    FROM explained
    CROSS JOIN methods
    WHERE methods.evidence <> 'runs' OR explained.ochiai IS NOT NULL
),

ranked AS (
    SELECT
        *,
        row_number() OVER (PARTITION BY day, method, action_id, action_day ORDER BY score DESC, position) AS nth
    FROM scored
)

SELECT
    day, -- last of the days that it rests on [not null]
    action_id, -- the labelled action [not null]
    action_day, -- day on which that began [not null]
    action_type, -- class of the task [not null]
    goal_id, -- the goal pursued [not null]
    method, -- how steps are ranked [not null]
    evidence, -- what it needs: none, labels or runs (failing and passing ones of the goal) [not null]
    simplicity, -- the simplest method has 0 [not null] [0..]
    max(step_count) AS step_count, -- steps of the action [not null] [1..]
    max(CASE WHEN is_decisive THEN nth END) AS decisive_rank, -- rank of the decisive step [not null] [1..]
    CASE
        WHEN method = 'uniform' THEN 1 / max(step_count)
        WHEN max(CASE WHEN is_decisive THEN nth END) = 1 THEN 1
        ELSE 0
    END AS top_1, -- whether that is the first; expected for uniform [not null] [0..1]
    CASE
        WHEN method = 'uniform' THEN least(3 / max(step_count), 1)
        WHEN max(CASE WHEN is_decisive THEN nth END) <= 3 THEN 1
        ELSE 0
    END AS top_3, -- whether it is among the first three [not null] [0..1]
    CASE
        WHEN method = 'uniform' THEN sum(CAST(1 / nth AS DECIMAL(18, 12))) / max(step_count)
        ELSE 1 / max(CASE WHEN is_decisive THEN nth END)
    END AS reciprocal_rank, -- 1 / rank of the decisive step [not null] [0..1]
    CASE
        WHEN method = 'uniform' THEN count(CASE WHEN actor = labelled_actor THEN position END) / max(step_count)
        ELSE max(CASE WHEN nth = 1 AND actor = labelled_actor THEN 1 ELSE 0 END)
    END AS actor_hit -- whether the first step is one of the labelled actor [not null] [0..1]
FROM ranked
GROUP BY day, action_id, action_day, action_type, goal_id, method, evidence, simplicity
