-- What was said in each call to a model: the last message of the user, the answer, and the tools that it asked for.
--
-- Conventions put messages in six places. In the CTE `told` the first that has any is taken, for what went in and for what
-- came out: the attributes of the GenAI conventions, their events (on the span, or as log records that name it), Langfuse's
-- attributes, one attribute for each message (OpenInference and OpenLLMetry), and the raw request. Each is JSON: a list of
-- messages, an object that has one, or a plain text. A message is a text, or has content or parts, of which the texts count.
-- Instrumentations leave messages out unless they are told otherwise; then there is a row without any.
--
-- Example: the messages [system, user "a", assistant "b", user "c"] went in and [assistant "d"] came out: user_message is "c" and
-- response "d", 1 row for the call.
--
-- grain: event_id
-- partition: day
-- window: 0..1, landed.spans 0..0, otel.spans 0..0
-- not portable: takes lists of JSON apart with lambdas, which Spark writes otherwise
-- question: What was asked, what was answered, and which tools were asked for?
-- sql:
--   SELECT user_message, response, nullif(array_to_string(requested_tools, ', '), '') AS tools
--   FROM otel.messages
--   WHERE coalesce(user_message, response) IS NOT NULL
--   ORDER BY ALL
-- answer:
--   Say hello | Hello! | null
--   Where is parcel 7? | null | track
--   null | I cannot tell right now. | null
WITH calls AS (
    SELECT
        span.*,
        from_json(span.attributes, '{
            "gen_ai.input.messages": "VARCHAR",
            "gen_ai.output.messages": "VARCHAR",
            "langfuse.observation.input": "VARCHAR",
            "langfuse.observation.output": "VARCHAR",
            "input.value": "VARCHAR",
            "output.value": "VARCHAR",
            "traceloop.entity.input": "VARCHAR",
            "traceloop.entity.output": "VARCHAR",
            "ai.prompt.messages": "VARCHAR",
            "ai.response.text": "VARCHAR"
        }') AS a
    FROM landed.spans AS span
    SEMI JOIN otel.spans AS known
        ON
            span.day = known.day
            AND span.event_id = known.event_id
            AND (known.has_usage OR known.operation IN ('chat', 'text_completion', 'generate_content'))
    WHERE span.day BETWEEN $start AND $stop
),

reported AS (
    SELECT
        calls.day,
        calls.event_id,
        json_extract_string(report.value, '$.name') AS name,
        json_extract(report.value, '$.attributes') AS attributes,
        NULL AS body,
        CAST(report.key AS BIGINT) AS place
    FROM calls, json_each(calls.events) AS report
    UNION ALL
    SELECT
        calls.day,
        calls.event_id,
        report.name,
        report.attributes,
        report.body,
        epoch_us(report.ts) AS place
    FROM calls
    INNER JOIN landed.logs AS report
        ON
            calls.trace_id = report.trace_id
            AND calls.span_id = report.span_id
            AND report.day BETWEEN calls.day AND calls.day + 1
    WHERE report.day BETWEEN $start AND $stop + 1 AND report.name LIKE 'gen_ai.%'
),

numbered AS (
    SELECT
        calls.day,
        calls.event_id,
        regexp_extract(part.key, '^(.*?)[.]([0-9]+)[.](message[.])?(.*)$', 1) AS prefix,
        CAST(regexp_extract(part.key, '^(.*?)[.]([0-9]+)[.](message[.])?(.*)$', 2) AS BIGINT) AS place,
        regexp_extract(part.key, '^(.*?)[.]([0-9]+)[.](message[.])?(.*)$', 4) AS member,
        json_extract_string(part.value, '$') AS value
    FROM calls, json_each(calls.attributes) AS part
    WHERE
        (calls.attributes LIKE '%"llm.%put_messages.%' OR calls.attributes LIKE '%"gen_ai.%.0.%')
        AND regexp_matches(part.key, '^(llm[.](in|out)put_messages|gen_ai[.](prompt|completion))[.][0-9]{1,6}[.]')
),

