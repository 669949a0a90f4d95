-- One row per action: what an agent set out to do, how it ended and how long it took.
--
-- An action belongs to the day (UTC) it began on, with all that happened in it. It closes within six hours: without a
-- completion by then it is a `timeout`, and what comes later is counted in late_events and changes nothing else. Whether
-- six hours have passed is told by the watermark of the lake, not by a clock: until then the action is `open`.
--
-- Which events count. An event that names the action counts when it happened later than 5 minutes before the action began
-- (clocks of two machines differ) and no later than deadline_at. Steps and observations after the completion still count,
-- for the same reason, and are late events as well. Of several beginnings on one day, and of several completions, the
-- first is taken. An id that is used again on the next day begins another action there; this one then ends 5 minutes
-- before. Times are those of the producer, or of the receipt where the producer's clock was off (ts_suspect).
--
-- Example: begun 23:50, steps at 23:55 and 00:05, completed 00:10. It is one row of the first day with 2 steps and a
-- duration of 1,200,000 ms. A second completion at 06:30 makes late_events 1; without the first the action would be a
-- timeout of 21,600,000 ms, with the same late event.
--
-- grain: action_id
-- partition: day
-- window: 0..1
-- settles: 06:15
-- question: How did the actions of each type end?
-- sql:
--   SELECT action_type, status, count(*) AS actions FROM attribution.actions GROUP BY ALL ORDER BY ALL
-- answer:
--   plan | completed | 1
--   refund | completed | 2
--   search | completed | 1
--   search | timeout | 1
WITH beginnings AS (
    SELECT
        day,
        action_id,
        event_id,
        agent_id,
        action_type,
        goal_id,
        parent_action_id,
        expected_outcome,
        acceptance_criteria,
        playbook_ids,
        CASE WHEN ts_suspect THEN received_at ELSE ts END AS began_at
    FROM landed.actions_begun
    WHERE day BETWEEN $start AND $stop + 1
),

numbered AS (
    SELECT
        *,
        row_number() OVER (PARTITION BY day, action_id ORDER BY began_at, event_id) AS nth,
        count(event_id) OVER (PARTITION BY day, action_id) AS beginning_count
    FROM beginnings
),

begun AS (
    SELECT
        this.*,
        again.began_at - INTERVAL 5 MINUTE AS superseded_at
    FROM numbered AS this
    LEFT JOIN numbered AS again ON this.action_id = again.action_id AND this.day + 1 = again.day AND again.nth = 1
    WHERE this.nth = 1 AND this.day BETWEEN $start AND $stop
),

bounded AS (
    SELECT
        *,
        least(began_at + INTERVAL 6 HOUR, superseded_at) AS deadline_at
    FROM begun
),

completions AS (
    SELECT
        day,
        action_id,
        event_id,
        outcome,
        CASE WHEN ts_suspect THEN received_at ELSE ts END AS happened_at
    FROM landed.actions_completed
    WHERE day BETWEEN $start AND $stop + 1
),

first_completions AS (
    SELECT
        bounded.day,
        bounded.action_id,
        completions.outcome,
        completions.happened_at AS completed_at,
        row_number() OVER (
            PARTITION BY bounded.day, bounded.action_id
            ORDER BY completions.happened_at, completions.event_id
        ) AS nth
    FROM bounded
    INNER JOIN completions
        ON
            bounded.action_id = completions.action_id
            AND completions.day BETWEEN bounded.day AND bounded.day + 1
            AND completions.happened_at > bounded.began_at - INTERVAL 5 MINUTE
            AND completions.happened_at <= bounded.deadline_at
),

actions AS (
    SELECT
        bounded.*,
        first_completions.completed_at,
        CASE
            WHEN first_completions.completed_at IS NOT NULL THEN first_completions.outcome
            WHEN bounded.deadline_at <= (SELECT max(watermark) FROM lake.watermark) THEN '{"status":"timeout"}'
        END AS outcome,
        CASE
            WHEN first_completions.completed_at IS NOT NULL
                THEN greatest(bounded.began_at, first_completions.completed_at)
            WHEN bounded.deadline_at <= (SELECT max(watermark) FROM lake.watermark) THEN bounded.deadline_at
        END AS ended_at
    FROM bounded
    LEFT JOIN first_completions
        ON
            bounded.day = first_completions.day
            AND bounded.action_id = first_completions.action_id
            AND first_completions.nth = 1
),

