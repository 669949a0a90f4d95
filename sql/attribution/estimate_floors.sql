-- What each published estimate scores, and what it would score if outcomes or labels were shuffled: its floor.
--
-- Of each class of tasks, as of the last day. `prior` is top_1 of the prior that speaks for the class, with the labels of each
-- goal left out in turn; its floor permutes the labelled positions among the class's labelled actions (a position beyond the
-- end becomes the last) and learns again, here of the class alone. So it says whether more is known than where failures tend to be. `credit_baseline` is
-- the same for credit that grows towards the end. `contrast` is the share of a failure that the step with most of it explains
-- by the contrast of its component (1 - exp(-c), see attribution.blame; here without other goals), the mean over the failures
-- of goals with mixed outcomes; `step_value` is the mean of what components with at least 5 runs on either side differ by, up or
-- down. The floors of these two shuffle outcomes among the runs of each goal, and reckon again.
--
-- 200 shuffles each, which follow from the ids: the same lake has the same floors. At most 200 labelled actions and 240 runs
-- of a class take part, chosen by their ids. p is (1 + shuffles that score as high) / 201. An estimate may be cited where
-- p is at most 0.05 (is_above_floor); one that gives each step of an action the same, or that no shuffle changes, is degenerate.
--
-- Example: a prior finds 23 of 60 steps; shuffles find 12 on average, and 4 of 200 as many as 23. score is 0.383, floor 0.2,
-- margin 0.183 and p = 5 / 201 = 0.0249.
--
-- grain: estimate, action_type
-- partition: none
-- question: Is there anything in what is said of refunds?
-- sql:
--   SELECT estimate, round(score, 2) AS score, round(floor, 2) AS floor, shuffles, is_above_floor, is_degenerate
--   FROM attribution.estimate_floors WHERE action_type = 'refund' ORDER BY estimate
-- answer:
--   contrast | 0.0 | 0.16 | 200 | false | false
--   credit_baseline | 0.0 | 0.0 | 200 | false | true
--   prior | 0.0 | 0.0 | 200 | false | true
WITH shuffles AS (
    SELECT CAST(nth AS BIGINT) AS shuffle
    FROM unnest(generate_series(0, 200)) AS numbers (nth)
),

last_day AS (
    SELECT max(day) AS day
    FROM attribution.blame_steps
),

candidates AS (
    SELECT
        step.action_type,
        step.goal_id,
        step.action_id || ' ' || CAST(step.action_day AS VARCHAR) AS action_key,
        step.position AS decisive_position,
        step.step_count,
        row_number() OVER (
            PARTITION BY step.action_type ORDER BY md5(step.action_id), step.action_id, step.action_day
        ) AS nth
    FROM attribution.blame_evidence AS step
    INNER JOIN last_day ON step.day = last_day.day
    WHERE step.is_decisive
),

labelled AS (
    SELECT *
    FROM candidates
    WHERE nth <= 200
),

drawn AS (
    SELECT
        shuffles.shuffle,
        labelled.action_type,
        labelled.decisive_position,
        row_number() OVER (
            PARTITION BY shuffles.shuffle, labelled.action_type
            ORDER BY
                CASE WHEN shuffles.shuffle > 0 THEN md5(CAST(shuffles.shuffle AS VARCHAR) || labelled.action_key) END,
                labelled.nth
        ) AS nth
    FROM labelled
    CROSS JOIN shuffles
),

dealt AS (
    SELECT
        drawn.shuffle,
        labelled.action_type,
        labelled.goal_id,
        labelled.action_key,
        least(drawn.decisive_position, labelled.step_count - 1) AS decisive_position
    FROM drawn
    INNER JOIN labelled ON drawn.action_type = labelled.action_type AND drawn.nth = labelled.nth
),

steps AS (
    SELECT
        labelled.action_type,
        labelled.goal_id,
        labelled.action_key,
        step.position,
        step.credit,
        CAST(step.place AS VARCHAR) AS place,
        step.actor,
        step.decision,
        step.repetition,
        step.doubt,
        step.place_lift,
        step.ochiai IS NOT NULL AS has_contrast
    FROM attribution.blame_evidence AS step
    INNER JOIN last_day ON step.day = last_day.day
    INNER JOIN labelled ON labelled.action_key = step.action_id || ' ' || CAST(step.action_day AS VARCHAR)
),

