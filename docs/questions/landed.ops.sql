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
-- git.push | 39 | 24 | 0.6154
-- fill_scenario | 182 | 101 | 0.5549
-- roster.confirm | 40 | 22 | 0.55
