-- How far each sign of a goal's runs tells its failures from its successes, over 28 days.
--
-- Only goals with failing and passing runs have rows. Of the F failing and P passing runs of a goal, a and b show the sign
-- (attribution.blame_signs). contrast is the logarithm of how much likelier failures show it than successes, for explaining
-- one of these failures, which is left out, so that what is seen once is no evidence of itself. With a' = a - 1, F' = F - 1 and
-- the common rate r = (a' + b + 0.5) / (F' + P + 1) it is
-- ln((a' + 2 min(r sqrt(k), 1)) / (F' + 2)) - ln((b + 2 min(r / sqrt(k), 1)) / (P + 2)):
-- two imagined runs of each kind shrink it towards what the class's other goals say, the ratio k of Mantel and Haenszel,
-- (sum(a P / (F + P)) + 0.5) / (sum(b F / (F + P)) + 0.5) over them, which is 1 when none shows the sign.
--
-- The others are scores of spectrum-based fault localisation: ochiai is a / sqrt(F (a + b)) and kulczynski2
-- (a / F + a / (a + b)) / 2. famas is kulczynski2 of damped counts, times 1 + (a + b) / (runs in which the actor appears), times
-- 1 + (times the component appears) / (times its actor does); its factor for repetition within a run is the run's own.
--
-- Example: 4 failing and 6 passing runs, 3 and 0 of which refund; no other goal does. r = 2.5 / 10 = 0.25; contrast =
-- ln(2.5 / 5) - ln(0.5 / 8) = 2.08; ochiai = 3 / sqrt(4 * 3) = 0.866; kulczynski2 = (0.75 + 1) / 2 = 0.875.
--
-- grain: action_type, goal_id, sign
-- partition: day
-- window: -27..0, attribution.blame_steps 0..0, attribution.labelled_steps 0..0
-- question: What tells refunds that fail from those that do not?
-- sql:
--   SELECT sign, failing_runs, passing_runs, round(ochiai, 2) AS ochiai, round(contrast, 2) AS contrast
--   FROM attribution.blame_contrasts
--   WHERE day = DATE '2026-01-05' AND action_type = 'refund' AND sign NOT LIKE 'actor%' ORDER BY sign
-- answer:
--   contradicted | 1 | 0 | 1.0 | 0.41
--   did: - > check_policy | 1 | 1 | 0.71 | -0.11
--   did: - > issue_refund | 1 | 1 | 0.71 | -0.11
--   did: - > look_up_order | 0 | 1 | 0.0 | -0.11
WITH days AS (
    SELECT day
    FROM attribution.blame_steps
    WHERE day BETWEEN $start AND $stop
    UNION
    SELECT day
    FROM attribution.labelled_steps
    WHERE day BETWEEN $start AND $stop
),

summed AS (
    SELECT
        days.day,
        sign.action_type,
        sign.goal_id,
        sign.sign,
        sum(sign.failing_runs) AS a,
        sum(sign.passing_runs) AS b,
        sum(sign.failing_occurrences + sign.passing_occurrences) AS occurrences,
        sum(sign.failing_damped) AS damped_a,
        sum(sign.passing_damped) AS damped_b
    FROM days
    INNER JOIN attribution.blame_signs AS sign ON sign.day BETWEEN days.day - 27 AND days.day
    WHERE sign.day BETWEEN $start - 27 AND $stop
    GROUP BY days.day, sign.action_type, sign.goal_id, sign.sign
),

mixed AS (
    SELECT
        summed.*,
        run.a AS f,
        run.b AS p,
        CASE
            WHEN summed.sign LIKE 'did: %' THEN 'actor: ' || split_part(substr(summed.sign, 6), ' > ', 1)
        END AS actor_sign
    FROM summed
    INNER JOIN summed AS run
        ON
            summed.day = run.day
            AND summed.action_type = run.action_type
            AND summed.goal_id = run.goal_id
            AND run.sign = 'run'
    WHERE run.a > 0 AND run.b > 0 AND summed.sign <> 'run'
),

stratified AS (
    SELECT
        *,
        CAST(a * p / (f + p) AS DECIMAL(18, 6)) AS failing_share,
        CAST(b * f / (f + p) AS DECIMAL(18, 6)) AS passing_share
    FROM mixed
),

pooled AS (
    SELECT
        day,
        action_type,
        sign,
        sum(failing_share) AS failing_share,
        sum(passing_share) AS passing_share
    FROM stratified
    GROUP BY day, action_type, sign
),

rated AS (
    SELECT
        stratified.*,
        greatest(stratified.a - 1, 0) AS others_a,
        (greatest(stratified.a - 1, 0) + stratified.b + 0.5) / (stratified.f + stratified.p) AS rate,
        sqrt(
            (pooled.failing_share - stratified.failing_share + 0.5)
            / (pooled.passing_share - stratified.passing_share + 0.5)
        ) AS tilt
    FROM stratified
    INNER JOIN pooled
        ON
            stratified.day = pooled.day
            AND stratified.action_type = pooled.action_type
            AND stratified.sign = pooled.sign
)

SELECT
    rated.day, -- last of the 28 days [not null]
    rated.action_type, -- class of the task [not null]
    rated.goal_id, -- the goal pursued [not null]
    rated.sign, -- what runs show or do not [not null]
    CAST(rated.a AS BIGINT) AS failing_runs, -- failures that show it [not null] [0..]
    CAST(rated.b AS BIGINT) AS passing_runs, -- successes that show it [not null] [0..]
    CAST(rated.f AS BIGINT) AS failures, -- failing runs of the goal [not null] [1..]
    CAST(rated.p AS BIGINT) AS passes, -- passing runs of the goal [not null] [1..]
    ln((rated.others_a + 2 * least(rated.rate * rated.tilt, 1)) / (rated.f + 1))
    - ln((rated.b + 2 * least(rated.rate / rated.tilt, 1)) / (rated.p + 2))
        AS contrast, -- above 0: it goes with failure, the run explained left out [not null]
    rated.a / sqrt(rated.f * (rated.a + rated.b)) AS ochiai, -- score of Ochiai [not null] [0..1]
    (rated.a / rated.f + rated.a / (rated.a + rated.b)) / 2 AS kulczynski2, -- second score of Kulczynski [not null] [0..1]
    (rated.damped_a / rated.f + rated.damped_a / (rated.damped_a + rated.damped_b)) / 2
    * (1 + coalesce((rated.a + rated.b) / (actor.a + actor.b), 0))
    * (1 + coalesce(rated.occurrences / actor.occurrences, 0))
        AS famas -- score of FAMAS without its factor for the run; of `did` alone it has all parts [not null] [0..]
FROM rated
LEFT JOIN summed AS actor
    ON
        rated.day = actor.day
        AND rated.action_type = actor.action_type
        AND rated.goal_id = actor.goal_id
        AND rated.actor_sign = actor.sign
