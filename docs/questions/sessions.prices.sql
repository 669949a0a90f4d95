-- What do the tokens of Claude Sonnet 4.5 cost now, and from how many input tokens on?
SELECT
    token_type,
    from_input_tokens,
    CAST(usd_per_mtok AS DOUBLE) AS usd_per_mtok
FROM sessions.prices
WHERE provider = 'anthropic' AND model = 'claude-sonnet-4-5' AND valid_until IS NULL
ORDER BY token_type, from_input_tokens

-- answer:
-- cache_read | 0 | 0.3
-- cache_read | 200001 | 0.6
-- cache_write | 0 | 3.75
-- cache_write | 200001 | 7.5
-- cache_write_1h | 0 | 6
-- cache_write_1h | 200001 | 12
-- input | 0 | 3
-- input | 200001 | 6
-- output | 0 | 15
-- output | 200001 | 22.5
