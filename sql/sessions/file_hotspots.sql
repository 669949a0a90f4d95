-- Which files are trouble: what agents changed in the seven days that end with the day, and what came of it.
--
-- A patch did harm when tests failed after it that did not before, or coverage dropped. has_harm_in_a_row marks a file of which
-- two patches in a row, in the order of time and whoever made them, did harm: then somebody is making it worse by trying.
-- Risk is what was estimated before: a patch of the tiers `high` and `critical` was risky. Harm of a patch that was not
-- is unforeseen, and a risky one without harm is a false alarm.
-- Rows of different days overlap and must not be added up; only days on which some file was changed have rows.
--
-- A path is security-sensitive when it has one of these in it, in whichever case: auth, session, password, token, secret,
-- crypto, permission, sql, query, database. Names such as `authors.py` are meant by that as well: rather one too many.
--
-- Example: three patches of `src/auth/login.py`: low risk and two new failures, low risk and 0.5 points of coverage lost, high
-- risk and no harm. harmful_patch_count is 2, has_harm_in_a_row, unforeseen_harm_count 2, false_alarm_count 1.
--
-- grain: path
-- partition: day
-- window: -6..0
-- question: Which files got worse by being patched?
-- sql:
--   SELECT path, patch_count, harmful_patch_count, has_harm_in_a_row, unforeseen_harm_count, is_security_sensitive
--   FROM sessions.file_hotspots WHERE day = DATE '2026-01-06' ORDER BY harmful_patch_count DESC, path
-- answer:
--   src/auth/login.py | 3 | 2 | true | 2 | true
WITH days AS (
    SELECT DISTINCT day
    FROM landed.patches
    WHERE day BETWEEN $start AND $stop
),

patches AS (
    SELECT
        days.day,
        patch.event_id,
        patch.session_id,
        patch.path,
        CASE WHEN patch.ts_suspect THEN patch.received_at ELSE patch.ts END AS happened_at,
        array_length(patch.quality_issues) AS quality_issue_count,
        array_length(patch.new_failures) AS new_failure_count,
        greatest(coalesce(TRY_CAST(patch.coverage_drop AS DECIMAL(18, 6)), 0), 0) AS coverage_drop,
        patch.rollback_recommended,
        coalesce(patch.is_blocked, FALSE) AS is_blocked,
        TRY_CAST(patch.risk_score AS DECIMAL(18, 6)) AS risk_score,
        coalesce(lower(patch.risk_tier) IN ('high', 'critical'), FALSE) AS is_risky,
        array_length(patch.new_failures) > 0 OR coalesce(patch.coverage_drop, 0) > 0 AS is_harmful
    FROM days
    INNER JOIN landed.patches AS patch ON patch.day BETWEEN days.day - 6 AND days.day
    WHERE patch.day BETWEEN $start - 6 AND $stop
),

ordered AS (
    SELECT
        *,
        is_harmful AND coalesce(lag(is_harmful) OVER (PARTITION BY day, path ORDER BY happened_at, event_id), FALSE)
            AS is_harm_again
    FROM patches
)

SELECT
    day, -- last of the seven days [not null]
    path, -- the file changed [not null]
    count(event_id) AS patch_count, -- changes to it [not null] [1..]
    count(DISTINCT session_id) AS session_count, -- sessions that changed it [not null] [1..]
    max(happened_at) AS last_patched_at, -- when the last change was made [not null]
    CAST(sum(quality_issue_count) AS BIGINT) AS quality_issue_count, -- issues that checks found [not null] [0..]
    CAST(sum(new_failure_count) AS BIGINT) AS new_failure_count, -- tests that failed after a change and not before it
    -- [not null] [0..]
    CAST(sum(coverage_drop) AS DOUBLE) AS coverage_drop, -- percentage points of coverage lost, all changes together [not null] [0..]
    count(CASE WHEN is_harmful THEN event_id END) AS harmful_patch_count, -- changes with new failures or lost coverage
    -- [not null] [0..]
    max(CASE WHEN is_harm_again THEN 1 ELSE 0 END) = 1 AS has_harm_in_a_row, -- whether two in a row did harm [not null]
    count(CASE WHEN rollback_recommended THEN event_id END) AS rollback_recommended_count, -- changes that a reviewer
    -- advised to take back [not null] [0..]
    count(CASE WHEN is_blocked THEN event_id END) AS blocked_patch_count, -- changes that were stopped [not null] [0..]
    count(CASE WHEN is_risky THEN event_id END) AS risky_patch_count, -- changes of the risk tiers high and critical
    -- [not null] [0..]
    count(CASE WHEN is_harmful AND NOT is_risky THEN event_id END) AS unforeseen_harm_count, -- changes that did harm and
    -- were not risky [not null] [0..]
    count(CASE WHEN is_risky AND NOT is_harmful THEN event_id END) AS false_alarm_count, -- changes that were risky and did
    -- no harm [not null] [0..]
    CAST(sum(risk_score) AS DOUBLE) / nullif(count(risk_score), 0) AS mean_risk_score, -- mean of the risk estimated; null where nobody did
    regexp_matches(
        lower(path), 'auth|session|password|token|secret|crypto|permission|sql|query|database'
    ) AS is_security_sensitive -- whether the path tells of security or data; see above [not null]
FROM ordered
GROUP BY day, path