events AS (
    SELECT
        day,
        action_id,
        'step' AS kind,
        CASE WHEN ts_suspect THEN received_at ELSE ts END AS happened_at
    FROM landed.steps
    WHERE day BETWEEN $start AND $stop + 1
    UNION ALL
    SELECT
        day,
        action_id,
        'observation' AS kind,
        CASE WHEN ts_suspect THEN received_at ELSE ts END AS happened_at
    FROM landed.observations
    WHERE day BETWEEN $start AND $stop + 1
    UNION ALL
    SELECT
        day,
        action_id,
        'completion' AS kind,
        happened_at
    FROM completions
),

judged AS (
    SELECT
        actions.day,
        actions.action_id,
        events.kind,
        events.happened_at <= actions.began_at - INTERVAL 5 MINUTE AS is_early,
        events.happened_at > actions.ended_at AS is_late,
        events.happened_at > actions.deadline_at AS is_out
    FROM actions
    INNER JOIN events
        ON
            actions.action_id = events.action_id
            AND events.day BETWEEN actions.day AND actions.day + 1
            AND (actions.superseded_at IS NULL OR events.happened_at <= actions.superseded_at)
),

counts AS (
    SELECT
        day,
        action_id,
        count(CASE WHEN kind = 'step' AND NOT is_early AND NOT is_out THEN kind END) AS step_count,
        count(CASE WHEN kind = 'observation' AND NOT is_early AND NOT is_out THEN kind END) AS observation_count,
        count(CASE WHEN is_late THEN kind END) AS late_events,
        count(CASE WHEN is_early THEN kind END) AS early_events
    FROM judged
    GROUP BY day, action_id
)

SELECT
    actions.day, -- day on which the action began [not null]
    actions.action_id, -- the action [not null]
    actions.agent_id, -- the agent that acted
    actions.action_type, -- class of the task
    nullif(actions.goal_id, '') AS goal_id, -- the goal pursued; runs of one task share it
    nullif(actions.parent_action_id, '') AS parent_action_id, -- the action that this one is part of
    CASE
        WHEN actions.ended_at IS NULL THEN 'open'
        WHEN json_extract_string(actions.outcome, '$.status') IN ('timeout', 'evicted')
            THEN json_extract_string(actions.outcome, '$.status')
        ELSE 'completed'
    END AS status, -- completed, timeout, evicted or open [not null]
    actions.began_at, -- when it began [not null]
    actions.ended_at, -- when it was completed or ran out of time; null while it is open
    date_diff('millisecond', actions.began_at, actions.ended_at) AS duration_ms, -- from beginning to end; null while it
    -- is open [0..21600000]
    actions.deadline_at, -- until when events count: six hours after the beginning, or until its id was used again
    -- [not null]
    actions.expected_outcome, -- JSON: keys and values that the outcome should have, stated beforehand
    actions.acceptance_criteria, -- what had to hold for the result to be accepted, in words
    actions.playbook_ids, -- playbook entries shown to the agent
    actions.outcome, -- JSON: what came of it; {"status":"timeout"} when nobody said; null while it is open
    coalesce(counts.step_count, 0) AS step_count, -- what the agent decided, counted [not null] [0..]
    coalesce(counts.observation_count, 0) AS observation_count, -- what the world reported, counted [not null] [0..]
    coalesce(counts.late_events, 0) AS late_events, -- steps, observations and completions after it had ended
    -- [not null] [0..]
    coalesce(counts.early_events, 0) AS early_events, -- those of its days that lie too far before it to count
    -- [not null] [0..]
    actions.beginning_count -- how often it was begun on this day; more than 1 means that an id was used twice
    -- [not null] [1..]
FROM actions
LEFT JOIN counts ON actions.day = counts.day AND actions.action_id = counts.action_id
