-- Where each action stands in its tree of actions, and its share of what the root brought about.
--
-- The root's share is 1. An action hands its share on to its children in equal parts: the share of an action is the product
-- of 1 / (number of siblings, itself included) along the chain up to the root.
--
-- A parent is looked for on the action's own day and the day before: an action closes within six hours, so that what is done
-- for it begins by then. A chain is followed back as far as the day before its first action; where it goes on, the last
-- action found stands as the root, with is_chain_cut. Whether the parent of such a root is there at all, its own row tells
-- (by root_day and root_action_id). A parent that began on the next day, by clocks that differ, cuts a chain as well.
-- Actions whose chain runs into a circle have no root, depth or share.
--
-- Example: a plan with two children has share 1; the children have 1/2 each; a child of the second, its only one, has 1/2 too.
--
-- How: a parent is never of a later day, so that a chain is one part within its day and one within the day before. For these
-- parts every action points to its parent, and in each pass to what it points to points: a chain of 1000 takes 10 passes.
-- What points to no top after as many passes as the longest chain could need is in a circle. (Going up one link a pass, with
-- the way so far as a list, took the cube of a chain's length. In a pass each action both tells and asks, in one window,
-- because Spark lets a recursion name itself only once.)
--
-- grain: action_id
-- partition: day
-- window: -1..1
-- question: What was done for the plan, and what is each part's share of it?
-- sql:
--   SELECT action_id, depth, share FROM attribution.action_trees WHERE root_action_id = 'plan-1' ORDER BY depth, action_id
-- answer:
--   plan-1 | 0 | 1.0
--   refund-1 | 1 | 0.5
--   refund-2 | 1 | 0.5
WITH RECURSIVE actions AS (
    SELECT
        day,
        action_id,
        parent_action_id
    FROM attribution.actions
    WHERE day BETWEEN $start - 1 AND $stop + 1
),

linked AS (
    SELECT
        child.day,
        child.action_id,
        child.parent_action_id,
        max(CASE WHEN parent.day <= child.day THEN parent.day END) AS parent_day,
        count(CASE WHEN parent.day > child.day THEN parent.day END) AS later_parents
    FROM actions AS child
    LEFT JOIN actions AS parent
        ON child.parent_action_id = parent.action_id AND parent.day BETWEEN child.day - 1 AND child.day + 1
    GROUP BY child.day, child.action_id, child.parent_action_id
),

siblings AS (
    SELECT
        parent_day,
        parent_action_id,
        count(action_id) AS child_count
    FROM linked
    WHERE parent_day IS NOT NULL
    GROUP BY parent_day, parent_action_id
),

links AS (
    SELECT
        linked.*,
        CAST(1.0 AS DOUBLE) / siblings.child_count AS part
    FROM linked
    LEFT JOIN siblings
        ON linked.parent_day = siblings.parent_day AND linked.parent_action_id = siblings.parent_action_id
    WHERE linked.day BETWEEN $start - 1 AND $stop
),

sides AS (
    SELECT TRUE AS is_asking
    UNION ALL
    SELECT FALSE AS is_asking
),

passes AS (
    SELECT
        day,
        action_id,
        CASE WHEN parent_day = day THEN parent_action_id ELSE action_id END AS top_action_id,
        CASE WHEN parent_day = day THEN 1 ELSE 0 END AS depth,
        CASE WHEN parent_day = day THEN part ELSE CAST(1.0 AS DOUBLE) END AS share,
        0 AS pass,
        TRUE AS goes_on,
        count(action_id) OVER () AS action_count
    FROM links
    UNION ALL
    SELECT
        day,
        action_id,
        next_action_id AS top_action_id,
        depth + next_depth AS depth,
        share * next_share AS share,
        pass + 1 AS pass,
        max(next_depth) OVER () > 0 AS goes_on,
        action_count
    FROM (
        SELECT
            passes.*,
            sides.is_asking,
            max(CASE WHEN NOT sides.is_asking THEN passes.top_action_id END) OVER (
                PARTITION BY passes.day, CASE WHEN sides.is_asking THEN passes.top_action_id ELSE passes.action_id END
            ) AS next_action_id,
            max(CASE WHEN NOT sides.is_asking THEN passes.depth END) OVER (
                PARTITION BY passes.day, CASE WHEN sides.is_asking THEN passes.top_action_id ELSE passes.action_id END
            ) AS next_depth,
            max(CASE WHEN NOT sides.is_asking THEN passes.share END) OVER (
                PARTITION BY passes.day, CASE WHEN sides.is_asking THEN passes.top_action_id ELSE passes.action_id END
            ) AS next_share
        FROM passes
        CROSS JOIN sides
        WHERE passes.goes_on AND pow(2, passes.pass) < passes.action_count
    ) AS asked
    WHERE is_asking
),

within_day AS (
    SELECT
        path.day,
        path.action_id,
        path.top_action_id,
        path.depth,
        path.share,
        top.parent_action_id AS next_action_id,
        top.parent_day AS next_day,
        top.part AS next_part,
        top.later_parents,
        coalesce(top.parent_day = path.day, FALSE) AS is_cyclic
    FROM passes AS path
    INNER JOIN links AS top ON path.day = top.day AND path.top_action_id = top.action_id
    WHERE path.pass = (SELECT max(pass) FROM passes)
),

tops AS (
    SELECT
        own.day,
        own.action_id,
        coalesce(before.top_action_id, own.top_action_id) AS top_action_id,
        coalesce(before.day, own.day) AS top_day,
        own.depth + coalesce(before.depth + 1, 0) AS depth,
        own.share * coalesce(own.next_part * before.share, 1) AS share,
        own.is_cyclic OR coalesce(before.is_cyclic, FALSE) AS is_cyclic,
        before.day IS NULL AND own.next_action_id IS NOT NULL AND own.later_parents = 0 AS is_missing,
        CASE WHEN before.day IS NULL THEN own.later_parents > 0 ELSE before.next_action_id IS NOT NULL END AS is_cut
    FROM within_day AS own
    LEFT JOIN within_day AS before
        ON NOT own.is_cyclic AND own.next_day = before.day AND own.next_action_id = before.action_id
    WHERE own.day BETWEEN $start AND $stop
)

SELECT
    top.day, -- day on which the action began [not null]
    top.action_id, -- the action [not null]
    own.parent_action_id, -- the action that this one is part of, as it said
    CASE WHEN NOT top.is_cyclic THEN top.top_action_id END AS root_action_id, -- the action at the top; null in a circle
    CASE WHEN NOT top.is_cyclic THEN top.top_day END AS root_day, -- day on which the root began; null in a circle
    CASE WHEN NOT top.is_cyclic THEN top.depth END AS depth, -- links up to the root; 0 for a root, null in a circle [0..]
    CASE WHEN NOT top.is_cyclic THEN top.share END AS share, -- share of the root's outcome; null in a circle [0..1]
    NOT top.is_cyclic AND top.is_missing AS is_parent_missing, -- whether the action at the top, of the same day, names a
    -- parent that was found on no day around [not null]
    NOT top.is_cyclic AND top.is_cut AS is_chain_cut, -- whether the action at the top names a parent beyond the days that
    -- are followed: before the day before, or on the next [not null]
    top.is_cyclic -- whether the chain of parents runs into a circle [not null]
FROM tops AS top
INNER JOIN links AS own ON top.day = own.day AND top.action_id = own.action_id
