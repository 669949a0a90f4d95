-- What failed on a day, by the template of its message: how often, where, since when, and whether it is getting worse.
--
-- One row per kind and template; how messages fold is told in operations.messages. Where a gateway and an agent both tell of
-- one call it is in both kinds, so keep to one of them for counts.
--
-- The trend is failure_count against the mean of the seven days before, of which those count on which anything of the kind
-- was recorded: 1 is as always, 2 twice as much. It is null for a template that those days do not have. When a template was
-- seen first is looked up in the day and those seven before, no further.
--
-- Example: 6 failures today; 4 and 2 on two of the days before, on 4 of which operations were recorded. week_before_count
-- is 6, trend is 6 / (6 / 4) = 4.
--
-- grain: kind, template
-- partition: day
-- window: -7..0
-- question: What fails on 6 January, where, and how does it compare with the days before?
-- sql:
--   SELECT template, endpoints, failure_count, week_before_count, trend, is_new
--   FROM operations.error_patterns
--   WHERE day = DATE '2026-01-06' ORDER BY failure_count DESC
-- answer:
--   only <*> of <*> offers accepted for <name> in <name> | ['fill_scenario'] | 2 | 2 | 1.0 | false
--   the depot did not answer | ['track'] | 1 | 0 | null | true
WITH counted AS (
    SELECT
        day,
        kind,
        template,
        count(*) AS failure_count,
        min(ts) AS first_seen_at
    FROM operations.failures
    WHERE day BETWEEN $start - 7 AND $stop
    GROUP BY day, kind, template
),

worked AS (
    SELECT DISTINCT
        day,
        'op' AS kind
    FROM landed.ops
    WHERE day BETWEEN $start - 7 AND $stop AND source <> 'overseer_correction'
    UNION ALL
    SELECT DISTINCT
        tool_calls.day,
        'tool_call' AS kind
    FROM sessions.tool_calls AS tool_calls
    ANTI JOIN landed.tool_calls AS own -- of the author of our own reports, who does no work
        ON tool_calls.day = own.day AND tool_calls.event_id = own.event_id AND own.source = 'oplake.synthesis'
    WHERE tool_calls.day BETWEEN $start - 7 AND $stop
),

days_before AS (
    SELECT
        this.day,
        this.kind,
        count(*) AS worked_days
    FROM worked AS this
    INNER JOIN worked AS earlier ON this.kind = earlier.kind AND earlier.day BETWEEN this.day - 7 AND this.day - 1
    GROUP BY this.day, this.kind
),

week_before AS (
    SELECT
        this.day,
        this.kind,
        this.template,
        CAST(sum(earlier.failure_count) AS BIGINT) AS failure_count,
        min(earlier.first_seen_at) AS first_seen_at
    FROM counted AS this
    INNER JOIN counted AS earlier
        ON
            this.kind = earlier.kind
            AND this.template = earlier.template
            AND earlier.day BETWEEN this.day - 7 AND this.day - 1
    WHERE this.day BETWEEN $start AND $stop
    GROUP BY this.day, this.kind, this.template
),

ranked AS (
    SELECT
        *,
        row_number() OVER (PARTITION BY day, kind, template ORDER BY ts DESC, event_id DESC) AS recency
    FROM operations.failures
    WHERE day BETWEEN $start AND $stop
),

patterns AS (
    SELECT
        day,
        kind,
        template,
        count(*) AS failure_count,
        list_sort(list(DISTINCT name)) AS endpoints,
        min(ts) AS first_seen_at,
        max(ts) AS last_seen_at,
        list_sort(list(event_id) FILTER (WHERE recency <= 3)) AS sample_event_ids,
        max(CASE WHEN recency = 1 THEN message END) AS sample_message
    FROM ranked
    GROUP BY day, kind, template
)

SELECT
    patterns.day, -- day on which they failed [not null]
    patterns.kind, -- `op` for operations, `tool_call` for calls of tools [not null]
    patterns.template, -- what their messages have in common [not null]
    patterns.failure_count, -- failures on this day [not null] [1..]
    patterns.endpoints, -- the endpoints, or tools, that failed so on this day, in the order of their names [not null]
    least(patterns.first_seen_at, coalesce(week_before.first_seen_at, patterns.first_seen_at))
        AS first_seen_at, -- when it came first in this day and the seven before [not null]
    patterns.last_seen_at, -- when it came last on this day [not null]
    coalesce(week_before.failure_count, 0) AS week_before_count, -- failures in the seven days before [not null] [0..]
    patterns.failure_count / (week_before.failure_count / days_before.worked_days)
        AS trend, -- this day against the mean day of those; null where there were none [0..]
    days_before.worked_days IS NOT NULL AND week_before.failure_count IS NULL
        AS is_new, -- whether the seven days before had work, but no such failure [not null]
    patterns.sample_event_ids, -- up to three events: the latest of the day [not null]
    patterns.sample_message -- the whole message of the latest of them; null when it said nothing
FROM patterns
LEFT JOIN week_before
    ON
        patterns.day = week_before.day
        AND patterns.kind = week_before.kind
        AND patterns.template = week_before.template
LEFT JOIN days_before ON patterns.day = days_before.day AND patterns.kind = days_before.kind
