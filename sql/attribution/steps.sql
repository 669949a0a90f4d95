-- One row per step of an action: what the agent decided, in its order.
--
-- A step belongs to the day on which its action began. `position` is its place among the action's steps, dense from 0:
-- it repairs a step_index with gaps (a step was lost) or duplicates (two processes counted). Equal indexes keep the order
-- of their times. Steps outside the time of their action (see attribution.actions), and steps of an action that never
-- began, are not here; they stay in landed.steps.
--
-- Example: steps with step_index 0, 2, 2 and 5 have the positions 0, 1, 2 and 3.
--
-- grain: action_id, position
-- partition: day
-- window: 0..1, attribution.actions 0..0
-- question: Which steps had to be moved up, because an index was missing?
-- sql:
--   SELECT action_id, position, step_index, decision FROM attribution.steps WHERE position <> step_index
-- answer:
--   refund-2 | 1 | 2 | issue_refund
WITH told AS (
    SELECT
        day,
        action_id,
        event_id,
        step_index,
        description,
        decision,
        confidence,
        actor,
        state,
        CASE WHEN ts_suspect THEN received_at ELSE ts END AS happened_at
    FROM landed.steps
    WHERE day BETWEEN $start AND $stop + 1
    UNION ALL
    SELECT
        day,
        action_id,
        event_id,
        step_index,
        description,
        decision,
        confidence,
        actor,
        state,
        ts AS happened_at
    FROM otel.steps
    WHERE day BETWEEN $start AND $stop + 1
)

SELECT
    action.day, -- day on which the action began [not null]
    step.action_id, -- the action that the step belongs to [not null]
    row_number() OVER (
        PARTITION BY action.day, step.action_id
        ORDER BY step.step_index, step.happened_at, step.event_id
    ) - 1 AS position, -- place among the action's steps, dense from 0 [not null] [0..]
    step.step_index, -- its number as the agent gave it; may have gaps and duplicates
    step.happened_at, -- when it was decided [not null]
    step.description, -- what the agent did, in words
    step.decision, -- the choice made, as a short name
    step.confidence, -- the agent's own confidence [not null] [0..1]
    step.actor, -- which member of a team of agents decided
    step.state, -- JSON: what the agent believed at this point
    step.event_id -- the event in landed.steps, or the span in otel.steps [not null]
FROM attribution.actions AS action
INNER JOIN told AS step
    ON
        action.action_id = step.action_id
        AND step.day BETWEEN action.day AND action.day + 1
        AND step.happened_at > action.began_at - INTERVAL 5 MINUTE
        AND step.happened_at <= action.deadline_at
WHERE action.day BETWEEN $start AND $stop
