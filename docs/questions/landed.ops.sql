-- Which operations fail most often?
SELECT
    endpoint,
    count(*) AS calls,
    count(*) FILTER (WHERE NOT success) AS failures,
    avg(CAST(NOT success AS DOUBLE)) AS failure_rate
FROM landed.ops
GROUP BY endpoint
ORDER BY failure_rate DESC, endpoint
LIMIT 3

-- answer:
-- docs.publish | 38 | 25 | 0.6579
-- git.push | 55 | 35 | 0.6364
-- roster.confirm | 50 | 31 | 0.62
