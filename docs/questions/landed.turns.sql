-- Which model wrote most, and at what charge?
SELECT
    model,
    count(*) AS turns,
    sum(output_tokens) AS output_tokens,
    sum(charged_usd) AS charged_usd
FROM landed.turns
GROUP BY model
ORDER BY output_tokens DESC, model
LIMIT 3

-- answer:
-- nw-large-2 | 923 | 390937 | 17.91
-- nw-mini-2 | 769 | 328193 | 4.599
-- gpt-oss:120b | 353 | 159252 | null
