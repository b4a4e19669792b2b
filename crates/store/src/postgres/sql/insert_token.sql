INSERT INTO tokens (id, hash, role, name, created_at, revoked_at) VALUES ($1, $2, $3, $4, $5, $6)
