SELECT w.key, w.uuid, w.session, w.used, w.said, w.draining, w.unregistered, w.uses_leases, w.cpu_percent, w.memory_percent,
    w.disk_percent, w.current_task, w.last_heartbeat, w.registered_at, p.profile, w.figures
FROM workers w CROSS JOIN worker_profiles p ON p.key = w.key
WHERE w.key < ?6 AND (?2 IS NULL OR ?2 = CASE
    WHEN w.unregistered OR w.said = 3 OR w.last_heartbeat <= ?1 THEN 3
    WHEN w.used >= w.slots THEN 1
    WHEN w.said = 2 THEN 2
    ELSE 0
END)
AND (?3 IS NULL OR EXISTS (SELECT 1 FROM json_each(p.profile, '$.offer.tools') j WHERE j.value = ?3))
AND (?4 IS NULL OR EXISTS (SELECT 1 FROM json_each(p.profile, '$.offer.labels') j WHERE j.key = ?4 AND j.value = ?5))
ORDER BY w.key DESC
LIMIT ?7 OFFSET ?8
