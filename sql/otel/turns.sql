-- One row per exchange with a model that a span tells of, with the columns of landed.turns.
--
-- Which spans are turns, so that no token counts twice, is decided in otel.span_trees. Spans know no number of a turn: turns are
-- counted by their times within the session, from the first of the day before, so that a session over midnight goes on counting.
--
-- Example: a session with 2 turns before midnight and 1 after it has the turns 0, 1 and 2.
--
-- grain: event_id
-- partition: day
-- window: -1..0, otel.spans 0..0, otel.messages 0..0
-- question: What did each model read and write?
-- sql:
--   SELECT model, count(*) AS turns, sum(input_tokens) AS read, sum(output_tokens) AS written
--   FROM otel.turns
--   GROUP BY ALL
--   ORDER BY ALL
-- answer:
--   nw-large-2 | 1 | 20 | 8
--   nw-mini-2 | 2 | 330 | 45
WITH trees AS (
    SELECT *
    FROM otel.span_trees
    WHERE is_turn AND day BETWEEN $start - 1 AND $stop
),

turns_before AS (
    SELECT
        day + 1 AS day,
        session_id,
        count(event_id) AS turn_count
    FROM trees
    GROUP BY day, session_id
)

SELECT
    tree.day, -- day on which the call began [not null]
    tree.event_id, -- the span [not null]
    span.ts, -- when the call began [not null]
    tree.session_id, -- the session; the trace where none is named [not null]
    coalesce(turns_before.turn_count, 0) + row_number() OVER (
        PARTITION BY tree.day, tree.session_id
        ORDER BY span.ts, span.started_at, tree.event_id
    ) - 1 AS turn_index, -- its number within the session, from 0 on the first of two days [not null] [0..]
    tree.user_id, -- the user served
    tree.agent_id, -- the agent that asked
    coalesce(span.provider, '') AS provider, -- who served the model; empty when the span does not say [not null]
    coalesce(span.model, '') AS model, -- the model that answered; empty when the span does not say [not null]
    CAST(NULL AS VARCHAR) AS tier, -- tier of the model; spans do not know it
    said.user_message, -- what was asked
    said.response, -- what was answered
    coalesce(span.finish_reason, said.finish_reason) AS finish_reason, -- why the model stopped
    tree.project_id, -- the project that pays
    span.input_tokens, -- tokens read, cached ones included [not null] [0..]
    span.output_tokens, -- tokens written, reasoning included [not null] [0..]
    span.cache_read_tokens, -- input tokens read from the provider's cache [not null] [0..]
    span.cache_write_tokens, -- input tokens written to the provider's cache [not null] [0..]
    span.reasoning_tokens, -- output tokens spent on reasoning [not null] [0..]
    span.charged_usd, -- cost in US dollars as charged, where it is known [0..]
    span.duration_ms, -- how long it took, in milliseconds [not null] [0..]
    span.convention, -- the naming convention that the span speaks
    span.error_type, -- class of the error, when it failed
    span.error, -- the error in words, when it failed
    coalesce(said.requested_tools, CAST([] AS VARCHAR[])) AS requested_tools, -- tools that the answer asks for [not null]
    tree.trace_id, -- the trace, in hex [not null]
    tree.span_id, -- the span, in hex [not null]
    coalesce(tree.own_action_id, tree.action_id) AS action_id -- the action that it was made for, in otel.actions; its own, where an
    -- agent alone tells its usage
FROM trees AS tree
INNER JOIN otel.spans AS span ON tree.day = span.day AND tree.event_id = span.event_id
LEFT JOIN otel.messages AS said ON tree.day = said.day AND tree.event_id = said.event_id
LEFT JOIN turns_before ON tree.day = turns_before.day AND tree.session_id = turns_before.session_id
WHERE tree.day BETWEEN $start AND $stop AND span.day BETWEEN $start AND $stop
