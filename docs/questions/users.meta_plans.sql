-- What is planned for each user, and how many stages does it take?
SELECT
    user_id,
    version,
    len(stages) AS stages,
    stages[1].name AS first_stage
FROM users.meta_plans
WHERE status = 'ok'
ORDER BY user_id
LIMIT 5

-- answer:
-- u-ana-ribeiro | 1 | 2 | It did not listen. I had said which date I wanted.
-- u-ben-okafor | 1 | 1 | I would rather have heard 'I do not know'.
-- u-chloe-laurent | 1 | 2 | It failed and told me so at once. Fine, I will wait.
-- u-dmitri-volkov | 1 | 1 | Wrong result, though the explanation was honest.
-- u-elena-rossi | 1 | 1 | Third time this week that I have to redo it by hand.
