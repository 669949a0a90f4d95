-- Which errors of 11 January belong in the playbook as a don't?
SELECT
    task_class,
    failure_count,
    template,
    author
FROM operations.error_analyses
WHERE day = DATE '2026-01-11' AND belongs_in_playbook
ORDER BY failure_count DESC, template
LIMIT 5

-- answer:
-- staffing_search | 15 | no staffer matches filter set <*> (<*> filters) | extractive
-- fill_shift | 14 | only <*> of <*> offers accepted for <name> in <name> | extractive
-- answer_question | 9 | answer rejected by the checker: <*> claims without a source | extractive
-- answer_question | 8 | <name>: rate limit exceeded, retry after <*> s | extractive
-- fill_shift | 7 | Offer <*> rejected: staffer <*> is already booked for these hours | extractive
