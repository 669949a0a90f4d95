-- Advice that the last 28 days speak for: what successes have in common, what failures did, and what put them right.
--
-- From the day on which 28 days hold at least 5 successes (OPLAKE_PLAYBOOK_SUCCESSES), for each class of task with at least 3
-- (OPLAKE_PLAYBOOK_CLASS_SUCCESSES): once for its actions as a whole, where endpoint is null, and once for each endpoint of its
-- operations. What is compared are the steps of runs (playbooks.runs). An operation of an action whose decisions are known adds
-- to counts and times alone: its action speaks for it.
--
-- basis says what speaks: `sequences`, closed sub-sequences that successes share (do), and steps that failures have and
-- successes do not (avoid); `step_value` and `blame`, steps that attribution.step_value and attribution.blame tell of, cited
-- only where the estimate is above its floor (playbooks.entries looks that up); `error_pattern`, errors of one class of task
-- alone; `correction`, advice after which an attempt succeeded (fix); `error_analysis`, what operations.error_analyses says
-- belongs in the playbook as a don't. is_proposed says that it is good enough for the book.
--
-- hits of runs are those of the outcome that a row is about: successes for do, failures for avoid, and for fix the attempts that
-- had the advice, of which hits succeeded. other_hits of other_runs are those of the other outcome, or the plain attempts. lift
-- is ((hits + 0.5) / (runs + 1)) / ((other_hits + 0.5) / (other_runs + 1)); p_value how often outcomes shuffled among the runs of
-- each goal do as much, times the patterns looked at: what is done for easy goals alone is in many successes, and no reason for
-- them. Goals with one run, and operations, are shuffled together. Runs that were shown an entry of the same kind with these
-- steps, more or fewer of them, or with the very words of a row are in none of these: an agent that does as it was told proves
-- nothing. Texts hold no figures, so that advice is known again. Words that look like orders to a model (ignore your
-- instructions, you are now, a marker of roles) are listed and never proposed: agents would obey.
--
-- Of different courses of one outcome the 500 most frequent are looked at, of events the latest 20 are named.
-- docs/methods/playbook-candidates.md has the formulas, what was measured and when it is wrong.
--
-- Example: 8 of 8 successes and none of 6 failures look a customer up before they pay. support is 1, lift (8.5 / 9) / (0.5 / 7)
-- = 13.2, p_value 1 / 3003 times the patterns looked at, were their goal one.
--
-- grain: basis, entry_id
-- partition: day
-- window: -27..0, attribution.step_value 0..0, operations.error_analyses 0..0
-- not portable: calls playbook_patterns, playbook_entry_id and injection_flags, which are Python
-- question: Is anything advised from so few successes as these events have?
-- sql:
--   SELECT count(*) AS candidates FROM playbooks.candidates
-- answer:
--   0
WITH limits AS (
    SELECT
        max(CASE WHEN name = 'successes' THEN value END) AS least_in_all,
        max(CASE WHEN name = 'class_successes' THEN value END) AS least
    FROM playbooks.limits
),

runs AS (
    SELECT *
    FROM playbooks.runs
    WHERE day BETWEEN $start - 27 AND $stop
),

days AS (
    SELECT DISTINCT day
    FROM runs
    WHERE day BETWEEN $start AND $stop
),

worked AS (
    SELECT days.day
    FROM days
    INNER JOIN runs ON runs.day BETWEEN days.day - 27 AND days.day
    CROSS JOIN limits
    WHERE runs.is_success AND len(runs.items) > 0
    GROUP BY days.day
    HAVING count(*) >= max(limits.least_in_all)
),

grouped AS (
    SELECT
        worked.day,
        runs.task_class,
        runs.endpoint,
        count(CASE WHEN runs.is_success THEN 1 END) AS successes,
        count(CASE WHEN NOT runs.is_success THEN 1 END) AS failures,
        CAST(
            sum(CASE WHEN runs.is_success THEN CAST(runs.duration_ms AS DECIMAL(24, 3)) END)
            / count(CASE WHEN runs.is_success THEN runs.duration_ms END) AS DOUBLE
        ) AS average_duration_ms,
        median(CASE WHEN runs.is_success THEN runs.duration_ms END) AS median_duration_ms
    FROM worked
    INNER JOIN runs ON runs.day BETWEEN worked.day - 27 AND worked.day
    CROSS JOIN limits
    GROUP BY worked.day, runs.task_class, runs.endpoint
    HAVING count(CASE WHEN runs.is_success THEN 1 END) >= max(limits.least)
),

