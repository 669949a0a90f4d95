-- How many actions of each type began, and how many said what to expect?
SELECT
    action_type,
    count(*) AS begun,
    count(*) FILTER (WHERE expected_outcome <> '{}') AS with_expectation
FROM landed.actions_begun
GROUP BY action_type
ORDER BY action_type

-- answer:
-- answer_question | 291 | 281
-- book_travel | 104 | 103
-- fill_shift | 115 | 114
-- fix_bug | 111 | 109
-- reconcile_invoices | 112 | 110
-- refund_order | 104 | 100
-- triage_incident | 100 | 94
-- write_report | 113 | 113
