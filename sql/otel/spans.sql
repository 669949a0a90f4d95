-- One row per span: what its attributes say of the work of an agent, whichever convention they speak.
--
-- The CTE `named` is the one place that says which name wins: of the names in a coalesce the first that the span has is taken.
-- Langfuse comes first, since it is set on purpose, then the GenAI conventions, OpenInference, and last the older names of
-- OpenLLMetry and others. A span that names no operation but a model and tokens is a call to that model, one that names a tool
-- is a call of that tool; a chain that begins a trace is the workflow.
--
-- input_tokens includes cached tokens, output_tokens includes reasoning, as the conventions have it and the instrumentations of
-- OpenLLMetry and OpenInference keep it for Anthropic, too, whose own numbers do not. Where the parts are more than the whole, the
-- source left them out, and they are added. Langfuse's usage_details are parts that do not overlap, and are always added,
-- unless they are OpenAI's own usage, which has the parts within.
--
-- Example: gen_ai.usage.input_tokens 100 with 80 read from the cache is 100 input tokens; 20 with 80 from the cache is 100 as well.
--
-- grain: trace_id, span_id
-- partition: day
-- window: 0..0
-- not portable: reads all names from the JSON at once with from_json, whose types Spark writes otherwise
-- question: Which conventions are spoken, and what do their spans do?
-- sql:
--   SELECT convention, operation, count(*) AS spans FROM otel.spans GROUP BY ALL ORDER BY ALL
-- answer:
--   gen_ai | chat | 2
--   gen_ai | execute_tool | 1
--   gen_ai | invoke_agent | 1
--   openinference | chat | 1
WITH firsts AS (
    SELECT
        day,
        min(event_id) AS event_id
    FROM landed.spans
    WHERE day BETWEEN $start AND $stop
    GROUP BY day, trace_id, span_id
),

