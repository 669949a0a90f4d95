-- How well each type of action does, how long it takes, and how often it runs out of time.
SELECT
    action.action_type,
    count(*) AS actions,
    round(avg(score.success_score), 3) AS success_score,
    round(median(action.duration_ms) / 1000, 1) AS median_seconds,
    count(*) FILTER (WHERE action.status = 'timeout') AS timeouts
FROM attribution.actions AS action
INNER JOIN attribution.success_scores AS score USING (day, action_id)
GROUP BY action.action_type
ORDER BY actions DESC, action.action_type
