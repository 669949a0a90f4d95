-- Which events did instrumented programs report as logs, and how often?
SELECT
    name,
    severity,
    count(*) AS records
FROM landed.logs
GROUP BY name, severity
ORDER BY records DESC, name
LIMIT 3

-- answer:
