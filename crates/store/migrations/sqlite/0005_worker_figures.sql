-- min_binary: 0.1.0
-- The numbers that a worker sends beside those that routing looks at: a JSON object, for showing only.
ALTER TABLE workers ADD COLUMN figures TEXT;
