-- What each failure and each correction said, and the template that its text folds to.
--
-- A template is the text without what varies from one time to the next, so that the same trouble has the same template
-- whatever it struck. In this order:
-- 1. Of a Python traceback the last line is taken; `error:` in front and spare blanks are dropped.
-- 2. Names that the operation itself gives as endpoint (or tool), role, city, state, kind of event or staffer become `<name>`.
-- 3. Quoted text becomes `<text>`. Not in a message that holds an object ({"key": "value"}): everything is quoted in it, and
--    a rate limit would look like a bad request.
-- 4. Addresses and paths become `<path>`.
-- 5. Ids (UUIDs, six or more hex digits, letters and digits mixed) and numbers become `<*>`. They share a placeholder
--    because an id may happen to be all digits. Status codes are numbers, too.
-- 6. Lists of texts or numbers become one, and what is over 300 characters is cut.
-- The message of an operation is its error, else its output; that of a correction is the advice. Operations that are
-- corrections (source overseer_correction) have none here: the correction itself does. Neither have calls of tools by the
-- author of our own reports (source oplake.synthesis): they are no work of agents.
--
-- Example: `only 3 of 5 offers accepted for bartender in Austin` of an operation with role bartender and city Austin is
-- `only <*> of <*> offers accepted for <name> in <name>`, and `Error: cannot read '/tmp/a b' (request 7f3a9c)` is
-- `cannot read <text> (request <*>)`.
--
-- grain: kind, event_id
-- partition: day
-- window: 0..0
-- question: Which different messages have the same template?
-- sql:
--   SELECT template, count(DISTINCT message) AS messages
--   FROM operations.messages
--   GROUP BY template HAVING messages > 1 ORDER BY messages DESC, template
-- answer:
--   only <*> of <*> offers accepted for <name> in <name> | 4
--   Widen the radius to <*> miles. | 2
WITH work_calls AS (
    SELECT tool_calls.*
    FROM sessions.tool_calls AS tool_calls
    ANTI JOIN landed.tool_calls AS own
        ON tool_calls.day = own.day AND tool_calls.event_id = own.event_id AND own.source = 'oplake.synthesis'
    WHERE tool_calls.day BETWEEN $start AND $stop
),

said AS (
    SELECT
        day,
        'op' AS kind,
        event_id,
        endpoint AS name,
        CASE WHEN ts_suspect THEN received_at ELSE ts END AS ts,
        session_id,
        coalesce(nullif(error, ''), nullif(output_summary, '')) AS message,
        [endpoint, role, city, state, event_kind, staffer_id] AS own_names
    FROM landed.ops
    WHERE day BETWEEN $start AND $stop AND NOT success AND source <> 'overseer_correction'
    UNION ALL
    SELECT
        day,
        'tool_call' AS kind,
        event_id,
        tool_name AS name,
        happened_at AS ts,
        session_id,
        coalesce(nullif(error, ''), nullif(output, '')) AS message,
        [tool_name] AS own_names
    FROM work_calls
    WHERE NOT ok
    UNION ALL
    SELECT
        day,
        'correction' AS kind,
        event_id,
        task_class AS name,
        CASE WHEN ts_suspect THEN received_at ELSE ts END AS ts,
        NULL AS session_id,
        nullif(correction, '') AS message,
        [] AS own_names
    FROM landed.corrections
    WHERE day BETWEEN $start AND $stop
),

-- The names become one pattern. Each is taken from its first letter or digit to its last; what is between and is neither
-- stands for any character, so that nothing in a name can act as a pattern.
pointed AS (
    SELECT
        *,
        nullif(array_to_string(list_transform(
            own_names,
            LAMBDA x: nullif(regexp_replace(regexp_extract(x, '\w.*\w', 0), '\W', '.', 'g'), '')
        ), '|'), '') AS names,
        coalesce(
            nullif(regexp_extract(message, '(?s)Traceback \(most recent call last\):.*\n(\S[^\n]*)', 1), ''), message
        ) AS last_line
    FROM said
),

bared AS (
    SELECT
        *,
        trim(regexp_replace(regexp_replace(last_line, '^\s*(?i:error):', ''), '\s+', ' ', 'g')) AS bare
    FROM pointed
),

unnamed AS (
    SELECT
        *,
        coalesce(regexp_replace(bare, '\b(' || names || ')\b', '<name>', 'g'), bare) AS text
    FROM bared
),

unquoted AS (
    SELECT
        *,
        CASE
            WHEN regexp_matches(text, '\{ ?["'']') THEN text
            ELSE regexp_replace(
                text, '"[^"]*"|`[^`]*`|„[^“”]*[“”]|“[^”]*”|«[^»]*»|»[^«]*«|‘[^’]*’\B|\B''.*?''\B', '<text>', 'g'
            )
        END AS plain
    FROM unnamed
),

pathless AS (
    SELECT
        *,
        regexp_replace(
            plain,
            '[A-Za-z][A-Za-z0-9+.-]*://[^\s"''`<>()\[\]{},;]+' -- https://host/path?key=value
            || '|\b[A-Za-z]:\\[^\s"''`<>()\[\]{},;:|]+' -- C:\folder\file
            || '|[^\s/\\"''`<>()\[\]{},;:|=]*(/[^\s/\\"''`<>()\[\]{},;:|=]+)+/[^\s/\\"''`<>()\[\]{},;:|=]*\w/?' -- a/b/c
            || '|[\w.@+-]+/[\w.@+-]*\w\.[A-Za-z]\w*' -- folder/file.txt, but not and/or
            || '|\B/[\w.@+-]*\w', -- /tmp
            '<path>', 'g'
        ) AS placeless
    FROM unquoted
),

numberless AS (
    SELECT
        *,
        regexp_replace(
            regexp_replace(placeless, '_[0-9a-fA-F]{6,}\b', '_<*>', 'g'), -- test_3fa2b1: what is before the id stays
            '[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}'
            || '|\b(0[xX])?[0-9a-fA-F]{6,}\b'
            || '|[A-Za-z0-9]*[A-Za-z][0-9]+[A-Za-z]+[0-9][A-Za-z0-9]*' -- req_011CSHoEeqs5C35K
            || '|(\B-)?[0-9]+([eE][+-]?[0-9]+)?',
            '<*>', 'g'
        ) AS folded
    FROM pathless
)

SELECT
    day, -- day on which it was said [not null]
    kind, -- what said it: `op` and `tool_call` are failures, `correction` is advice after one [not null]
    event_id, -- the event of that kind [not null]
    name, -- endpoint of the operation, name of the tool, or class of the task corrected [not null]
    ts, -- when it happened, or was received where the producer's clock was off (ts_suspect) [not null]
    message, -- what it said; null when it said nothing
    coalesce(
        nullif(
            substr(
                regexp_replace(
                    regexp_replace(folded, '<[*]>([.:]<[*]>|, ?<[*]>)+', '<*>', 'g'),
                    '<text>(, ?<text>)+', '<text>', 'g'
                ), 1, 300
            ), ''
        ), '(no message)'
    ) AS template, -- its text without what varies, at most 300 characters; `(no message)` when it said nothing [not null]
    session_id -- the session that it belongs to
FROM numberless
