-- On which keys agents state what they could have known to be untrue, and how such actions end.
SELECT
    action.agent_id,
    belief.key,
    count(*) AS statements,
    count(DISTINCT belief.action_id) AS actions,
    round(avg(score.success_score), 3) AS success_score
FROM attribution.grounding AS belief
INNER JOIN attribution.actions AS action USING (day, action_id)
LEFT JOIN attribution.success_scores AS score USING (day, action_id)
WHERE belief.was_reported_before
GROUP BY action.agent_id, belief.key
ORDER BY statements DESC, action.agent_id, belief.key
LIMIT 20
