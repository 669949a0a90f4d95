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
-- nw-large-2 | 845 | 347764 | 15.73
-- nw-mini-2 | 774 | 324109 | 4.572
-- gpt-oss:120b | 345 | 151805 | null
