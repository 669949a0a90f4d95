-- Which entries of the playbook are worded by a model?
SELECT
    wordings.author,
    count(*) AS entries
FROM playbooks.wordings AS wordings
INNER JOIN playbooks.entries USING (entry_id, version)
WHERE wordings.status = 'ok'
GROUP BY wordings.author
ORDER BY wordings.author

-- answer:
