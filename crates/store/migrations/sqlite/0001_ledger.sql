-- min_binary: 0.1.0
-- Tasks, subtasks, workers and what happened to them.
--
-- Keys are integers: a subtask's is its task's, 14 bits to the left, plus its position; an event's is its
-- task's, 30 bits to the left, plus its number. So a task's subtasks and events lie side by side, and no
-- table but `tasks` needs an index on an id. Times are microseconds since 1970, words are their codes.

-- What never changes of a task. Cold: read with the task's page and, without the texts, with lists.
CREATE TABLE tasks (
    key                  INTEGER PRIMARY KEY,
    uuid                 BLOB    NOT NULL,
    user_id              TEXT    NOT NULL,
    task_type            INTEGER NOT NULL,
    priority             INTEGER NOT NULL,
    created_at           INTEGER NOT NULL,
    summary              TEXT    NOT NULL,
    checkpoint_frequency INTEGER NOT NULL,
    privacy              INTEGER NOT NULL,
    tool_preferences     TEXT    NOT NULL,
    requires             TEXT    NOT NULL,
    metadata             TEXT,
    requirements         TEXT,
    description          TEXT    NOT NULL,
    deferred_steps       TEXT
) STRICT;
CREATE UNIQUE INDEX tasks_uuid ON tasks (uuid);
CREATE INDEX tasks_type ON tasks (task_type);
CREATE INDEX tasks_user ON tasks (user_id);
CREATE INDEX tasks_created ON tasks (created_at);

-- What changes of a task. Hot and narrow: written once for each group of commands that touches the task.
CREATE TABLE task_state (
    key          INTEGER PRIMARY KEY,
    status       INTEGER NOT NULL,
    total        INTEGER NOT NULL,
    completed    INTEGER NOT NULL,
    failed       INTEGER NOT NULL,
    cancelled    INTEGER NOT NULL,
    running      INTEGER NOT NULL,
    seq          INTEGER NOT NULL,
    started_at   INTEGER,
    completed_at INTEGER,
    updated_at   INTEGER NOT NULL,
    start_at     INTEGER,
    error        TEXT
) STRICT;
CREATE INDEX task_state_status ON task_state (status);
CREATE INDEX task_state_start ON task_state (start_at) WHERE status = 0 AND start_at IS NOT NULL;

-- Hot columns first, texts later, the result last: a scan over a task's subtasks reads no overflow pages.
CREATE TABLE subtasks (
    key              INTEGER PRIMARY KEY,
    state            INTEGER NOT NULL,
    lane             INTEGER NOT NULL,
    rank             INTEGER NOT NULL,
    due_at           INTEGER,
    worker           INTEGER,
    lease_expires_at INTEGER,
    deps_left        INTEGER NOT NULL,
    attempt          INTEGER NOT NULL,
    failures         INTEGER NOT NULL,
    losses           INTEGER NOT NULL,
    missed           INTEGER NOT NULL,
    epoch            INTEGER NOT NULL,
    context_bytes    INTEGER NOT NULL,
    avoid_worker     INTEGER,
    avoid_until      INTEGER,
    progress         INTEGER NOT NULL,
    queued_at        INTEGER,
    started_at       INTEGER,
    completed_at     INTEGER,
    execution_time   REAL    NOT NULL,
    simulated        INTEGER NOT NULL,
    exit_code        INTEGER,
    session          INTEGER,
    worker_uuid      BLOB,
    tool             TEXT,
    error            TEXT,
    complexity       INTEGER NOT NULL,
    priority         INTEGER NOT NULL,
    timeout_seconds  INTEGER NOT NULL,
    max_attempts     INTEGER NOT NULL,
    head_start       INTEGER NOT NULL,
    name             TEXT    NOT NULL,
    dependencies     BLOB    NOT NULL,
    dependents       BLOB    NOT NULL,
    description      TEXT    NOT NULL,
    output           TEXT
) STRICT;
-- Only what waits for something is in an index: a million finished subtasks cost nothing.
CREATE INDEX subtasks_ready ON subtasks (lane, rank) WHERE state = 1;
CREATE INDEX subtasks_due ON subtasks (due_at) WHERE due_at IS NOT NULL;
CREATE INDEX subtasks_leased ON subtasks (worker) WHERE state = 3;