recent AS (
    SELECT
        day,
        task_class,
        endpoint,
        asked_for,
        happened_at,
        event_id
    FROM runs
    WHERE is_success
    QUALIFY row_number() OVER (PARTITION BY day, task_class, endpoint ORDER BY happened_at DESC, event_id DESC) <= 3
),

exemplified AS (
    SELECT
        worked.day,
        recent.task_class,
        recent.endpoint,
        list(recent.asked_for ORDER BY recent.happened_at DESC, recent.event_id DESC)[:3] AS examples
    FROM worked
    INNER JOIN recent ON recent.day BETWEEN worked.day - 27 AND worked.day
    GROUP BY worked.day, recent.task_class, recent.endpoint
),

-- A course is what was done, with what had been shown. It is counted by its hash, and spelt out again only where it is frequent:
-- over many days at once there are 28 times as many.
courses_of_day AS (
    SELECT
        day,
        task_class,
        endpoint,
        is_success,
        items,
        shown,
        hash(items, shown) AS course,
        count(*) AS units,
        list(asked_for) FILTER (WHERE kind = 'action') AS goals, -- what an action is asked for is its goal
        max(event_id, 20) AS evidence
    FROM runs
    GROUP BY day, task_class, endpoint, is_success, items, shown
),

counted AS (
    SELECT
        worked.day,
        seen.task_class,
        seen.endpoint,
        seen.is_success,
        seen.course,
        sum(seen.units) AS units
    FROM worked
    INNER JOIN courses_of_day AS seen ON seen.day BETWEEN worked.day - 27 AND worked.day
    GROUP BY worked.day, seen.task_class, seen.endpoint, seen.is_success, seen.course
),

frequent AS (
    SELECT *
    FROM counted
    QUALIFY
        row_number() OVER (PARTITION BY day, task_class, endpoint, is_success ORDER BY units DESC, course) <= 500
),

courses AS (
    SELECT
        frequent.day,
        frequent.task_class,
        frequent.endpoint,
        frequent.is_success,
        seen.items,
        seen.shown,
        CAST(sum(seen.units) AS BIGINT) AS units,
        coalesce(flatten(list(seen.goals)), []) AS goals,
        list_reverse_sort(flatten(list(seen.evidence)))[:20] AS evidence
    FROM frequent
    INNER JOIN courses_of_day AS seen
        ON
            frequent.course = seen.course
            AND frequent.is_success = seen.is_success
            AND frequent.task_class = seen.task_class
            AND frequent.endpoint IS NOT DISTINCT FROM seen.endpoint
            AND seen.day BETWEEN frequent.day - 27 AND frequent.day
    GROUP BY frequent.day, frequent.task_class, frequent.endpoint, frequent.is_success, seen.items, seen.shown
),

items_of_day AS (
    SELECT
        day,
        task_class,
        item,
        sum(units) AS units
    FROM (
        SELECT
            day,
            task_class,
            unnest(list_distinct(items)) AS item,
            units
        FROM courses_of_day
        WHERE endpoint IS NULL AND is_success
    ) AS seen
    GROUP BY day, task_class, item
),

items_of_successes AS (
    SELECT
        worked.day,
        seen.task_class,
        seen.item,
        sum(seen.units) AS units
    FROM worked
    INNER JOIN items_of_day AS seen ON seen.day BETWEEN worked.day - 27 AND worked.day
    GROUP BY worked.day, seen.task_class, seen.item
),

errors AS (
    SELECT *
    FROM runs
    WHERE template <> ''
),

