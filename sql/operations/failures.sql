-- One row per operation or tool call that failed, with the template that its message folds to.
--
-- Corrections of an overseer are neither successes nor failures, and are not here. Where a gateway and an agent both tell of
-- one call, it is here twice, once of each kind: count one kind, not both. How messages fold is told in operations.messages.
--
-- Example: an operation `ask` that failed with `HTTP 503 from index after 3 tries (request 7f3a9c)` is a row of kind `op`,
-- name `ask` and template `HTTP <*> from index after <*> tries (request <*>)`.
--
-- grain: kind, event_id
-- partition: day
-- window: 0..0
-- question: What fails, and with what?
-- sql:
--   SELECT name, template, count(*) AS failures
--   FROM operations.failures
--   WHERE kind = 'op'
--   GROUP BY name, template ORDER BY failures DESC, name, template
-- answer:
--   fill_scenario | only <*> of <*> offers accepted for <name> in <name> | 4
--   ask | HTTP <*> from index after <*> tries (request <*>) | 1
SELECT
    day, -- day on which it failed [not null]
    event_id, -- the event of that kind [not null]
    kind, -- `op` for an operation, `tool_call` for a call of a tool [not null]
    name, -- endpoint of the operation or name of the tool [not null]
    ts, -- when it happened, or was received where the producer's clock was off (ts_suspect) [not null]
    message, -- the error, else the output; null when it said nothing
    template, -- the message without what varies; see operations.messages [not null]
    session_id -- the session that it belongs to
FROM operations.messages
WHERE day BETWEEN $start AND $stop AND kind <> 'correction'