rebuilt AS (
    SELECT
        day,
        event_id,
        prefix,
        place,
        max(CASE WHEN member = 'role' THEN value END) AS role,
        coalesce(
            max(CASE WHEN member = 'content' THEN value END),
            string_agg(CASE WHEN member LIKE 'contents.%.message_content.text' THEN value END, chr(10) ORDER BY member)
        ) AS content,
        list({ 'function': { 'name': value } } ORDER BY member)
        FILTER (WHERE member LIKE 'tool_calls.%.name') AS tool_calls
    FROM numbered
    GROUP BY day, event_id, prefix, place
),

told AS (
    SELECT
        day,
        event_id,
        unnest([
            { 'side': 'input', 'rank': 1, 'said': a['gen_ai.input.messages'] },
            { 'side': 'input', 'rank': 3, 'said': a['langfuse.observation.input'] },
            { 'side': 'input', 'rank': 5, 'said': a['ai.prompt.messages'] },
            { 'side': 'input', 'rank': 6, 'said': a['input.value'] },
            { 'side': 'input', 'rank': 7, 'said': a['traceloop.entity.input'] },
            { 'side': 'output', 'rank': 1, 'said': a['gen_ai.output.messages'] },
            { 'side': 'output', 'rank': 3, 'said': a['langfuse.observation.output'] },
            { 'side': 'output', 'rank': 5, 'said': a['ai.response.text'] },
            { 'side': 'output', 'rank': 6, 'said': a['output.value'] },
            { 'side': 'output', 'rank': 7, 'said': a['traceloop.entity.output'] }
        ]) AS part
    FROM calls
    UNION ALL
    SELECT
        day,
        event_id,
        unnest([
            { 'side': 'input', 'rank': 2, 'said': coalesce(
                json_extract_string(attributes, '$."gen_ai.input.messages"'),
                json_extract_string(attributes, '$."gen_ai.prompt"')
            ) },
            { 'side': 'output', 'rank': 2, 'said': coalesce(
                json_extract_string(attributes, '$."gen_ai.output.messages"'),
                json_extract_string(attributes, '$."gen_ai.completion"')
            ) }
        ]) AS part
    FROM reported
    WHERE name IN ('gen_ai.client.inference.operation.details', 'gen_ai.content.prompt', 'gen_ai.content.completion')
    UNION ALL
    SELECT
        day,
        event_id,
        {
            'side': CASE WHEN name = 'gen_ai.choice' THEN 'output' ELSE 'input' END,
            'rank': 2,
            'said': CAST(to_json(list(
                {
                    'role': CASE WHEN name = 'gen_ai.choice' THEN 'assistant' ELSE 'user' END,
                    'content': coalesce(
                        json_extract_string(body, '$.content'),
                        json_extract_string(body, '$.message.content'),
                        json_extract_string(attributes, '$.content'),
                        json_extract_string(attributes, '$.message.content')
                    ),
                    'tool_calls': coalesce(
                        json_extract(body, '$.message.tool_calls'), json_extract(attributes, '$.message.tool_calls')
                    )
                }
                ORDER BY place
            )) AS VARCHAR)
        } AS part
    FROM reported
    WHERE name IN ('gen_ai.user.message', 'gen_ai.choice')
    GROUP BY day, event_id, name
    UNION ALL
    SELECT
        day,
        event_id,
        {
            'side': CASE WHEN prefix IN ('llm.input_messages', 'gen_ai.prompt') THEN 'input' ELSE 'output' END,
            'rank': 4,
            'said': CAST(to_json(list(
                { 'role': role, 'content': content, 'tool_calls': tool_calls } ORDER BY place
            )) AS VARCHAR)
        } AS part
    FROM rebuilt
    GROUP BY day, event_id, prefix
),

first_told AS (
    SELECT
        day,
        event_id,
        part['side'] AS side,
        part['said'] AS said,
        json_valid(part['said']) AS is_json,
        row_number() OVER (PARTITION BY day, event_id, part['side'] ORDER BY part['rank'], part['said']) AS nth
    FROM told
    WHERE part['said'] <> ''
),

