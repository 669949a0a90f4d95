-- Which secrets were replaced before anything was written?
SELECT
    rule,
    CAST(sum(count) AS BIGINT) AS secrets
FROM lake.redactions
GROUP BY rule
ORDER BY secrets DESC, rule

-- answer:
-- github_token | 4
-- url_password | 4
-- password | 3
-- aws_key | 1
