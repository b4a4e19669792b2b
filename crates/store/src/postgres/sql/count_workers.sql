SELECT count(*)
FROM workers w JOIN worker_profiles p ON p.key = w.key
WHERE ($2::smallint IS NULL OR $2 = CASE
    WHEN w.unregistered OR w.said = 3 OR w.last_heartbeat <= $1 THEN 3
    WHEN w.used >= w.slots THEN 1
    WHEN w.said = 2 THEN 2
    ELSE 0
END)
AND ($3::text IS NULL OR p.profile::jsonb #> '{offer,tools}' @> to_jsonb($3::text))
AND ($4::text IS NULL OR p.profile::jsonb #>> ARRAY['offer', 'labels', $4] = $5::text)
