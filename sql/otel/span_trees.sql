-- Where each span that does something stands in its trace: under which action, in which session, and whether it is a turn.
--
-- Spans that name an operation, or tokens, have a row. Above a span its trace is searched upwards, over spans of any kind, for at
-- most 100 links (a longer chain is a circle), on its own day and the day before: a parent starts no later than its child, and
-- one that does over midnight, by clocks that differ, is not found. Nothing depends on the order in which spans arrive; a span
-- whose parent has not come is at the top until it comes.
--
-- A step of an action is what stands right under it, chains and spans of no known operation aside. A session, user or project that
-- a span does not name is that of the nearest span above that does, else the first of its trace; a trace without a session is one.
--
-- Tokens count once. An agent repeats the usage of its calls, and a call traced by two instrumentations is two spans, one in the
-- other. Of spans with usage only the lowest are turns, and a call without usage is one when no other call lies below it. An agent
-- that alone tells its usage is a turn itself. A call of a tool right under a call of the same tool is that call, seen again.
--
-- Example: an agent with 30 tokens over two calls of 10 and 20 gives 2 turns with 30 tokens; without the calls it gives 1 with 30.
--
-- grain: trace_id, span_id
-- partition: day
-- window: -1..1
-- question: Which spans are turns, and whose steps are they?
-- sql:
--   SELECT operation, is_turn, is_step, session_id FROM otel.span_trees ORDER BY ALL
-- answer:
--   chat | true | false | greeting-1
--   chat | true | true | parcel-7
--   chat | true | true | parcel-7
--   execute_tool | false | true | parcel-7
--   invoke_agent | false | false | parcel-7
WITH RECURSIVE spans AS (
    SELECT
        day,
        event_id,
        trace_id,
        span_id,
        parent_span_id,
        started_at,
        operation,
        tool_name,
        session_id,
        user_id,
        project_id,
        agent_id,
        coalesce(operation IN ('invoke_agent', 'invoke_workflow', 'plan'), FALSE) AS is_action,
        coalesce(operation IN ('chat', 'text_completion', 'generate_content'), FALSE) AS is_call,
        has_usage AND coalesce(operation NOT IN ('embeddings', 'retrieval', 'rerank'), TRUE) AS has_usage,
        coalesce(operation NOT IN ('chain', 'prompt'), FALSE) AS is_doing
    FROM otel.spans
    WHERE day BETWEEN $start - 1 AND $stop + 1
),

climbs AS (
    SELECT
        day,
        event_id,
        has_usage,
        is_call,
        trace_id,
        day AS next_day,
        parent_span_id AS next_span_id,
        CAST(NULL AS VARCHAR) AS above_event_id,
        CAST(NULL AS VARCHAR) AS above_span_id,
        CAST(NULL AS VARCHAR) AS above_tool_name,
        CAST(NULL AS VARCHAR) AS above_session_id,
        CAST(NULL AS VARCHAR) AS above_user_id,
        CAST(NULL AS VARCHAR) AS above_project_id,
        CAST(NULL AS VARCHAR) AS above_agent_id,
        FALSE AS is_action_above,
        FALSE AS is_doing_above,
        0 AS distance
    FROM spans
    WHERE operation IS NOT NULL OR has_usage
    UNION ALL
    SELECT
        climbs.day,
        climbs.event_id,
        climbs.has_usage,
        climbs.is_call,
        climbs.trace_id,
        above.day AS next_day,
        above.parent_span_id AS next_span_id,
        above.event_id AS above_event_id,
        above.span_id AS above_span_id,
        above.tool_name AS above_tool_name,
        above.session_id AS above_session_id,
        above.user_id AS above_user_id,
        above.project_id AS above_project_id,
        above.agent_id AS above_agent_id,
        above.is_action AS is_action_above,
        above.is_doing AS is_doing_above,
        climbs.distance + 1 AS distance
    FROM climbs
    INNER JOIN spans AS above
        ON
            climbs.trace_id = above.trace_id
            AND climbs.next_span_id = above.span_id
            AND above.day BETWEEN climbs.day - 1 AND climbs.next_day
    WHERE climbs.distance < 100 AND above.event_id <> climbs.event_id
),