-- Steps that estimates single out, at most three of each in a class. Many steps are estimated, so that 95 % intervals would
-- single out some by chance: half as much again as the interval is what 15 steps call for.
valued AS (
    SELECT
        worked.day,
        value.action_type AS task_class,
        value.component AS item,
        'step_value' AS basis,
        'step_value' AS estimate
    FROM worked
    INNER JOIN attribution.step_value AS value ON worked.day = value.day
    WHERE
        value.day BETWEEN $start AND $stop
        AND value.is_seen_often
        AND value.value + 1.5 * (value.value_high - value.value) < 0
    QUALIFY
        row_number() OVER (PARTITION BY worked.day, value.action_type ORDER BY value.value, value.component) <= 3
),

decisive AS (
    SELECT
        blame.day,
        blame.action_type,
        step.component,
        count(*) AS units
    FROM attribution.blame AS blame
    INNER JOIN attribution.blame_steps AS step
        ON blame.day = step.day AND blame.action_id = step.action_id AND blame.position = step.position
    WHERE
        blame.day BETWEEN $start - 27 AND $stop
        AND step.day BETWEEN $start - 27 AND $stop
        AND blame.blame_rank = 1
        AND blame.blame >= 0.5
        AND blame.evidence_kind = 'contrast'
        AND blame.action_type <> ''
    GROUP BY blame.day, blame.action_type, step.component
),

blamed AS (
    SELECT
        worked.day,
        decisive.action_type AS task_class,
        decisive.component AS item,
        'blame' AS basis,
        'contrast' AS estimate
    FROM worked
    INNER JOIN decisive ON decisive.day BETWEEN worked.day - 27 AND worked.day
    INNER JOIN grouped
        ON worked.day = grouped.day AND decisive.action_type = grouped.task_class AND grouped.endpoint IS NULL
    LEFT JOIN items_of_successes AS item
        ON worked.day = item.day AND decisive.action_type = item.task_class AND decisive.component = item.item
    CROSS JOIN limits
    GROUP BY worked.day, decisive.action_type, decisive.component
    HAVING sum(decisive.units) >= max(limits.least) AND coalesce(max(item.units), 0) * 2 < max(grouped.successes)
    QUALIFY
        row_number() OVER (
            PARTITION BY worked.day, decisive.action_type ORDER BY sum(decisive.units) DESC, decisive.component
        ) <= 3
),

singled_out AS (
    SELECT * FROM valued
    UNION ALL
    SELECT * FROM blamed
),

cited AS (
    SELECT
        day,
        task_class,
        list_sort(list(DISTINCT item)) AS items
    FROM singled_out
    GROUP BY day, task_class
),

course_lists AS (
    SELECT
        day,
        task_class,
        endpoint,
        list(
            struct_pack(
                items := items,
                is_success := is_success,
                units := units,
                shown := shown,
                evidence := evidence,
                goals := goals
            )
            ORDER BY items, is_success, shown
        ) AS courses
    FROM courses
    GROUP BY day, task_class, endpoint
),

mined AS (
    SELECT
        grouped.day,
        grouped.task_class,
        grouped.endpoint,
        unnest(
            playbook_patterns(
                grouped.task_class,
                grouped.endpoint,
                course_lists.courses,
                cited.items,
                limits.least
            )
        ) AS found
    FROM grouped
    INNER JOIN course_lists
        ON
            grouped.day = course_lists.day
            AND grouped.task_class = course_lists.task_class
            AND grouped.endpoint IS NOT DISTINCT FROM course_lists.endpoint
    LEFT JOIN cited
        ON grouped.day = cited.day AND grouped.task_class = cited.task_class AND grouped.endpoint IS NULL
    CROSS JOIN limits
),

classes_of_actions AS (
    SELECT
        day,
        task_class
    FROM grouped
    WHERE endpoint IS NULL
),

