-- One row per span right under an action: what the agent did there, with the columns of landed.steps.
--
-- Calls to models and tools, other agents, retrieval and the like are steps of the action that they stand under (otel.span_trees).
-- The decision of a call to a model is what it asked for, else to respond; that of any other is the tool, agent or operation. Spans
-- tell no confidence, so that it is 0.5. step_index counts by their times, from the action's first step of the day before.
--
-- Example: a call that asks for the tool `search`, the call of the tool, and a call that answers are steps 0, 1 and 2 with the
-- decisions `search`, `search` and `respond`.
--
-- grain: event_id
-- partition: day
-- window: -1..0, otel.spans 0..0, otel.messages 0..0
-- not portable: tells kinds of JSON apart by json_type, which Spark does not have
-- question: What did the agents decide?
-- sql:
--   SELECT step_index, decision, description FROM otel.steps ORDER BY step_index
-- answer:
--   0 | track | asked for track
--   1 | track | track({"parcel":7})
--   2 | respond | I cannot tell right now.
WITH trees AS (
    SELECT *
    FROM otel.span_trees
    WHERE is_step AND NOT is_tool_again AND day BETWEEN $start - 1 AND $stop
),

steps_before AS (
    SELECT
        day + 1 AS day,
        action_id,
        count(event_id) AS step_count
    FROM trees
    GROUP BY day, action_id
)

SELECT
    tree.day, -- day on which it began [not null]
    tree.event_id, -- the span [not null]
    span.ts, -- when it began [not null]
    tree.action_id, -- the action that it belongs to [not null]
    coalesce(steps_before.step_count, 0) + row_number() OVER (
        PARTITION BY tree.day, tree.action_id
        ORDER BY span.ts, span.started_at, tree.event_id
    ) - 1 AS step_index, -- its number within the action, from 0 on the first of two days [not null] [0..]
    left(
        CASE
            WHEN said.response IS NOT NULL THEN said.response
            WHEN len(said.requested_tools) > 0 THEN 'asked for ' || array_to_string(said.requested_tools, ', ')
            WHEN span.tool_name IS NOT NULL THEN span.tool_name || '(' || coalesce(span.args, '') || ')'
            ELSE coalesce(span.operation || ' ' || coalesce(span.action_type, span.model), span.name)
        END,
        500
    ) AS description, -- what the agent did, in words [not null]
    left(
        CASE
            WHEN len(said.requested_tools) > 0 THEN array_to_string(list_distinct(said.requested_tools), ', ')
            WHEN span.operation IN ('chat', 'text_completion', 'generate_content') THEN 'respond'
            ELSE coalesce(span.tool_name, span.action_type, span.operation)
        END,
        200
    ) AS decision, -- the choice made: the tool or agent called, or to respond [not null]
    CASE WHEN json_valid(span.args) AND json_type(span.args) = 'OBJECT' THEN span.args ELSE '{}' END AS state, -- JSON: what the
    -- tool was called with, as what the agent believed [not null]
    CAST(0.5 AS DOUBLE) AS confidence, -- how sure the agent was; spans do not say [not null] [0..1]
    tree.agent_id AS actor, -- the agent that decided
    span.convention -- the naming convention that the span speaks
FROM trees AS tree
INNER JOIN otel.spans AS span ON tree.day = span.day AND tree.event_id = span.event_id
LEFT JOIN otel.messages AS said ON tree.day = said.day AND tree.event_id = said.event_id
LEFT JOIN steps_before ON tree.day = steps_before.day AND tree.action_id = steps_before.action_id
WHERE tree.day BETWEEN $start AND $stop AND span.day BETWEEN $start AND $stop
