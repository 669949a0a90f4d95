-- How reliable and how fast each tool is: its calls in the seven days that end with the day.
--
-- A day alone has too few calls to judge most tools by; so rows of different days overlap and must not be added up. Only
-- days on which some tool was called have rows. failure_rate_low and _high bound the 95 % score interval of Wilson (1927), as
-- in operations.endpoint_days: of two tools whose intervals overlap by much, none is known to be the worse one.
-- Messages fold to templates as told in operations.messages; the most common one of the failures stands here.
--
-- Example: 4 calls took 100, 200, 300 and 400 ms, and 1 failed: failure_rate is 0.25, from 0.046 to 0.699; p50_duration_ms is
-- 250, and p95_duration_ms 385.
--
-- grain: tool_name
-- partition: day
-- window: -6..0
-- question: Which tools failed, how often, and with what?
-- sql:
--   SELECT tool_name, tool_call_count, round(failure_rate, 2) AS failure_rate, round(failure_rate_low, 2) AS low,
--       round(failure_rate_high, 2) AS high, most_common_template
--   FROM sessions.tool_reliability WHERE day = DATE '2026-01-06' AND tool_failure_count > 0 ORDER BY tool_name
-- answer:
--   lookup | 3 | 0.33 | 0.06 | 0.79 | index timed out after <*> s
--   track | 1 | 1.0 | 0.21 | 1.0 | the depot did not answer
WITH days AS (
    SELECT DISTINCT day
    FROM sessions.tool_calls
    WHERE day BETWEEN $start AND $stop
),

calls AS (
    SELECT
        days.day,
        call.day AS call_day,
        call.event_id,
        call.session_id,
        call.tool_name,
        call.ok,
        call.duration_ms
    FROM days
    INNER JOIN sessions.tool_calls AS call ON call.day BETWEEN days.day - 6 AND days.day
    WHERE call.day BETWEEN $start - 6 AND $stop
),

templates AS (
    SELECT
        calls.day,
        calls.tool_name,
        failure.template,
        count(calls.event_id) AS failure_count,
        row_number() OVER (
            PARTITION BY calls.day, calls.tool_name ORDER BY count(calls.event_id) DESC, failure.template
        ) AS nth
    FROM calls
    INNER JOIN operations.failures AS failure
        ON calls.call_day = failure.day AND calls.event_id = failure.event_id AND failure.kind = 'tool_call'
    WHERE failure.day BETWEEN $start - 6 AND $stop
    GROUP BY calls.day, calls.tool_name, failure.template
),

counted AS (
    SELECT
        day,
        tool_name,
        count(event_id) AS tool_call_count,
        count(CASE WHEN NOT ok THEN event_id END) AS tool_failure_count,
        count(DISTINCT session_id) AS session_count,
        percentile_cont(0.50) WITHIN GROUP (ORDER BY duration_ms) AS p50_duration_ms,
        percentile_cont(0.95) WITHIN GROUP (ORDER BY duration_ms) AS p95_duration_ms,
        CAST(1.959963984540054 AS DOUBLE) AS z
    FROM calls
    GROUP BY day, tool_name
),

bounded AS (
    SELECT
        *,
        (tool_failure_count + z * z / 2) / (tool_call_count + z * z) AS centre,
        z * sqrt(tool_failure_count * ((tool_call_count - tool_failure_count) / tool_call_count) + z * z / 4)
        / (tool_call_count + z * z) AS margin
    FROM counted
)

SELECT
    bounded.day, -- last of the seven days [not null]
    bounded.tool_name, -- the tool [not null]
    bounded.tool_call_count, -- calls [not null] [1..]
    bounded.tool_failure_count, -- calls that failed [not null] [0..]
    bounded.session_count, -- sessions that called it [not null] [1..]
    bounded.tool_failure_count / bounded.tool_call_count AS failure_rate, -- share of calls that failed [not null] [0..1]
    greatest(bounded.centre - bounded.margin, 0) AS failure_rate_low, -- lower bound of its 95 % interval [not null] [0..1]
    least(bounded.centre + bounded.margin, 1) AS failure_rate_high, -- upper bound of it [not null] [0..1]
    bounded.p50_duration_ms, -- half of the calls took no longer; interpolated, as the other [not null] [0..]
    bounded.p95_duration_ms, -- 95 of 100 took no longer [not null] [0..]
    templates.template AS most_common_template, -- most common template of its failures; null without failures
    coalesce(templates.failure_count, 0) AS most_common_template_count -- failures that have it [not null] [0..]
FROM bounded
LEFT JOIN templates
    ON bounded.day = templates.day AND bounded.tool_name = templates.tool_name AND templates.nth = 1