-- That an endpoint was called is news only where nothing is known of what is done around it.
sequences AS (
    SELECT
        mined.day,
        mined.task_class,
        mined.endpoint,
        struct_extract(mined.found, 'entry_id') AS entry_id,
        struct_extract(mined.found, 'kind') AS kind,
        'sequences' AS basis,
        struct_extract(mined.found, 'trigger') AS said_trigger,
        struct_extract(mined.found, 'do') AS said_do,
        struct_extract(mined.found, 'avoid') AS said_avoid,
        struct_extract(mined.found, 'pattern') AS pattern,
        CAST(NULL AS VARCHAR) AS template,
        CAST(NULL AS VARCHAR) AS estimate,
        struct_extract(mined.found, 'hits') AS hits,
        struct_extract(mined.found, 'runs') AS runs,
        struct_extract(mined.found, 'other_hits') AS other_hits,
        struct_extract(mined.found, 'other_runs') AS other_runs,
        struct_extract(mined.found, 'p_value') AS p_value,
        struct_extract(mined.found, 'is_proposed')
        AND (mined.endpoint IS NULL OR len(struct_extract(mined.found, 'pattern')) > 1 OR known.task_class IS NULL)
            AS is_proposed,
        struct_extract(mined.found, 'evidence') AS evidence
    FROM mined
    LEFT JOIN classes_of_actions AS known ON mined.day = known.day AND mined.task_class = known.task_class
),

cited_steps AS (
    SELECT
        mined.day,
        mined.task_class,
        mined.endpoint,
        struct_extract(mined.found, 'entry_id') AS entry_id,
        struct_extract(mined.found, 'kind') AS kind,
        singled_out.basis,
        struct_extract(mined.found, 'trigger') AS said_trigger,
        struct_extract(mined.found, 'do') AS said_do,
        struct_extract(mined.found, 'avoid') AS said_avoid,
        struct_extract(mined.found, 'pattern') AS pattern,
        CAST(NULL AS VARCHAR) AS template,
        singled_out.estimate,
        struct_extract(mined.found, 'hits') AS hits,
        struct_extract(mined.found, 'runs') AS runs,
        struct_extract(mined.found, 'other_hits') AS other_hits,
        struct_extract(mined.found, 'other_runs') AS other_runs,
        struct_extract(mined.found, 'p_value') AS p_value,
        struct_extract(mined.found, 'is_proposed') AND struct_extract(mined.found, 'is_unexplained') AS is_proposed,
        struct_extract(mined.found, 'evidence') AS evidence
    FROM mined
    INNER JOIN singled_out
        ON
            mined.day = singled_out.day
            AND mined.task_class = singled_out.task_class
            AND mined.endpoint IS NULL
            AND struct_extract(mined.found, 'kind') = 'avoid'
            AND struct_extract(mined.found, 'pattern') = [singled_out.item]
),

error_groups AS (
    SELECT
        worked.day,
        error.task_class,
        error.endpoint,
        error.template,
        count(*) AS failures,
        count(CASE WHEN len(error.items) > 0 THEN 1 END) AS failures_of_its_own
    FROM worked
    INNER JOIN errors AS error ON error.day BETWEEN worked.day - 27 AND worked.day
    GROUP BY worked.day, error.task_class, error.endpoint, error.template
),

-- An error that several classes meet is the world's, not of how this task is done; one that few failures have is no rule.
error_shares AS (
    SELECT
        *,
        sum(failures) OVER (PARTITION BY day, task_class, template)
        / sum(failures) OVER (PARTITION BY day, template) AS share
    FROM error_groups
),

identified_errors AS (
    SELECT
        error.day,
        error.task_class,
        error.endpoint,
        error.template,
        grouped.successes,
        grouped.failures,
        error.share >= 0.8 AND error.failures_of_its_own >= 0.2 * grouped.failures AS is_own,
        'When calling ' || error.endpoint || ' for ' || error.task_class AS said_trigger,
        'What ends in “' || error.template || '”.' AS said_avoid,
        playbook_entry_id(
            error.task_class,
            error.endpoint,
            'avoid',
            'When calling ' || error.endpoint || ' for ' || error.task_class,
            '',
            'What ends in “' || error.template || '”.'
        ) AS entry_id
    FROM error_shares AS error
    INNER JOIN grouped
        ON error.day = grouped.day AND error.task_class = grouped.task_class AND error.endpoint = grouped.endpoint
    CROSS JOIN limits
    WHERE error.failures >= limits.least
    QUALIFY
        row_number() OVER (
            PARTITION BY error.day, error.task_class, error.endpoint ORDER BY error.failures DESC, error.template
        ) <= 3
),

