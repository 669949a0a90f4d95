-- One row per unit of work that a playbook entry was served to: whether it was shown or withheld, and what came of it.
--
-- A unit is the action that the serving names, else the session. Each counts once for an entry. An action counts on the day on
-- which it began, by the servings from 5 minutes before it to deadline_at, as for its steps. A session counts on the day on
-- which it is served; served again on the next day, it is the same unit still, and after a day without another one.
--
-- The first serving tells which it was, shown or withheld: chance decided that one alone, while what came later may be a
-- consequence of it. A unit that was shown the entry and had it withheld has is_mixed; there should be none.
--
-- success is that of the action (attribution.success_scores). Of a session it is the share of successful operations of the class
-- served, from the serving to the end of the next day; without any, how the session ended by then: 1 for `done`, 0 for `error`
-- and `escalation`. Operations go first because a gateway reports them, while `done` is what an agent says of itself. Units
-- whose outcome is not known (yet) have no row: actions that are open or never began, and sessions that did not say.
--
-- An effect may be read off only where chance chose what is withheld, and only within goal_id and week.
-- docs/methods/uplift.md says how, and when it is wrong.
--
-- Example: an entry is withheld from an action begun on Monday 23:58, at 23:58 and, the agent having asked again, shown to it at
-- 00:03. That is one row of Monday, withheld and is_mixed. Shown to a session with 3 operations of the class after it, 2 of
-- them successful, it has a row with success 0.667.
--
-- grain: entry_id, unit
-- partition: day
-- window: -1..1, attribution.actions 0..0, attribution.success_scores 0..0, landed.ops 0..1, sessions.session_days 0..1
-- question: What came of it where an entry was shown, and where it was withheld?
-- sql:
--   SELECT entry_id, is_withheld, count(*) AS units, round(avg(success), 2) AS success
--   FROM playbooks.uptake GROUP BY ALL ORDER BY ALL
-- answer:
--   ask-first | false | 2 | 1.0
--   ask-first | true | 1 | 0.0
WITH servings AS (
    SELECT
        day,
        event_id,
        entry_id,
        entry_version,
        task_class,
        withheld,
        nullif(action_id, '') AS action_id,
        nullif(session_id, '') AS session_id,
        CASE WHEN ts_suspect THEN received_at ELSE ts END AS served_at
    FROM landed.playbooks_served
    WHERE day BETWEEN $start - 1 AND $stop + 1
),

of_actions AS (
    SELECT
        action.day,
        serving.event_id,
        serving.entry_id,
        serving.entry_version,
        serving.task_class,
        serving.withheld,
        serving.served_at,
        'action ' || action.action_id AS unit,
        action.action_id,
        serving.session_id,
        action.goal_id
    FROM servings AS serving
    INNER JOIN attribution.actions AS action
        ON
            serving.action_id = action.action_id
            AND serving.day BETWEEN action.day - 1 AND action.day + 1
            AND serving.served_at > action.began_at - INTERVAL 5 MINUTE
            AND serving.served_at <= action.deadline_at
    WHERE action.day BETWEEN $start AND $stop
),

of_sessions AS (
    SELECT
        day,
        entry_id,
        session_id,
        event_id,
        entry_version,
        task_class,
        withheld,
        served_at
    FROM servings
    WHERE action_id IS NULL AND session_id IS NOT NULL
),

first_days AS (
    SELECT DISTINCT
        served.day,
        served.entry_id,
        served.session_id
    FROM of_sessions AS served
    ANTI JOIN of_sessions AS earlier
        ON
            served.entry_id = earlier.entry_id
            AND served.session_id = earlier.session_id
            AND served.day = earlier.day + 1
    WHERE served.day BETWEEN $start AND $stop
),

served AS (
    SELECT *
    FROM of_actions
    UNION ALL
    SELECT
        first_days.day,
        of_sessions.event_id,
        first_days.entry_id,
        of_sessions.entry_version,
        of_sessions.task_class,
        of_sessions.withheld,
        of_sessions.served_at,
        'session ' || first_days.session_id AS unit,
        NULL AS action_id,
        first_days.session_id,
        NULL AS goal_id
    FROM first_days
    INNER JOIN of_sessions
        ON
            first_days.entry_id = of_sessions.entry_id
            AND first_days.session_id = of_sessions.session_id
            AND of_sessions.day BETWEEN first_days.day AND first_days.day + 1
),

