-- Which decisions earn the success: each step's credit times the score of its action, by type of action and decision.
SELECT
    action.action_type,
    step.decision,
    count(*) AS steps,
    round(avg(share.credit), 3) AS mean_credit,
    round(sum(share.credit * score.success_score), 3) AS earned
FROM attribution.steps AS step
INNER JOIN attribution.step_credits AS share USING (day, action_id, position)
INNER JOIN attribution.success_scores AS score USING (day, action_id)
INNER JOIN attribution.actions AS action USING (day, action_id)
GROUP BY action.action_type, step.decision
ORDER BY earned DESC, action.action_type, step.decision
LIMIT 20