spoken AS (
    SELECT
        *,
        from_json(attributes, '{
            "langfuse.observation.type": "VARCHAR",
            "langfuse.observation.model.name": "VARCHAR",
            "langfuse.observation.usage_details": "VARCHAR",
            "langfuse.observation.cost_details": "VARCHAR",
            "langfuse.observation.input": "VARCHAR",
            "langfuse.observation.output": "VARCHAR",
            "langfuse.observation.level": "VARCHAR",
            "langfuse.observation.status_message": "VARCHAR",
            "langfuse.session.id": "VARCHAR",
            "langfuse.user.id": "VARCHAR",
            "gen_ai.operation.name": "VARCHAR",
            "gen_ai.provider.name": "VARCHAR",
            "gen_ai.system": "VARCHAR",
            "gen_ai.request.model": "VARCHAR",
            "gen_ai.response.model": "VARCHAR",
            "gen_ai.response.finish_reasons": "VARCHAR",
            "gen_ai.usage.input_tokens": "VARCHAR",
            "gen_ai.usage.output_tokens": "VARCHAR",
            "gen_ai.usage.prompt_tokens": "VARCHAR",
            "gen_ai.usage.completion_tokens": "VARCHAR",
            "gen_ai.usage.cache_read.input_tokens": "VARCHAR",
            "gen_ai.usage.cache_read_input_tokens": "VARCHAR",
            "gen_ai.usage.cache_creation.input_tokens": "VARCHAR",
            "gen_ai.usage.cache_creation_input_tokens": "VARCHAR",
            "gen_ai.usage.reasoning.output_tokens": "VARCHAR",
            "gen_ai.usage.reasoning_tokens": "VARCHAR",
            "gen_ai.usage.cost": "VARCHAR",
            "gen_ai.conversation.id": "VARCHAR",
            "gen_ai.agent.id": "VARCHAR",
            "gen_ai.agent.name": "VARCHAR",
            "gen_ai.workflow.name": "VARCHAR",
            "gen_ai.tool.name": "VARCHAR",
            "gen_ai.tool.call.id": "VARCHAR",
            "gen_ai.tool.call.arguments": "VARCHAR",
            "gen_ai.tool.call.result": "VARCHAR",
            "gen_ai.completion.0.finish_reason": "VARCHAR",
            "openinference.span.kind": "VARCHAR",
            "llm.provider": "VARCHAR",
            "llm.system": "VARCHAR",
            "llm.model_name": "VARCHAR",
            "llm.response.model_name": "VARCHAR",
            "llm.finish_reason": "VARCHAR",
            "llm.token_count.prompt": "VARCHAR",
            "llm.token_count.completion": "VARCHAR",
            "llm.token_count.prompt_details.cache_read": "VARCHAR",
            "llm.token_count.prompt_details.cache_write": "VARCHAR",
            "llm.token_count.completion_details.reasoning": "VARCHAR",
            "llm.cost.total": "VARCHAR",
            "llm.request.type": "VARCHAR",
            "session.id": "VARCHAR",
            "user.id": "VARCHAR",
            "enduser.id": "VARCHAR",
            "agent.name": "VARCHAR",
            "graph.node.id": "VARCHAR",
            "tool.name": "VARCHAR",
            "tool.id": "VARCHAR",
            "tool.parameters": "VARCHAR",
            "tool_call.id": "VARCHAR",
            "tool_call.function.name": "VARCHAR",
            "tool_call.function.arguments": "VARCHAR",
            "input.value": "VARCHAR",
            "output.value": "VARCHAR",
            "traceloop.span.kind": "VARCHAR",
            "traceloop.entity.name": "VARCHAR",
            "traceloop.entity.input": "VARCHAR",
            "traceloop.entity.output": "VARCHAR",
            "traceloop.association.properties.session_id": "VARCHAR",
            "traceloop.association.properties.user_id": "VARCHAR",
            "ai.model.id": "VARCHAR",
            "ai.model.provider": "VARCHAR",
            "ai.usage.promptTokens": "VARCHAR",
            "ai.usage.completionTokens": "VARCHAR",
            "ai.toolCall.name": "VARCHAR",
            "ai.toolCall.id": "VARCHAR",
            "ai.toolCall.args": "VARCHAR",
            "ai.toolCall.result": "VARCHAR",
            "ai.telemetry.metadata.sessionId": "VARCHAR",
            "ai.telemetry.metadata.userId": "VARCHAR",
            "error.type": "VARCHAR"
        }') AS a,
        from_json(resource, '{
            "session.id": "VARCHAR",
            "user.id": "VARCHAR",
            "openinference.project.name": "VARCHAR"
        }') AS r
    FROM landed.spans
    SEMI JOIN firsts USING (day, event_id)
    WHERE day BETWEEN $start AND $stop
),

detailed AS (
    SELECT
        *,
        from_json(
            CASE
                WHEN json_valid(a['langfuse.observation.usage_details']) THEN a['langfuse.observation.usage_details']
            END,
            '{
            "input": "VARCHAR",
            "output": "VARCHAR",
            "input_cached_tokens": "VARCHAR",
            "cache_read_input_tokens": "VARCHAR",
            "cache_creation_input_tokens": "VARCHAR",
            "output_reasoning_tokens": "VARCHAR",
            "prompt_tokens": "VARCHAR",
            "prompt_tokens_details": {"cached_tokens": "VARCHAR"},
            "completion_tokens": "VARCHAR",
            "completion_tokens_details": {"reasoning_tokens": "VARCHAR"},
            "input_tokens": "VARCHAR",
            "input_tokens_details": {"cached_tokens": "VARCHAR"},
            "output_tokens": "VARCHAR",
            "output_tokens_details": {"reasoning_tokens": "VARCHAR"}
        }'
        )
            AS u,
        from_json(
            CASE
                WHEN json_valid(a['langfuse.observation.cost_details']) THEN a['langfuse.observation.cost_details']
            END,
            '{
            "total": "VARCHAR",
            "input": "VARCHAR",
            "output": "VARCHAR"
        }'
        )
            AS c
    FROM spoken
),

