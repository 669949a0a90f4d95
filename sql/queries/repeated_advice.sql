-- Advice that the same class of task needs again and again, how often the next attempt succeeded, and when it was last given.
SELECT
    task_class,
    template AS advice,
    count(*) AS corrections,
    round(avg(CASE WHEN has_next_succeeded THEN 1 WHEN NOT has_next_succeeded THEN 0 END), 3) AS next_success_rate,
    round(sum(task_failures_before) / nullif(sum(task_ops_before), 0), 3) AS failure_rate_before,
    max(happened_at) AS last_given_at
FROM operations.correction_outcomes
GROUP BY task_class, template
HAVING bool_or(is_repeated_advice)
ORDER BY corrections DESC, task_class, advice
LIMIT 20
