-- What had to be corrected most often?
SELECT
    task_class,
    reason,
    count(*) AS corrections
FROM landed.corrections
GROUP BY task_class, reason
ORDER BY corrections DESC, task_class, reason
LIMIT 3

-- answer:
-- answer_question | answer unsupported | 33
-- fill_shift | candidates decline | 29
-- staffing_search | no results | 26
