-- min_binary: 0.1.0
-- Tasks, subtasks, workers and what happened to them.
--
-- Keys are integers: a subtask's is its task's, 14 bits to the left, plus its position; an event's is its task's, 30 bits
-- to the left, plus its number. Times are microseconds since 1970, words are their codes. The row in task_state is the
-- lock of its task with all its subtasks, the row in workers that of a worker: see ARCHITECTURE.md.

CREATE SEQUENCE task_keys;
CREATE SEQUENCE worker_keys;

-- What never changes of a task.
CREATE TABLE tasks (
    key                  bigint   PRIMARY KEY,
    uuid                 uuid     NOT NULL,
    user_id              text     NOT NULL,
    task_type            smallint NOT NULL,
    priority             smallint NOT NULL,
    created_at           bigint   NOT NULL,
    summary              text     NOT NULL,
    checkpoint_frequency smallint NOT NULL,
    privacy              smallint NOT NULL,
    tool_preferences     text     NOT NULL,
    requires             text     NOT NULL,
    metadata             text,
    requirements         text,
    description          text     NOT NULL,
    deferred_steps       text
);
CREATE UNIQUE INDEX tasks_uuid ON tasks (uuid);
CREATE INDEX tasks_type ON tasks (task_type, key);

-- What changes of a task: narrow, and with room in its pages, so that an update stays on the page and touches no index.
CREATE TABLE task_state (
    key          bigint   PRIMARY KEY,
    status       smallint NOT NULL,
    total        bigint   NOT NULL,
    completed    bigint   NOT NULL,
    failed       bigint   NOT NULL,
    cancelled    bigint   NOT NULL,
    running      bigint   NOT NULL,
    seq          bigint   NOT NULL,
    started_at   bigint,
    completed_at bigint,
    updated_at   bigint   NOT NULL,
    start_at     bigint,
    error        text
) WITH (fillfactor = 70);
CREATE INDEX task_state_status ON task_state (status, key);
CREATE INDEX task_state_start ON task_state (start_at, key) WHERE status = 0 AND start_at IS NOT NULL;

-- `changing` and `head` are packed by the store; what statements and indexes use are columns.
CREATE TABLE subtasks (
    key      bigint   PRIMARY KEY,
    state    smallint NOT NULL,
    lane     bigint   NOT NULL,
    rank     bigint   NOT NULL,
    due_at   bigint,
    worker   bigint,
    changing bytea    NOT NULL,
    head     bytea    NOT NULL,
    name     text     NOT NULL,
    output   text
) WITH (fillfactor = 70);
-- Only what waits for something is in an index: a million finished subtasks cost nothing.
CREATE INDEX subtasks_ready ON subtasks (lane, rank, key) WHERE state = 1;
CREATE INDEX subtasks_due ON subtasks (due_at, key) WHERE due_at IS NOT NULL;
CREATE INDEX subtasks_leased ON subtasks (worker, key) WHERE state = 3;

CREATE TABLE subtask_texts (
    key         bigint PRIMARY KEY,
    description text NOT NULL,
    input       text
);

-- Attempts that ended without completing; the running or completed one is in its subtask's row.
CREATE TABLE attempts (
    subtask     bigint   NOT NULL,
    attempt     bigint   NOT NULL,
    worker_uuid uuid     NOT NULL,
    tool        text     NOT NULL,
    started_at  bigint   NOT NULL,
    ended_at    bigint,
    outcome     smallint NOT NULL,
    error       text,
    exit_code   bigint,
    PRIMARY KEY (subtask, attempt)
);

-- The events of one task in one commit, packed by the store; the key carries the last of their numbers.
CREATE TABLE events (
    key    bigint PRIMARY KEY,
    packed bytea  NOT NULL
);

CREATE TABLE logs (
    key         bigint   PRIMARY KEY,
    at          bigint   NOT NULL,
    position    bigint   NOT NULL,
    level       smallint NOT NULL,
    stale       boolean  NOT NULL,
    worker_uuid uuid,
    message     text     NOT NULL,
    metadata    text
);

CREATE TABLE workers (
    key            bigint   PRIMARY KEY,
    uuid           uuid     NOT NULL,
    machine_id     text     NOT NULL,
    session        bigint   NOT NULL,
    slots          bigint   NOT NULL,
    used           bigint   NOT NULL,
    said           smallint NOT NULL,
    draining       boolean  NOT NULL,
    unregistered   boolean  NOT NULL,
    uses_leases    boolean  NOT NULL,
    cpu_percent    float8,
    memory_percent float8,
    disk_percent   float8,
    current_task   text,
    last_heartbeat bigint   NOT NULL,
    registered_at  bigint   NOT NULL,
    figures        text
) WITH (fillfactor = 50);
CREATE UNIQUE INDEX workers_uuid ON workers (uuid);
CREATE UNIQUE INDEX workers_machine ON workers (machine_id);

-- What a worker registered, apart from the row that every claim writes.
CREATE TABLE worker_profiles (
    key         bigint PRIMARY KEY,
    profile     text NOT NULL,
    system_info text NOT NULL
);

CREATE TABLE worker_samples (
    worker         bigint NOT NULL,
    at             bigint NOT NULL,
    cpu_percent    float8,
    memory_percent float8,
    disk_percent   float8,
    PRIMARY KEY (worker, at)
);

CREATE TABLE lanes (
    key       bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    canonical text   NOT NULL UNIQUE
);

CREATE TABLE idempotency (
    scope text   NOT NULL,
    name  text   NOT NULL,
    body  bigint NOT NULL,
    tasks uuid[] NOT NULL,
    at    bigint NOT NULL,
    PRIMARY KEY (scope, name)
);
CREATE INDEX idempotency_at ON idempotency (at);

-- How many there are of what, kept by the transactions that change it.
-- kind 0: tasks, id = status * 256 + type; kind 1: subtasks, id = state; kind 2: ready subtasks, id = lane.
-- Each writer counts in rows of its own (`shard`), so that none waits for another's commit; the sums count.
CREATE TABLE counters (
    kind  smallint NOT NULL,
    id    bigint   NOT NULL,
    shard bigint   NOT NULL,
    count bigint   NOT NULL,
    PRIMARY KEY (kind, id, shard)
) WITH (fillfactor = 50);

-- Deleted tasks of which there are rows, too many to go in one transaction.
CREATE TABLE leftovers (
    task bigint PRIMARY KEY
);

-- Single values: cluster_id, last_sweep, restored_at.
CREATE TABLE meta (
    name  text PRIMARY KEY,
    value text NOT NULL
);
INSERT INTO meta (name, value) VALUES ('cluster_id', gen_random_uuid()::text);

-- What one node does for all, who does it, and until when it is nobody else's.
CREATE TABLE duties (
    name   text   PRIMARY KEY,
    holder uuid   NOT NULL,
    until  bigint NOT NULL
);

-- What one node tells the others, where it is too long for a notification. Lost in a crash, which costs time only.
CREATE UNLOGGED TABLE relay (
    id   bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at   timestamptz NOT NULL DEFAULT clock_timestamp(),
    body bytea       NOT NULL
);
CREATE INDEX relay_at ON relay (at);

-- Who may call a server that others can reach. Of a secret only its SHA-256 is kept; what is revoked stays in the list.
CREATE TABLE tokens (
    id         uuid     PRIMARY KEY,
    hash       bytea    NOT NULL,
    role       smallint NOT NULL,
    name       text     NOT NULL,
    created_at bigint   NOT NULL,
    revoked_at bigint
);
CREATE UNIQUE INDEX tokens_hash ON tokens (hash);
