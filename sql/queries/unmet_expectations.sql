-- Which expectations fail most often, with an example of what was expected and what came.
SELECT
    action.action_type,
    expectation.key,
    count(*) AS expected,
    round(avg(CASE WHEN expectation.is_met THEN 0 ELSE 1 END), 3) AS unmet_share,
    any_value(expectation.expected) FILTER (WHERE NOT expectation.is_met) AS example_expected,
    any_value(expectation.actual) FILTER (WHERE NOT expectation.is_met) AS example_actual
FROM attribution.expectations AS expectation
INNER JOIN attribution.actions AS action USING (day, action_id)
GROUP BY action.action_type, expectation.key
HAVING NOT bool_and(expectation.is_met)
ORDER BY unmet_share DESC, expected DESC, expectation.key
LIMIT 20
