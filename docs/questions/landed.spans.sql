-- Which spans take longest?
SELECT
    name,
    count(*) AS spans,
    median(date_diff('millisecond', started_at, ended_at)) AS median_ms
FROM landed.spans
GROUP BY name
ORDER BY median_ms DESC, name
LIMIT 3

-- answer:
