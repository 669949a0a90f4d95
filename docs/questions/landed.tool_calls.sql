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
-- git.push | 71 | 0.3099
-- roster.confirm | 68 | 0.2941
-- docs.publish | 43 | 0.2791
