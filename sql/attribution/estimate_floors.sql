-- What each published estimate scores, and what it would score if outcomes or labels were shuffled: its floor.
--
-- Of each class of tasks, as of the last day; what is measured by labels as of the last day on which the class had some of the last
-- 90 days. Blame of later days is not measured: stats_through says so.
-- `prior` is top_1 of the prior that speaks for the class, with the labels of each goal left out in turn. Its floor permutes the
-- labelled positions among the class's labelled actions (a position beyond the end becomes the last) and learns again, here of
-- the class alone. So it says whether more is known than where failures tend to be. `credit_baseline` is the same for credit
-- that grows towards the end.
-- `contrast` is the share of a failure that the step with most of it explains by the contrast of its component (1 - exp(-c), see
-- attribution.blame_contrasts; here without other goals), the mean over the failures of goals with mixed outcomes.
-- `contrast_top_1` is how often that contrast, times the lift of the place, ranks the labelled step of such a failure first.
-- `step_value` is the mean of what components with at least 5 runs on either side differ by, up or down. The floors of these
-- three shuffle outcomes among the runs of each goal, and reckon again.
-- `correction_effects` is by how much the success of corrected retries is off from what plain ones of their attempt number let
-- expect, up or down. Its floor shuffles within the attempt who was corrected.
-- `uplift` is the mean absolute uplift of playbook entries. Its floor shuffles within entry, goal and week who was shown it
-- (playbooks.uplift_floors).
--
-- 200 shuffles each, which follow from the ids: the same lake has the same floors. At most 200 labelled actions, 240 runs and
-- 400 retries of a class take part, chosen by their ids. p is (1 + shuffles that score as high) / 201. An estimate may be cited
-- where p is at most 0.05 (is_above_floor); one that gives each step of an action the same, or that no shuffle changes, is
-- degenerate. What is published and cannot be tested, such as a prior without labels, has 0 samples and is above nothing.
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
--   contrast_top_1 | 0.0 | 0.0 | 200 | false | true
--   credit_baseline | 0.0 | 0.0 | 200 | false | true
--   prior | 0.0 | 0.0 | 200 | false | true
--   step_value | null | null | 0 | false | false
--   uplift | 1.0 | 1.0 | 200 | false | false
WITH shuffles AS (
    SELECT CAST(nth AS BIGINT) AS shuffle
    FROM unnest(generate_series(0, 200)) AS numbers (nth)
),

label_days AS (
    SELECT
        action_type,
        max(day) AS day
    FROM attribution.blame_methods
    GROUP BY action_type
),

last_day AS (
    SELECT max(day) AS day
    FROM (
        SELECT max(day) AS day FROM attribution.blame_steps
        UNION ALL
        SELECT max(day) AS day FROM label_days
    ) AS days
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
    INNER JOIN label_days ON step.day = label_days.day AND step.action_type = label_days.action_type
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
    INNER JOIN label_days ON step.day = label_days.day AND step.action_type = label_days.action_type
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
    INNER JOIN label_days ON method.day = label_days.day AND method.action_type = label_days.action_type
    WHERE method.is_chosen AND method.evidence = 'labels'
),

used AS (
    SELECT
        chosen.action_type,
        listed.feature,
        listed.exponent
    FROM chosen
    INNER JOIN (
        VALUES
        ('position', 'place', 1.0),
        ('decision_position', 'decision', 1.0),
        ('decision_position', 'place', 0.1), -- as tie_lift of attribution.blame_evidence
        ('position_actor', 'place', 1.0),
        ('position_actor', 'actor', 1.0),
        ('position_decision', 'place', 1.0),
        ('position_decision', 'decision', 1.0),
        ('repetition', 'place', 1.0),
        ('repetition', 'decision', 1.0),
        ('repetition', 'repetition', 1.0),
        ('repetition', 'doubt', 1.0)
    ) AS listed (method, feature, exponent)
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
        used.exponent,
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
        count(action_key) AS runs,
        max(CASE WHEN action_key IN (SELECT action_key FROM labelled) THEN 1 ELSE 0 END) AS has_label
    FROM runs
    GROUP BY action_type, goal_id
    HAVING count(CASE WHEN is_failure THEN 1 END) > 0 AND count(CASE WHEN NOT is_failure THEN 1 END) > 0
),

taken AS (
    SELECT
        *,
        sum(runs) OVER (PARTITION BY action_type ORDER BY has_label DESC, md5(goal_id), goal_id) AS runs_so_far,
        row_number() OVER (PARTITION BY action_type ORDER BY has_label DESC, md5(goal_id), goal_id) AS nth
    FROM mixed
),

