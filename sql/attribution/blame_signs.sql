-- How many failing and passing runs of each goal show each sign: what contrast is worked out from.
--
-- A sign is something that a run shows or does not: `did: C`, that component C is among its steps (attribution.blame_steps);
-- `repeated: C`, that it is there three times or more; `actor: A`, that A, named as in components, decided something;
-- `contradicted`, that a step stated what had been reported otherwise; and `run`, which every run shows, so that it counts them.
-- Counts add up over days.
-- Damped counts are for a method that trusts repetition less: a run that shows a sign k times counts 0.9^(k-1).
--
-- Example: a goal had 3 failing runs and 1 passing run on a day; 2 of the failing ones refunded, one of them three times. Its
-- sign `did: clerk > refund` has 2 failing runs, 0 passing ones, 4 failing occurrences and 1 + 0.9^2 = 1.81 damped.
--
-- grain: action_type, goal_id, sign
-- partition: day
-- window: 0..0
-- question: What did refunds for spring-returns do only when they failed?
-- sql:
--   SELECT sign, failing_runs FROM attribution.blame_signs
--   WHERE action_type = 'refund' AND passing_runs = 0
--   ORDER BY sign
-- answer:
--   contradicted | 1
WITH carried AS (
    SELECT
        day,
        action_type,
        goal_id,
        action_id,
        is_failure,
        'did: ' || component AS sign,
        occurrences,
        place
    FROM attribution.blame_steps
    WHERE is_first AND is_failure IS NOT NULL AND day BETWEEN $start AND $stop
    UNION ALL
    SELECT
        day,
        action_type,
        goal_id,
        action_id,
        is_failure,
        'repeated: ' || component AS sign,
        occurrences,
        place
    FROM attribution.blame_steps
    WHERE is_first AND occurrences >= 3 AND is_failure IS NOT NULL AND day BETWEEN $start AND $stop
    UNION ALL
    SELECT
        day,
        action_type,
        goal_id,
        action_id,
        is_failure,
        'actor: ' || split_part(component, ' > ', 1) AS sign,
        count(position) AS occurrences,
        min(place) AS place
    FROM attribution.blame_steps
    WHERE is_failure IS NOT NULL AND day BETWEEN $start AND $stop
    GROUP BY day, action_type, goal_id, action_id, is_failure, split_part(component, ' > ', 1)
    UNION ALL
    SELECT
        day,
        action_type,
        goal_id,
        action_id,
        is_failure,
        'contradicted' AS sign,
        count(position) AS occurrences,
        min(place) AS place
    FROM attribution.blame_steps
    WHERE doubt = 'contradicted' AND is_failure IS NOT NULL AND day BETWEEN $start AND $stop
    GROUP BY day, action_type, goal_id, action_id, is_failure
    UNION ALL
    SELECT
        day,
        action_type,
        goal_id,
        action_id,
        is_failure,
        'run' AS sign,
        step_count AS occurrences,
        0 AS place
    FROM attribution.blame_steps
    WHERE position = 0 AND is_failure IS NOT NULL AND day BETWEEN $start AND $stop
),

damped AS (
    SELECT
        *,
        CAST(pow(CAST(0.9 AS DOUBLE), occurrences - 1) AS DECIMAL(18, 9)) AS damped
    FROM carried
)

SELECT
    day, -- day on which the runs began [not null]
    action_type, -- class of the task [not null]
    goal_id, -- the goal pursued [not null]
    sign, -- what the runs show [not null]
    count(CASE WHEN is_failure THEN action_id END) AS failing_runs, -- failures that show it [not null] [0..]
    count(CASE WHEN NOT is_failure THEN action_id END) AS passing_runs, -- successes that do [not null] [0..]
    CAST(coalesce(sum(CASE WHEN is_failure THEN occurrences END), 0) AS BIGINT) AS failing_occurrences, -- times in failures; of `run` the
    -- steps [not null] [0..]
    CAST(coalesce(sum(CASE WHEN NOT is_failure THEN occurrences END), 0) AS BIGINT) AS passing_occurrences, -- times in successes [not null]
    -- [0..]
    coalesce(sum(CASE WHEN is_failure THEN damped END), 0) AS failing_damped, -- failures that show it, damped [not null]
    -- [0..]
    coalesce(sum(CASE WHEN NOT is_failure THEN damped END), 0) AS passing_damped, -- successes that do, damped [not null]
    -- [0..]
    CAST(coalesce(sum(CASE WHEN is_failure THEN place END), 0) AS BIGINT) AS failing_places -- sum of the places at which failures show it
    -- first [not null] [0..]
FROM damped
GROUP BY day, action_type, goal_id, sign
