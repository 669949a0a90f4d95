-- How much has been taken in, and what came of it?
SELECT
    sum(events) AS events,
    sum(duplicates) AS duplicates,
    sum(rejects) AS rejects
FROM lake.segments

-- answer:
-- 23716 | 8 | 7