error_hits AS (
    SELECT
        this.day,
        this.entry_id,
        count(*) AS hits,
        max(error.event_id, 20) AS evidence
    FROM identified_errors AS this
    INNER JOIN errors AS error
        ON
            error.day BETWEEN this.day - 27 AND this.day
            AND this.task_class = error.task_class
            AND this.endpoint = error.endpoint
            AND this.template = error.template
    WHERE NOT list_contains(error.shown, this.entry_id)
    GROUP BY this.day, this.entry_id
),

error_patterns AS (
    SELECT
        this.day,
        this.task_class,
        this.endpoint,
        this.entry_id,
        'avoid' AS kind,
        'error_pattern' AS basis,
        this.said_trigger,
        '' AS said_do,
        this.said_avoid,
        CAST([] AS VARCHAR[]) AS pattern,
        this.template,
        CAST(NULL AS VARCHAR) AS estimate,
        hit.hits,
        this.failures AS runs,
        0 AS other_hits,
        this.successes AS other_runs,
        CAST(NULL AS DOUBLE) AS p_value,
        this.is_own AND hit.hits >= limits.least AS is_proposed,
        hit.evidence
    FROM identified_errors AS this
    INNER JOIN error_hits AS hit ON this.day = hit.day AND this.entry_id = hit.entry_id
    CROSS JOIN limits
),

retries AS (
    SELECT
        retry.day,
        retry.task_class,
        retry.event_id,
        retry.sig_hash,
        retry.success,
        retry.is_corrected,
        retry.was_corrected_before,
        retry.templates,
        op.shown
    FROM operations.retries AS retry
    INNER JOIN runs AS op ON retry.day = op.day AND retry.event_id = op.event_id AND op.kind = 'op'
    WHERE retry.day BETWEEN $start - 27 AND $stop
),

advised AS (
    SELECT
        day,
        task_class,
        event_id,
        sig_hash,
        success,
        shown,
        unnest(templates) AS template
    FROM retries
    WHERE is_corrected
),

-- What is retried with some advice had mostly failed in one way: then that is when the advice applies.
advised_failures AS (
    SELECT
        worked.day,
        advised.task_class,
        advised.template,
        error.template AS error,
        count(*) AS failures
    FROM worked
    INNER JOIN advised ON advised.day BETWEEN worked.day - 27 AND worked.day
    INNER JOIN errors AS error
        ON
            advised.task_class = error.task_class
            AND advised.sig_hash = error.sig_hash
            AND error.day BETWEEN advised.day - 7 AND advised.day
            AND error.day >= worked.day - 27
    GROUP BY worked.day, advised.task_class, advised.template, error.template
    QUALIFY
        row_number() OVER (
            PARTITION BY worked.day, advised.task_class, advised.template ORDER BY count(*) DESC, error.template
        ) = 1
),

advice_texts AS (
    SELECT
        worked.day,
        message.name AS task_class,
        message.template,
        message.message
    FROM worked
    INNER JOIN operations.messages AS message ON message.day BETWEEN worked.day - 27 AND worked.day
    WHERE message.kind = 'correction' AND message.day BETWEEN $start - 27 AND $stop
    GROUP BY worked.day, message.name, message.template, message.message
    QUALIFY
        row_number() OVER (
            PARTITION BY worked.day, message.name, message.template ORDER BY count(*) DESC, message.message
        ) = 1
),

identified_advice AS (
    SELECT
        advice.day,
        advice.task_class,
        advice.template,
        advice.message AS said_do,
        'When '
        || advice.task_class
        || ' has failed'
        || coalesce(' with “' || failure.error || '”', '') AS said_trigger,
        playbook_entry_id(
            advice.task_class,
            NULL,
            'fix',
            'When ' || advice.task_class || ' has failed' || coalesce(' with “' || failure.error || '”', ''),
            advice.message,
            ''
        ) AS entry_id
    FROM advice_texts AS advice
    LEFT JOIN advised_failures AS failure
        ON
            advice.day = failure.day
            AND advice.task_class = failure.task_class
            AND advice.template = failure.template
),

