-- Tools of the latest week, least reliable first: by the lower bound of the failure rate, so that few calls weigh little.
SELECT
    tool_name,
    tool_call_count,
    tool_failure_count,
    round(failure_rate, 3) AS failure_rate,
    round(failure_rate_low, 3) AS at_least,
    most_common_template
FROM sessions.tool_reliability
WHERE day = (SELECT max(latest.day) FROM sessions.tool_reliability AS latest)
ORDER BY failure_rate_low DESC, tool_name
LIMIT 20
