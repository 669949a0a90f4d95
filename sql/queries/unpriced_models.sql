-- Models whose turns have no price, most used first: put their prices into prices.csv of the home, then `oplake reprice`.
-- Turns that say themselves what they were charged, be it 0, need none.
SELECT
    provider,
    model,
    count(*) AS turn_count,
    sum(input_tokens) AS input_tokens,
    sum(output_tokens) AS output_tokens,
    min(day) AS first_day,
    max(day) AS last_day
FROM sessions.turns
WHERE is_unpriced AND cost_usd IS NULL
GROUP BY provider, model
ORDER BY turn_count DESC, provider, model