plain AS (
    SELECT
        worked.day,
        retries.task_class,
        count(CASE WHEN retries.success THEN 1 END) AS successes,
        count(*) AS retries
    FROM worked
    INNER JOIN retries ON retries.day BETWEEN worked.day - 27 AND worked.day
    WHERE NOT retries.is_corrected AND NOT retries.was_corrected_before
    GROUP BY worked.day, retries.task_class
),

-- Two corrections may fold to one template but not two templates to one text, so that an entry is of one template.
corrections AS (
    SELECT
        this.day,
        this.task_class,
        CAST(NULL AS VARCHAR) AS endpoint,
        this.entry_id,
        'fix' AS kind,
        'correction' AS basis,
        min(this.said_trigger) AS said_trigger,
        min(this.said_do) AS said_do,
        '' AS said_avoid,
        CAST([] AS VARCHAR[]) AS pattern,
        this.template,
        CAST(NULL AS VARCHAR) AS estimate,
        count(CASE WHEN advised.success THEN 1 END) AS hits,
        count(*) AS runs,
        coalesce(max(plain.successes), 0) AS other_hits,
        coalesce(max(plain.retries), 0) AS other_runs,
        CAST(NULL AS DOUBLE) AS p_value,
        count(CASE WHEN advised.success THEN 1 END) >= max(limits.least)
        AND count(CASE WHEN advised.success THEN 1 END) * coalesce(max(plain.retries), 0)
        >= coalesce(max(plain.successes), 0) * count(*) AS is_proposed,
        max(advised.event_id, 20) FILTER (WHERE advised.success) AS evidence
    FROM identified_advice AS this
    INNER JOIN advised
        ON
            advised.day BETWEEN this.day - 27 AND this.day
            AND this.task_class = advised.task_class
            AND this.template = advised.template
    LEFT JOIN plain ON this.day = plain.day AND this.task_class = plain.task_class
    CROSS JOIN limits
    WHERE NOT list_contains(advised.shown, this.entry_id)
    GROUP BY this.day, this.task_class, this.entry_id, this.template
    HAVING count(CASE WHEN advised.success THEN 1 END) > 0
),

-- Labels say `Avoid` already, and cites lead nowhere outside the analysis.
analyses AS (
    SELECT
        day,
        task_class,
        template,
        failure_count,
        event_ids,
        len(injection_flags) = 0 AS is_clean,
        'When doing ' || task_class AS said_trigger,
        trim(
            regexp_replace(
                regexp_replace(dont, '\s*\[[a-z]+[0-9]+(, *[a-z]+[0-9]+)*\]', '', 'g'),
                '^(do not|don[''’]t|never|avoid)\s+', '', 'i'
            )
        ) AS said_avoid
    FROM operations.error_analyses
    WHERE day BETWEEN $start AND $stop AND status = 'ok' AND belongs_in_playbook AND task_class <> '' AND dont <> ''
),

identified_analyses AS (
    SELECT
        *,
        playbook_entry_id(task_class, NULL, 'avoid', said_trigger, '', said_avoid) AS entry_id
    FROM analyses
),

class_totals AS (
    SELECT
        analyses.day,
        analyses.task_class,
        count(CASE WHEN runs.is_success THEN 1 END) AS successes,
        count(CASE WHEN NOT runs.is_success THEN 1 END) AS failures
    FROM (SELECT DISTINCT
        day,
        task_class
    FROM analyses) AS analyses
    INNER JOIN runs
        ON
            analyses.task_class = runs.task_class
            AND runs.kind = 'op'
            AND runs.day BETWEEN analyses.day - 27 AND analyses.day
    GROUP BY analyses.day, analyses.task_class
),

own_shares AS (
    SELECT
        day,
        task_class,
        template,
        max(share) AS share
    FROM error_shares
    GROUP BY day, task_class, template
),

