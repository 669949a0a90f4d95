-- What the uplifts of a class's playbook entries come to, and what they would come to if it were chance who was shown what.
--
-- score is the mean absolute uplift of its entries (docs/methods/uplift.md), of which each is compared within goal and week. Its
-- floor is what that is on average when shown and withheld are shuffled within entry, goal and week, 200 times with a fixed seed;
-- p is (1 + shuffles that score as high) / 201. The latest 10,000 units of a class take part. attribution.estimate_floors has
-- these rows as those of the estimate `uplift`.
--
-- Example: two entries of a class change success by +0.10 and -0.02, so that score is 0.06; shuffled they come to 0.05 on average,
-- and to 0.06 or more in 80 of 200 shuffles. p is 81 / 201 = 0.40, and neither is told from chance.
--
-- grain: task_class
-- partition: none
-- not portable: calls uplift_floor, which is Python
-- question: Is an entry that was shown to one run of a goal and withheld from another told from chance?
-- sql:
--   SELECT samples, score, floor, p FROM playbooks.uplift_floors WHERE task_class = 'refund'
-- answer:
--   2 | 1.0 | 1.0 | 1.0
WITH latest AS (
    SELECT
        task_class,
        day,
        entry_id,
        is_withheld,
        success,
        goal_id,
        week,
        unit,
        row_number() OVER (PARTITION BY task_class ORDER BY day DESC, entry_id, unit) AS nth
    FROM playbooks.uptake
),

served AS (
    SELECT
        task_class,
        list(
            struct_pack(
                day := day,
                entry_id := entry_id,
                is_withheld := is_withheld,
                success := success,
                goal_id := goal_id,
                week := week,
                unit := unit
            )
            ORDER BY entry_id, week, goal_id, unit
        ) AS units
    FROM latest
    WHERE nth <= 10000
    GROUP BY task_class
),

tested AS (
    SELECT
        task_class,
        uplift_floor(units) AS found
    FROM served
)

SELECT
    task_class, -- class of the task that entries were served for [not null]
    struct_extract(found, 'samples') AS samples, -- units that compare: of goals and weeks with shown and withheld ones [not null] [0..]
    struct_extract(found, 'score') AS score, -- mean absolute uplift; null, as the next ones, where nothing compares [0..1]
    struct_extract(found, 'floor') AS floor, -- mean of what it is shuffled [0..1]
    struct_extract(found, 'shuffles') AS shuffles, -- how often it was shuffled [not null] [0..]
    struct_extract(found, 'p') AS p, -- probability of a score as high if nothing helped or harmed [0..1]
    struct_extract(found, 'is_degenerate') AS is_degenerate -- whether no shuffle can change it [not null]
FROM tested