listed AS (
    SELECT
        day,
        event_id,
        side,
        CASE
            WHEN NOT is_json OR json_type(said) NOT IN ('ARRAY', 'OBJECT', 'VARCHAR') THEN [to_json(said)]
            WHEN json_type(said) = 'ARRAY' THEN json_extract(said, '$[*]')
            WHEN json_type(said, '$.messages') = 'ARRAY' THEN json_extract(said, '$.messages[*]')
            WHEN json_type(said, '$.choices') = 'ARRAY' THEN json_extract(said, '$.choices[*].message')
            WHEN json_type(said, '$.candidates') = 'ARRAY' THEN json_extract(said, '$.candidates[*].content')
            ELSE [CAST(said AS JSON)]
        END AS messages
    FROM first_told
    WHERE nth = 1
),

parted AS (
    SELECT
        day,
        event_id,
        side,
        unnest(messages) AS message,
        generate_subscripts(messages, 1) AS place
    FROM listed
),

opened AS (
    SELECT
        day,
        event_id,
        side,
        place,
        message,
        json_extract_string(message, '$.role') AS role,
        CASE
            WHEN json_type(message) <> 'OBJECT' THEN message
            -- OpenLLMetry writes a list of parts as text
            WHEN
                json_extract_string(message, '$.content') LIKE '[{"type":%'
                AND json_valid(json_extract_string(message, '$.content'))
                THEN CAST(json_extract_string(message, '$.content') AS JSON)
            ELSE coalesce(json_extract(message, '$.content'), json_extract(message, '$.parts'))
        END AS content
    FROM parted
),

read AS (
    SELECT
        day,
        event_id,
        side,
        place,
        role,
        json_extract_string(message, '$.finish_reason') AS finish_reason,
        CASE json_type(content)
            WHEN 'VARCHAR' THEN json_extract_string(content, '$')
            WHEN 'ARRAY'
                THEN array_to_string(
                    list_transform(
                        list_filter(
                            json_extract(content, '$[*]'),
                            LAMBDA x: coalesce(json_extract_string(x, '$.type'), 'text') IN (
                                'text', 'input_text', 'output_text'
                            )
                        ),
                        LAMBDA x: coalesce(
                            json_extract_string(x, '$.content'),
                            json_extract_string(x, '$.text'),
                            CASE WHEN json_type(x) = 'VARCHAR' THEN json_extract_string(x, '$') END
                        )
                    ),
                    chr(10)
                )
        END AS text,
        list_concat(
            json_extract_string(message, '$.tool_calls[*].function.name'),
            list_transform(
                list_filter(
                    json_extract(content, '$[*]'),
                    LAMBDA x: json_extract_string(x, '$.type') IN ('tool_call', 'tool_use', 'function_call')
                ),
                LAMBDA x: json_extract_string(x, '$.name')
            )
        ) AS tools
    FROM opened
),

summed AS (
    SELECT
        day,
        event_id,
        max_by(text, place) FILTER (WHERE side = 'input' AND text <> '' AND coalesce(role, 'user') = 'user')
            AS user_message,
        string_agg(text, chr(10) ORDER BY place) FILTER (WHERE side = 'output' AND text <> '') AS response,
        flatten(list(tools ORDER BY place) FILTER (WHERE side = 'output')) AS requested_tools,
        max_by(finish_reason, place) FILTER (WHERE side = 'output') AS finish_reason
    FROM read
    GROUP BY day, event_id
)

SELECT
    calls.day, -- day on which the call began [not null]
    calls.event_id, -- the span of the call [not null]
    left(summed.user_message, 10000) AS user_message, -- the last that the user said; null where no messages were sent
    left(summed.response, 10000) AS response, -- what the model answered; null where no messages were sent, or it only
    -- asked for tools
    summed.finish_reason, -- why the model stopped, where the answer itself says so
    coalesce(summed.requested_tools, CAST([] AS VARCHAR[])) AS requested_tools -- names of the tools that the answer asks for, in
    -- their order [not null]
FROM calls
LEFT JOIN summed ON calls.day = summed.day AND calls.event_id = summed.event_id
