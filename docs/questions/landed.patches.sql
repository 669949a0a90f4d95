-- How many changes broke a test, and how many of those was a rollback advised for?
SELECT
    count(*) AS patches,
    count(*) FILTER (WHERE len(new_failures) > 0) AS broke_a_test,
    count(*) FILTER (WHERE len(new_failures) > 0 AND rollback_recommended) AS rollback_advised
FROM landed.patches

-- answer:
-- 89 | 29 | 4