above AS (
    SELECT
        day,
        event_id,
        arg_min(above_span_id, distance) FILTER (WHERE is_action_above) AS action_span_id,
        min(distance) FILTER (WHERE is_action_above) AS action_distance,
        min(distance) FILTER (WHERE is_doing_above) AS doing_distance,
        arg_min(above_tool_name, distance) FILTER (WHERE is_doing_above) AS tool_name,
        arg_min(above_session_id, distance) FILTER (WHERE above_session_id IS NOT NULL) AS session_id,
        arg_min(above_user_id, distance) FILTER (WHERE above_user_id IS NOT NULL) AS user_id,
        arg_min(above_project_id, distance) FILTER (WHERE above_project_id IS NOT NULL) AS project_id,
        arg_min(above_agent_id, distance) FILTER (WHERE above_agent_id IS NOT NULL) AS agent_id
    FROM climbs
    WHERE day BETWEEN $start AND $stop
    GROUP BY day, event_id
),

below AS (
    SELECT
        above_event_id AS event_id,
        bool_or(has_usage) AS has_usage,
        bool_or(is_call) AS has_call
    FROM climbs
    WHERE distance > 0 AND (has_usage OR is_call)
    GROUP BY above_event_id
),

traces_by_day AS (
    SELECT
        day,
        trace_id,
        arg_min(session_id, { 'at': started_at, 'id': event_id }) FILTER (WHERE session_id IS NOT NULL) AS session_id,
        arg_min(user_id, { 'at': started_at, 'id': event_id }) FILTER (WHERE user_id IS NOT NULL) AS user_id,
        arg_min(project_id, { 'at': started_at, 'id': event_id }) FILTER (WHERE project_id IS NOT NULL) AS project_id
    FROM spans
    GROUP BY day, trace_id
),

traces AS (
    SELECT
        own.day,
        own.trace_id,
        arg_min(other.session_id, other.day) FILTER (WHERE other.session_id IS NOT NULL) AS session_id,
        arg_min(other.user_id, other.day) FILTER (WHERE other.user_id IS NOT NULL) AS user_id,
        arg_min(other.project_id, other.day) FILTER (WHERE other.project_id IS NOT NULL) AS project_id
    FROM traces_by_day AS own
    INNER JOIN traces_by_day AS other ON own.trace_id = other.trace_id AND other.day BETWEEN own.day - 1 AND own.day + 1
    GROUP BY own.day, own.trace_id
)

SELECT
    span.day, -- day on which the span started [not null]
    span.event_id, -- the span [not null]
    span.trace_id, -- the trace, in hex [not null]
    span.span_id, -- the span, in hex [not null]
    span.operation, -- what it is; null when it only tells tokens
    CASE WHEN span.is_action THEN span.trace_id || '-' || span.span_id END AS own_action_id, -- the action that it is itself
    span.trace_id || '-' || above.action_span_id AS action_id, -- the nearest action above it
    span.is_doing AND coalesce(above.action_distance = above.doing_distance, FALSE) AS is_step, -- whether it is a step of that action [not null]
    coalesce(span.session_id, above.session_id, trace.session_id, span.trace_id) AS session_id, -- the session [not null]
    coalesce(span.user_id, above.user_id, trace.user_id) AS user_id, -- the user served
    coalesce(span.project_id, above.project_id, trace.project_id) AS project_id, -- the project that pays
    coalesce(span.agent_id, above.agent_id) AS agent_id, -- the agent at work
    CASE
        WHEN span.has_usage THEN NOT coalesce(below.has_usage, FALSE)
        ELSE span.is_call AND NOT coalesce(below.has_usage OR below.has_call, FALSE)
    END AS is_turn, -- whether it counts as an exchange with a model [not null]
    coalesce(span.operation = 'execute_tool' AND span.tool_name = above.tool_name, FALSE) AS is_tool_again -- whether it is a
    -- call of a tool that the span above tells already [not null]
FROM spans AS span
INNER JOIN above ON span.day = above.day AND span.event_id = above.event_id
LEFT JOIN below ON span.event_id = below.event_id
LEFT JOIN traces AS trace ON span.day = trace.day AND span.trace_id = trace.trace_id
