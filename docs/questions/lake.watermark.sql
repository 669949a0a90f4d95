-- Up to when is nothing missing?
SELECT max(watermark) >= TIMESTAMPTZ '2026-01-11 00:00:00Z' AS has_the_week
FROM lake.watermark

-- answer:
-- true
