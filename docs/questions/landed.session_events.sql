-- What happens in sessions?
SELECT
    event_type,
    count(*) AS events,
    count(DISTINCT session_id) AS sessions
FROM landed.session_events
GROUP BY event_type
ORDER BY events DESC, event_type
LIMIT 3

-- answer:
-- done | 624 | 624
-- thinking | 355 | 355
-- error | 284 | 284
