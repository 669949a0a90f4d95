-- What does the world report, and who reports it?
SELECT
    observation_type,
    reported_by,
    count(*) AS observations
FROM landed.observations
GROUP BY observation_type, reported_by
ORDER BY observations DESC, observation_type, reported_by
LIMIT 3

-- answer:
-- tool_result | web.read | 475
-- tool_result | shell.run | 312
-- tool_result | web.search | 312
