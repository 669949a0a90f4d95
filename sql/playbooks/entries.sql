-- The playbook: every entry as it stands, with what it says, what speaks for it, and what showing it was found to be worth.
--
-- A fold over playbooks.candidates that are good enough for the book and over playbooks.uptake, up to the last day of either;
-- docs/methods/playbook-lifecycle.md tells how entries come, are united, ranked and retired. Nothing is deleted: a retired
-- entry stays, with the day and the reason. The same events make the same entries, in whatever order they arrived.
--
-- Advice that rests on an estimate (attribution.step_value, attribution.blame) counts while that of its class is above its floor
-- (attribution.estimate_floors). A correction counts unless operations.correction_effects finds that it has no effect or harms:
-- one that helps, and one of which too little is known, whose next attempts have succeeded, come on probation. An entry that
-- was served once is judged by what showing it did, and by that alone: it stays, as a tombstone too, whatever becomes of the
-- estimate that proposed it.
--
-- Example: `assume_thirty_days` is found in 16 of 40 failed refunds and in 3 of 65 others. That makes an entry on probation, with
-- uplift null and -1 and 1 as its bounds, since nobody was shown it yet.
--
-- grain: entry_id
-- partition: none
-- not portable: calls playbook_entries, which is Python
-- question: What does the playbook have to say after two days of few events?
-- sql:
--   SELECT count(*) AS entries FROM playbooks.entries
-- answer:
--   0
WITH limits AS (
    SELECT
        max(CASE WHEN name = 'active' THEN value END) AS active,
        max(CASE WHEN name = 'exposures' THEN value END) AS least_exposures,
        max(CASE WHEN name = 'unconfirmed' THEN value END) AS unconfirmed
    FROM playbooks.limits
),

met AS (SELECT DISTINCT uptake.entry_id FROM playbooks.uptake AS uptake),

proposed AS (
    SELECT
        candidate.day,
        candidate.entry_id,
        candidate.task_class,
        candidate.endpoint,
        candidate.kind,
        candidate.trigger AS said_trigger,
        candidate."do" AS said_do,
        candidate.avoid AS said_avoid,
        candidate.evidence
    FROM playbooks.candidates AS candidate
    LEFT JOIN attribution.estimate_floors AS floors
        ON candidate.estimate = floors.estimate AND candidate.task_class = floors.action_type
    LEFT JOIN operations.correction_effects AS effect
        ON
            candidate.basis = 'correction'
            AND effect.scope = 'advice'
            AND candidate.task_class = effect.task_class
            AND candidate.template = effect.template
    LEFT JOIN met ON candidate.entry_id = met.entry_id
    WHERE
        candidate.is_proposed
        AND (
            met.entry_id IS NOT NULL
            OR (
                (candidate.estimate IS NULL OR floors.is_above_floor)
                AND coalesce(effect.effect, 'too_few') IN ('helps', 'too_few')
            )
        )
),

-- One entry a day, whatever speaks for it; what is looked at of a content is its first day and its last.
contents AS (
    SELECT
        entry_id,
        min(task_class) AS task_class,
        min(endpoint) AS endpoint,
        min(kind) AS kind,
        arg_min(said_trigger, day) AS said_trigger,
        arg_min(said_do, day) AS said_do,
        arg_min(said_avoid, day) AS said_avoid,
        list_sort(list(DISTINCT day)) AS days,
        min(day) AS first_day,
        max(day) AS last_day
    FROM proposed
    GROUP BY entry_id
),

evidence AS (
    SELECT
        contents.entry_id,
        list_sort(list_distinct(flatten(list(CASE WHEN proposed.day = contents.first_day THEN proposed.evidence END))))
            AS first_evidence,
        list_sort(list_distinct(flatten(list(CASE WHEN proposed.day = contents.last_day THEN proposed.evidence END))))
            AS last_evidence
    FROM contents
    INNER JOIN proposed ON contents.entry_id = proposed.entry_id
    WHERE proposed.day IN (contents.first_day, contents.last_day)
    GROUP BY contents.entry_id
),