numbered AS (
    SELECT
        *,
        row_number() OVER (PARTITION BY day, entry_id, unit ORDER BY served_at, event_id) AS nth,
        count(event_id) OVER (PARTITION BY day, entry_id, unit) AS serving_count,
        count(CASE WHEN withheld THEN event_id END) OVER (PARTITION BY day, entry_id, unit) AS withheld_count
    FROM served
),

units AS (
    SELECT *
    FROM numbered
    WHERE nth = 1
),

session_ops AS (
    SELECT
        units.day,
        units.entry_id,
        units.unit,
        avg(CASE WHEN op.success THEN 1 ELSE 0 END) AS success
    FROM units
    INNER JOIN landed.ops AS op
        ON
            units.session_id = op.session_id
            AND units.task_class = op.task_class
            AND op.day BETWEEN units.day AND units.day + 1
            AND CASE WHEN op.ts_suspect THEN op.received_at ELSE op.ts END >= units.served_at
    WHERE units.action_id IS NULL AND op.source <> 'overseer_correction' AND op.day BETWEEN $start AND $stop + 1
    GROUP BY units.day, units.entry_id, units.unit
),

endings AS (
    SELECT
        units.day,
        units.entry_id,
        units.unit,
        arg_max(session.ending, CASE WHEN session.ending IS NOT NULL THEN session.ending_at END) AS ending,
        max(session.ending_at) AS ending_at,
        max(session.last_turn_at) AS last_turn_at
    FROM units
    INNER JOIN sessions.session_days AS session
        ON units.session_id = session.session_id AND session.day BETWEEN units.day AND units.day + 1
    WHERE units.action_id IS NULL AND session.day BETWEEN $start AND $stop + 1
    GROUP BY units.day, units.entry_id, units.unit
),

judged AS (
    SELECT
        units.*,
        CASE
            WHEN units.action_id IS NOT NULL THEN score.success_score
            WHEN session_ops.success IS NOT NULL THEN session_ops.success
            WHEN endings.ending_at >= coalesce(endings.last_turn_at, endings.ending_at)
                THEN CASE WHEN endings.ending = 'done' THEN 1.0 ELSE 0.0 END
        END AS success,
        CASE
            WHEN units.action_id IS NOT NULL THEN 'action'
            WHEN session_ops.success IS NOT NULL THEN 'operations'
            ELSE 'ending'
        END AS outcome_kind
    FROM units
    LEFT JOIN attribution.success_scores AS score ON units.day = score.day AND units.action_id = score.action_id
    LEFT JOIN session_ops
        ON units.day = session_ops.day AND units.entry_id = session_ops.entry_id AND units.unit = session_ops.unit
    LEFT JOIN endings ON units.day = endings.day AND units.entry_id = endings.entry_id AND units.unit = endings.unit
)

SELECT
    day, -- day on which the action began, or on which the session was first served [not null]
    entry_id, -- the playbook entry [not null]
    entry_version, -- its version, as first served [not null] [0..]
    task_class, -- class of the task it was served for [not null]
    unit, -- the action or session, with what it is in front, so that ids of both kinds never meet [not null]
    action_id, -- the action; null where a session is the unit
    session_id, -- the session, where the serving named one
    goal_id, -- the goal of the action; null where it has none or a session is the unit
    CAST(date_trunc('week', day) AS DATE) AS week, -- the Monday of its week [not null]
    withheld AS is_withheld, -- whether the entry was withheld, as the first serving says [not null]
    serving_count > withheld_count AND withheld_count > 0 AS is_mixed, -- whether it was shown as well as withheld
    -- [not null]
    serving_count, -- how often it was served to the unit, shown or withheld [not null] [1..]
    served_at, -- when it was first served [not null]
    success, -- what came of the unit [not null] [0..1]
    outcome_kind -- what success is: of the action, of the session's operations, or how the session ended [not null]
FROM judged
WHERE success IS NOT NULL
