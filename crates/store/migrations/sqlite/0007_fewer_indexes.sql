-- min_binary: 0.1.0
-- Nothing is looked up by these, and each was written with every task or worker: tasks are listed by key, which is their
-- order in time.
DROP INDEX tasks_user;
DROP INDEX tasks_created;
DROP INDEX workers_heartbeat;
