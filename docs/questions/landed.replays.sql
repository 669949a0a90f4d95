-- Which rejects were taken in after a fix?
SELECT
    rejects.reason,
    count(*) AS replayed
FROM landed.replays
INNER JOIN landed.rejects ON replays.reject_id = rejects.event_id
WHERE replays.replayed_event_id <> ''
GROUP BY rejects.reason
ORDER BY rejects.reason

-- answer:
