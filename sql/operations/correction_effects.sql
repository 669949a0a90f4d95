-- What advice is worth: success of corrected retries against plain ones, attempt by attempt, for each class of task and advice.
--
-- The hard cases get the advice, and the later an attempt, the harder is what is left. So retries (operations.retries) are
-- compared only with retries of the same class and attempt number. Controls are retries of operations that had not been
-- corrected at any attempt; carried_over_retries, not corrected themselves but at an earlier attempt, are in neither group. Each
-- advice is known by its template (operations.messages) and set against the same controls; a retry that had two counts for
-- both. scope `task_class` takes all corrections of the class together.
--
-- With a of n1 corrected and c of n0 control retries successful at an attempt, b and d those that failed, and n all of them:
-- odds_ratio = sum(a d / n) / sum(b c / n) over the attempts that have both kinds, after Mantel and Haenszel (1959); interval by
-- Robins, Breslow and Greenland (1986); chi_squared = (sum(a) - sum(E))^2 / sum(V), without correction for continuity, where E =
-- n1 (a + c) / n and V = n1 n0 (a + c) (b + d) / (n^2 (n - 1)) are mean and variance of a when it is shuffled within the attempt
-- who had the advice. So expected_successes is what the advice would score if it were worth nothing, and p_value says how
-- often as much comes about by shuffling; it is right to six digits.
--
-- effect says what follows: `helps` or `harms` with p_value below 0.05; `no_effect` when there is none to be seen, though the
-- data were enough to see one; `too_few` when the test cannot be relied on: sum(E) less than 5 away from the least or the most
-- that sum(a) could be (Mantel and Fleiss 1980). The interval tells how large an effect `no_effect` leaves possible. Of twenty
-- advices that are worth nothing one is said to have an effect. docs/methods/correction-effects.md says when this is wrong.
-- All history counts. A model that has days should read operations.retries, not this table: any news would make all its days.
--
-- Example: at attempt 2, 6 of 10 corrected and 3 of 10 plain retries succeed, at attempt 3 2 of 5 and 1 of 10; at attempt 4
-- 3 corrected ones have no control. odds_ratio is (42/20 + 18/15) / (12/20 + 3/15) = 4.125, expected_successes 4.5 + 1 = 5.5
-- against 8 corrected_successes of 15, and uncompared_retries 3.
--
-- grain: task_class, scope, template
-- partition: none
-- question: Which advice helps?
-- sql:
--   SELECT template, corrected_retries AS corrected, control_retries AS controls, uncompared_retries AS others, effect
--   FROM operations.correction_effects
--   ORDER BY template
-- answer:
--   (any) | 1 | 1 | 1 | too_few
--   Widen the radius to <*> miles. | 1 | 1 | 1 | too_few
WITH retries AS (
    SELECT
        task_class,
        attempt,
        CASE WHEN is_corrected THEN 'corrected' WHEN was_corrected_before THEN 'carried over' ELSE 'control' END AS arm,
        success,
        day,
        templates
    FROM operations.retries
),

corrected AS (
    SELECT
        task_class,
        attempt,
        success,
        day,
        'task_class' AS scope,
        '(any)' AS template
    FROM retries
    WHERE arm = 'corrected'
    UNION ALL
    SELECT
        task_class,
        attempt,
        success,
        day,
        'advice' AS scope,
        unnest(templates) AS template
    FROM retries
    WHERE arm = 'corrected'
),

treated AS (
    SELECT
        task_class,
        scope,
        template,
        attempt,
        count(*) AS n1,
        count(CASE WHEN success THEN 1 END) AS a,
        min(day) AS first_day,
        max(day) AS last_day
    FROM corrected
    GROUP BY task_class, scope, template, attempt
),

untreated AS (
    SELECT
        task_class,
        attempt,
        count(CASE WHEN arm = 'control' THEN 1 END) AS n0,
        count(CASE WHEN arm = 'control' AND success THEN 1 END) AS c,
        count(CASE WHEN arm = 'carried over' THEN 1 END) AS carried_over
    FROM retries
    GROUP BY task_class, attempt
),

strata AS (
    SELECT
        treated.*,
        treated.n1 - treated.a AS b,
        untreated.n0,
        untreated.c,
        untreated.n0 - untreated.c AS d,
        untreated.carried_over,
        CAST(treated.n1 + untreated.n0 AS DOUBLE) AS n,
        CAST(treated.a + untreated.c AS DOUBLE) AS successes
    FROM treated
    INNER JOIN untreated ON treated.task_class = untreated.task_class AND treated.attempt = untreated.attempt
),

terms AS (
    SELECT
        *,
        a * d / n AS r,
        b * c / n AS s,
        (a + d) / n AS p,
        (b + c) / n AS q,
        n1 * successes / n AS e,
        n1 * (n0 / n) * successes * ((n - successes) / n) / (n - 1) AS v
    FROM strata
    WHERE n0 > 0
),

