-- Who wrote most notes?
SELECT
    user_id,
    count(*) AS notes
FROM landed.notes
GROUP BY user_id
ORDER BY notes DESC, user_id
LIMIT 3

-- answer:
-- u-mara-novak | 19
-- u-chloe-laurent | 16
-- u-ben-okafor | 15
