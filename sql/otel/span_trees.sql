-- Where each span stands in its trace: under which action, in which session, and whether it is a turn.
--
-- Above a span its trace is searched upwards, over spans of any kind, for at most 100 links (a longer chain is a circle), on its own
-- day and the day before: a parent starts no later than its child, and one that does over midnight, by clocks that differ, is not
-- found. Nothing depends on the order in which spans arrive; a span whose parent has not come is at the top until it comes.
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
-- How: spans are numbered, so that the recursion holds numbers alone: a row for each span and each one above it.
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
        row_number() OVER (ORDER BY day, event_id) AS id,
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

links AS (
    SELECT
        child.id,
        child.day,
        parent.id AS parent_id,
        parent.day AS parent_day
    FROM spans AS child
    INNER JOIN spans AS parent
        ON
            child.trace_id = parent.trace_id
            AND child.parent_span_id = parent.span_id
            AND parent.day BETWEEN child.day - 1 AND child.day
            AND child.id <> parent.id
),

climbs AS (
    SELECT
        id,
        day,
        parent_id AS above_id,
        1 AS distance
    FROM links
    UNION ALL
    SELECT
        climbs.id,
        climbs.day,
        links.parent_id AS above_id,
        climbs.distance + 1 AS distance
    FROM climbs
    INNER JOIN links
        ON
            climbs.above_id = links.id
            AND climbs.day - 1 <= links.parent_day
            AND climbs.id <> links.parent_id
    WHERE climbs.distance < 100
),

above AS (
    SELECT
        climbs.id,
        arg_min(one.span_id, climbs.distance) FILTER (WHERE one.is_action) AS action_span_id,
        min(climbs.distance) FILTER (WHERE one.is_action) AS action_distance,
        min(climbs.distance) FILTER (WHERE one.is_doing) AS doing_distance,
        arg_min(one.tool_name, climbs.distance) FILTER (WHERE one.is_doing) AS tool_name,
        arg_min(one.session_id, climbs.distance) FILTER (WHERE one.session_id IS NOT NULL) AS session_id,
        arg_min(one.user_id, climbs.distance) FILTER (WHERE one.user_id IS NOT NULL) AS user_id,
        arg_min(one.project_id, climbs.distance) FILTER (WHERE one.project_id IS NOT NULL) AS project_id,
        arg_min(one.agent_id, climbs.distance) FILTER (WHERE one.agent_id IS NOT NULL) AS agent_id
    FROM climbs
    INNER JOIN spans AS one ON climbs.above_id = one.id
    WHERE climbs.day BETWEEN $start AND $stop
    GROUP BY climbs.id
),

below AS (
    SELECT
        climbs.above_id AS id,
        bool_or(one.has_usage) AS has_usage,
        bool_or(one.is_call) AS has_call
    FROM climbs
    INNER JOIN spans AS one ON climbs.id = one.id
    WHERE one.has_usage OR one.is_call
    GROUP BY climbs.above_id
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
    span.operation, -- what it is; null when it is nothing known
    CASE WHEN span.is_action THEN span.trace_id || '-' || span.span_id END AS own_action_id, -- the action that it is itself
    span.trace_id || '-' || above.action_span_id AS action_id, -- the nearest action above it
    span.is_doing AND coalesce(above.action_distance = above.doing_distance, FALSE) AS is_step, -- whether it is a step of
    -- that action [not null]
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
LEFT JOIN above ON span.id = above.id
LEFT JOIN below ON span.id = below.id
LEFT JOIN traces AS trace ON span.day = trace.day AND span.trace_id = trace.trace_id
WHERE span.day BETWEEN $start AND $stop
