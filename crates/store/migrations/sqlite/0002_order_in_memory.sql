-- min_binary: 0.1.0
-- What is ready and what is due is kept in order by the writer, in memory: as indexes they cost more than the rows.
DROP INDEX subtasks_ready;
DROP INDEX subtasks_due;
