SELECT id, hash, role, name, created_at, revoked_at FROM tokens ORDER BY id
