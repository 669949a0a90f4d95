-- What did the assets that write prose spend?
SELECT
    asset,
    count(*) AS calls,
    count(*) FILTER (WHERE cached) AS served_from_cache,
    sum(charged_usd) AS charged_usd
FROM landed.llm_calls
GROUP BY asset
ORDER BY asset

-- answer:
