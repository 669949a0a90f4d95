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
-- answer_question | answer unsupported | 36
-- fill_shift | candidates decline | 34
-- staffing_search | no results | 21
