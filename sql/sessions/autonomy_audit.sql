-- What agents did on their own: every action at autonomy level 3 and above, with the checkpoint to which it could be undone.
--
-- These are the events `audit` of a session (level, action, details and checkpoint_id in its detail), and patches that say at
-- which level they were made. Where no checkpoint is stated it is the last event `checkpoint` of the session before the action,
-- of its day or the day before: its checkpoint_id, or the id of the event where it has none.
--
-- Example: a checkpoint `c-1` at 09:00, a patch at level 3 at 09:05 and an audited `deploy` at level 4 which states `c-0`: two
-- rows, the patch with checkpoint_id c-1 and is_checkpoint_stated false, the deploy with c-0 and true.
--
-- grain: kind, event_id
-- partition: day
-- window: -1..0
-- question: What was done at a high level, and where could one go back to?
-- sql:
--   SELECT kind, autonomy_level, action, path, checkpoint_id FROM sessions.autonomy_audit ORDER BY happened_at
-- answer:
--   patch | 3 | files.edit | src/auth/login.py | c-1
--   session_event | 4 | deploy | null | c-0
WITH events AS (
    SELECT
        day,
        event_id,
        event_type,
        session_id,
        turn_index,
        CASE WHEN ts_suspect THEN received_at ELSE ts END AS happened_at,
        content,
        TRY_CAST(regexp_extract(json_extract_string(detail, '$.level'), '\d+', 0) AS BIGINT) AS autonomy_level, -- 4, "4" or "L4"
        json_extract_string(detail, '$.action') AS action,
        json_extract_string(detail, '$.details') AS details,
        nullif(json_extract_string(detail, '$.checkpoint_id'), '') AS checkpoint_id
    FROM landed.session_events
    WHERE day BETWEEN $start - 1 AND $stop AND event_type IN ('audit', 'checkpoint')
),

acts AS (
    SELECT
        day,
        event_id,
        'session_event' AS kind,
        happened_at,
        session_id,
        turn_index,
        autonomy_level,
        coalesce(action, content) AS action,
        details,
        CAST(NULL AS VARCHAR) AS path,
        CAST(NULL AS BOOLEAN) AS is_blocked,
        checkpoint_id
    FROM events
    WHERE event_type = 'audit'
    UNION ALL
    SELECT
        day,
        event_id,
        'patch' AS kind,
        CASE WHEN ts_suspect THEN received_at ELSE ts END AS happened_at,
        session_id,
        turn_index,
        autonomy_level,
        coalesce(tool_name, 'patch') AS action,
        risk_tier AS details,
        path,
        is_blocked,
        CAST(NULL AS VARCHAR) AS checkpoint_id
    FROM landed.patches
    WHERE day BETWEEN $start AND $stop
),

audited AS (
    SELECT *
    FROM acts
    WHERE autonomy_level >= 3 AND day BETWEEN $start AND $stop
),

preceding AS (
    SELECT
        audited.kind,
        audited.day,
        audited.event_id,
        coalesce(point.checkpoint_id, point.event_id) AS checkpoint_id,
        row_number() OVER (
            PARTITION BY audited.kind, audited.day, audited.event_id
            ORDER BY point.happened_at DESC, point.event_id DESC
        ) AS nth
    FROM audited
    INNER JOIN events AS point
        ON
            audited.session_id = point.session_id
            AND point.event_type = 'checkpoint'
            AND point.day BETWEEN audited.day - 1 AND audited.day
            AND audited.happened_at >= point.happened_at
)

SELECT
    audited.day, -- day on which it was done [not null]
    audited.event_id, -- the event of that kind [not null]
    audited.kind, -- `session_event` for an audit, `patch` for a patch [not null]
    audited.happened_at, -- when it was done [not null]
    audited.session_id, -- the session [not null]
    audited.turn_index, -- the turn that it belongs to
    audited.autonomy_level, -- how freely the agent could act [not null] [3..]
    audited.action, -- what was done; of a patch the tool that made it
    audited.details, -- particulars of an audit; of a patch the tier of its risk
    audited.path, -- the file that a patch changed; null for others
    audited.is_blocked, -- whether a patch was stopped; null where nobody said
    coalesce(audited.checkpoint_id, preceding.checkpoint_id) AS checkpoint_id, -- where one could go back to; null: nowhere
    audited.checkpoint_id IS NOT NULL AS is_checkpoint_stated -- whether the action said so itself; otherwise it is the
    -- session's last one before [not null]
FROM audited
LEFT JOIN preceding
    ON
        audited.kind = preceding.kind
        AND audited.day = preceding.day
        AND audited.event_id = preceding.event_id
        AND preceding.nth = 1
