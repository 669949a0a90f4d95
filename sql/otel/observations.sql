-- One row per evaluation that OpenTelemetry reports, with the columns of landed.observations.
--
-- An evaluation is a log record or an event of a span with the name gen_ai.evaluation.result, about the span that it names or stands
-- on; or the attributes evaluation.* or annotation.* of a span: of an evaluator about its parent, of any other about itself. It belongs
-- to the action that was evaluated, or that the evaluated span stands under; where there is none, action_id is that of the span. A
-- record that names no span stays in landed.logs alone.
--
-- Example: a record of 10:00 with gen_ai.evaluation.name relevance and score.value 0.75, on a call under the agent a, is an
-- observation of a with the data {"name":"relevance","score":0.75}.
--
-- grain: event_id
-- partition: day
-- window: -1..1, landed.logs 0..0, landed.spans 0..0, otel.spans 0..0
-- not portable: takes events of a span apart with json_each, which Spark does not have
-- question: How was the work judged?
-- sql:
--   SELECT data, reported_by FROM otel.observations
-- answer:
--   {"name":"helpfulness","score":0.25} | shop.judge
WITH told AS (
    SELECT
        day,
        event_id,
        CASE WHEN ts_suspect THEN received_at ELSE ts END AS ts,
        trace_id,
        span_id,
        attributes,
        'gen_ai.evaluation' AS prefix,
        scope,
        convention
    FROM landed.logs
    WHERE name = 'gen_ai.evaluation.result' AND trace_id <> '' AND span_id <> '' AND day BETWEEN $start AND $stop
    UNION ALL
    SELECT
        span.day,
        span.event_id || '/' || report.key AS event_id,
        CASE
            WHEN span.ts_suspect THEN span.received_at
            ELSE coalesce(try_cast(json_extract_string(report.value, '$.time') AS TIMESTAMPTZ), span.ended_at)
        END AS ts,
        span.trace_id,
        span.span_id,
        json_extract(report.value, '$.attributes') AS attributes,
        'gen_ai.evaluation' AS prefix,
        span.scope,
        span.convention
    FROM landed.spans AS span, json_each(span.events) AS report
    WHERE
        span.day BETWEEN $start AND $stop
        AND span.events LIKE '%gen_ai.evaluation.result%'
        AND json_extract_string(report.value, '$.name') = 'gen_ai.evaluation.result'
    UNION ALL
    SELECT
        span.day,
        span.event_id,
        CASE WHEN span.ts_suspect THEN span.received_at ELSE span.ended_at END AS ts,
        span.trace_id,
        CASE WHEN known.operation = 'evaluate' THEN coalesce(span.parent_span_id, span.span_id) ELSE span.span_id END
            AS span_id,
        span.attributes,
        CASE
            WHEN span.attributes LIKE '%"gen_ai.evaluation.name"%' THEN 'gen_ai.evaluation'
            WHEN span.attributes LIKE '%"evaluation.name"%' THEN 'evaluation'
            ELSE 'annotation'
        END AS prefix,
        span.scope,
        span.convention
    FROM landed.spans AS span
    INNER JOIN otel.spans AS known ON span.day = known.day AND span.event_id = known.event_id
    WHERE
        span.day BETWEEN $start AND $stop
        AND known.day BETWEEN $start AND $stop
        AND (
            span.attributes LIKE '%"gen_ai.evaluation.name"%'
            OR span.attributes LIKE '%"evaluation.name"%'
            OR span.attributes LIKE '%"annotation.name"%'
        )
),

read AS (
    SELECT
        told.*,
        json_extract_string(told.attributes, '$."' || told.prefix || '.name"') AS name,
        coalesce(
            try_cast(json_extract_string(told.attributes, '$."' || told.prefix || '.score.value"') AS DOUBLE),
            try_cast(json_extract_string(told.attributes, '$."' || told.prefix || '.score"') AS DOUBLE)
        ) AS score,
        coalesce(
            json_extract_string(told.attributes, '$."' || told.prefix || '.score.label"'),
            json_extract_string(told.attributes, '$."' || told.prefix || '.label"')
        ) AS label,
        json_extract_string(told.attributes, '$."' || told.prefix || '.explanation"') AS explanation
    FROM told
),

judged AS (
    SELECT
        read.day,
        read.event_id,
        arg_min(coalesce(tree.own_action_id, tree.action_id), abs(tree.day - read.day)) AS action_id
    FROM read
    INNER JOIN otel.span_trees AS tree
        ON
            read.trace_id = tree.trace_id
            AND read.span_id = tree.span_id
            AND tree.day BETWEEN read.day - 1 AND read.day + 1
    WHERE tree.day BETWEEN $start - 1 AND $stop + 1
    GROUP BY read.day, read.event_id
)

SELECT
    read.day, -- day of the evaluation [not null]
    read.event_id, -- the log record or span; with the number of the event, where it is one of a span [not null]
    read.ts, -- when it was reported [not null]
    coalesce(judged.action_id, read.trace_id || '-' || read.span_id) AS action_id, -- the action that was evaluated [not null]
    'evaluation' AS observation_type, -- what kind of report it is [not null]
    CAST(json_merge_patch('{}', to_json({
        'name': read.name,
        'score': CASE WHEN isfinite(read.score) THEN read.score END,
        'label': read.label,
        'explanation': left(read.explanation, 500)
    })) AS VARCHAR) AS data, -- JSON: name of the evaluation, score, label and explanation, as far as told [not null]
    left(coalesce(nullif(read.scope, ''), 'evaluation'), 100) AS reported_by, -- the instrumentation that reported it [not null]
    CAST(1.0 AS DOUBLE) AS confidence, -- how sure the reporter was; nobody says [not null] [0..1]
    read.trace_id, -- the trace, in hex [not null]
    read.span_id, -- the span that was evaluated, in hex [not null]
    read.convention -- the naming convention of the report
FROM read
LEFT JOIN judged ON read.day = judged.day AND read.event_id = judged.event_id
