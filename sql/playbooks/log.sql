-- The plain record of what playbooks are made from: of each consolidation and error analysis, what was looked at and what came of it.
--
-- One row for each day and class of task, or endpoint of it, that has candidates (consolidation), and one for each error pattern
-- that was analysed (error_analysis: approach is how agents should go about it, result the cause and the don't). approach says in up to 200 characters what was compared, result in
-- up to 500 what is proposed for the book, the surest first, and context in up to 500 what else was known: times, examples, and
-- what was found but not proposed. The rows themselves are in playbooks.candidates, what became of them in playbooks.entries.
--
-- Example: `28 days: 65 successes, 40 failures; sequences, step_value, blame` with the result `3 proposed: do look_up_order, then
-- verify_customer. | avoid assume_thirty_days.`
--
-- grain: operation, subject
-- partition: day
-- window: 0..0
-- question: What was consolidated from two days of few events?
-- sql:
--   SELECT count(*) AS consolidations FROM playbooks.log
-- answer:
--   0
WITH said AS (
    SELECT
        day,
        task_class || coalesce(' at ' || endpoint, '') AS subject,
        entry_id,
        basis,
        is_proposed,
        successes,
        failures,
        average_duration_ms,
        median_duration_ms,
        examples,
        coalesce(p_value, 1.0) AS p_value,
        hits,
        lift,
        concat_ws(
            '; ',
            CASE WHEN kind = 'fix' THEN 'fix: ' || "do" WHEN kind = 'do' AND "do" <> '' THEN 'do ' || "do" END,
            CASE WHEN kind = 'avoid' THEN 'avoid ' || concat_ws(' ', avoid, "do") END
        ) AS advice
    FROM playbooks.candidates
    WHERE day BETWEEN $start AND $stop AND basis <> 'error_analysis'
),

-- What several bases speak for is told once.
told AS (
    SELECT
        day,
        subject,
        entry_id,
        max(advice) AS advice,
        bool_or(is_proposed) AS is_proposed,
        min(p_value) AS p_value,
        max(hits) AS hits,
        max(lift) AS lift
    FROM said
    WHERE advice <> ''
    GROUP BY day, subject, entry_id
),

results AS (
    SELECT
        day,
        subject,
        count(CASE WHEN is_proposed THEN 1 END) AS proposed,
        count(CASE WHEN NOT is_proposed THEN 1 END) AS left_out,
        string_agg(CASE WHEN is_proposed THEN advice END, ' | ' ORDER BY p_value, hits DESC, entry_id) AS advice,
        string_agg(CASE WHEN NOT is_proposed THEN advice END, ' | ' ORDER BY p_value, hits DESC, entry_id) AS others
    FROM told
    GROUP BY day, subject
),

groups AS (
    SELECT
        day,
        subject,
        max(successes) AS successes,
        max(failures) AS failures,
        max(average_duration_ms) AS average_duration_ms,
        max(median_duration_ms) AS median_duration_ms,
        max(examples) AS examples,
        string_agg(DISTINCT basis, ', ' ORDER BY basis) AS bases
    FROM said
    GROUP BY day, subject
)

SELECT
    groups.day, -- last of the 28 days looked at [not null]
    'consolidation' AS operation, -- what was done [not null]
    groups.subject, -- class of task, and endpoint where there is one; or kind and template of the error [not null]
    left(
        '28 days'
        || coalesce(': ' || groups.successes || ' successes, ' || groups.failures || ' failures', '')
        || '; ' || groups.bases, 200
    ) AS approach, -- what was compared, in up to 200 characters [not null]
    left(
        coalesce(results.proposed, 0) || ' proposed' || coalesce(': ' || results.advice, ''), 500
    ) AS result, -- what is proposed, in up to 500 characters [not null]
    left(
        concat_ws(
            '; ',
            'successes took ' || round(groups.average_duration_ms) || ' ms on average, half of them at most '
            || round(groups.median_duration_ms) || ' ms',
            'last asked for: ' || nullif(array_to_string(groups.examples, ' | '), ''),
            'not proposed: ' || results.others
        ), 500
    ) AS context -- what else was known, in up to 500 characters [not null]
FROM groups
LEFT JOIN results ON groups.day = results.day AND groups.subject = results.subject
UNION ALL
SELECT
    day,
    'error_analysis' AS operation,
    kind || ' ' || template AS subject,
    left(coalesce(approach, ''), 200) AS approach,
    left(concat_ws(' ', cause, CASE WHEN belongs_in_playbook THEN dont END), 500) AS result,
    left(
        concat_ws('; ', failure_count || ' failures', 'class ' || task_class, 'written by ' || author), 500
    ) AS context
FROM operations.error_analyses
WHERE day BETWEEN $start AND $stop AND status = 'ok'