named AS (
    SELECT
        day,
        event_id,
        CASE WHEN ts_suspect THEN received_at ELSE ts END AS ts,
        trace_id,
        span_id,
        nullif(parent_span_id, '') AS parent_span_id,
        name,
        started_at,
        ended_at,
        convention,
        scope,
        status,
        coalesce(
            CASE lower(a['langfuse.observation.type'])
                WHEN 'generation' THEN 'chat'
                WHEN 'agent' THEN 'invoke_agent'
                WHEN 'tool' THEN 'execute_tool'
                WHEN 'chain' THEN 'chain'
                WHEN 'retriever' THEN 'retrieval'
                WHEN 'embedding' THEN 'embeddings'
                WHEN 'guardrail' THEN 'guardrail'
                WHEN 'evaluator' THEN 'evaluate'
            END,
            lower(a['gen_ai.operation.name']),
            CASE lower(a['openinference.span.kind'])
                WHEN 'llm' THEN 'chat'
                WHEN 'agent' THEN 'invoke_agent'
                WHEN 'tool' THEN 'execute_tool'
                WHEN 'chain' THEN 'chain'
                WHEN 'retriever' THEN 'retrieval'
                WHEN 'embedding' THEN 'embeddings'
                WHEN 'reranker' THEN 'rerank'
                WHEN 'guardrail' THEN 'guardrail'
                WHEN 'evaluator' THEN 'evaluate'
                WHEN 'prompt' THEN 'prompt'
            END,
            CASE lower(a['traceloop.span.kind'])
                WHEN 'workflow' THEN 'invoke_workflow'
                WHEN 'agent' THEN 'invoke_agent'
                WHEN 'tool' THEN 'execute_tool'
                WHEN 'task' THEN 'chain'
            END,
            CASE lower(a['llm.request.type'])
                WHEN 'chat' THEN 'chat'
                WHEN 'completion' THEN 'text_completion'
                WHEN 'embedding' THEN 'embeddings'
                WHEN 'rerank' THEN 'rerank'
            END
        ) AS operation,
        lower(
            coalesce(
                a['gen_ai.provider.name'],
                a['llm.provider'],
                a['llm.system'],
                a['gen_ai.system'],
                a['ai.model.provider']
            )
        ) AS provider,
        coalesce(
            a['langfuse.observation.model.name'],
            a['gen_ai.response.model'],
            a['gen_ai.request.model'],
            a['llm.response.model_name'],
            a['llm.model_name'],
            a['ai.model.id']
        ) AS model,
        coalesce(
            a['langfuse.session.id'],
            a['gen_ai.conversation.id'],
            a['session.id'],
            a['traceloop.association.properties.session_id'],
            a['ai.telemetry.metadata.sessionId'],
            r['session.id']
        ) AS session_id,
        coalesce(
            a['langfuse.user.id'],
            a['user.id'],
            a['enduser.id'],
            a['traceloop.association.properties.user_id'],
            a['ai.telemetry.metadata.userId'],
            r['user.id']
        ) AS user_id,
        r['openinference.project.name'] AS project_id,
        coalesce(
            a['gen_ai.agent.id'],
            a['gen_ai.agent.name'],
            a['agent.name'],
            CASE WHEN lower(a['traceloop.span.kind']) = 'agent' THEN a['traceloop.entity.name'] END,
            a['graph.node.id']
        ) AS agent_id,
        coalesce(
            a['gen_ai.workflow.name'],
            a['gen_ai.agent.name'],
            a['agent.name'],
            a['traceloop.entity.name']
        ) AS action_type,
        coalesce(
            a['gen_ai.tool.name'],
            a['tool.name'],
            a['tool_call.function.name'],
            CASE WHEN lower(a['traceloop.span.kind']) = 'tool' THEN a['traceloop.entity.name'] END,
            a['ai.toolCall.name']
        ) AS tool_name,
        coalesce(
            a['gen_ai.tool.call.id'],
            a['tool.id'],
            a['tool_call.id'],
            a['ai.toolCall.id']
        ) AS tool_call_id,
        coalesce(
            a['gen_ai.tool.call.arguments'],
            a['tool_call.function.arguments'],
            a['langfuse.observation.input'],
            a['input.value'],
            a['tool.parameters'],
            a['traceloop.entity.input'],
            a['ai.toolCall.args']
        ) AS input,
        coalesce(
            a['gen_ai.tool.call.result'],
            a['langfuse.observation.output'],
            a['output.value'],
            a['traceloop.entity.output'],
            a['ai.toolCall.result']
        ) AS output,
        coalesce(
            a['gen_ai.response.finish_reasons'],
            a['llm.finish_reason'],
            a['gen_ai.completion.0.finish_reason']
        ) AS finish_reasons,
        try_cast(coalesce(
            u['input'],
            u['prompt_tokens'],
            u['input_tokens'],
            a['gen_ai.usage.input_tokens'],
            a['llm.token_count.prompt'],
            a['gen_ai.usage.prompt_tokens'],
            a['ai.usage.promptTokens']
        ) AS BIGINT) AS input_tokens,
        try_cast(coalesce(
            u['output'],
            u['completion_tokens'],
            u['output_tokens'],
            a['gen_ai.usage.output_tokens'],
            a['llm.token_count.completion'],
            a['gen_ai.usage.completion_tokens'],
            a['ai.usage.completionTokens']
        ) AS BIGINT) AS output_tokens,
        try_cast(coalesce(
            u['input_cached_tokens'],
            u['cache_read_input_tokens'],
            u['prompt_tokens_details']['cached_tokens'],
            u['input_tokens_details']['cached_tokens'],
            a['gen_ai.usage.cache_read.input_tokens'],
            a['llm.token_count.prompt_details.cache_read'],
            a['gen_ai.usage.cache_read_input_tokens']
        ) AS BIGINT) AS cache_read_tokens,
        try_cast(coalesce(
            u['cache_creation_input_tokens'],
            a['gen_ai.usage.cache_creation.input_tokens'],
            a['llm.token_count.prompt_details.cache_write'],
            a['gen_ai.usage.cache_creation_input_tokens']
        ) AS BIGINT) AS cache_write_tokens,
        try_cast(coalesce(
            u['output_reasoning_tokens'],
            u['completion_tokens_details']['reasoning_tokens'],
            u['output_tokens_details']['reasoning_tokens'],
            a['gen_ai.usage.reasoning.output_tokens'],
            a['llm.token_count.completion_details.reasoning'],
            a['gen_ai.usage.reasoning_tokens']
        ) AS BIGINT) AS reasoning_tokens,
        u['input'] IS NOT NULL
        OR (u['input_tokens'] IS NOT NULL AND u['cache_read_input_tokens'] IS NOT NULL) AS has_input_apart,
        u['output'] IS NOT NULL AS has_output_apart,
        coalesce(
            try_cast(c['total'] AS DOUBLE),
            try_cast(c['input'] AS DOUBLE) + try_cast(c['output'] AS DOUBLE),
            try_cast(a['gen_ai.usage.cost'] AS DOUBLE),
            try_cast(a['llm.cost.total'] AS DOUBLE)
        ) AS charged_usd,
        coalesce(
            a['error.type'],
            json_extract_string(events, '$[*].attributes."exception.type"')[-1]
        ) AS error_type,
        a['error.type'] IS NOT NULL
        OR status = 'error'
        OR coalesce(a['langfuse.observation.level'] = 'ERROR', FALSE) AS is_failed,
        coalesce(
            status_message,
            a['langfuse.observation.status_message'],
            json_extract_string(events, '$[*].attributes."exception.message"')[-1]
        ) AS error
    FROM detailed
),

