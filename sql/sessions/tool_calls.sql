-- One row per call of a tool within a turn, whichever way it came in.
--
-- Only what was charged costs something: there is no price list for tools. Without a charge charged_usd is null.
--
-- Example: two calls of `lookup`, one of them charged 0.0042 US dollars, and failed: two rows, one with charged_usd
-- 0.004200000 and ok false.
--
-- grain: event_id
-- partition: day
-- window: 0..0
-- question: What did the tools of each session cost?
-- sql:
--   SELECT session_id, count(*) AS calls, sum(charged_usd) AS charged_usd FROM sessions.tool_calls GROUP BY ALL ORDER BY ALL
-- answer:
--   parcel-7 | 1 | null
--   s-1 | 2 | 0.004200000
--   s-2 | 1 | null
WITH tool_calls AS ( -- every source of tool calls is united here, and nowhere else
    SELECT
        day,
        event_id,
        CASE WHEN ts_suspect THEN received_at ELSE ts END AS happened_at,
        session_id,
        turn_index,
        call_index,
        tool_name,
        tool_call_id,
        project_id,
        args,
        ok,
        error,
        output,
        duration_ms,
        charged_usd,
        CAST(NULL AS VARCHAR) AS convention
    FROM landed.tool_calls
    WHERE day BETWEEN $start AND $stop
    UNION ALL
    SELECT
        day,
        event_id,
        ts AS happened_at,
        session_id,
        turn_index,
        call_index,
        tool_name,
        tool_call_id,
        project_id,
        args,
        ok,
        error,
        output,
        duration_ms,
        charged_usd,
        convention
    FROM otel.tool_calls
    WHERE day BETWEEN $start AND $stop
)

SELECT
    day, -- day on which it happened [not null]
    event_id, -- the event in landed.tool_calls, or the span in otel.tool_calls [not null]
    happened_at, -- when it happened [not null]
    session_id, -- the session [not null]
    turn_index, -- the turn that made the call [not null] [0..]
    call_index, -- its number within the turn, from 0 [not null] [0..]
    tool_name, -- the tool [not null]
    tool_call_id, -- the model's own id of the call
    project_id, -- the project that pays
    args, -- JSON: what it was called with
    ok, -- whether it worked [not null]
    error, -- the error, when it failed
    output, -- what it returned, in short
    duration_ms, -- how long it took, in milliseconds [not null] [0..]
    TRY_CAST(charged_usd AS DECIMAL(18, 9)) AS charged_usd, -- cost in US dollars as charged, where the event says it;
    -- null from a billion on [0..]
    convention -- naming convention of the span that it comes of; null for an event
FROM tool_calls
