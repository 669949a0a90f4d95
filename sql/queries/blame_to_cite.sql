-- Which step decided each failure, what may be cited first: blame whose estimate is above its shuffled floor, and not later.
SELECT
    coalesce(floors.is_above_floor AND blame.stats_through <= floors.stats_through, FALSE) AS may_be_cited,
    blame.day,
    blame.action_id,
    blame.action_type,
    step.position,
    step.decision,
    round(blame.blame, 2) AS blame,
    blame.evidence_kind,
    blame.failures,
    blame.passes,
    round(floors.margin, 2) AS above_floor_by
FROM attribution.blame AS blame
INNER JOIN attribution.steps AS step USING (day, action_id, position)
LEFT JOIN attribution.estimate_floors AS floors USING (action_type, estimate)
WHERE blame.blame_rank = 1
ORDER BY may_be_cited DESC, blame.day DESC, blame.blame DESC, blame.action_id
LIMIT 20
