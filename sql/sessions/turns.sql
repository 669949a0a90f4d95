-- One row per exchange with a model, whichever way it came in, and what it cost.
--
-- charged_usd is what the event says that was charged. computed_usd is worked out from the entry of sessions.prices that fits
-- provider and model: the prices of the turn's day, and of its length where a provider takes more for long inputs. Own prices
-- replace those of the list one by one: where only that of output is one's own, input costs what the list says.
-- input_tokens include cached tokens and output_tokens include reasoning, so these are taken off before they are priced by
-- themselves; without a price of their own they cost what all input, or output, costs. Some providers take more for what the
-- cache keeps for an hour: of an event, that is `extra.cache_write_1h_tokens`, a part of cache_write_tokens. Without an entry,
-- or where tokens of a type were used that it has no price for, the turn is_unpriced: computed_usd is null, never 0. cost_usd
-- is what was charged, else what was computed; null when neither is known.
--
-- Costs are exact decimals, rounded once, for each turn, to a billionth of a dollar: so sums agree wherever they are taken.
-- New prices change no turn that is here already (see `oplake reprice`). Fees per request, of images, audio and searches, and
-- prices by the time of day or by service tier, are not in computed_usd.
--
-- Example: 10,000 input tokens, of them 6,000 from the cache, and 500 output tokens, at 3.00 for a million of input, 0.30 from
-- the cache and 15.00 of output: 4,000 * 3.00 + 6,000 * 0.30 + 500 * 15.00 = 21,300 millionths, so 0.0213 US dollars.
--
-- grain: event_id
-- partition: day
-- window: 0..0
-- question: What did each model cost, as charged and as computed?
-- sql:
--   SELECT model, count(*) AS turns, sum(charged_usd) AS charged_usd, sum(computed_usd) AS computed_usd
--   FROM sessions.turns GROUP BY model ORDER BY model
-- answer:
--   claude-sonnet-4-5 | 2 | null | 0.042300000
--   gpt-oss:120b | 1 | null | null
--   nw-large-2 | 1 | null | null
--   nw-mini-2 | 2 | null | null
--   nw-reason-1 | 1 | 0.050000000 | null
WITH turns AS ( -- every source of turns is united here, and nowhere else
    SELECT
        day,
        event_id,
        CASE WHEN ts_suspect THEN received_at ELSE ts END AS happened_at,
        session_id,
        turn_index,
        user_id,
        agent_id,
        project_id,
        provider,
        model,
        tier,
        user_message,
        response,
        finish_reason,
        input_tokens,
        output_tokens,
        cache_read_tokens,
        cache_write_tokens,
        least(
            greatest(coalesce(TRY_CAST(json_extract_string(extra, '$.cache_write_1h_tokens') AS BIGINT), 0), 0),
            cache_write_tokens
        ) AS cache_write_1h_tokens,
        reasoning_tokens,
        charged_usd,
        duration_ms,
        CAST(NULL AS VARCHAR) AS convention
    FROM landed.turns
    WHERE day BETWEEN $start AND $stop
    UNION ALL
    SELECT
        day,
        event_id,
        ts AS happened_at,
        session_id,
        turn_index,
        user_id,
        agent_id,
        project_id,
        provider,
        model,
        tier,
        user_message,
        response,
        finish_reason,
        input_tokens,
        output_tokens,
        cache_read_tokens,
        cache_write_tokens,
        0 AS cache_write_1h_tokens, -- no convention tells them apart
        reasoning_tokens,
        charged_usd,
        duration_ms,
        convention
    FROM otel.turns
    WHERE day BETWEEN $start AND $stop
),

used AS (
    SELECT DISTINCT
        day,
        provider,
        model
    FROM turns
),

names AS (
    SELECT DISTINCT
        provider,
        model
    FROM used
),

