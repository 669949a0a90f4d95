-- Sessions that cost most, with what they spent it on and how they ended.
SELECT
    session_id,
    user_id,
    first_day,
    turn_count,
    tool_call_count,
    input_tokens,
    output_tokens,
    longest_reasoning_streak,
    ending,
    cost_usd
FROM sessions.sessions
WHERE cost_usd > 0
ORDER BY cost_usd DESC, session_id
LIMIT 20
