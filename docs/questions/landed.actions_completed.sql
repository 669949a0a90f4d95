-- How do outcomes call themselves?
SELECT
    outcome ->> '$.status' AS status,
    count(*) AS completions
FROM landed.actions_completed
GROUP BY status
ORDER BY completions DESC, status

-- answer:
-- completed | 802
-- error | 208
-- evicted | 7