error_analyses AS (
    SELECT
        this.day,
        this.task_class,
        CAST(NULL AS VARCHAR) AS endpoint,
        this.entry_id,
        'avoid' AS kind,
        'error_analysis' AS basis,
        min(this.said_trigger) AS said_trigger,
        '' AS said_do,
        min(this.said_avoid) AS said_avoid,
        CAST([] AS VARCHAR[]) AS pattern,
        min(this.template) AS template,
        CAST(NULL AS VARCHAR) AS estimate,
        CAST(sum(this.failure_count) AS BIGINT) AS hits,
        coalesce(max(total.failures), 0) AS runs,
        0 AS other_hits,
        coalesce(max(total.successes), 0) AS other_runs,
        CAST(NULL AS DOUBLE) AS p_value,
        bool_and(this.is_clean AND coalesce(own.share >= 0.8, TRUE)) AS is_proposed,
        list_reverse_sort(list_distinct(flatten(list(this.event_ids))))[:20] AS evidence
    FROM identified_analyses AS this
    LEFT JOIN class_totals AS total ON this.day = total.day AND this.task_class = total.task_class
    LEFT JOIN own_shares AS own
        ON this.day = own.day AND this.task_class = own.task_class AND this.template = own.template
    GROUP BY this.day, this.task_class, this.entry_id
),

every AS (
    SELECT * FROM sequences
    UNION ALL
    SELECT * FROM cited_steps
    UNION ALL
    SELECT * FROM error_patterns
    UNION ALL
    SELECT * FROM corrections
    UNION ALL
    SELECT * FROM error_analyses
)

SELECT
    every.day, -- last of the 28 days [not null]
    every.entry_id, -- id of the entry that these words make; entries alike are united (playbooks.entries) [not null]
    every.task_class, -- class of task that it is for [not null]
    every.endpoint, -- the operation called; null for the task as a whole
    every.kind, -- do, avoid or fix [not null]
    every.basis, -- what speaks for it: sequences, step_value, blame, error_pattern, correction or error_analysis
    -- [not null]
    every.said_trigger AS trigger, -- when it applies [not null]
    every.said_do AS "do", -- what to do; empty where there is nothing to say [not null]
    every.said_avoid AS avoid, -- what to leave; empty where there is nothing to say [not null]
    every.pattern, -- the steps that it is about, in their order; actor > decision, or endpoints [not null]
    every.template, -- the error, or the correction, without what varies; null where there is none
    every.estimate, -- the estimate of attribution.estimate_floors that has to be above its floor; null for none
    every.hits, -- runs that show it, of the outcome that it is about [not null] [0..]
    every.runs, -- all runs of that outcome, or attempts with the advice [not null] [0..]
    every.other_hits, -- runs of the other outcome that show it, or plain attempts that succeeded [not null] [0..]
    every.other_runs, -- all runs of the other outcome, or plain attempts [not null] [0..]
    CASE WHEN every.runs > 0 THEN least(every.hits / every.runs, 1) ELSE 0 END AS support, -- share of the runs that show it
    -- [not null] [0..1]
    ((every.hits + 0.5) / (every.runs + 1)) / ((every.other_hits + 0.5) / (every.other_runs + 1))
        AS lift, -- how many times as often as among the others; half a run is added to each count [not null] [0..]
    every.p_value, -- how often outcomes shuffled within goals do as much, patterns looked at counted; null where no steps are
    -- compared [0..1]
    grouped.successes, -- successes of the class, at the endpoint where there is one; null where too few [0..]
    grouped.failures, -- failures of it [0..]
    grouped.average_duration_ms, -- how long the successes took on average [0..]
    grouped.median_duration_ms, -- half of them took no longer [0..]
    coalesce(exemplified.examples, []) AS examples, -- what the last three successes were asked for, the latest first
    -- [not null]
    coalesce(every.evidence, []) AS evidence, -- events that it rests on, at most 20, the latest ids first: the operation,
    -- or the first step of the action [not null]
    every.is_proposed
    AND len(injection_flags(concat_ws(chr(10), every.said_trigger, every.said_do, every.said_avoid))) = 0
        AS is_proposed -- whether it is good enough for the book [not null]
FROM every
LEFT JOIN grouped
    ON
        every.day = grouped.day
        AND every.task_class = grouped.task_class
        AND every.endpoint IS NOT DISTINCT FROM grouped.endpoint
LEFT JOIN exemplified
    ON
        every.day = exemplified.day
        AND every.task_class = exemplified.task_class
        AND every.endpoint IS NOT DISTINCT FROM exemplified.endpoint
