-- From how many successes on are candidates worked out, in all and of a class?
SELECT
    name,
    value
FROM playbooks.limits
WHERE name LIKE '%successes'
ORDER BY name

-- answer:
-- class_successes | 3
-- successes | 5
