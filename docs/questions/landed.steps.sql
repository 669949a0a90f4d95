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
-- respond | 404 | 0.7659
-- search_web | 275 | 0.7643
-- plan_search | 263 | 0.7805