advice AS (
    SELECT
        max(contents.last_day) AS last_day,
        list(
            struct_pack(
                task_class := contents.task_class,
                endpoint := contents.endpoint,
                kind := contents.kind,
                trigger := contents.said_trigger,
                "do" := contents.said_do,
                avoid := contents.said_avoid,
                days := contents.days,
                first_evidence := evidence.first_evidence,
                last_evidence := evidence.last_evidence
            )
            ORDER BY contents.entry_id
        ) AS advice
    FROM contents
    INNER JOIN evidence ON contents.entry_id = evidence.entry_id
),

served AS (
    SELECT
        max(uptake.day) AS last_day,
        list(
            struct_pack(
                day := uptake.day,
                entry_id := uptake.entry_id,
                is_withheld := uptake.is_withheld,
                success := uptake.success,
                goal_id := uptake.goal_id,
                week := uptake.week,
                unit := uptake.unit
            )
            ORDER BY uptake.day, uptake.entry_id, uptake.unit
        ) FILTER (WHERE contents.entry_id IS NOT NULL) AS exposures
    FROM playbooks.uptake AS uptake
    LEFT JOIN contents ON uptake.entry_id = contents.entry_id
),

folded AS (
    SELECT
        unnest(
            playbook_entries(
                advice.advice,
                served.exposures,
                greatest(advice.last_day, served.last_day),
                limits.active,
                limits.least_exposures,
                limits.unconfirmed
            )
        ) AS entry
    FROM advice
    CROSS JOIN served
    CROSS JOIN limits
)

SELECT
    struct_extract(folded.entry, 'entry_id') AS entry_id, -- the entry: a hash of what it says and for whom [not null]
    struct_extract(folded.entry, 'task_class') AS task_class, -- class of task that it is for [not null]
    struct_extract(folded.entry, 'trigger') AS trigger, -- when it applies [not null]
    struct_extract(folded.entry, 'do') AS "do", -- what to do; empty where there is nothing to say [not null]
    struct_extract(folded.entry, 'avoid') AS avoid, -- what to leave; empty where there is nothing to say [not null]
    struct_extract(folded.entry, 'evidence') AS evidence, -- events that speak for it: those of the first day and of the last, at most 50 [not null]
    struct_extract(folded.entry, 'content_hash') AS content_hash, -- SHA-256 of what it says and for whom [not null]
    struct_extract(folded.entry, 'version') AS version, -- wordings united in it; the first is shown [not null] [1..]
    struct_extract(folded.entry, 'status') AS status, -- probation, active or retired [not null]
    struct_extract(folded.entry, 'created') AS created, -- day on which it was first proposed [not null]
    struct_extract(folded.entry, 'last_confirmed') AS last_confirmed, -- last day on which it was proposed, or found to help [not null]
    struct_extract(folded.entry, 'exposures') AS exposures, -- units of work that it was shown to [not null] [0..]
    struct_extract(folded.entry, 'controls') AS controls, -- units that it was withheld from [not null] [0..]
    struct_extract(folded.entry, 'uplift') AS uplift, -- success with it less success without, within goal and week; null while nothing
    -- compares [-1..1]
    struct_extract(folded.entry, 'uplift_low') AS uplift_low, -- lower bound of its 95 % interval [not null] [-1..1]
    struct_extract(folded.entry, 'uplift_high') AS uplift_high, -- upper bound of it [not null] [-1..1]
    struct_extract(folded.entry, 'tokens') AS tokens, -- roughly what showing it costs [not null] [0..]
    struct_extract(folded.entry, 'retired_on') AS retired_on, -- day on which it was retired; null while it lives
    struct_extract(folded.entry, 'retired_why') AS retired_why, -- why, in words
    struct_extract(folded.entry, 'rank') AS rank, -- place in its class by the lower bound, from 1; null once it is retired [1..]
    struct_extract(folded.entry, 'active_since') AS active_since, -- day on which it was proven to help, the last time that it was; null
    -- for one that never was, or finds no room among the best
    struct_extract(folded.entry, 'active_until') AS active_until -- day on which that ended; null while it lasts
FROM folded
