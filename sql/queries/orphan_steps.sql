-- Steps that count in no action: their action never began, or they lie outside of its time. An empty answer is good news.
SELECT
    step.action_id,
    step.source,
    count(*) AS steps,
    min(step.ts) AS first_at,
    max(step.ts) AS last_at
FROM landed.steps AS step
ANTI JOIN attribution.steps AS counted ON step.event_id = counted.event_id
GROUP BY step.action_id, step.source
ORDER BY steps DESC, step.action_id
LIMIT 20
