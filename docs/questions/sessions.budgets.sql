-- How many limits are set?
SELECT count(*) AS limits
FROM sessions.budgets

-- answer:
-- 0