-- Sums of decimals, which come out the same in whichever order rows are met.
sums AS (
    SELECT
        task_class,
        scope,
        template,
        count(*) AS strata_count,
        CAST(sum(n1) AS BIGINT) AS n1,
        CAST(sum(a) AS BIGINT) AS a,
        CAST(sum(n0) AS BIGINT) AS n0,
        CAST(sum(c) AS BIGINT) AS c,
        CAST(sum(CAST(r AS DECIMAL(38, 15))) AS DOUBLE) AS r,
        CAST(sum(CAST(s AS DECIMAL(38, 15))) AS DOUBLE) AS s,
        CAST(sum(CAST(p * r AS DECIMAL(38, 15))) AS DOUBLE) AS pr,
        CAST(sum(CAST(p * s + q * r AS DECIMAL(38, 15))) AS DOUBLE) AS ps_qr,
        CAST(sum(CAST(q * s AS DECIMAL(38, 15))) AS DOUBLE) AS qs,
        CAST(sum(CAST(e AS DECIMAL(38, 15))) AS DOUBLE) AS e,
        CAST(sum(CAST(v AS DECIMAL(38, 15))) AS DOUBLE) AS v,
        CAST(sum(greatest(successes - n0, 0)) AS BIGINT) AS least_a,
        CAST(sum(least(successes, n1)) AS BIGINT) AS most_a
    FROM terms
    GROUP BY task_class, scope, template
),

every AS (
    SELECT
        task_class,
        scope,
        template,
        CAST(sum(CASE WHEN n0 = 0 THEN n1 ELSE 0 END) AS BIGINT) AS uncompared_retries,
        CAST(sum(carried_over) AS BIGINT) AS carried_over_retries,
        min(first_day) AS first_day,
        max(last_day) AS last_day
    FROM strata
    GROUP BY task_class, scope, template
),

estimated AS (
    SELECT
        task_class,
        scope,
        template,
        CASE WHEN s > 0 THEN r / s END AS odds_ratio,
        CASE
            WHEN r > 0 AND s > 0
                THEN
                    CAST(1.959963984540054 AS DOUBLE) * sqrt(pr / (2 * r * r) + ps_qr / (2 * r * s) + qs / (2 * s * s))
        END AS margin,
        CASE WHEN v > 0 THEN (a - e) * (a - e) / v END AS chi_squared,
        round(e - least_a, 9) >= 5 AND round(most_a - e, 9) >= 5 AS is_enough
    FROM sums
),

-- The tail of chi-squared with one degree of freedom is erfc(sqrt(x / 2)), here by Chebyshev fitting (Press et al., Numerical
-- Recipes, 6.2): neither DuckDB nor Spark has the function. Its relative error is below 1.2e-7 everywhere.
tailed AS (
    SELECT
        *,
        1 / (1 + sqrt(chi_squared / 2) / 2) AS t
    FROM estimated
),

tested AS (
    SELECT
        *,
        CASE
            WHEN chi_squared IS NOT NULL -- least passes over a null
                THEN
                    least(
                        t * exp(
                            -chi_squared / 2
                            - 1.26551223
                            + 1.00002368 * t
                            + 0.37409196 * pow(t, 2)
                            + 0.09678418 * pow(t, 3)
                            - 0.18628806 * pow(t, 4)
                            + 0.27886807 * pow(t, 5)
                            - 1.13520398 * pow(t, 6)
                            + 1.48851587 * pow(t, 7)
                            - 0.82215223 * pow(t, 8)
                            + 0.17087277 * pow(t, 9)
                        ), 1
                    )
        END AS p_value
    FROM tailed
)

SELECT
    every.task_class, -- class of the task [not null]
    every.scope, -- `advice` for one advice, `task_class` for all of the class together [not null]
    every.template, -- the advice without what varies; `(any)` for all of the class [not null]
    coalesce(sums.n1, 0) AS corrected_retries, -- retries that had it, at attempts that have controls [not null] [0..]
    coalesce(sums.a, 0) AS corrected_successes, -- those of them that succeeded [not null] [0..]
    coalesce(sums.n0, 0) AS control_retries, -- controls: plain retries of the same attempt numbers [not null] [0..]
    coalesce(sums.c, 0) AS control_successes, -- those of them that succeeded [not null] [0..]
    coalesce(sums.strata_count, 0) AS compared_attempts, -- attempt numbers that have both [not null] [0..]
    every.uncompared_retries, -- retries that had it at an attempt without controls: they tell nothing [not null] [0..]
    every.carried_over_retries, -- plain retries of these attempts that earlier advice may still have helped; left out
    -- [not null] [0..]
    sums.e AS expected_successes, -- of the corrected retries, were the advice worth nothing; null without controls [0..]
    tested.odds_ratio, -- odds of success with it over those without; 1 is no difference; null when none that had it failed
    -- or no control succeeded [0..]
    tested.odds_ratio * exp(-tested.margin) AS odds_ratio_low, -- lower bound of its 95 % interval; null without one [0..]
    tested.odds_ratio * exp(tested.margin) AS odds_ratio_high, -- upper bound of it; null without one [0..]
    tested.chi_squared, -- statistic of the test; null when nothing varies [0..]
    tested.p_value, -- how often shuffled advice does as much [0..1]
    CASE
        WHEN tested.is_enough IS NULL OR NOT tested.is_enough THEN 'too_few'
        WHEN tested.p_value >= 0.05 THEN 'no_effect'
        WHEN sums.a > sums.e THEN 'helps'
        ELSE 'harms'
    END AS effect, -- helps, harms, no_effect or too_few; see above [not null]
    every.first_day, -- day of the first retry that had it [not null]
    every.last_day -- day of the last one; counts are up to it [not null]
FROM every
LEFT JOIN sums
    ON every.task_class = sums.task_class AND every.scope = sums.scope AND every.template = sums.template
LEFT JOIN tested
    ON every.task_class = tested.task_class AND every.scope = tested.scope AND every.template = tested.template
