-- Why could lines not be used?
SELECT
    reason,
    count(*) AS lines
FROM landed.rejects
GROUP BY reason
ORDER BY lines DESC, reason
LIMIT 5

-- answer:
-- conflict: an event of the same kind, day and event_id came before, with another body | 7
-- not JSON: Input data was truncated | 2
-- there is no kind 'stepp'; there are op, note, action_begun, step, observation, action_completed, turn, tool_call, patch, session_event, correction, operator_note, playbook_served, span, log, llm_call, reject, replay | 2
-- it is not UTF-8: invalid start byte at byte 0 | 1
-- not JSON: NaN and Infinity are no JSON numbers | 1
