-- How many rows did each day get?
SELECT
    day,
    sum(row_count) AS steps
FROM lake.arrivals
WHERE table_name = 'landed.steps'
GROUP BY day
ORDER BY day

-- answer:
-- 2026-01-05 | 819
-- 2026-01-06 | 840
-- 2026-01-07 | 882
-- 2026-01-08 | 829
-- 2026-01-09 | 835
-- 2026-01-10 | 860
-- 2026-01-11 | 824
-- 2026-01-12 | 5
