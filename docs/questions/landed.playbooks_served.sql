-- How often was each playbook entry shown, and how often withheld as a control?
SELECT
    entry_id,
    count(*) FILTER (WHERE NOT withheld) AS shown,
    count(*) FILTER (WHERE withheld) AS withheld
FROM landed.playbooks_served
GROUP BY entry_id
ORDER BY shown DESC, entry_id
LIMIT 3

-- answer:
-- answer_question-3 | 116 | 16
-- answer_question-1 | 112 | 13
-- answer_question-2 | 91 | 19
