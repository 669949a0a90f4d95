-- What do the notes of 10 January say of each user, and where is it going?
SELECT
    user_id,
    window_start,
    note_count,
    trajectory,
    consensus
FROM users.meta_evaluations
WHERE day = DATE '2026-01-10' AND note_count > 2
ORDER BY user_id, window_start

-- answer:
-- u-mara-novak | 2026-01-10 12:00:00+00:00 | 3 | stable | It did not listen. I had said which date I wanted. [n1]
