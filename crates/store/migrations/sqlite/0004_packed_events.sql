-- min_binary: 0.1.0
-- Events are packed: each task's lie on pages of their own, and as JSON they were most of what a commit wrote. Rows
-- that are there keep their JSON; new ones have an empty text instead.
ALTER TABLE events ADD COLUMN packed BLOB;
