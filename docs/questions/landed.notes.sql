-- Who wrote most notes?
SELECT
    user_id,
    count(*) AS notes
FROM landed.notes
GROUP BY user_id
ORDER BY notes DESC, user_id
LIMIT 3

-- answer:
-- u-dmitri-volkov | 16
-- u-elena-rossi | 16
-- u-samir-khan | 15
