-- How many rows did each day get?
SELECT
    day,
    sum(row_count) AS steps
FROM lake.arrivals
WHERE table_name = 'landed.steps'
GROUP BY day
ORDER BY day

-- answer:
-- 2026-01-05 | 835
-- 2026-01-06 | 850
-- 2026-01-07 | 825
-- 2026-01-08 | 843
-- 2026-01-09 | 819
-- 2026-01-10 | 844
-- 2026-01-11 | 826
-- 2026-01-12 | 5
