-- What of the numbered files was applied, and with which content.
CREATE TABLE IF NOT EXISTS schema_migrations (
    version    bigint PRIMARY KEY,
    name       text NOT NULL,
    checksum   text NOT NULL,
    min_binary text NOT NULL,
    applied_at text NOT NULL
)
