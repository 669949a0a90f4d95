-- Whether agents are as often right as they believe: what was stated against what came of it, in ten bins of confidence.
--
-- Two kinds of statements, by source: the confidence of the steps of an action, and what a session says of itself by an event
-- `confidence` (detail.score of 0 to 100; one below 1, or 1.0 with its point, is taken for a fraction). The outcome of a step
-- is the success score of its action; actions without an expectation or an error have only a neutral score and are left out.
-- The outcome of a session is how it ended: 1 for `done`, 0 for `error` and `escalation`; one that did not say is left out.
-- Steps of one action share its outcome, so that they are fewer witnesses than they are rows.
--
-- Rows are of the seven days that end with the day, by the day of the action or of the statement; they overlap and must not be
-- added up. brier_score and expected_calibration_error are those of the source over all its bins, and the same in each:
-- the mean of (confidence - outcome)^2, and the mean of |confidence - outcome| of the bins, weighted by their statements.
-- Both are summed as decimals, so that they come out the same in whichever order rows are met.
-- Both are 0 at best. Always to say 0.5 makes a Brier score of 0.25 where outcomes are 0 and 1.
--
-- Example: confidence 0.9 and 0.92 with outcomes 1 and 0, and 0.3 with outcome 0. Bin 9: mean_confidence 0.91, mean_outcome
-- 0.5; bin 3: 0.3 and 0. Brier score (0.01 + 0.8464 + 0.09) / 3 = 0.3155; calibration error (2 * 0.41 + 0.3) / 3 = 0.3733.
--
-- grain: source, bin
-- partition: day
-- window: -6..0
-- question: How sure were agents of their steps, and how often did that come true?
-- sql:
--   SELECT bin, statement_count, round(mean_confidence, 2) AS confidence, round(mean_outcome, 2) AS outcome,
--       round(brier_score, 3) AS brier, round(expected_calibration_error, 3) AS ece
--   FROM sessions.confidence_calibration WHERE day = DATE '2026-01-05' AND source = 'step' ORDER BY bin
-- answer:
--   5 | 2 | 0.5 | 0.5 | 0.216 | 0.214
--   6 | 1 | 0.6 | 1.0 | 0.216 | 0.214
--   8 | 1 | 0.8 | 1.0 | 0.216 | 0.214
--   9 | 3 | 0.97 | 0.67 | 0.216 | 0.214
WITH steps AS (
    SELECT
        step.day,
        'step' AS source,
        step.confidence,
        score.success_score AS outcome
    FROM attribution.steps AS step
    INNER JOIN attribution.success_scores AS score ON step.day = score.day AND step.action_id = score.action_id
    WHERE
        step.day BETWEEN $start - 6 AND $stop
        AND score.day BETWEEN $start - 6 AND $stop
        AND (score.expected_count > 0 OR score.is_error)
),

scores AS (
    SELECT
        day,
        session_id,
        json_extract_string(detail, '$.score') AS stated,
        TRY_CAST(json_extract_string(detail, '$.score') AS DOUBLE) AS score
    FROM landed.session_events
    WHERE day BETWEEN $start - 6 AND $stop AND event_type = 'confidence'
),

days AS (
    SELECT day
    FROM steps
    WHERE day BETWEEN $start AND $stop
    UNION
    SELECT day
    FROM sessions.session_days
    WHERE day BETWEEN $start AND $stop
),

endings AS (
    SELECT
        days.day,
        session.session_id,
        arg_max(session.ending, CASE WHEN session.ending IS NOT NULL THEN session.day END) AS ending,
        max(session.ending_at) AS ending_at,
        max(session.last_turn_at) AS last_turn_at
    FROM days
    INNER JOIN sessions.session_days AS session ON session.day BETWEEN days.day - 6 AND days.day
    WHERE session.day BETWEEN $start - 6 AND $stop
    GROUP BY days.day, session.session_id
),

statements AS (
    SELECT
        days.day,
        steps.source,
        CAST(steps.confidence AS DECIMAL(10, 9)) AS confidence,
        CAST(steps.outcome AS DECIMAL(10, 9)) AS outcome
    FROM days
    INNER JOIN steps ON steps.day BETWEEN days.day - 6 AND days.day
    UNION ALL
    SELECT
        days.day,
        'session' AS source,
        CAST(
            CASE
                WHEN scores.score > 1 OR scores.stated = '1' THEN scores.score / 100
                ELSE scores.score
            END AS DECIMAL(10, 9)
        ) AS confidence,
        CAST(CASE WHEN endings.ending = 'done' THEN 1 ELSE 0 END AS DECIMAL(10, 9)) AS outcome
    FROM days
    INNER JOIN scores ON scores.day BETWEEN days.day - 6 AND days.day
    INNER JOIN endings ON days.day = endings.day AND scores.session_id = endings.session_id
    WHERE
        scores.score BETWEEN 0 AND 100
        AND endings.ending IS NOT NULL
        AND (endings.last_turn_at IS NULL OR endings.ending_at >= endings.last_turn_at)
),

binned AS (
    SELECT
        day,
        source,
        CAST(least(floor(confidence * 10), 9) AS BIGINT) AS bin,
        count(confidence) AS statement_count,
        sum(confidence) AS confidence,
        sum(outcome) AS outcome,
        sum((confidence - outcome) * (confidence - outcome)) AS squares
    FROM statements
    GROUP BY day, source, CAST(least(floor(confidence * 10), 9) AS BIGINT)
)

SELECT
    day, -- last of the seven days [not null]
    source, -- what states a confidence: step or session [not null]
    bin, -- tenth of the confidence: 9 is from 0.9 to 1 [not null] [0..9]
    statement_count, -- statements in the bin [not null] [1..]
    CAST(confidence AS DOUBLE) / statement_count AS mean_confidence, -- what they state, in the mean [not null] [0..1]
    CAST(outcome AS DOUBLE) / statement_count AS mean_outcome, -- what came of them, in the mean [not null] [0..1]
    CAST(confidence - outcome AS DOUBLE) / statement_count AS overconfidence, -- how much more was believed than came; below 0 it was less
    -- [not null] [-1..1]
    CAST(sum(squares) OVER (PARTITION BY day, source) AS DOUBLE)
    / sum(statement_count) OVER (PARTITION BY day, source) AS brier_score, -- mean squared difference of confidence and
    -- outcome, over all bins of the source [not null] [0..1]
    CAST(sum(abs(confidence - outcome)) OVER (PARTITION BY day, source) AS DOUBLE)
    / sum(statement_count) OVER (PARTITION BY day, source) AS expected_calibration_error -- mean difference of the bins,
    -- weighted by their statements, over all bins of the source [not null] [0..1]
FROM binned