featured AS (
    SELECT
        steps.action_type,
        steps.goal_id,
        steps.action_key,
        steps.position,
        listed.feature,
        CASE listed.feature
            WHEN 'place' THEN steps.place
            WHEN 'actor' THEN steps.actor
            WHEN 'decision' THEN steps.decision
            WHEN 'repetition' THEN steps.repetition
            ELSE steps.doubt
        END AS value
    FROM steps
    CROSS JOIN (VALUES ('place'), ('decision'), ('actor'), ('repetition'), ('doubt')) AS listed (feature)
),

chosen AS (
    SELECT
        method.action_type,
        method.method
    FROM attribution.blame_methods AS method
    INNER JOIN last_day ON method.day = last_day.day
    WHERE method.is_chosen AND method.evidence = 'labels'
),

used AS (
    SELECT
        chosen.action_type,
        listed.feature
    FROM chosen
    INNER JOIN (
        VALUES
        ('position', 'place'),
        ('position_actor', 'place'),
        ('position_actor', 'actor'),
        ('position_decision', 'place'),
        ('position_decision', 'decision'),
        ('repetition', 'place'),
        ('repetition', 'decision'),
        ('repetition', 'repetition'),
        ('repetition', 'doubt')
    ) AS listed (method, feature)
        ON chosen.method = listed.method
),

step_counts AS (
    SELECT
        action_type,
        goal_id,
        feature,
        value,
        count(position) AS t
    FROM featured
    GROUP BY action_type, goal_id, feature, value
),

decisive_counts AS (
    SELECT
        dealt.shuffle,
        featured.action_type,
        featured.goal_id,
        featured.feature,
        featured.value,
        count(featured.position) AS c
    FROM dealt
    INNER JOIN featured
        ON dealt.action_key = featured.action_key AND dealt.decisive_position = featured.position
    GROUP BY dealt.shuffle, featured.action_type, featured.goal_id, featured.feature, featured.value
),

class_steps AS (
    SELECT
        action_type,
        feature,
        value,
        sum(t) AS t
    FROM step_counts
    GROUP BY action_type, feature, value
),

class_decisive AS (
    SELECT
        shuffle,
        action_type,
        feature,
        value,
        sum(c) AS c
    FROM decisive_counts
    GROUP BY shuffle, action_type, feature, value
),

sums AS (
    SELECT
        action_type,
        CAST(count(position) AS DOUBLE) AS steps,
        CAST(count(DISTINCT action_key) AS DOUBLE) AS actions
    FROM steps
    GROUP BY action_type
),

goal_sums AS (
    SELECT
        action_type,
        goal_id,
        CAST(count(position) AS DOUBLE) AS steps,
        CAST(count(DISTINCT action_key) AS DOUBLE) AS actions
    FROM steps
    GROUP BY action_type, goal_id
),

goal_lifts AS (
    SELECT
        shuffles.shuffle,
        own.action_type,
        own.goal_id,
        own.feature,
        own.value,
        class_steps.t - own.t AS t,
        coalesce(class_decisive.c, 0) - coalesce(own_decisive.c, 0) AS c,
        (sums.actions - goal_sums.actions) / nullif(sums.steps - goal_sums.steps, 0) AS rate
    FROM step_counts AS own
    CROSS JOIN shuffles
    INNER JOIN used ON own.action_type = used.action_type AND own.feature = used.feature
    INNER JOIN sums ON own.action_type = sums.action_type
    INNER JOIN goal_sums ON own.action_type = goal_sums.action_type AND own.goal_id = goal_sums.goal_id
    INNER JOIN class_steps
        ON
            own.action_type = class_steps.action_type
            AND own.feature = class_steps.feature
            AND own.value = class_steps.value
    LEFT JOIN class_decisive
        ON
            shuffles.shuffle = class_decisive.shuffle
            AND own.action_type = class_decisive.action_type
            AND own.feature = class_decisive.feature
            AND own.value = class_decisive.value
    LEFT JOIN decisive_counts AS own_decisive
        ON
            shuffles.shuffle = own_decisive.shuffle
            AND own.action_type = own_decisive.action_type
            AND own.goal_id = own_decisive.goal_id
            AND own.feature = own_decisive.feature
            AND own.value = own_decisive.value
),

scored AS (
    SELECT
        'prior' AS estimate,
        lifts.shuffle,
        featured.action_type,
        featured.action_key,
        featured.position,
        sum(CAST(ln(coalesce((lifts.c + 5 * lifts.rate) / (lifts.t + 5) / lifts.rate, 1)) AS DECIMAL(18, 9))) AS score
    FROM featured
    INNER JOIN goal_lifts AS lifts
        ON
            featured.action_type = lifts.action_type
            AND featured.goal_id = lifts.goal_id
            AND featured.feature = lifts.feature
            AND featured.value = lifts.value
    GROUP BY lifts.shuffle, featured.action_type, featured.action_key, featured.position
    UNION ALL
    SELECT
        'credit_baseline' AS estimate,
        shuffles.shuffle,
        steps.action_type,
        steps.action_key,
        steps.position,
        CAST(steps.credit AS DECIMAL(18, 9)) AS score
    FROM steps
    CROSS JOIN shuffles
),

