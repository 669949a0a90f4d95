-- How many actions of each type began, and how many said what to expect?
SELECT
    action_type,
    count(*) AS begun,
    count(*) FILTER (WHERE expected_outcome <> '{}') AS with_expectation
FROM landed.actions_begun
GROUP BY action_type
ORDER BY action_type

-- answer:
-- answer_question | 263 | 254
-- book_travel | 123 | 119
-- fill_shift | 113 | 109
-- fix_bug | 138 | 137
-- reconcile_invoices | 104 | 101
-- refund_order | 106 | 104
-- triage_incident | 104 | 104
-- write_report | 99 | 96
