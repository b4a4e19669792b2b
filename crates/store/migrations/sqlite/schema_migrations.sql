-- What of the numbered files was applied, and with which content.
CREATE TABLE IF NOT EXISTS schema_migrations (
    version    INTEGER PRIMARY KEY,
    name       TEXT NOT NULL,
    checksum   TEXT NOT NULL,
    min_binary TEXT NOT NULL,
    applied_at TEXT NOT NULL
) STRICT;
