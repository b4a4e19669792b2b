UPDATE events SET packed = $2 WHERE key = $1
