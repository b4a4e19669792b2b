SELECT (CASE
    WHEN w.unregistered OR w.said = 3 OR w.last_heartbeat <= $1 THEN 3
    WHEN w.used >= w.slots THEN 1
    WHEN w.said = 2 THEN 2
    ELSE 0
END)::smallint, count(*)
FROM workers w
GROUP BY 1
