SELECT id, hash, role, name, created_at, revoked_at FROM tokens WHERE hash = $1
