-- Which tools fail most often?
SELECT
    tool_name,
    count(*) AS calls,
    avg(CAST(NOT ok AS DOUBLE)) AS failure_rate
FROM landed.tool_calls
GROUP BY tool_name
ORDER BY failure_rate DESC, tool_name
LIMIT 3

-- answer:
-- git.push | 59 | 0.2373
-- roster.confirm | 55 | 0.2
-- docs.publish | 61 | 0.1967
