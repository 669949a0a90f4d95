-- One row per action: what an agent set out to do, how it ended and how long it took.
--
-- An action belongs to the day (UTC) it began on, with all that happened in it. It closes within six hours: without a
-- completion by then it is a `timeout`, and what comes later changes nothing but late_events, which counts it to the end of
-- the next day; what comes later still is in landed only. Whether six hours have passed is told by the watermark of the
-- lake, not by a clock: until then the action is `open`.
--
-- Which events count. An event that names the action counts when it happened later than 5 minutes before the action began
-- (clocks of two machines differ) and no later than deadline_at. Steps and observations after the completion still count,
-- for the same reason, and are late events as well. Of several completions the first is taken. Steps and observations are
-- read from the day of the action on: one that a slow clock puts before the midnight with which that day begins is not
-- there, and counts nowhere. (Reading the day before as well would make three days again for each late step, not two.)
-- Agents, workflows and plans that OpenTelemetry tells of (otel.actions) are actions like any other, with what stands under them.
-- Times are those of the producer, or of the receipt where the producer's clock was off (ts_suspect).
--
-- An id has one action a day, from its first beginning; those sent again are the same action, and beginning_count counts
-- them. This holds over midnight: a beginning of the next day goes on with the action when it comes within six hours of the
-- first beginning of the day before, and no completion came in between, each give or take the 5 minutes. Any other is
-- another action, of the next day; this one then ends 5 minutes before.
--
-- Example: begun 23:50, steps at 23:55 and 00:05, completed 00:10. It is one row of the first day with 2 steps and a
-- duration of 1,200,000 ms, also when it is begun again at 00:01: that makes beginning_count 2. A second completion at 06:30
-- makes late_events 1; without the first the action would be a timeout of 21,600,000 ms, with the same late event.
--
-- grain: action_id
-- partition: day
-- window: -1..1, landed.steps 0..1, landed.observations 0..1, otel.steps 0..1, otel.observations 0..1
-- settles: 06:15
-- question: How did the actions of each type end?
-- sql:
--   SELECT action_type, status, count(*) AS actions FROM attribution.actions GROUP BY ALL ORDER BY ALL
-- answer:
--   courier | completed | 1
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
    WHERE day BETWEEN $start - 1 AND $stop + 1
    UNION ALL
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
        ts AS began_at
    FROM otel.actions
    WHERE day BETWEEN $start - 1 AND $stop + 1
),

completions AS (
    SELECT
        day,
        action_id,
        event_id,
        outcome,
        CASE WHEN ts_suspect THEN received_at ELSE ts END AS happened_at
    FROM landed.actions_completed
    WHERE day BETWEEN $start - 1 AND $stop + 1
    UNION ALL
    SELECT
        day,
        action_id,
        event_id,
        outcome,
        ended_at AS happened_at
    FROM otel.actions
    WHERE day BETWEEN $start - 1 AND $stop + 1
),

firsts AS (
    SELECT
        day,
        action_id,
        min(began_at) AS began_at
    FROM beginnings
    GROUP BY day, action_id
),

sent_again AS (
    SELECT
        later.day,
        later.event_id
    FROM beginnings AS later
    INNER JOIN firsts
        ON
            later.action_id = firsts.action_id
            AND later.day = firsts.day + 1
            AND later.began_at - INTERVAL 5 MINUTE <= firsts.began_at + INTERVAL 6 HOUR
    ANTI JOIN completions
        ON
            firsts.action_id = completions.action_id
            AND completions.day BETWEEN firsts.day AND firsts.day + 1
            AND completions.happened_at > firsts.began_at - INTERVAL 5 MINUTE
            AND greatest(firsts.began_at, completions.happened_at) < later.began_at - INTERVAL 5 MINUTE
),

owned AS (
    SELECT
        beginnings.*,
        CASE WHEN sent_again.event_id IS NULL THEN beginnings.day ELSE beginnings.day - 1 END AS own_day
    FROM beginnings
    LEFT JOIN sent_again ON beginnings.day = sent_again.day AND beginnings.event_id = sent_again.event_id
),

numbered AS (
    SELECT
        *,
        row_number() OVER (PARTITION BY own_day, action_id ORDER BY began_at, event_id) AS nth,
        count(event_id) OVER (PARTITION BY own_day, action_id) AS beginning_count
    FROM owned
),

begun AS (
    SELECT
        this.*,
        CASE
            WHEN other.action_id IS NOT NULL THEN greatest(this.began_at, other.began_at - INTERVAL 5 MINUTE)
        END AS superseded_at
    FROM numbered AS this
    LEFT JOIN numbered AS other ON this.action_id = other.action_id AND this.day + 1 = other.own_day AND other.nth = 1
    WHERE this.nth = 1 AND this.own_day BETWEEN $start AND $stop
),

bounded AS (
    SELECT
        *,
        least(began_at + INTERVAL 6 HOUR, superseded_at) AS deadline_at
    FROM begun
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
            AND completions.day BETWEEN bounded.day - 1 AND bounded.day + 1
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
        'step' AS kind,
        ts AS happened_at
    FROM otel.steps
    WHERE day BETWEEN $start AND $stop + 1
    UNION ALL
    SELECT
        day,
        action_id,
        'observation' AS kind,
        ts AS happened_at
    FROM otel.observations
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
            AND (
                events.day = actions.day
                OR actions.superseded_at IS NULL
                OR events.happened_at <= actions.superseded_at
            )
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
    actions.deadline_at, -- until when events count: six hours after the beginning, or until another action had
    -- its id [not null]
    actions.expected_outcome, -- JSON: keys and values that the outcome should have, stated beforehand
    actions.acceptance_criteria, -- what had to hold for the result to be accepted, in words
    actions.playbook_ids, -- playbook entries shown to the agent
    actions.outcome, -- JSON: what came of it; {"status":"timeout"} when nobody said; null while it is open
    coalesce(counts.step_count, 0) AS step_count, -- what the agent decided, counted [not null] [0..]
    coalesce(counts.observation_count, 0) AS observation_count, -- what the world reported, counted [not null] [0..]
    coalesce(counts.late_events, 0) AS late_events, -- steps, observations and completions after it had ended,
    -- to the end of the next day [not null] [0..]
    coalesce(counts.early_events, 0) AS early_events, -- those of its days that lie too far before it to count
    -- [not null] [0..]
    actions.beginning_count -- how often it was begun; more than 1 means that it was sent again, or an id used twice
    -- [not null] [1..]
FROM actions
LEFT JOIN counts ON actions.day = counts.day AND actions.action_id = counts.action_id
