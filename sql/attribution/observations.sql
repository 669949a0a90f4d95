-- One row per observation of an action: what the world reported, in the order of time.
--
-- An observation belongs to the day on which its action began. Observations outside the time of their action (see
-- attribution.actions), and those of an action that never began, are not here; they stay in landed.observations.
--
-- Example: an action begun at 23:50 with reports at 23:55 and 00:05 has positions 0 and 1, both on the first day.
--
-- grain: action_id, position
-- partition: day
-- window: 0..1, attribution.actions 0..0
-- question: Who reports on what?
-- sql:
--   SELECT reported_by, observation_type, count(*) AS reports FROM attribution.observations GROUP BY ALL ORDER BY ALL
-- answer:
--   bank | payment | 1
--   index | result | 1
--   shop | order_record | 2
--   shop.judge | evaluation | 1
WITH told AS (
    SELECT
        day,
        action_id,
        event_id,
        observation_type,
        reported_by,
        confidence,
        data,
        CASE WHEN ts_suspect THEN received_at ELSE ts END AS happened_at
    FROM landed.observations
    WHERE day BETWEEN $start AND $stop + 1
    UNION ALL
    SELECT
        day,
        action_id,
        event_id,
        observation_type,
        reported_by,
        confidence,
        data,
        ts AS happened_at
    FROM otel.observations
    WHERE day BETWEEN $start AND $stop + 1
)

SELECT
    action.day, -- day on which the action began [not null]
    report.action_id, -- the action that the observation belongs to [not null]
    row_number() OVER (
        PARTITION BY action.day, report.action_id
        ORDER BY report.happened_at, report.event_id
    ) - 1 AS position, -- place among the action's observations, dense from 0 [not null] [0..]
    report.happened_at, -- when it was reported
    -- [not null]
    report.observation_type, -- what kind of report it is
    report.reported_by, -- who or what reported it
    report.confidence, -- how sure the reporter was [not null] [0..1]
    report.data, -- JSON: what was reported
    report.event_id -- the event in landed.observations, or the span in otel.observations [not null]
FROM attribution.actions AS action
INNER JOIN told AS report
    ON
        action.action_id = report.action_id
        AND report.day BETWEEN action.day AND action.day + 1
        AND report.happened_at > action.began_at - INTERVAL 5 MINUTE
        AND report.happened_at <= action.deadline_at
WHERE action.day BETWEEN $start AND $stop
