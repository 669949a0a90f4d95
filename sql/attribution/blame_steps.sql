-- The steps of closed actions as blame compares them: by who did what, where, how often, and how surely.
--
-- Actor and decision are compared in lower case, runs of white space made one blank, none at either end, cut at 80 characters;
-- decisions with runs of digits made #. Two steps are the same component when both agree, digits of the actor made #, too. So
-- `Refund order 17` and `refund order 9` are one, and so is what the first and the second worker do alike; as actors worker_1 and
-- worker_2 are two, or nothing could be said of one of them.
--
-- An action is a failure when its outcome reports an error, when it timed out, or when an expected key was not met; a success
-- when all that was expected was met. One of which nothing was expected is neither, nor is one that was evicted, which no step
-- decided.
--
-- place tells early steps apart and lumps late ones: 0, 1 and 2, then 3 for positions 3 and 4, 4 for 5 to 8, 5 for 9 to 16
-- and so on. doubt is `contradicted` where the step stated what had been reported otherwise (attribution.grounding), else
-- `unsure` where its confidence is 0.1 or more below the mean of the action's, else `none`. repetition is `few` where the action
-- has the component once or twice, else `first` for the first of them and `again` for the others.
--
-- Example: a clerk looks up, refunds, refunds and refunds again. Its component `clerk > refund` has 3 occurrences; the step
-- at position 1 is the first of them, at place 1, and repetition of the one at position 3 is `again`, at place 3.
--
-- grain: action_id, position
-- partition: day
-- window: 0..0
-- question: Which steps of failures stated what they could have known to be untrue?
-- sql:
--   SELECT action_id, position, component, place, is_first FROM attribution.blame_steps
--   WHERE is_failure AND doubt = 'contradicted'
-- answer:
--   refund-2 | 1 | - > issue_refund | 1 | true
WITH judged AS (
    SELECT
        action.day,
        action.action_id,
        coalesce(action.action_type, '') AS action_type,
        coalesce(action.goal_id, 'action ' || action.action_id) AS goal_id,
        action.step_count,
        CASE
            WHEN action.status = 'evicted' THEN NULL
            WHEN score.is_error OR action.status = 'timeout' THEN TRUE
            WHEN score.expected_count > 0 THEN score.met_count < score.expected_count
        END AS is_failure
    FROM attribution.actions AS action
    INNER JOIN attribution.success_scores AS score
        ON action.day = score.day AND action.action_id = score.action_id
    WHERE action.day BETWEEN $start AND $stop AND score.day BETWEEN $start AND $stop
),

named AS (
    SELECT
        day,
        action_id,
        position,
        step_index,
        confidence,
        left(trim(regexp_replace(lower(coalesce(actor, '-')), '\s+', ' ', 'g')), 80) AS actor,
        left(
            trim(regexp_replace(regexp_replace(lower(coalesce(decision, '-')), '[0-9]+', '#', 'g'), '\s+', ' ', 'g')),
            80
        ) AS decision
    FROM attribution.steps
    WHERE day BETWEEN $start AND $stop
),

composed AS (
    SELECT
        *,
        regexp_replace(actor, '[0-9]+', '#', 'g') || ' > ' || decision AS component
    FROM named
),

occurring AS (
    SELECT
        *,
        count(position) OVER (PARTITION BY day, action_id, component) AS occurrences,
        min(position) OVER (PARTITION BY day, action_id, component) AS first_position
    FROM composed
),

trusting AS (
    SELECT
        day,
        action_id,
        sum(CAST(confidence AS DECIMAL(18, 9))) / count(position) AS confidence
    FROM attribution.steps
    WHERE day BETWEEN $start AND $stop
    GROUP BY day, action_id
),

contradicted AS (
    SELECT DISTINCT
        day,
        action_id,
        position
    FROM attribution.grounding
    WHERE was_reported_before AND day BETWEEN $start AND $stop
)

SELECT
    judged.day, -- day on which the action began [not null]
    judged.action_id, -- the action [not null]
    named.position, -- place among the action's steps, dense from 0 [not null] [0..]
    judged.action_type, -- class of the task; empty where it was not told [not null]
    judged.goal_id, -- the goal pursued; of its own where the action has none [not null]
    judged.is_failure, -- whether the action failed; null when that cannot be said
    judged.step_count, -- steps of the action [not null] [1..]
    named.step_index, -- the step's number as the agent gave it, which labels go by
    named.actor, -- who decided, normalised, with digits [not null]
    named.decision, -- the choice made, normalised [not null]
    named.component, -- who did what, without digits: the same step in other runs [not null]
    named.occurrences, -- steps of the action that are this component [not null] [1..]
    named.position = named.first_position AS is_first, -- whether it is the first of them [not null]
    CASE
        WHEN named.occurrences < 3 THEN 'few'
        WHEN named.position = named.first_position THEN 'first'
        ELSE 'again'
    END AS repetition, -- few, first or again [not null]
    CASE
        WHEN named.position < 3 THEN named.position
        ELSE CAST(floor(ln(named.position - 1) / ln(2) + 0.000000001) AS BIGINT) + 2
    END AS place, -- position, coarser the later it is [not null] [0..]
    CASE
        WHEN contradicted.position IS NOT NULL THEN 'contradicted'
        WHEN named.confidence <= trusting.confidence - 0.1 THEN 'unsure'
        ELSE 'none'
    END AS doubt -- contradicted, unsure or none [not null]
FROM judged
INNER JOIN occurring AS named ON judged.day = named.day AND judged.action_id = named.action_id
INNER JOIN trusting ON named.day = trusting.day AND named.action_id = trusting.action_id
LEFT JOIN contradicted
    ON
        named.day = contradicted.day
        AND named.action_id = contradicted.action_id
        AND named.position = contradicted.position
