-- How well and how fast each endpoint worked on a day, by who sent it in.
--
-- Corrections of an overseer are operations, too (source overseer_correction), but neither successes nor failures: they are
-- left out. There are no rows of sums: counts may be added up over sources, rates and quantiles may not. Those of an endpoint
-- over all its sources are in operations.dimension_days.
--
-- success_rate_low and _high bound the 95 % score interval of Wilson (1927), Probable inference, the law of succession, and
-- statistical inference, JASA 22: 209-212. With n operations, s of them successes and z = 1.959963984540054 it is
-- (s + z^2/2 +- z sqrt(s (n - s) / n + z^2/4)) / (n + z^2). Unlike s/n +- 2 standard errors it holds for few operations and
-- stays within 0 and 1. Of two endpoints whose intervals overlap by much, none is known to be the better one.
--
-- Example: 4 operations took 600, 800, 1000 and 3000 ms, 3 of them were successes. success_rate is 0.75, from 0.301 to
-- 0.954; p50_duration_ms is 900 and p95_duration_ms 2700, between the third and the fourth.
--
-- grain: endpoint, source
-- partition: day
-- window: 0..0
-- question: How reliable was each endpoint on 5 January?
-- sql:
--   SELECT
--       endpoint, source, op_count, round(success_rate, 2) AS success_rate,
--       round(success_rate_low, 2) AS low, round(success_rate_high, 2) AS high, p95_duration_ms
--   FROM operations.endpoint_days
--   WHERE day = DATE '2026-01-05'
--   ORDER BY endpoint
-- answer:
--   ask | mcp | 2 | 0.5 | 0.09 | 0.91 | 2860.0
--   fill_scenario | scenario | 3 | 0.33 | 0.06 | 0.79 | 980.0
WITH counted AS (
    SELECT
        day,
        endpoint,
        source,
        count(*) AS op_count,
        count(CASE WHEN success THEN 1 END) AS success_count,
        percentile_cont(0.50) WITHIN GROUP (ORDER BY duration_ms) AS p50_duration_ms,
        percentile_cont(0.95) WITHIN GROUP (ORDER BY duration_ms) AS p95_duration_ms,
        percentile_cont(0.99) WITHIN GROUP (ORDER BY duration_ms) AS p99_duration_ms,
        count(CASE WHEN rescue_attempted THEN 1 END) AS rescue_attempted_count,
        count(CASE WHEN rescue_attempted AND rescue_succeeded THEN 1 END) AS rescue_succeeded_count,
        CAST(1.959963984540054 AS DOUBLE) AS z
    FROM landed.ops
    WHERE day BETWEEN $start AND $stop AND source <> 'overseer_correction'
    GROUP BY day, endpoint, source
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
    endpoint, -- the operation called [not null]
    source, -- what sent them in [not null]
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