counted AS (
    SELECT
        * REPLACE (
            CASE WHEN input_tokens BETWEEN 0 AND 1000000000000 THEN input_tokens END AS input_tokens,
            CASE WHEN output_tokens BETWEEN 0 AND 1000000000000 THEN output_tokens END AS output_tokens
        ),
        CASE WHEN cache_read_tokens BETWEEN 0 AND 1000000000000 THEN cache_read_tokens ELSE 0 END AS cache_reads,
        CASE WHEN cache_write_tokens BETWEEN 0 AND 1000000000000 THEN cache_write_tokens ELSE 0 END AS cache_writes,
        CASE WHEN reasoning_tokens BETWEEN 0 AND 1000000000000 THEN reasoning_tokens ELSE 0 END AS reasonings,
        coalesce(input_tokens, output_tokens, cache_read_tokens, cache_write_tokens, reasoning_tokens) IS NOT NULL
            AS has_usage,
        CASE
            WHEN operation = 'chain' AND parent_span_id IS NULL THEN 'invoke_workflow'
            WHEN operation IS NOT NULL THEN operation
            WHEN model IS NOT NULL AND coalesce(input_tokens, output_tokens) IS NOT NULL THEN 'chat'
            WHEN tool_name IS NOT NULL THEN 'execute_tool'
        END AS known_operation
    FROM named
)

