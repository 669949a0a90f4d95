-- How do outcomes call themselves?
SELECT
    outcome ->> '$.status' AS status,
    count(*) AS completions
FROM landed.actions_completed
GROUP BY status
ORDER BY completions DESC, status

-- answer:
-- completed | 771
-- error | 237
-- evicted | 7
