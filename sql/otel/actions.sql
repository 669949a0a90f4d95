-- One row per agent, workflow or plan that a span tells of: beginning and end of an action, with the columns of both landed twins.
--
-- An action is known by trace and span. What it was for is told by its name alone: spans state neither goals nor expectations.
--
-- Example: `invoke_agent clerk` from 09:00 to 09:02 with error.type timeout is an action of type clerk that ended after 2 minutes
-- with the outcome {"status":"error","error":"timeout","error_type":"timeout"}.
--
-- grain: action_id
-- partition: day
-- window: 0..0
-- not portable: writes JSON with to_json, which sqlglot does not write for Spark
-- question: Which agents were invoked, and how did it end?
-- sql:
--   SELECT agent_id, action_type, session_id, outcome FROM otel.actions
-- answer:
--   courier | courier | parcel-7 | {"status":"completed"}
SELECT
    tree.day, -- day on which the action began [not null]
    tree.event_id, -- the span [not null]
    span.ts, -- when it began [not null]
    span.ts + (greatest(span.ended_at, span.started_at) - span.started_at) AS ended_at, -- when it ended [not null]
    tree.own_action_id AS action_id, -- the action: trace id and span id [not null]
    coalesce(tree.agent_id, '') AS agent_id, -- the agent that acts; empty when nobody says [not null]
    coalesce(span.action_type, span.operation) AS action_type, -- class of the task: the name of agent or workflow [not null]
    CAST(NULL AS VARCHAR) AS goal_id, -- the goal pursued; spans do not know it
    tree.action_id AS parent_action_id, -- the nearest action above it
    '{}' AS expected_outcome, -- JSON: what the outcome should have; spans do not say [not null]
    CAST([] AS VARCHAR[]) AS acceptance_criteria, -- what had to hold for the result; spans do not say [not null]
    CAST([] AS VARCHAR[]) AS playbook_ids, -- playbook entries shown; spans do not say [not null]
    CASE
        WHEN span.is_failed
            THEN
                CAST(
                    to_json(
                        { 'status': 'error', 'error': left(span.error, 2000), 'error_type': span.error_type }
                    ) AS VARCHAR
                )
        ELSE '{"status":"completed"}'
    END AS outcome, -- JSON: what came of it: status, and the error where it failed [not null]
    tree.session_id, -- the session; the trace where none is named [not null]
    tree.user_id, -- the user served
    span.operation, -- invoke_agent, invoke_workflow or plan [not null]
    span.error_type, -- class of the error, when it failed
    span.convention -- the naming convention that the span speaks
FROM otel.span_trees AS tree
INNER JOIN otel.spans AS span ON tree.day = span.day AND tree.event_id = span.event_id
WHERE tree.own_action_id IS NOT NULL AND tree.day BETWEEN $start AND $stop AND span.day BETWEEN $start AND $stop