SELECT
    day, -- day on which the span started [not null]
    event_id, -- the event in landed.spans [not null]
    ts, -- when it started, or was received where the sender's clock was off [not null]
    trace_id, -- the trace, in hex [not null]
    span_id, -- the span, in hex [not null]
    parent_span_id, -- its parent, in hex; null at the top
    name, -- name of the span
    started_at, -- when it started, by the sender's clock [not null]
    ended_at, -- when it ended, by the sender's clock [not null]
    greatest(date_diff('microsecond', started_at, ended_at), 0) / 1000 AS duration_ms, -- how long it took, in milliseconds [0..]
    convention, -- the naming convention that it speaks: gen_ai, openinference, openllmetry, langfuse; empty for none
    scope, -- the instrumentation that made it
    known_operation AS operation, -- what it is, in the words of gen_ai.operation.name, and chain, prompt, rerank, guardrail and
    -- evaluate; null when it is nothing of the kind
    provider, -- who served the model, in lower case
    model, -- the model that answered, or that was asked
    session_id, -- the session, when the span says so
    user_id, -- the user served, when the span says so
    project_id, -- the project, by the sender's resource
    coalesce(
        agent_id, CASE WHEN known_operation = 'invoke_agent' THEN regexp_replace(name, '^invoke_agent ', '') END
    ) AS agent_id, -- the agent, when the span says so
    CASE
        WHEN known_operation IN ('invoke_agent', 'invoke_workflow', 'plan')
            THEN coalesce(action_type, regexp_replace(name, '^(invoke_agent|invoke_workflow|plan) ', ''))
    END AS action_type, -- what kind of work an agent, workflow or plan does: its name
    CASE
        WHEN known_operation = 'execute_tool' THEN coalesce(tool_name, regexp_replace(name, '^execute_tool ', ''))
    END AS tool_name, -- the tool that was called
    tool_call_id, -- the model's own id of the call
    CASE WHEN known_operation = 'execute_tool' THEN input END AS args, -- JSON or text: what the tool was called with
    CASE WHEN known_operation = 'execute_tool' THEN output END AS output, -- JSON or text: what the tool returned
    CASE
        WHEN finish_reasons LIKE '[%' AND json_valid(finish_reasons) THEN json_extract_string(finish_reasons, '$[0]')
        ELSE finish_reasons
    END AS finish_reason, -- why the model stopped
    has_usage, -- whether it tells tokens [not null]
    CASE
        WHEN has_input_apart OR cache_reads + cache_writes > coalesce(input_tokens, 0)
            THEN coalesce(input_tokens, 0) + cache_reads + cache_writes
        ELSE coalesce(input_tokens, 0)
    END AS input_tokens, -- tokens read, cached ones included [not null] [0..]
    CASE
        WHEN has_output_apart OR reasonings > coalesce(output_tokens, 0) THEN coalesce(output_tokens, 0) + reasonings
        ELSE coalesce(output_tokens, 0)
    END AS output_tokens, -- tokens written, reasoning included [not null] [0..]
    cache_reads AS cache_read_tokens, -- input tokens read from the provider's cache [not null] [0..]
    cache_writes AS cache_write_tokens, -- input tokens written to the provider's cache [not null] [0..]
    reasonings AS reasoning_tokens, -- output tokens spent on reasoning [not null] [0..]
    CASE WHEN charged_usd >= 0 AND isfinite(charged_usd) THEN charged_usd END AS charged_usd, -- cost in US dollars as charged, where
    -- the span says so [0..]
    is_failed, -- whether it failed [not null]
    CASE WHEN is_failed THEN coalesce(error_type, '_OTHER') END AS error_type, -- class of the error, when it failed
    CASE WHEN is_failed THEN coalesce(error, error_type) END AS error -- the error in words, when it failed
FROM counted
