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
-- lake.daily_report | 3 | 0 | 0
-- operations.error_analyses | 63 | 0 | 0
-- users.daily_reports | 57 | 0 | 0
-- users.meta_evaluations | 71 | 0 | 0
-- users.meta_plans | 20 | 0 | 0
