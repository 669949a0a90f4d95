-- Which secrets were replaced before anything was written?
SELECT
    rule,
    CAST(sum(count) AS BIGINT) AS secrets
FROM lake.redactions
GROUP BY rule
ORDER BY secrets DESC, rule

-- answer:
-- github_token | 5
-- url_password | 4
-- aws_key | 2
-- password | 1
