-- For what did operators leave notes?
SELECT
    target,
    count(*) AS notes
FROM landed.operator_notes
GROUP BY target
ORDER BY notes DESC, target
LIMIT 3

-- answer:
-- u-ben-okafor | 3
-- synthesis/daily_report | 2
-- u-ana-ribeiro | 2
