-- The record of each action for systems that learn: who was asked what, what came, and which steps earned it.
--
-- The prompt says what ran: "A ran T (goal=..., parent=..., steps=..., observations=..., success=...)", `none` standing for a
-- goal or parent that there is not. The response is the outcome. attribution_chain holds all fields of the action, its last 50
-- steps, each with its own credit, and its last 50 observations; steps before those keep their share, so that the credits of
-- a long chain sum to less than 1. Times in it are UTC. Actions that are still open have no record.
--
-- Example: agent `scout` ran `search` for goal g1 in 3 steps with 2 observations, meeting 5 of 6 expectations. Its prompt is
-- "scout ran search (goal=g1, parent=none, steps=3, observations=2, success=0.83)".
--
-- grain: prompt_id
-- partition: day
-- window: 0..0
-- not portable: nests JSON texts as JSON; Spark's to_json would write them as quoted strings
-- question: What does the record of a refund say, and which of its steps earned most?
-- sql:
--   SELECT prompt, max_by(part.value ->> '$.decision', (part.value ->> '$.credit')::DOUBLE) AS decision
--   FROM attribution.interactions, json_each(attribution_chain, '$.steps') AS part
--   WHERE prompt_id = 'refund-1'
--   GROUP BY prompt
-- answer:
--   clerk ran refund (goal=spring-returns, parent=plan-1, steps=3, observations=2, success=1.00) | issue_refund
WITH closed AS (
    SELECT
        action.*,
        score.success_score,
        score.is_error,
        score.expected_count,
        score.met_count
    FROM attribution.actions AS action
    INNER JOIN attribution.success_scores AS score
        ON action.day = score.day AND action.action_id = score.action_id
    WHERE action.day BETWEEN $start AND $stop AND score.day BETWEEN $start AND $stop
),

last_steps AS (
    SELECT
        step.day,
        step.action_id,
        list(
            {
                'position': step.position,
                'step_index': step.step_index,
                'happened_at': strftime(step.happened_at, '%Y-%m-%dT%H:%M:%S.%fZ'),
                'description': step.description,
                'decision': step.decision,
                'confidence': step.confidence,
                'actor': step.actor,
                'state': CAST(step.state AS JSON),
                'credit': share.credit
            } ORDER BY step.position
        ) AS steps
    FROM closed
    INNER JOIN attribution.steps AS step
        ON
            closed.day = step.day
            AND closed.action_id = step.action_id
            AND step.position >= closed.step_count - 50
    INNER JOIN attribution.step_credits AS share
        ON step.day = share.day AND step.action_id = share.action_id AND step.position = share.position
    WHERE step.day BETWEEN $start AND $stop AND share.day BETWEEN $start AND $stop
    GROUP BY step.day, step.action_id
),

last_observations AS (
    SELECT
        report.day,
        report.action_id,
        list(
            {
                'position': report.position,
                'happened_at': strftime(report.happened_at, '%Y-%m-%dT%H:%M:%S.%fZ'),
                'observation_type': report.observation_type,
                'reported_by': report.reported_by,
                'confidence': report.confidence,
                'data': CAST(report.data AS JSON)
            } ORDER BY report.position
        ) AS observations
    FROM closed
    INNER JOIN attribution.observations AS report
        ON
            closed.day = report.day
            AND closed.action_id = report.action_id
            AND report.position >= closed.observation_count - 50
    WHERE report.day BETWEEN $start AND $stop
    GROUP BY report.day, report.action_id
)

SELECT
    closed.day, -- day on which the action began [not null]
    closed.agent_id AS user_id, -- the agent that acted [not null]
    closed.action_id AS prompt_id, -- the action [not null]
    substr(
        concat(
            closed.agent_id,
            ' ran ',
            closed.action_type,
            ' (goal=',
            coalesce(closed.goal_id, 'none'),
            ', parent=',
            coalesce(closed.parent_action_id, 'none'),
            ', steps=',
            closed.step_count,
            ', observations=',
            closed.observation_count,
            ', success=',
            CAST(closed.success_score AS DECIMAL(3, 2)),
            ')'
        ), 1, 2000
    ) AS prompt, -- what ran, in one sentence of at most 2000 characters [not null]
    substr(closed.outcome, 1, 5000) AS response, -- JSON: the outcome, cut after 5000 characters [not null]
    concat(closed.agent_id, ':', closed.action_type) AS model_id, -- agent and class of task [not null]
    closed.duration_ms AS latency_ms, -- from the beginning of the action to its end [not null] [0..21600000]
    closed.goal_id, -- the goal pursued
    CAST(
        to_json(
            {
                'action': {
                    'action_id': closed.action_id,
                    'day': closed.day,
                    'agent_id': closed.agent_id,
                    'action_type': closed.action_type,
                    'goal_id': closed.goal_id,
                    'parent_action_id': closed.parent_action_id,
                    'status': closed.status,
                    'began_at': strftime(closed.began_at, '%Y-%m-%dT%H:%M:%S.%fZ'),
                    'ended_at': strftime(closed.ended_at, '%Y-%m-%dT%H:%M:%S.%fZ'),
                    'duration_ms': closed.duration_ms,
                    'deadline_at': strftime(closed.deadline_at, '%Y-%m-%dT%H:%M:%S.%fZ'),
                    'expected_outcome': CAST(closed.expected_outcome AS JSON),
                    'acceptance_criteria': closed.acceptance_criteria,
                    'playbook_ids': closed.playbook_ids,
                    'outcome': CAST(closed.outcome AS JSON),
                    'step_count': closed.step_count,
                    'observation_count': closed.observation_count,
                    'late_events': closed.late_events,
                    'early_events': closed.early_events,
                    'beginning_count': closed.beginning_count,
                    'success_score': closed.success_score,
                    'is_error': closed.is_error,
                    'expected_count': closed.expected_count,
                    'met_count': closed.met_count
                },
                'steps': coalesce(last_steps.steps, []),
                'observations': coalesce(last_observations.observations, [])
            }
        ) AS VARCHAR
    ) AS attribution_chain -- JSON: the action with all its fields, its last 50 steps with their credits and its last 50
    -- observations [not null]
FROM closed
LEFT JOIN last_steps ON closed.day = last_steps.day AND closed.action_id = last_steps.action_id
LEFT JOIN last_observations
    ON closed.day = last_observations.day AND closed.action_id = last_observations.action_id
