-- What playbooks learn from: every action that succeeded or failed and every operation of a class, as the steps that were taken.
--
-- The steps of an action are its decisions in their order, as actor > decision (attribution.blame_steps), the first 60. Those of
-- an operation are the calls of its session on that day for the same class, up to it, at most 10; they are empty where it
-- belongs to an action of the day or the one before whose decisions are known, which then speaks for it. Operations that are
-- corrections of an overseer (source overseer_correction) are neither success nor failure, and are not here; nor are actions of
-- which nothing was expected.
--
-- shown are the playbook entries that the agent had before it: as the action or operation says (playbook_ids), and as was
-- served to its action or session on the day or the one before. What does as an entry says after being shown it is no evidence
-- for that entry.
--
-- Example: an agent takes 3 steps, looks an order up, checks the policy and refunds, and what was expected is met. That is a run
-- with items ['- > look_up_order', '- > check_policy', '- > issue_refund'] and is_success. A refund call in it has items [].
--
-- grain: kind, event_id
-- partition: day
-- window: -1..0, attribution.actions 0..0, attribution.steps 0..0, operations.failures 0..0
-- not portable: orders steps in lists, and calls in windows of lists, which Spark does otherwise
-- question: Which ways of refunding were tried, and did they work?
-- sql:
--   SELECT items, is_success FROM playbooks.runs WHERE task_class = 'refund' ORDER BY is_success DESC
-- answer:
--   ['- > look_up_order', '- > check_policy', '- > issue_refund'] | true
--   ['- > check_policy', '- > issue_refund'] | false
-- What holds for the day on which it happened and for the next one: joins are by day and id, so that a day comes out alike
-- whichever days are made with it.
WITH held AS (
    SELECT CAST(later.days AS INTEGER) AS days
    FROM (VALUES (0), (1)) AS later (days)
),

served AS (
    SELECT
        serving.day + held.days AS day,
        serving.entry_id,
        serving.action_id,
        serving.session_id
    FROM landed.playbooks_served AS serving
    CROSS JOIN held
    WHERE serving.day BETWEEN $start - 1 AND $stop AND NOT serving.withheld
),

served_to_action AS (
    SELECT
        day,
        action_id,
        list(DISTINCT entry_id) AS entry_ids
    FROM served
    WHERE action_id <> ''
    GROUP BY day, action_id
),

served_to_session AS (
    SELECT
        day,
        session_id,
        list(DISTINCT entry_id) AS entry_ids
    FROM served
    WHERE session_id <> ''
    GROUP BY day, session_id
),

judged AS (
    SELECT
        day,
        action_id,
        action_type,
        goal_id,
        is_failure,
        list(component ORDER BY position) FILTER (WHERE position < 60) AS items
    FROM attribution.blame_steps
    WHERE day BETWEEN $start - 1 AND $stop AND is_failure IS NOT NULL AND action_type <> ''
    GROUP BY day, action_id, action_type, goal_id, is_failure
),

actions AS (
    SELECT
        judged.day,
        'action' AS kind,
        first_step.event_id,
        judged.action_type AS task_class,
        NULL AS endpoint,
        NOT judged.is_failure AS is_success,
        CAST(action.duration_ms AS DOUBLE) AS duration_ms,
        judged.goal_id AS asked_for,
        action.began_at AS happened_at,
        judged.items,
        list_concat(action.playbook_ids, served.entry_ids) AS shown,
        judged.action_id,
        NULL AS sig_hash,
        NULL AS template
    FROM judged
    INNER JOIN attribution.actions AS action ON judged.day = action.day AND judged.action_id = action.action_id
    INNER JOIN attribution.steps AS first_step
        ON
            judged.day = first_step.day
            AND judged.action_id = first_step.action_id
            AND first_step.position = 0
    LEFT JOIN served_to_action AS served ON judged.day = served.day AND judged.action_id = served.action_id
    WHERE
        judged.day BETWEEN $start AND $stop
        AND action.day BETWEEN $start AND $stop
        AND first_step.day BETWEEN $start AND $stop
),

known_actions AS (
    SELECT DISTINCT
        judged.day + held.days AS day,
        judged.action_id
    FROM judged
    CROSS JOIN held
),

-- The id breaks ties of time, so that the same events have the same order however they arrived.
operations AS (
    SELECT
        op.day,
        'op' AS kind,
        op.event_id,
        op.task_class,
        op.endpoint,
        op.success AS is_success,
        op.duration_ms,
        op.input_summary AS asked_for,
        CASE WHEN op.ts_suspect THEN op.received_at ELSE op.ts END AS happened_at,
        CASE
            WHEN known.action_id IS NOT NULL THEN []
            WHEN coalesce(op.session_id, '') = '' THEN [op.endpoint]
            ELSE
                list(op.endpoint) OVER (
                    PARTITION BY op.day, op.session_id, op.task_class
                    ORDER BY op.ts, op.event_id
                    ROWS BETWEEN 9 PRECEDING AND CURRENT ROW
                )
        END AS items,
        list_concat(list_concat(op.playbook_ids, served.entry_ids), in_session.entry_ids) AS shown,
        op.action_id,
        op.sig_hash,
        failure.template
    FROM landed.ops AS op
    LEFT JOIN known_actions AS known ON op.day = known.day AND op.action_id = known.action_id
    LEFT JOIN served_to_action AS served ON op.day = served.day AND op.action_id = served.action_id
    LEFT JOIN served_to_session AS in_session ON op.day = in_session.day AND op.session_id = in_session.session_id
    LEFT JOIN operations.failures AS failure
        ON
            op.day = failure.day
            AND op.event_id = failure.event_id
            AND failure.kind = 'op'
            AND failure.day BETWEEN $start AND $stop
    WHERE op.day BETWEEN $start AND $stop AND op.task_class <> '' AND op.source <> 'overseer_correction'
),

every AS (
    SELECT * FROM actions
    UNION ALL
    SELECT * FROM operations
)

SELECT
    day, -- day on which the action began, or the operation happened [not null]
    kind, -- action or op [not null]
    event_id, -- the operation, or the first step of the action [not null]
    task_class, -- class of the task [not null]
    endpoint, -- the operation called; null for an action
    is_success, -- whether what was expected was met, or the operation succeeded [not null]
    duration_ms, -- how long it took [0..]
    asked_for, -- the goal of the action, or the summary of the operation's input
    happened_at, -- when it began [not null]
    items, -- the steps in their order: actor > decision, or endpoints [not null]
    list_sort(list_distinct(shown)) AS shown, -- playbook entries that it was shown, in the order of their ids [not null]
    action_id, -- the action that it is or belongs to
    sig_hash, -- signature of the operation
    template -- the error of an operation that failed, without what varies (operations.failures)
FROM every