sampled AS (
    SELECT
        runs.action_type,
        runs.goal_id,
        runs.action_key,
        runs.is_failure,
        row_number() OVER (ORDER BY runs.action_key) AS run,
        count(CASE WHEN runs.is_failure THEN 1 END) OVER (PARTITION BY runs.action_type, runs.goal_id) AS failures,
        count(runs.action_key) OVER (PARTITION BY runs.action_type, runs.goal_id) AS runs
    FROM runs
    INNER JOIN taken ON runs.action_type = taken.action_type AND runs.goal_id = taken.goal_id
    WHERE taken.runs_so_far <= 240 OR (taken.nth = 1 AND taken.runs <= 2400)
),

reordered AS (
    SELECT
        shuffles.shuffle,
        sampled.run,
        sampled.failures,
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

failing AS (
    SELECT
        shuffle,
        run
    FROM reordered
    WHERE nth <= failures
),

-- Components of the runs, each at its first place in the run; sign numbers those of a goal.
carried AS (
    SELECT
        sampled.run,
        sampled.action_type,
        sampled.failures,
        sampled.runs,
        step.component,
        step.position,
        dense_rank() OVER (ORDER BY sampled.action_type, sampled.goal_id, step.component) AS sign
    FROM attribution.blame_steps AS step
    INNER JOIN last_day ON step.day BETWEEN last_day.day - 27 AND last_day.day
    INNER JOIN sampled ON sampled.action_key = step.action_id || ' ' || CAST(step.day AS VARCHAR)
    WHERE step.is_first
),

signs AS (
    SELECT
        sign,
        action_type,
        component,
        failures AS f,
        runs AS n,
        count(run) AS k
    FROM carried
    GROUP BY sign, action_type, component, failures, runs
),

shown AS (
    SELECT
        failing.shuffle,
        failing.run,
        carried.sign
    FROM failing
    INNER JOIN carried ON failing.run = carried.run
),

counted AS (
    SELECT
        shuffle,
        sign,
        count(run) AS a
    FROM shown
    GROUP BY shuffle, sign
),

-- By how much a sign explains one of the failures that show it, that one left out: 1 - exp(-c).
explaining AS (
    SELECT
        counted.shuffle,
        counted.sign,
        greatest(
            1
            - (signs.k - counted.a + 2 * (signs.k - 0.5) / signs.n) / (signs.n - signs.f + 2)
            / ((counted.a - 1 + 2 * (signs.k - 0.5) / signs.n) / (signs.f + 1)),
            0
        ) AS share
    FROM counted
    INNER JOIN signs ON counted.sign = signs.sign
),

explained AS (
    SELECT
        shown.shuffle,
        shown.run,
        max(explaining.share) AS share
    FROM shown
    INNER JOIN explaining ON shown.shuffle = explaining.shuffle AND shown.sign = explaining.sign
    GROUP BY shown.shuffle, shown.run
),

contrast_scores AS (
    SELECT
        'contrast' AS estimate,
        sampled.action_type,
        explained.shuffle,
        count(explained.run) AS samples,
        sum(CAST(explained.share AS DECIMAL(18, 9))) / count(explained.run) AS score,
        FALSE AS is_flat
    FROM explained
    INNER JOIN sampled ON explained.run = sampled.run
    GROUP BY sampled.action_type, explained.shuffle
),

-- A goal's runs with a component differ from its others by (k f / n - a) / w in success, with w = k (n - k) / n.
seen_often AS (
    SELECT
        action_type,
        component,
        sum(CAST(k * f / n AS DECIMAL(24, 9))) AS expected,
        sum(CAST(k * (n - k) / n AS DECIMAL(24, 9))) AS weight
    FROM signs
    WHERE n > k
    GROUP BY action_type, component
    HAVING sum(k) >= 5 AND sum(n - k) >= 5
),

failed_with AS (
    SELECT
        counted.shuffle,
        signs.action_type,
        signs.component,
        sum(counted.a) AS a
    FROM counted
    INNER JOIN signs ON counted.sign = signs.sign
    WHERE signs.n > signs.k
    GROUP BY counted.shuffle, signs.action_type, signs.component
),

value_scores AS (
    SELECT
        'step_value' AS estimate,
        seen_often.action_type,
        shuffles.shuffle,
        count(seen_often.component) AS samples,
        sum(
            CAST(abs(seen_often.expected - coalesce(failed_with.a, 0)) / seen_often.weight AS DECIMAL(18, 9))
        ) / count(seen_often.component) AS score,
        FALSE AS is_flat
    FROM seen_often
    CROSS JOIN shuffles
    LEFT JOIN failed_with
        ON
            shuffles.shuffle = failed_with.shuffle
            AND seen_often.action_type = failed_with.action_type
            AND seen_often.component = failed_with.component
    GROUP BY seen_often.action_type, shuffles.shuffle
),

-- Labelled failures whose goal has contrast, with the contrast c of each step. own is 1 where the run itself is a failure of
-- the shuffle: it is left out, be it failure or success.
contrasted AS (
    SELECT
        shuffles.shuffle,
        steps.action_type,
        steps.action_key,
        steps.position,
        steps.place_lift,
        signs.f,
        signs.n,
        signs.k,
        coalesce(counted.a, 0) AS a,
        CASE WHEN failing.run IS NULL THEN 0 ELSE 1 END AS own
    FROM steps
    INNER JOIN sampled ON steps.action_key = sampled.action_key
    CROSS JOIN shuffles
    LEFT JOIN failing ON shuffles.shuffle = failing.shuffle AND sampled.run = failing.run
    LEFT JOIN carried ON sampled.run = carried.run AND steps.position = carried.position
    LEFT JOIN signs ON carried.sign = signs.sign
    LEFT JOIN counted ON shuffles.shuffle = counted.shuffle AND carried.sign = counted.sign
    WHERE steps.has_contrast
),

surprising AS (
    SELECT
        *,
        greatest(
            coalesce(
                ln((a - own + 2 * (k - 0.5) / n) / (f - own + 2))
                - ln((k - a - 1 + own + 2 * (k - 0.5) / n) / (n - f - 1 + own + 2)),
                0
            ),
            0
        ) AS contrast
    FROM contrasted
),

scored AS (
    SELECT
        'prior' AS estimate,
        lifts.shuffle,
        featured.action_type,
        featured.action_key,
        featured.position,
        sum(
            CAST(
                lifts.exponent * ln(coalesce((lifts.c + 5 * lifts.rate) / (lifts.t + 5) / lifts.rate, 1))
                AS DECIMAL(18, 9)
            )
        ) AS score
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
    UNION ALL
    SELECT
        'contrast_top_1' AS estimate,
        shuffle,
        action_type,
        action_key,
        position,
        CAST(
            ln(place_lift * (1.02 - exp(-contrast)))
            - coalesce(
                sum(CAST(contrast AS DECIMAL(18, 9))) OVER (
                    PARTITION BY shuffle, action_key
                    ORDER BY position
                    ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
                ),
                0
            ) AS DECIMAL(18, 9)
        ) AS score
    FROM surprising
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

top_1_scores AS (
    SELECT
        first_steps.estimate,
        first_steps.action_type,
        first_steps.shuffle,
        count(first_steps.action_key) AS samples,
        sum(CASE WHEN first_steps.position = dealt.decisive_position THEN 1.0 ELSE 0.0 END)
        / count(first_steps.action_key) AS score,
        min(CASE WHEN first_steps.is_flat THEN 1 ELSE 0 END) = 1 AS is_flat
    FROM first_steps
    INNER JOIN dealt
        ON
            first_steps.action_key = dealt.action_key
            AND dealt.shuffle = CASE WHEN first_steps.estimate = 'contrast_top_1' THEN 0 ELSE first_steps.shuffle END
    GROUP BY first_steps.estimate, first_steps.action_type, first_steps.shuffle
),

compared_retries AS (
    SELECT
        task_class,
        attempt,
        event_id,
        is_corrected,
        success,
        count(CASE WHEN is_corrected THEN 1 END) OVER (PARTITION BY task_class, attempt) AS n1,
        count(event_id) OVER (PARTITION BY task_class, attempt) AS n
    FROM operations.retries
    WHERE is_corrected OR NOT was_corrected_before
),

drawn_retries AS (
    SELECT
        *,
        row_number() OVER (PARTITION BY task_class ORDER BY md5(event_id), event_id) AS nth
    FROM compared_retries
    WHERE n1 BETWEEN 1 AND n - 1
),

retries AS (
    SELECT
        task_class,
        attempt,
        event_id,
        is_corrected,
        success,
        count(CASE WHEN is_corrected THEN 1 END) OVER (PARTITION BY task_class, attempt) AS n1,
        count(event_id) OVER (PARTITION BY task_class, attempt) AS n
    FROM drawn_retries
    WHERE nth <= 400
),

advised AS (
    SELECT
        shuffles.shuffle,
        retries.task_class,
        retries.success,
        retries.n1 / retries.n AS chance,
        CASE
            WHEN row_number() OVER (
                PARTITION BY shuffles.shuffle, retries.task_class, retries.attempt
                ORDER BY
                    CASE WHEN shuffles.shuffle > 0 THEN md5(CAST(shuffles.shuffle AS VARCHAR) || retries.event_id) END,
                    CASE WHEN retries.is_corrected THEN 0 ELSE 1 END,
                    retries.event_id
            ) <= retries.n1 THEN 1
            ELSE 0
        END AS advice
    FROM retries
    CROSS JOIN shuffles
),

correction_scores AS (
    SELECT
        'correction_effects' AS estimate,
        task_class AS action_type,
        shuffle,
        sum(advice) AS samples,
        abs(sum(CASE WHEN success THEN CAST(advice - chance AS DECIMAL(18, 9)) ELSE 0 END)) / sum(advice) AS score,
        FALSE AS is_flat
    FROM advised
    GROUP BY task_class, shuffle
    HAVING sum(advice) > 0
),

every_score AS (
    SELECT * FROM top_1_scores
    UNION ALL
    SELECT * FROM contrast_scores
    UNION ALL
    SELECT * FROM value_scores
    UNION ALL
    SELECT * FROM correction_scores
),

compared AS (
    SELECT
        original.estimate,
        original.action_type,
        original.samples,
        original.score,
        count(shuffled.shuffle) AS shuffles,
        sum(CAST(shuffled.score AS DECIMAL(18, 9))) / count(shuffled.shuffle) AS floor,
        (1 + count(CASE WHEN shuffled.score >= original.score - 0.000000001 THEN 1 END))
        / (1 + count(shuffled.shuffle)) AS p,
        original.is_flat OR (
            min(shuffled.score) = max(shuffled.score) AND min(shuffled.score) = original.score
        ) AS is_degenerate
    FROM every_score AS original
    INNER JOIN every_score AS shuffled
        ON
            original.estimate = shuffled.estimate
            AND original.action_type = shuffled.action_type
            AND original.shuffle = 0
            AND shuffled.shuffle > 0
    GROUP BY original.estimate, original.action_type, original.samples, original.score, original.is_flat
    UNION ALL
    SELECT
        'uplift' AS estimate,
        task_class AS action_type,
        samples,
        score,
        shuffles,
        floor,
        p,
        is_degenerate
    FROM playbooks.uplift_floors
),

-- What is published, tested or not.
published AS (
    SELECT
        'prior' AS estimate,
        action_type
    FROM runs
    WHERE is_failure
    UNION
    SELECT
        'contrast' AS estimate,
        action_type
    FROM mixed
    UNION
    SELECT
        'step_value' AS estimate,
        value.action_type
    FROM attribution.step_value AS value
    WHERE value.day = (SELECT max(latest.day) FROM attribution.step_value AS latest)
    UNION
    SELECT
        'correction_effects' AS estimate,
        task_class AS action_type
    FROM operations.retries
    WHERE is_corrected
    UNION
    SELECT
        estimate,
        action_type
    FROM compared
)

SELECT
    published.estimate, -- prior, contrast, contrast_top_1, credit_baseline, step_value, correction_effects or
    -- uplift [not null]
    published.action_type, -- class of the task [not null]
    CAST(coalesce(compared.samples, 0) AS BIGINT) AS samples, -- labelled actions, failures, components, corrected retries or units
    -- that the score is a mean of; 0 where there is nothing to test it by [not null] [0..]
    CAST(compared.score AS DOUBLE) AS score, -- what the estimate scores; null, as the next ones, where it is untested [0..1]
    CAST(compared.floor AS DOUBLE) AS floor, -- mean of what it scores shuffled [0..1]
    CAST(compared.score - compared.floor AS DOUBLE) AS margin, -- score less floor [-1..1]
    coalesce(compared.shuffles, 0) AS shuffles, -- how often it was shuffled [not null] [0..]
    compared.p, -- probability of a score as high if there were nothing in it [0..1]
    coalesce(compared.is_degenerate, FALSE) AS is_degenerate, -- whether it tells no step from another, or no shuffle changes it
    -- [not null]
    coalesce(compared.p <= 0.05 AND NOT compared.is_degenerate, FALSE) AS is_above_floor, -- whether it may be cited [not null]
    CASE
        WHEN published.estimate IN ('prior', 'credit_baseline', 'contrast_top_1')
            THEN coalesce(label_days.day, last_day.day)
        ELSE last_day.day
    END AS stats_through -- last day of the statistics that it rests on; what is published later is not measured
FROM published
CROSS JOIN last_day
LEFT JOIN label_days ON published.action_type = label_days.action_type
LEFT JOIN compared ON published.estimate = compared.estimate AND published.action_type = compared.action_type
