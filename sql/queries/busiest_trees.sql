-- The largest trees of actions, how deep they go and how well their parts did, weighed by their share of the root.
SELECT
    tree.root_day,
    tree.root_action_id,
    count(*) AS actions,
    max(tree.depth) AS depth,
    round(
        sum(tree.share * score.success_score)
        / nullif(sum(tree.share) FILTER (WHERE score.success_score IS NOT NULL), 0), 3
    ) AS weighed_success
FROM attribution.action_trees AS tree
LEFT JOIN attribution.success_scores AS score USING (day, action_id)
WHERE NOT tree.is_cyclic
GROUP BY tree.root_day, tree.root_action_id
ORDER BY actions DESC, tree.root_day, tree.root_action_id
LIMIT 20
