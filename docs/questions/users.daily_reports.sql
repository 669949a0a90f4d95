-- Who was unhappy on 11 January, and with what?
SELECT
    user_id,
    trajectory,
    friction_points[1] AS friction_point,
    from_notes
FROM users.daily_reports
WHERE day = DATE '2026-01-11' AND len(friction_points) > 0
ORDER BY user_id
LIMIT 5

-- answer:
-- u-ana-ribeiro | stable | It did not listen. I had said which date I wanted. [m1] | false
-- u-ben-okafor | volatile | I would rather have heard 'I do not know'. [m1] | false
-- u-chloe-laurent | stable | It failed and told me so at once. Fine, I will wait. [m1] | false
-- u-dmitri-volkov | stable | Wrong result, though the explanation was honest. [m1] | false
-- u-elena-rossi | stable | Third time this week that I have to redo it by hand. [m1] | false
