-- What went wrong on the latest day, that first of which there is most above the usual: for whoever is on call.
SELECT
    kind,
    template,
    failure_count,
    round(failure_count - coalesce(failure_count / trend, 0), 1) AS above_usual,
    round(trend, 1) AS trend,
    is_new,
    endpoints,
    first_seen_at,
    last_seen_at,
    sample_message
FROM operations.error_patterns
WHERE day = (SELECT max(latest.day) FROM operations.error_patterns AS latest)
ORDER BY above_usual DESC, failure_count DESC, kind, template
LIMIT 20
