-- min_binary: 0.1.0
-- A subtask's row is written at every claim and every result: it is narrow and packed now, and its long texts, which
-- never change, are written once, in a table of their own. The rows there are follow in code, after this file.
ALTER TABLE subtasks RENAME TO wide_subtasks;
DROP INDEX subtasks_leased;

-- `changing` and `head` are packed by the store; what statements and indexes use are columns.
CREATE TABLE subtasks (
    key      INTEGER PRIMARY KEY,
    state    INTEGER NOT NULL,
    lane     INTEGER NOT NULL,
    rank     INTEGER NOT NULL,
    worker   INTEGER,
    changing BLOB    NOT NULL,
    head     BLOB    NOT NULL,
    name     TEXT    NOT NULL,
    output   TEXT
) STRICT;
CREATE INDEX subtasks_leased ON subtasks (worker) WHERE state = 3;

CREATE TABLE subtask_texts (
    key         INTEGER PRIMARY KEY,
    description TEXT NOT NULL,
    input       TEXT
) STRICT;
INSERT INTO subtask_texts (key, description, input)
SELECT s.key, s.description, i.input FROM wide_subtasks s LEFT JOIN subtask_inputs i ON i.key = s.key;
DROP TABLE subtask_inputs;
