-- Which decisions are taken most often, and how surely?
SELECT
    decision,
    count(*) AS steps,
    avg(confidence) AS confidence
FROM landed.steps
GROUP BY decision
ORDER BY steps DESC, decision
LIMIT 3

-- answer:
-- respond | 393 | 0.7925
-- search_web | 335 | 0.7238
-- plan_search | 291 | 0.7877