CREATE TABLE subtask_inputs (
    key   INTEGER PRIMARY KEY,
    input TEXT NOT NULL
) STRICT;

-- Attempts that ended without completing; the running or completed one is in its subtask's row.
CREATE TABLE attempts (
    subtask     INTEGER NOT NULL,
    attempt     INTEGER NOT NULL,
    worker_uuid BLOB    NOT NULL,
    tool        TEXT    NOT NULL,
    started_at  INTEGER NOT NULL,
    ended_at    INTEGER,
    outcome     INTEGER NOT NULL,
    error       TEXT,
    exit_code   INTEGER,
    PRIMARY KEY (subtask, attempt)
) STRICT, WITHOUT ROWID;

-- The events of one task in one commit, as a JSON array; the key carries the last of their numbers.
CREATE TABLE events (
    key     INTEGER PRIMARY KEY,
    records TEXT NOT NULL
) STRICT;

CREATE TABLE logs (
    key         INTEGER PRIMARY KEY,
    at          INTEGER NOT NULL,
    position    INTEGER NOT NULL,
    level       INTEGER NOT NULL,
    stale       INTEGER NOT NULL,
    worker_uuid BLOB,
    message     TEXT    NOT NULL,
    metadata    TEXT
) STRICT;

CREATE TABLE workers (
    key            INTEGER PRIMARY KEY,
    uuid           BLOB    NOT NULL,
    machine_id     TEXT    NOT NULL,
    session        INTEGER NOT NULL,
    slots          INTEGER NOT NULL,
    used           INTEGER NOT NULL,
    said           INTEGER NOT NULL,
    draining       INTEGER NOT NULL,
    unregistered   INTEGER NOT NULL,
    uses_leases    INTEGER NOT NULL,
    cpu_percent    REAL,
    memory_percent REAL,
    disk_percent   REAL,
    current_task   TEXT,
    last_heartbeat INTEGER NOT NULL,
    registered_at  INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX workers_uuid ON workers (uuid);
CREATE UNIQUE INDEX workers_machine ON workers (machine_id);
CREATE INDEX workers_heartbeat ON workers (last_heartbeat);

-- What a worker registered, apart from the row that every claim writes.
CREATE TABLE worker_profiles (
    key         INTEGER PRIMARY KEY,
    profile     TEXT NOT NULL,
    system_info TEXT NOT NULL
) STRICT;

CREATE TABLE worker_samples (
    worker         INTEGER NOT NULL,
    at             INTEGER NOT NULL,
    cpu_percent    REAL,
    memory_percent REAL,
    disk_percent   REAL,
    PRIMARY KEY (worker, at)
) STRICT, WITHOUT ROWID;

CREATE TABLE lanes (
    key       INTEGER PRIMARY KEY,
    canonical TEXT NOT NULL UNIQUE
) STRICT;

CREATE TABLE idempotency (
    scope TEXT    NOT NULL,
    name  TEXT    NOT NULL,
    body  INTEGER NOT NULL,
    tasks BLOB    NOT NULL,
    at    INTEGER NOT NULL,
    PRIMARY KEY (scope, name)
) STRICT, WITHOUT ROWID;
CREATE INDEX idempotency_at ON idempotency (at);

-- How many there are of what, kept by the transactions that change it.
-- kind 0: tasks, id = status * 256 + type; kind 1: subtasks, id = state; kind 2: ready subtasks, id = lane.
CREATE TABLE counters (
    kind  INTEGER NOT NULL,
    id    INTEGER NOT NULL,
    count INTEGER NOT NULL,
    PRIMARY KEY (kind, id)
) STRICT, WITHOUT ROWID;

-- Single values: cluster_id (a UUID's 16 bytes), last_task and last_worker (keys given, never again), last_sweep.
CREATE TABLE meta (
    name  TEXT PRIMARY KEY,
    value ANY NOT NULL
) STRICT, WITHOUT ROWID;
