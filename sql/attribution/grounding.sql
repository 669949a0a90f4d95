-- Where what an agent stated and what the world reported disagree on the same key.
--
-- A step states the keys of its state, an observation those of its data. Each statement is held against the latest report of
-- the same key at or before the step (the agent could have known); where there is none, against the first one after it (the
-- agent foretold). Values are compared by the rules of attribution.expectations, the report being what is expected; null says
-- nothing, nor does a label of blame, which reports on the agent, not on the world. Only disagreements are rows.
--
-- Example: a step states {"stock": 12}, an earlier observation reported {"stock": 3}. 12 is neither within 0.05 nor within
-- 10 % of 3, so that there is a row, with was_reported_before true.
--
-- How: statements and reports of a key are put on one line of time, on which a window finds the latest report. Pairing each
-- statement with each report first is shorter and takes the square of an action's length: minutes and gigabytes for 1500.
--
-- grain: action_id, position, key
-- partition: day
-- window: 0..0
-- not portable: tells JSON numbers, booleans and texts apart by json_each, which Spark does not have
-- question: Which agents act on what they could have known to be untrue?
-- sql:
--   SELECT agent_id, key, stated, reported
--   FROM attribution.grounding JOIN attribution.actions USING (day, action_id)
--   WHERE was_reported_before
-- answer:
--   clerk | card_valid | true | false
WITH stated AS (
    SELECT
        step.day,
        step.action_id,
        step.position,
        step.happened_at,
        part.key,
        part.value,
        part.type
    FROM attribution.steps AS step, json_each(step.state) AS part
    WHERE step.day BETWEEN $start AND $stop AND part.type <> 'NULL'
),

reported AS (
    SELECT
        report.day,
        report.action_id,
        report.position,
        report.happened_at,
        part.key,
        part.value,
        part.type
    FROM attribution.observations AS report, json_each(report.data) AS part
    WHERE
        report.day BETWEEN $start AND $stop
        AND part.type <> 'NULL'
        AND coalesce(report.observation_type, '') <> 'blame_label'
),

timeline AS (
    SELECT
        day,
        action_id,
        key,
        happened_at,
        position,
        value,
        type,
        NULL AS observation_position
    FROM stated
    UNION ALL
    SELECT
        day,
        action_id,
        key,
        happened_at,
        NULL AS position,
        NULL AS value,
        NULL AS type,
        position AS observation_position
    FROM reported
),

looked_up AS (
    SELECT
        *,
        max(observation_position) OVER (PARTITION BY day, action_id, key ORDER BY happened_at) AS last_before,
        min(observation_position) OVER (PARTITION BY day, action_id, key) AS first_of_all
    FROM timeline
),

paired AS (
    SELECT
        looked_up.day,
        looked_up.action_id,
        looked_up.position,
        looked_up.key,
        looked_up.value AS stated,
        reported.value AS reported,
        looked_up.type AS stated_type,
        reported.type AS reported_type,
        reported.position AS observation_position,
        looked_up.last_before IS NOT NULL AS was_reported_before
    FROM looked_up
    INNER JOIN reported
        ON
            looked_up.day = reported.day
            AND looked_up.action_id = reported.action_id
            AND looked_up.key = reported.key
            AND coalesce(looked_up.last_before, looked_up.first_of_all) = reported.position
    WHERE looked_up.position IS NOT NULL
),

judged AS (
    SELECT
        *,
        CASE
            WHEN
                stated_type IN ('UBIGINT', 'BIGINT', 'DOUBLE') AND reported_type IN ('UBIGINT', 'BIGINT', 'DOUBLE')
                THEN
                    abs(CAST(stated AS DOUBLE) - CAST(reported AS DOUBLE))
                    <= greatest(CAST(0.05 AS DOUBLE), CAST(0.1 AS DOUBLE) * abs(CAST(reported AS DOUBLE)))
                    * CAST(1.000000001 AS DOUBLE)
            WHEN stated_type <> reported_type THEN FALSE
            ELSE json_normalize(stated) = json_normalize(reported)
        END AS is_agreed
    FROM paired
)

SELECT
    day, -- day on which the action began [not null]
    action_id, -- the action [not null]
    position, -- the step that stated it [not null] [0..]
    key, -- the key on which they disagree [not null]
    CAST(stated AS VARCHAR) AS stated, -- JSON: what the agent believed [not null]
    CAST(reported AS VARCHAR) AS reported, -- JSON: what the world reported [not null]
    observation_position, -- the observation that reported it [not null] [0..]
    was_reported_before -- whether the agent could have known, the report being no later than the step [not null]
FROM judged
WHERE NOT is_agreed
