-- min_binary: 0.1.0
-- Who may call a server that others can reach. Of a secret only its SHA-256 is kept; what is revoked stays in the list.
CREATE TABLE tokens (
    id         BLOB    PRIMARY KEY,
    hash       BLOB    NOT NULL,
    role       INTEGER NOT NULL,
    name       TEXT    NOT NULL,
    created_at INTEGER NOT NULL,
    revoked_at INTEGER
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX tokens_hash ON tokens (hash);
