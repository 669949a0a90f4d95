-- The steps of actions of which somebody said which one decided the failure.
--
-- A label is an observation of type `blame_label` whose data has the `step_index` of the decisive step and may have its
-- `actor`, which is compared as actors are in attribution.blame_steps; where it names none it means that of the step. It may come
-- up to 27 days after the action, by whatever way: it counts from the day on which it came, here `day`. Of several labels of a
-- day the last one counts. A label that comes later, or names no step of a closed action, has no rows and counts for nothing:
-- each day reads 28 days of steps, whatever the history. `oplake eval blame` says how many labels do.
--
-- Example: an action of 3 steps on Monday is labelled on Wednesday with {"step_index": 1}. Wednesday has its 3 rows, and
-- is_decisive is true of the one at position 1.
--
-- grain: action_id, position
-- partition: day
-- window: -27..0, landed.observations 0..0
-- question: Which step was said to decide the refund that failed?
-- sql:
--   SELECT action_id, position, component, labelled_actor FROM attribution.labelled_steps WHERE is_decisive
-- answer:
--   refund-2 | 1 | - > issue_refund | clerk
WITH labels AS (
    SELECT
        day,
        action_id,
        TRY_CAST(json_extract_string(data, '$.step_index') AS BIGINT) AS step_index,
        left(trim(regexp_replace(lower(json_extract_string(data, '$.actor')), '\s+', ' ', 'g')), 80) AS actor,
        row_number() OVER (PARTITION BY day, action_id ORDER BY ts DESC, event_id DESC) AS nth
    FROM landed.observations
    WHERE observation_type = 'blame_label' AND day BETWEEN $start AND $stop
),

named AS (
    SELECT
        labels.day,
        labels.action_id,
        coalesce(nullif(labels.actor, ''), step.actor) AS actor,
        step.day AS action_day,
        step.position,
        row_number() OVER (PARTITION BY labels.day, labels.action_id ORDER BY step.day DESC, step.position) AS nth
    FROM labels
    INNER JOIN attribution.blame_steps AS step
        ON
            labels.action_id = step.action_id
            AND labels.step_index = step.step_index
            AND step.day BETWEEN labels.day - 27 AND labels.day
    WHERE labels.nth = 1 AND step.day BETWEEN $start - 27 AND $stop
)

SELECT
    named.day, -- day on which the label came [not null]
    named.action_id, -- the action [not null]
    step.position, -- place among the action's steps, dense from 0 [not null] [0..]
    named.action_day, -- day on which the action began [not null]
    step.action_type, -- class of the task [not null]
    step.goal_id, -- the goal pursued [not null]
    step.step_count, -- steps of the action [not null] [1..]
    step.actor, -- who decided, normalised [not null]
    step.decision, -- the choice made, normalised [not null]
    step.component, -- who did what [not null]
    step.occurrences, -- steps of the action that are this component [not null] [1..]
    step.is_first, -- whether it is the first of them [not null]
    step.repetition, -- few, first or again [not null]
    step.place, -- position, coarser the later it is [not null] [0..]
    step.doubt, -- contradicted, unsure or none [not null]
    share.credit, -- the baseline: credit that grows towards the end [not null] [0..1]
    step.is_failure, -- whether the action failed; null when that cannot be said
    step.position = named.position AS is_decisive, -- whether the label names it [not null]
    named.actor AS labelled_actor -- the actor that the label names, normalised, else that of the step [not null]
FROM named
INNER JOIN attribution.blame_steps AS step ON named.action_day = step.day AND named.action_id = step.action_id
INNER JOIN attribution.step_credits AS share
    ON step.day = share.day AND step.action_id = share.action_id AND step.position = share.position
WHERE named.nth = 1 AND step.day BETWEEN $start - 27 AND $stop AND share.day BETWEEN $start - 27 AND $stop
