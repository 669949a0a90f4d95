-- What a decision is worth: success with it against success without it, within the same goal.
--
-- Over the 28 days that end with the day, and over the goals of a class that have runs with and runs without the component
-- (attribution.blame_steps): the difference of the two success rates, goals weighing n1 n0 / (n1 + n0) with n1 runs with it and
-- n0 without, as in the risk difference of Mantel and Haenszel. Its variance is the weighed sum of q (1 - q) / n, where
-- q = (successes + 0.5) / (runs + 1), so that no goal is taken for certain. The difference is shrunk as if decisions differed
-- with a standard deviation of 0.2 around 0: value = difference * 0.04 / (0.04 + variance), with a 95 % interval of
-- 1.96 sqrt(0.04 variance / (0.04 + variance)) around it. Only is_seen_often, at least 5 runs on either side, is worth citing.
--
-- It is no effect: what goes with success need not bring it about. Whether a class's values are above their shuffled floor
-- stands in attribution.estimate_floors.
--
-- Example: a goal has 10 runs with a decision, 9 of them successes, and 10 without, 3 of them successes. difference is 0.6,
-- variance 0.0335, and value 0.6 * 0.04 / 0.0735 = 0.327, from 0.062 to 0.591.
--
-- grain: action_type, component
-- partition: day
-- window: -27..0
-- question: What is looking the order up worth, as far as one run with it and one without can tell?
-- sql:
--   SELECT component, difference, round(value, 2) AS value, round(value_low, 2) AS low, round(value_high, 2) AS high,
--       is_seen_often
--   FROM attribution.step_value WHERE day = DATE '2026-01-05' AND action_type = 'refund' ORDER BY component
-- answer:
--   - > look_up_order | 1.0 | 0.1 | -0.28 | 0.47 | false
WITH days AS (
    SELECT DISTINCT day
    FROM attribution.blame_signs
    WHERE day BETWEEN $start AND $stop
),

summed AS (
    SELECT
        days.day,
        sign.action_type,
        sign.goal_id,
        sign.sign,
        sum(sign.failing_runs + sign.passing_runs) AS runs,
        sum(sign.passing_runs) AS successes
    FROM days
    INNER JOIN attribution.blame_signs AS sign ON sign.day BETWEEN days.day - 27 AND days.day
    WHERE (sign.sign = 'run' OR sign.sign LIKE 'did: %') AND sign.day BETWEEN $start - 27 AND $stop
    GROUP BY days.day, sign.action_type, sign.goal_id, sign.sign
),

paired AS (
    SELECT
        did.day,
        did.action_type,
        substr(did.sign, 6) AS component,
        did.runs AS n1,
        every.runs - did.runs AS n0,
        did.successes AS s1,
        every.successes - did.successes AS s0,
        did.runs * (every.runs - did.runs) / every.runs AS weight
    FROM summed AS did
    INNER JOIN summed AS every
        ON
            did.day = every.day
            AND did.action_type = every.action_type
            AND did.goal_id = every.goal_id
            AND every.sign = 'run'
    WHERE did.sign <> 'run' AND every.runs > did.runs
),

rated AS (
    SELECT
        *,
        (s1 + 0.5) / (n1 + 1) AS q1,
        (s0 + 0.5) / (n0 + 1) AS q0
    FROM paired
),

pooled AS (
    SELECT
        day,
        action_type,
        component,
        count(component) AS goals,
        sum(n1) AS runs_with,
        sum(n0) AS runs_without,
        sum(CAST(weight * (s1 / n1 - s0 / n0) AS DECIMAL(24, 9))) / sum(CAST(weight AS DECIMAL(24, 9))) AS difference,
        sum(CAST(weight * weight * (q1 * (1 - q1) / n1 + q0 * (1 - q0) / n0) AS DECIMAL(24, 9)))
        / pow(sum(CAST(weight AS DECIMAL(24, 9))), 2) AS variance
    FROM rated
    GROUP BY day, action_type, component
),

shrunk AS (
    SELECT
        *,
        difference * 0.04 / (0.04 + variance) AS value,
        1.959963984540054 * sqrt(0.04 * variance / (0.04 + variance)) AS half_width
    FROM pooled
)

SELECT
    day, -- last of the 28 days [not null]
    action_type, -- class of the task [not null]
    component, -- who did what [not null]
    goals, -- goals with runs of both kinds [not null] [1..]
    CAST(runs_with AS BIGINT) AS runs_with, -- runs with it in these [not null] [1..]
    CAST(runs_without AS BIGINT) AS runs_without, -- runs without it [not null] [1..]
    difference, -- success rate with it less that without, goals weighed [not null] [-1..1]
    value, -- the same, shrunk: what it is worth [not null] [-1..1]
    value - half_width AS value_low, -- lower bound of its 95 % interval [not null]
    value + half_width AS value_high, -- upper bound of it [not null]
    runs_with >= 5 AND runs_without >= 5 AS is_seen_often -- whether there are at least 5 runs on either side [not null]
FROM shrunk