first_steps AS (
    SELECT
        estimate,
        shuffle,
        action_type,
        action_key,
        min_by(position, -score * 1000000 + position / 1000000) AS position,
        min(score) = max(score) AS is_flat
    FROM scored
    GROUP BY estimate, shuffle, action_type, action_key
),

prior_scores AS (
    SELECT
        first_steps.estimate,
        first_steps.action_type,
        first_steps.shuffle,
        count(first_steps.action_key) AS samples,
        sum(CASE WHEN first_steps.position = dealt.decisive_position THEN 1.0 ELSE 0.0 END)
        / count(first_steps.action_key) AS score,
        min(CASE WHEN first_steps.is_flat THEN 1 ELSE 0 END) = 1 AS is_flat
    FROM first_steps
    INNER JOIN dealt ON first_steps.shuffle = dealt.shuffle AND first_steps.action_key = dealt.action_key
    GROUP BY first_steps.estimate, first_steps.action_type, first_steps.shuffle
),

runs AS (
    SELECT
        step.action_type,
        step.goal_id,
        step.action_id || ' ' || CAST(step.day AS VARCHAR) AS action_key,
        step.is_failure
    FROM attribution.blame_steps AS step
    INNER JOIN last_day ON step.day BETWEEN last_day.day - 27 AND last_day.day
    WHERE step.position = 0 AND step.is_failure IS NOT NULL
),

mixed AS (
    SELECT
        action_type,
        goal_id,
        count(action_key) AS runs
    FROM runs
    GROUP BY action_type, goal_id
    HAVING count(CASE WHEN is_failure THEN 1 END) > 0 AND count(CASE WHEN NOT is_failure THEN 1 END) > 0
),

taken AS (
    SELECT
        *,
        sum(runs) OVER (PARTITION BY action_type ORDER BY md5(goal_id), goal_id) AS runs_so_far,
        row_number() OVER (PARTITION BY action_type ORDER BY md5(goal_id), goal_id) AS nth
    FROM mixed
),

sampled AS (
    SELECT
        runs.action_type,
        runs.goal_id,
        runs.action_key,
        runs.is_failure,
        count(CASE WHEN runs.is_failure THEN 1 END) OVER (PARTITION BY runs.action_type, runs.goal_id) AS failures,
        count(runs.action_key) OVER (PARTITION BY runs.action_type, runs.goal_id) AS runs
    FROM runs
    INNER JOIN taken ON runs.action_type = taken.action_type AND runs.goal_id = taken.goal_id
    WHERE taken.runs_so_far <= 240 OR (taken.nth = 1 AND taken.runs <= 2400)
),

reordered AS (
    SELECT
        shuffles.shuffle,
        sampled.*,
        row_number() OVER (
            PARTITION BY shuffles.shuffle, sampled.action_type, sampled.goal_id
            ORDER BY
                CASE WHEN shuffles.shuffle > 0 THEN md5(CAST(shuffles.shuffle AS VARCHAR) || sampled.action_key) END,
                CASE WHEN sampled.is_failure THEN 0 ELSE 1 END,
                sampled.action_key
        ) AS nth
    FROM sampled
    CROSS JOIN shuffles
),

reshuffled AS (
    SELECT
        shuffle,
        action_type,
        goal_id,
        action_key,
        failures,
        runs,
        nth <= failures AS is_failure
    FROM reordered
),

carried AS (
    SELECT DISTINCT
        sampled.action_key,
        step.component
    FROM attribution.blame_steps AS step
    INNER JOIN last_day ON step.day BETWEEN last_day.day - 27 AND last_day.day
    INNER JOIN sampled ON sampled.action_key = step.action_id || ' ' || CAST(step.day AS VARCHAR)
),

counted AS (
    SELECT
        reshuffled.shuffle,
        reshuffled.action_type,
        reshuffled.goal_id,
        carried.component,
        max(reshuffled.failures) AS f,
        max(reshuffled.runs) AS n,
        count(CASE WHEN reshuffled.is_failure THEN 1 END) AS a,
        count(CASE WHEN NOT reshuffled.is_failure THEN 1 END) AS b
    FROM reshuffled
    INNER JOIN carried ON reshuffled.action_key = carried.action_key
    GROUP BY reshuffled.shuffle, reshuffled.action_type, reshuffled.goal_id, carried.component
),