entries AS (
    SELECT
        priority,
        is_own,
        provider_pattern,
        model_pattern,
        min(valid_from) AS valid_from
    FROM sessions.prices
    GROUP BY priority, is_own, provider_pattern, model_pattern
),

matches AS ( -- each name is held against each pattern once, however many days there are
    SELECT
        names.provider,
        names.model,
        entries.priority,
        entries.is_own,
        entries.valid_from
    FROM names
    INNER JOIN entries
        ON
            regexp_matches(lower(names.provider), entries.provider_pattern)
            AND regexp_matches(lower(names.model), entries.model_pattern)
),

fitting AS ( -- own entries lie over that of the list, price by price; of the list's only the first one counts
    SELECT
        used.day,
        used.provider,
        used.model,
        matches.priority
    FROM used
    INNER JOIN matches ON used.provider = matches.provider AND used.model = matches.model
    WHERE matches.is_own
    UNION ALL
    SELECT
        used.day,
        used.provider,
        used.model,
        min(matches.priority) AS priority
    FROM used
    INNER JOIN matches
        ON used.provider = matches.provider AND used.model = matches.model AND used.day >= matches.valid_from
    WHERE NOT matches.is_own
    GROUP BY used.day, used.provider, used.model
),

listed AS ( -- the prices of each name on each day. Grouped, so that turns meet these few by equality: joined with all
    -- prices at once, a day of 10,000 turns may be held against each of them, which takes a hundred times as long
    SELECT
        fitting.day,
        fitting.provider,
        fitting.model,
        price.token_type,
        price.from_input_tokens,
        price.until_input_tokens,
        min(price.priority) AS priority,
        arg_min(price.usd_per_mtok, price.priority) AS usd_per_mtok,
        arg_min(price.source, price.priority) AS source,
        arg_min(price.is_own, price.priority) AS is_own
    FROM fitting
    INNER JOIN sessions.prices AS price
        ON
            fitting.priority = price.priority
            AND fitting.day >= price.valid_from
            AND (price.valid_until IS NULL OR fitting.day < price.valid_until)
    GROUP BY
        fitting.day, fitting.provider, fitting.model,
        price.token_type, price.from_input_tokens, price.until_input_tokens
),

rates AS (
    SELECT
        turns.day,
        turns.event_id,
        max(CASE WHEN price.is_own THEN price.source END) AS own_source,
        max(CASE WHEN NOT price.is_own THEN price.source END) AS list_source,
        arg_min(price.usd_per_mtok, CASE WHEN price.token_type = 'input' THEN price.priority END) AS input_rate,
        arg_min(price.usd_per_mtok, CASE WHEN price.token_type = 'output' THEN price.priority END) AS output_rate,
        arg_min(price.usd_per_mtok, CASE WHEN price.token_type = 'cache_read' THEN price.priority END)
            AS cache_read_rate,
        arg_min(price.usd_per_mtok, CASE WHEN price.token_type = 'cache_write' THEN price.priority END)
            AS cache_write_rate,
        arg_min(price.usd_per_mtok, CASE WHEN price.token_type = 'cache_write_1h' THEN price.priority END)
            AS cache_write_1h_rate,
        arg_min(price.usd_per_mtok, CASE WHEN price.token_type = 'reasoning' THEN price.priority END) AS reasoning_rate
    FROM turns
    INNER JOIN listed AS price
        ON
            turns.day = price.day
            AND turns.provider = price.provider
            AND turns.model = price.model
            AND turns.input_tokens >= price.from_input_tokens
            AND (price.until_input_tokens IS NULL OR turns.input_tokens < price.until_input_tokens)
    GROUP BY turns.day, turns.event_id
),

counted AS ( -- as decimals, which hold a price times any count
    SELECT
        day,
        event_id,
        CAST(input_tokens AS DECIMAL(19, 0)) AS input,
        CAST(output_tokens AS DECIMAL(19, 0)) AS output,
        CAST(cache_read_tokens AS DECIMAL(19, 0)) AS cache_read,
        CAST(cache_write_tokens AS DECIMAL(19, 0)) AS cache_write,
        CAST(cache_write_1h_tokens AS DECIMAL(19, 0)) AS cache_write_1h,
        CAST(reasoning_tokens AS DECIMAL(19, 0)) AS reasoning
    FROM turns
),

