-- How well and how fast operations worked on a day, by one of their properties at a time.
--
-- One row for each value of each dimension: endpoint, source, role, city, state, staffer_id, event_kind and task_class, named
-- as in landed.ops. Each dimension divides the same operations, so keep to one: `WHERE dimension = 'role'`. Operations
-- without a value (null or empty) are in no row of that dimension. Corrections of an overseer are left out. The interval is
-- that of operations.endpoint_days, and so are the quantiles.
--
-- Example: 3 operations, 2 for role usher of which 1 was a success, 1 without role. The dimension role has the one row
-- usher, with op_count 2 and success_rate 0.5, from 0.095 to 0.905.
--
-- grain: dimension, value
-- partition: day
-- window: 0..0
-- question: In which cities do operations succeed least?
-- sql:
--   SELECT value AS city, sum(op_count) AS ops, round(sum(success_count) / sum(op_count), 2) AS success_rate
--   FROM operations.dimension_days
--   WHERE dimension = 'city'
--   GROUP BY value ORDER BY success_rate, city
-- answer:
--   Miami | 2 | 0.0
--   Austin | 3 | 0.33
--   Boston | 2 | 0.5
WITH valued AS (
    SELECT
        ops.day,
        dimensions.dimension,
        CASE dimensions.dimension
            WHEN 'endpoint' THEN ops.endpoint
            WHEN 'source' THEN ops.source
            WHEN 'role' THEN ops.role
            WHEN 'city' THEN ops.city
            WHEN 'state' THEN ops.state
            WHEN 'staffer_id' THEN ops.staffer_id
            WHEN 'event_kind' THEN ops.event_kind
            WHEN 'task_class' THEN ops.task_class
        END AS value,
        ops.success,
        ops.duration_ms,
        ops.rescue_attempted,
        ops.rescue_succeeded
    FROM landed.ops AS ops
    CROSS JOIN
        (
            VALUES
            ('endpoint'), ('source'), ('role'), ('city'), ('state'), ('staffer_id'), ('event_kind'), ('task_class')
        ) AS dimensions (dimension)
    WHERE ops.day BETWEEN $start AND $stop AND ops.source <> 'overseer_correction'
),

counted AS (
    SELECT
        day,
        dimension,
        value,
        count(*) AS op_count,
        count(CASE WHEN success THEN 1 END) AS success_count,
        percentile_cont(0.50) WITHIN GROUP (ORDER BY duration_ms) AS p50_duration_ms,
        percentile_cont(0.95) WITHIN GROUP (ORDER BY duration_ms) AS p95_duration_ms,
        percentile_cont(0.99) WITHIN GROUP (ORDER BY duration_ms) AS p99_duration_ms,
        count(CASE WHEN rescue_attempted THEN 1 END) AS rescue_attempted_count,
        count(CASE WHEN rescue_attempted AND rescue_succeeded THEN 1 END) AS rescue_succeeded_count,
        CAST(1.959963984540054 AS DOUBLE) AS z
    FROM valued
    WHERE value <> ''
    GROUP BY day, dimension, value
),

bounded AS (
    SELECT
        *,
        (success_count + z * z / 2) / (op_count + z * z) AS centre,
        z * sqrt(success_count * ((op_count - success_count) / op_count) + z * z / 4) / (op_count + z * z) AS margin
    FROM counted
)

SELECT
    day, -- day on which they happened [not null]
    dimension, -- the property by which operations are told apart: a column of landed.ops [not null]
    value, -- the operations' value of it [not null]
    op_count, -- operations [not null] [1..]
    success_count, -- those that did what was asked [not null] [0..]
    success_count / op_count AS success_rate, -- share of them [not null] [0..1]
    greatest(centre - margin, 0) AS success_rate_low, -- lower bound of its 95 % interval [not null] [0..1]
    least(centre + margin, 1) AS success_rate_high, -- upper bound of it [not null] [0..1]
    p50_duration_ms, -- half of them took no longer; interpolated, as the others [not null] [0..]
    p95_duration_ms, -- 95 of 100 took no longer [not null] [0..]
    p99_duration_ms, -- 99 of 100 took no longer; of less than 100 it is close to the longest [not null] [0..]
    rescue_attempted_count, -- those for which a fallback was tried [not null] [0..]
    rescue_succeeded_count -- those of which the fallback worked [not null] [0..]
FROM bounded
