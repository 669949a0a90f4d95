-- One row per call of a tool that a span tells of, with the columns of landed.tool_calls.
--
-- A call belongs to the last turn that began before it under the same action, or else in the same trace, today or the day before;
-- where there is none, to the first turn of its session, 0. call_index counts the calls of a turn on a day by their times.
--
-- Example: an agent calls a model at 10:00, two tools at 10:01 and 10:02, and the model at 10:03. Both calls belong to turn 0, with
-- call_index 0 and 1.
--
-- grain: event_id
-- partition: day
-- window: -1..0, otel.spans 0..0, otel.span_trees 0..0
-- not portable: tells kinds of JSON apart by json_type, which Spark does not have
-- question: Which tools failed, and why?
-- sql:
--   SELECT turn_index, tool_name, args, error_type, error FROM otel.tool_calls WHERE NOT ok
-- answer:
--   0 | track | {"parcel":7} | timeout | the depot did not answer
WITH calls AS (
    SELECT
        span.*,
        tree.session_id AS its_session_id,
        tree.project_id AS its_project_id,
        tree.action_id
    FROM otel.span_trees AS tree
    INNER JOIN otel.spans AS span ON tree.day = span.day AND tree.event_id = span.event_id
    WHERE
        tree.operation = 'execute_tool'
        AND NOT tree.is_tool_again
        AND tree.day BETWEEN $start AND $stop
        AND span.day BETWEEN $start AND $stop
),

timeline AS (
    SELECT
        day,
        event_id,
        trace_id,
        action_id,
        ts,
        1 AS rank,
        CAST(NULL AS STRUCT(day DATE, session_id VARCHAR, turn_index BIGINT)) AS turn
    FROM calls
    UNION ALL
    SELECT
        day,
        event_id,
        trace_id,
        action_id,
        ts,
        0 AS rank,
        { 'day': day, 'session_id': session_id, 'turn_index': turn_index } AS turn
    FROM otel.turns
    WHERE day BETWEEN $start - 1 AND $stop
),

looked_up AS (
    SELECT
        day,
        event_id,
        rank,
        last_value(turn IGNORE NULLS) OVER (
            PARTITION BY trace_id, action_id
            ORDER BY ts, rank, event_id
            ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
        ) AS under_action,
        last_value(turn IGNORE NULLS) OVER (
            PARTITION BY trace_id
            ORDER BY ts, rank, event_id
            ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
        ) AS in_trace
    FROM timeline
),

placed AS (
    SELECT
        calls.*,
        CASE
            WHEN looked_up.under_action['day'] >= calls.day - 1 THEN looked_up.under_action
            WHEN looked_up.in_trace['day'] >= calls.day - 1 THEN looked_up.in_trace
        END AS turn
    FROM calls
    INNER JOIN looked_up ON calls.day = looked_up.day AND calls.event_id = looked_up.event_id AND looked_up.rank = 1
)

SELECT
    day, -- day on which the call began [not null]
    event_id, -- the span [not null]
    ts, -- when the call began [not null]
    coalesce(turn['session_id'], its_session_id) AS session_id, -- the session; the trace where none is named [not null]
    coalesce(turn['turn_index'], 0) AS turn_index, -- the turn that made the call [not null] [0..]
    row_number() OVER (
        PARTITION BY day, coalesce(turn['session_id'], its_session_id), coalesce(turn['turn_index'], 0)
        ORDER BY ts, started_at, event_id
    ) - 1 AS call_index, -- its number within the turn and day, from 0 [not null] [0..]
    coalesce(tool_name, '') AS tool_name, -- the tool [not null]
    tool_call_id, -- the model's own id of the call
    CASE
        WHEN args IS NULL OR args = '' THEN '{}'
        WHEN NOT json_valid(args) THEN to_json({ 'value': args })
        WHEN json_type(args) = 'OBJECT' THEN args
        ELSE '{"value":' || args || '}'
    END AS args, -- JSON: what it was called with; what is no object stands under `value` [not null]
    NOT is_failed AS ok, -- whether it worked [not null]
    left(error, 2000) AS error, -- the error in words, when it failed
    coalesce(left(output, 500), '') AS output, -- what it returned, in short [not null]
    duration_ms, -- how long it took, in milliseconds [not null] [0..]
    charged_usd, -- cost in US dollars as charged, where it is known [0..]
    its_project_id AS project_id, -- the project that pays
    error_type, -- class of the error, when it failed
    convention, -- the naming convention that the span speaks
    trace_id, -- the trace, in hex [not null]
    span_id, -- the span, in hex [not null]
    action_id -- the action that it was made for, in otel.actions
FROM placed