contrasted AS (
    SELECT
        *,
        (greatest(a - 1, 0) + b + 0.5) / n AS rate
    FROM counted
),

explaining AS (
    SELECT
        reshuffled.shuffle,
        reshuffled.action_type,
        reshuffled.action_key,
        max(
            1 - (sign.b + 2 * sign.rate) / (sign.n - sign.f + 2)
            / ((greatest(sign.a - 1, 0) + 2 * sign.rate) / (sign.f + 1))
        ) AS share
    FROM reshuffled
    INNER JOIN carried ON reshuffled.action_key = carried.action_key
    INNER JOIN contrasted AS sign
        ON
            reshuffled.shuffle = sign.shuffle
            AND reshuffled.action_type = sign.action_type
            AND reshuffled.goal_id = sign.goal_id
            AND carried.component = sign.component
    WHERE reshuffled.is_failure
    GROUP BY reshuffled.shuffle, reshuffled.action_type, reshuffled.action_key
),

contrast_scores AS (
    SELECT
        'contrast' AS estimate,
        action_type,
        shuffle,
        count(action_key) AS samples,
        sum(CAST(greatest(share, 0) AS DECIMAL(18, 9))) / count(action_key) AS score,
        FALSE AS is_flat
    FROM explaining
    GROUP BY action_type, shuffle
),

differing AS (
    SELECT
        shuffle,
        action_type,
        component,
        sum(a + b) AS runs_with,
        sum(n - a - b) AS runs_without,
        sum(
            CAST((a + b) * (n - a - b) / n * (b / (a + b) - (n - f - b) / (n - a - b)) AS DECIMAL(24, 9))
        ) / sum(CAST((a + b) * (n - a - b) / n AS DECIMAL(24, 9))) AS difference
    FROM counted
    WHERE n > a + b
    GROUP BY shuffle, action_type, component
),

value_scores AS (
    SELECT
        'step_value' AS estimate,
        action_type,
        shuffle,
        count(component) AS samples,
        sum(CAST(abs(difference) AS DECIMAL(18, 9))) / count(component) AS score,
        FALSE AS is_flat
    FROM differing
    WHERE runs_with >= 5 AND runs_without >= 5
    GROUP BY action_type, shuffle
),

every_score AS (
    SELECT * FROM prior_scores
    UNION ALL
    SELECT * FROM contrast_scores
    UNION ALL
    SELECT * FROM value_scores
),

real_scores AS (
    SELECT *
    FROM every_score
    WHERE shuffle = 0
),

compared AS (
    SELECT
        real_scores.estimate,
        real_scores.action_type,
        real_scores.samples,
        real_scores.score,
        count(shuffled.shuffle) AS shuffles,
        sum(CAST(shuffled.score AS DECIMAL(18, 9))) / count(shuffled.shuffle) AS floor,
        (1 + count(CASE WHEN shuffled.score >= real_scores.score - 0.000000001 THEN 1 END))
        / (1 + count(shuffled.shuffle)) AS p,
        real_scores.is_flat OR (
            min(shuffled.score) = max(shuffled.score) AND min(shuffled.score) = real_scores.score
        ) AS is_degenerate
    FROM real_scores
    INNER JOIN every_score AS shuffled
        ON
            real_scores.estimate = shuffled.estimate
            AND real_scores.action_type = shuffled.action_type
            AND shuffled.shuffle > 0
    GROUP BY
        real_scores.estimate,
        real_scores.action_type,
        real_scores.samples,
        real_scores.score,
        real_scores.is_flat
)

SELECT
    estimate, -- prior, credit_baseline, contrast or step_value [not null]
    action_type, -- class of the task [not null]
    samples, -- labelled actions, failures or components that the score is a mean of [not null] [1..]
    CAST(score AS DOUBLE) AS score, -- what the estimate scores [not null] [0..1]
    CAST(floor AS DOUBLE) AS floor, -- mean of what it scores shuffled [not null] [0..1]
    CAST(score - floor AS DOUBLE) AS margin, -- score less floor [not null] [-1..1]
    shuffles, -- how often it was shuffled [not null] [1..]
    p, -- probability of a score as high if there were nothing in it [not null] [0..1]
    is_degenerate, -- whether it tells no step from another, or no shuffle changes it [not null]
    p <= 0.05 AND NOT is_degenerate AS is_above_floor -- whether it may be cited [not null]
FROM compared
