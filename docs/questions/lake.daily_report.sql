-- What happened on 11 January, and what should somebody look at?
SELECT
    summary,
    look_at[1] AS look_at_first,
    len(ungrounded_numbers) AS ungrounded_numbers
FROM lake.daily_report
WHERE day = DATE '2026-01-11'

-- answer:
-- The day in figures: actions begun 150 [s1], mean success score of actions 0.602 [s2], operations 287 [s3], success rate of operations 0.746 [s4], sessions 98 [s6]. | “no staffer matches filter set <*> (<*> filters)” failed 15 times, 67 times in the week before [e1] | 0