computed AS (
    SELECT
        counted.day,
        counted.event_id,
        coalesce(rates.own_source || ' over ' || rates.list_source, rates.own_source, rates.list_source)
            AS price_source,
        CASE
            WHEN counted.input <= counted.cache_read + counted.cache_write THEN 0
            ELSE (counted.input - counted.cache_read - counted.cache_write) * rates.input_rate
        END
        + CASE
            WHEN counted.cache_read = 0 THEN 0
            ELSE counted.cache_read * coalesce(rates.cache_read_rate, rates.input_rate)
        END
        + CASE
            WHEN counted.cache_write = counted.cache_write_1h THEN 0
            ELSE (counted.cache_write - counted.cache_write_1h) * coalesce(rates.cache_write_rate, rates.input_rate)
        END
        + CASE
            WHEN counted.cache_write_1h = 0 THEN 0
            ELSE counted.cache_write_1h * coalesce(rates.cache_write_1h_rate, rates.cache_write_rate, rates.input_rate)
        END
        + CASE
            WHEN counted.output <= counted.reasoning THEN 0
            ELSE (counted.output - counted.reasoning) * rates.output_rate
        END
        + CASE
            WHEN counted.reasoning = 0 THEN 0
            ELSE counted.reasoning * coalesce(rates.reasoning_rate, rates.output_rate)
        END AS millionths
    FROM counted
    INNER JOIN rates ON counted.day = rates.day AND counted.event_id = rates.event_id
),

costs AS (
    SELECT
        turns.*,
        computed.price_source,
        TRY_CAST(turns.charged_usd AS DECIMAL(18, 9)) AS charged,
        TRY_CAST(computed.millionths * 0.000001 AS DECIMAL(18, 9)) AS computed
    FROM turns
    LEFT JOIN computed ON turns.day = computed.day AND turns.event_id = computed.event_id
)

SELECT
    day, -- day on which it happened [not null]
    event_id, -- the event in landed.turns, or the span in otel.turns [not null]
    happened_at, -- when it happened [not null]
    session_id, -- the session [not null]
    turn_index, -- its number within the session, from 0 [not null] [0..]
    user_id, -- the user served
    agent_id, -- the agent that asked
    project_id, -- the project that pays
    provider, -- who served the model [not null]
    model, -- the model that answered [not null]
    tier, -- tier of the model, such as flash, pro or reasoning
    user_message, -- what was asked
    response, -- what was answered
    finish_reason, -- why the model stopped
    input_tokens, -- tokens read, cached ones included [not null] [0..]
    output_tokens, -- tokens written, reasoning included [not null] [0..]
    cache_read_tokens, -- input tokens read from the provider's cache [not null] [0..]
    cache_write_tokens, -- input tokens written to the provider's cache [not null] [0..]
    cache_write_1h_tokens, -- those of them that it keeps for an hour, where that is known [not null] [0..]
    reasoning_tokens, -- output tokens spent on reasoning [not null] [0..]
    charged AS charged_usd, -- cost in US dollars as charged, where the event says it; null from a billion on [0..]
    computed AS computed_usd, -- cost in US dollars by sessions.prices [0..]
    coalesce(charged, computed) AS cost_usd, -- cost in US dollars: as charged, else as computed [0..]
    computed IS NULL AS is_unpriced, -- whether no price was found for its tokens, so that computed_usd is null [not null]
    price_source, -- the price list that its computed cost rests on; `prices.csv over ...` where own prices replace some of it
    duration_ms, -- how long it took, in milliseconds [not null] [0..]
    convention -- naming convention of the span that it comes of; null for an event
FROM costs
