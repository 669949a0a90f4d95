-- Where each method ranks the step that a label names: the trials by which methods are compared.
--
-- Each labelled action of the last 90 days is ranked by each method, with the labels of its own goal left out (of all
-- classes). Methods without labels: `uniform`, `earliest`, `last`, `credit_baseline` (credit that grows towards the end).
-- With labels of other goals (attribution.blame_lifts): `position`; `decision_position`, the lift of the decision, and that of the
-- place where decisions tie; `position_actor` and `position_decision`, the products of two lifts; `repetition`,
-- position_decision times the lifts of repetition and of doubt. With successes of the same goal (attribution.blame_contrasts),
-- for failures of the last 28 days whose goal has some: `ochiai`, `kulczynski2`, `famas` and `contrast`, each times the lift of
-- the place. What they are made of stands in attribution.blame_evidence.
--
-- Steps that tie are ranked in their order. Under `uniform` each is as likely as any, and its figures are what that expects:
-- in an action of n steps 1 / n for is_top_1, and (1 + 1/2 + ... + 1/n) / n for the reciprocal rank.
--
-- Example: an action of 4 steps whose second was decisive. `earliest` gives it rank 2 and reciprocal rank 0.5; `uniform` has
-- top_1 0.25, top_3 0.75 and reciprocal rank (1 + 0.5 + 0.333 + 0.25) / 4 = 0.521.
--
-- grain: action_id, action_day, method
-- partition: day
-- window: 0..0
-- question: Which rule finds the step that broke the refund?
-- sql:
--   SELECT method, top_1, round(reciprocal_rank, 3) AS reciprocal_rank FROM attribution.blame_trials
--   WHERE day = DATE '2026-01-05' AND action_id = 'refund-2' AND evidence = 'none' ORDER BY method
-- answer:
--   credit_baseline | 0.0 | 0.5
--   earliest | 0.0 | 0.5
--   last | 1.0 | 1.0
--   uniform | 0.5 | 0.75
WITH methods AS (
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
        ('decision_position', 'labels', 5),
        ('position_actor', 'labels', 6),
        ('position_decision', 'labels', 7),
        ('repetition', 'labels', 8),
        ('contrast', 'runs', 9),
        ('ochiai', 'runs', 10),
        ('kulczynski2', 'runs', 11),
        ('famas', 'runs', 12)
    ) AS listed (name, needs, rank)
),

scored AS (
    SELECT
        step.day,
        step.action_id,
        step.action_day,
        step.action_type,
        step.goal_id,
        step.position,
        step.step_count,
        step.actor,
        step.is_decisive,
        step.labelled_actor,
        methods.method,
        methods.evidence,
        methods.simplicity,
        CASE methods.method
            WHEN 'uniform' THEN 1
            WHEN 'earliest' THEN -step.position
            WHEN 'last' THEN step.position
            WHEN 'credit_baseline' THEN step.credit
            WHEN 'position' THEN step.place_lift
            WHEN 'decision_position' THEN step.decision_lift * step.tie_lift
            WHEN 'position_actor' THEN step.place_lift * step.actor_lift
            WHEN 'position_decision' THEN step.place_lift * step.decision_lift
            WHEN 'repetition' THEN step.place_lift * step.decision_lift * step.repetition_lift
            WHEN 'contrast' THEN step.place_lift * step.contrast
            WHEN 'ochiai' THEN step.place_lift * step.ochiai
            WHEN 'kulczynski2' THEN step.place_lift * step.kulczynski2
            ELSE step.place_lift * step.famas
        END AS score
    FROM attribution.blame_evidence AS step
    CROSS JOIN methods
    WHERE
        step.day BETWEEN $start AND $stop
        AND step.is_decisive IS NOT NULL
        AND (methods.evidence <> 'runs' OR step.ochiai IS NOT NULL)
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
