-- Where each action stands in its tree of actions, and its share of what the root brought about.
--
-- The root's share is 1. An action hands its share on to its children in equal parts: the share of an action is the product
-- of 1 / (number of siblings, itself included) along the chain up to the root.
--
-- A parent is looked for on the action's own day and the day before: an action closes within six hours, so that what is done
-- for it begins by then. A chain is followed back as far as that day; where it goes on, the last action found stands as the
-- root, flagged. Actions whose chain runs into a circle have no root, depth or share.
--
-- Example: a plan with two children has share 1; the children have 1/2 each; a child of the second, its only one, has 1/2 too.
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
        max(parent.day) AS parent_day
    FROM actions AS child
    LEFT JOIN actions AS parent
        ON child.parent_action_id = parent.action_id AND parent.day BETWEEN child.day - 1 AND child.day
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
        siblings.child_count
    FROM linked
    LEFT JOIN siblings
        ON linked.parent_day = siblings.parent_day AND linked.parent_action_id = siblings.parent_action_id
),

chains AS (
    SELECT
        day,
        action_id,
        day AS top_day,
        action_id AS top_action_id,
        0 AS depth,
        CAST(1.0 AS DOUBLE) AS share,
        FALSE AS is_cyclic,
        ARRAY[concat(day, ' ', action_id)] AS passed
    FROM links
    WHERE day BETWEEN $start AND $stop
    UNION ALL
    SELECT
        chain.day,
        chain.action_id,
        link.parent_day AS top_day,
        link.parent_action_id AS top_action_id,
        chain.depth + 1 AS depth,
        chain.share / link.child_count AS share,
        array_contains(chain.passed, concat(link.parent_day, ' ', link.parent_action_id)) AS is_cyclic,
        array_append(chain.passed, concat(link.parent_day, ' ', link.parent_action_id)) AS passed
    FROM chains AS chain
    INNER JOIN links AS link ON chain.top_day = link.day AND chain.top_action_id = link.action_id
    WHERE NOT chain.is_cyclic AND link.parent_day >= chain.day - 1
),

tops AS (
    SELECT
        day,
        action_id,
        top_day,
        top_action_id,
        depth,
        share,
        is_cyclic,
        row_number() OVER (PARTITION BY day, action_id ORDER BY depth DESC) AS nth
    FROM chains
)

SELECT
    top.day, -- day on which the action began [not null]
    top.action_id, -- the action [not null]
    own.parent_action_id, -- the action that this one is part of, as it said
    CASE WHEN NOT top.is_cyclic THEN top.top_action_id END AS root_action_id, -- the action at the top; null in a circle
    CASE WHEN NOT top.is_cyclic THEN top.top_day END AS root_day, -- day on which the root began; null in a circle
    CASE WHEN NOT top.is_cyclic THEN top.depth END AS depth, -- links up to the root; 0 for a root, null in a circle [0..]
    CASE WHEN NOT top.is_cyclic THEN top.share END AS share, -- share of the root's outcome; null in a circle [0..1]
    NOT top.is_cyclic AND root.parent_action_id IS NOT NULL AS is_parent_missing, -- whether the action at the top names a
    -- parent that was not found [not null]
    top.is_cyclic -- whether the chain of parents runs into a circle [not null]
FROM tops AS top
INNER JOIN links AS own ON top.day = own.day AND top.action_id = own.action_id
INNER JOIN links AS root ON top.top_day = root.day AND top.top_action_id = root.action_id
WHERE top.nth = 1
