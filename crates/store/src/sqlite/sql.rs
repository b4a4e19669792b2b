//! Every statement of this store, from the files in `sql/`; a test prepares each and reads the plans of the hot ones.

use std::sync::LazyLock;

/// Rows that one statement inserts where there are many.
pub(super) const ROWS: usize = 8;

/// The same statement for [`ROWS`] rows, whose parameters follow each other.
fn several(insert: &str) -> String {
    let (head, row) = insert.split_once("VALUES").unwrap_or((insert, ""));
    // Numbers in it are each row's own; without them they count through all rows.
    let row: String = row.trim().chars().filter(|sign| !sign.is_ascii_digit()).collect();
    format!("{head}VALUES {}", vec![row; ROWS].join(", "))
}

pub(super) static INSERT_TASKS: LazyLock<String> = LazyLock::new(|| several(INSERT_TASK));
pub(super) static INSERT_TASK_STATES: LazyLock<String> = LazyLock::new(|| several(INSERT_TASK_STATE));
pub(super) static INSERT_SUBTASKS: LazyLock<String> = LazyLock::new(|| several(INSERT_SUBTASK));
pub(super) static INSERT_SEVERAL_EVENTS: LazyLock<String> = LazyLock::new(|| several(INSERT_EVENTS));

macro_rules! statements {
    ($($name:ident = $file:literal),+ $(,)?) => {
        $(pub(super) const $name: &str = include_str!(concat!("sql/", $file, ".sql"));)+

        /// All of them, by file name.
        #[cfg(test)]
        pub(super) const ALL: &[(&str, &str)] = &[$(($file, $name)),+];
    };
}

statements! {
    COUNT_SEARCH = "count_search",
    COUNT_SUBTASKS_OF = "count_subtasks_of",
    COUNT_TASKS = "count_tasks",
    COUNT_WORKERS = "count_workers",
    COUNT_WORKERS_BY_STATUS = "count_workers_by_status",
    DELETE_ATTEMPTS = "delete_attempts",
    DELETE_EVENTS = "delete_events",

    DELETE_LOGS = "delete_logs",
    DELETE_OLD_SAMPLES = "delete_old_samples",
    DELETE_PROFILE = "delete_profile",
    DELETE_SAMPLES = "delete_samples",
    DELETE_SOME_ATTEMPTS = "delete_some_attempts",
    DELETE_SOME_EVENTS = "delete_some_events",
    DELETE_SOME_LOGS = "delete_some_logs",
    DELETE_SOME_SUBTASKS = "delete_some_subtasks",
    DELETE_SOME_TEXTS = "delete_some_texts",
    DELETE_SUBTASKS = "delete_subtasks",
    DELETE_TASK = "delete_task",
    DELETE_TASK_STATE = "delete_task_state",
    DELETE_TEXTS = "delete_texts",
    DELETE_WORKER = "delete_worker",
    DROP_DEFERRED_STEPS = "drop_deferred_steps",
    FIRST_QUEUED = "first_queued",
    FORGET_OLD_KEYS = "forget_old_keys",
    INSERT_ATTEMPT = "insert_attempt",
    INSERT_COUNT = "insert_count",
    INSERT_EVENTS = "insert_events",

    INSERT_LANE = "insert_lane",
    INSERT_LOG = "insert_log",
    INSERT_SAMPLE = "insert_sample",
    INSERT_SUBTASK = "insert_subtask",
    INSERT_TASK = "insert_task",
    INSERT_TASK_STATE = "insert_task_state",
    INSERT_TEXT = "insert_text",
    INSERT_TOKEN = "insert_token",
    INSERT_WORKER = "insert_worker",
    LANE_BY_CANONICAL = "lane_by_canonical",
    LANES_AFTER = "lanes_after",
    LAST_SAMPLE = "last_sample",
    LEASED = "leased",
    LEASED_BY = "leased_by",
    LIST_READY_SUBTASKS = "list_ready_subtasks",
    LIST_SUBTASKS = "list_subtasks",
    LIST_TASKS = "list_tasks",
    LIST_TASKS_BOTH = "list_tasks_both",
    LIST_TASKS_STATUS = "list_tasks_status",
    LIST_TASKS_TYPE = "list_tasks_type",
    LIST_TOKENS = "list_tokens",
    LIST_WORKERS = "list_workers",
    META = "meta",
    QUEUED = "queued",
    RAISE_COUNT = "raise_count",
    READ_ATTEMPTS = "read_attempts",
    READ_CONTEXT = "read_context",
    READ_COUNTERS = "read_counters",
    READ_CURRENT = "read_current",
    READ_EVENTS = "read_events",
    READ_HEAD = "read_head",
    READ_LAST_LOGS = "read_last_logs",
    READ_LOGS = "read_logs",
    READ_PROGRESS = "read_progress",
    READ_SAMPLES = "read_samples",
    READ_SUBTASK = "read_subtask",
    READ_TASK = "read_task",
    READ_WORKER = "read_worker",
    READY_LANES = "ready_lanes",
    REMEMBER = "remember",
    REMEMBERED = "remembered",
    RESTARTABLE = "restartable",
    REVOKE_TOKEN = "revoke_token",
    SAVE_PROFILE = "save_profile",
    SEARCH_TASKS = "search_tasks",
    SET_META = "set_meta",
    SUBTASK_OUTPUT = "subtask_output",
    SUBTASK_TEXT = "subtask_text",
    SUBTASKS_BY_KEYS = "subtasks_by_keys",
    TASK_BY_KEY = "task_by_key",
    TASK_BY_UUID = "task_by_uuid",
    TASK_KEY = "task_key",
    TASKS_AFTER = "tasks_after",
    TASKS_TO_START = "tasks_to_start",
    TOKEN_BY_HASH = "token_by_hash",
    UNFINISHED = "unfinished",
    UPDATE_EVENTS = "update_events",
    UPDATE_SUBTASK = "update_subtask",
    UPDATE_SUBTASK_OUTPUT = "update_subtask_output",
    UPDATE_TASK_COUNTS = "update_task_counts",
    UPDATE_TASK_STATE = "update_task_state",
    UPDATE_WORKER = "update_worker",
    UPDATE_WORKER_USED = "update_worker_used",
    WORKER_BY_KEY = "worker_by_key",
    WORKER_BY_MACHINE = "worker_by_machine",
    WORKER_BY_UUID = "worker_by_uuid",
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use rusqlite::Connection;

    use super::super::open::{Options, Synchronous, writer};
    use super::*;

    fn database(folder: &tempfile::TempDir) -> Connection {
        let options = Options { synchronous: Synchronous::Off, ..Options::new(folder.path().join("test.db")) };
        writer(&options).unwrap()
    }

    #[test]
    fn every_file_is_listed_and_prepares() {
        let folder = tempfile::tempdir().unwrap();
        let conn = database(&folder);
        let files = std::fs::read_dir(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("src/sqlite/sql")).unwrap();
        let mut names: Vec<String> =
            files.map(|file| file.unwrap().path().file_stem().unwrap().to_str().unwrap().to_owned()).collect();
        names.sort();
        let mut listed: Vec<&str> = ALL.iter().map(|(name, _)| *name).collect();
        listed.sort_unstable();
        assert_eq!(names, listed);
        let several: [(&str, &str); 4] = [
            ("several tasks", &INSERT_TASKS),
            ("several task states", &INSERT_TASK_STATES),
            ("several subtasks", &INSERT_SUBTASKS),
            ("several events", &INSERT_SEVERAL_EVENTS),
        ];
        for (name, sql) in ALL.iter().chain(&several) {
            if let Err(error) = conn.prepare(sql) {
                panic!("{name}: {error}");
            }
        }
    }

    /// The plan of a statement, as one line.
    fn plan(conn: &Connection, sql: &str) -> String {
        let mut explain = conn.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
        let count = explain.parameter_count();
        let nulls = rusqlite::params_from_iter(std::iter::repeat_n(rusqlite::types::Null, count));
        let steps = explain.query_map(nulls, |row| row.get::<_, String>(3)).unwrap();
        steps.collect::<Result<Vec<_>, _>>().unwrap().join("; ")
    }

    /// 100,000 tasks of four subtasks, nearly all completed, as after a while of work.
    fn fill(conn: &Connection) {
        conn.execute_batch(
            "BEGIN;
             WITH RECURSIVE n(k) AS (SELECT 1 UNION ALL SELECT k + 1 FROM n WHERE k < 100000)
             INSERT INTO tasks (key, uuid, user_id, task_type, priority, created_at, summary, checkpoint_frequency,
                 privacy, tool_preferences, requires, description)
             SELECT k, CAST(printf('%016d', k) AS BLOB), 'local', k % 7, 1, k, 's', 1, 0, '[]', '{}', 'd' FROM n;
             INSERT INTO task_state (key, status, total, completed, failed, cancelled, running, seq, updated_at)
             SELECT key, CASE WHEN key % 1000 = 0 THEN 2 ELSE 4 END, 4, 4, 0, 0, 0, 9, 0 FROM tasks;
             INSERT INTO subtasks (key, state, lane, rank, worker, changing, head, name, output)
             SELECT (t.key << 14) + p.value, CASE WHEN t.key % 1000 = 0 THEN p.value ELSE 4 END, t.key % 3 + 1, t.key,
                 t.key % 50, zeroblob(60), zeroblob(16), 'n', '{}'
             FROM tasks t, json_each('[0,1,2,3]') p;
             INSERT INTO subtask_texts (key, description) SELECT key, 'd' FROM subtasks;
             INSERT INTO events (key, records) SELECT (key << 30) + 9, '[]' FROM tasks;
             COMMIT;
             ANALYZE;",
        )
        .unwrap();
    }

    #[test]
    fn hot_statements_use_their_indexes_on_an_empty_and_on_a_filled_database() {
        let folder = tempfile::tempdir().unwrap();
        let conn = database(&folder);
        let expected = [
            (TASK_BY_UUID, "SEARCH t USING INDEX tasks_uuid (uuid=?); SEARCH s USING INTEGER PRIMARY KEY (rowid=?)"),
            (
                READ_PROGRESS,
                "SEARCH t USING COVERING INDEX tasks_uuid (uuid=?); SEARCH s USING INTEGER PRIMARY KEY (rowid=?)",
            ),
            (
                QUEUED,
                "SEARCH t USING COVERING INDEX task_state_status (status>? AND status<?); \
                 SEARCH s USING INTEGER PRIMARY KEY (rowid>? AND rowid<?)",
            ),
            (LEASED_BY, "SEARCH subtasks USING COVERING INDEX subtasks_leased (worker=?)"),
            (LIST_TASKS, "SEARCH s USING INTEGER PRIMARY KEY (rowid<?); SEARCH t USING INTEGER PRIMARY KEY (rowid=?)"),
            (
                LIST_TASKS_STATUS,
                "SEARCH s USING INDEX task_state_status (status=? AND rowid<?); \
                 SEARCH t USING INTEGER PRIMARY KEY (rowid=?)",
            ),
            (
                LIST_TASKS_TYPE,
                "SEARCH t USING INDEX tasks_type (task_type=? AND rowid<?); \
                 SEARCH s USING INTEGER PRIMARY KEY (rowid=?)",
            ),
            (LIST_SUBTASKS, "SEARCH s USING INTEGER PRIMARY KEY (rowid>? AND rowid<?)"),
            (UNFINISHED, "SEARCH subtasks USING INTEGER PRIMARY KEY (rowid>? AND rowid<?)"),
            (READ_EVENTS, "SEARCH events USING INTEGER PRIMARY KEY (rowid>? AND rowid<?)"),
            (READ_LOGS, "SEARCH logs USING INTEGER PRIMARY KEY (rowid>? AND rowid<?)"),
            (READ_LAST_LOGS, "SEARCH logs USING INTEGER PRIMARY KEY (rowid>? AND rowid<?)"),
            (
                TASKS_TO_START,
                "SEARCH s USING COVERING INDEX task_state_start (start_at>? AND start_at<?); \
                 SEARCH t USING INTEGER PRIMARY KEY (rowid=?)",
            ),
            (READ_ATTEMPTS, "SEARCH attempts USING PRIMARY KEY (subtask=?)"),
            (READY_LANES, "SEARCH counters USING PRIMARY KEY (kind=?)"),
            (WORKER_BY_MACHINE, "SEARCH workers USING COVERING INDEX workers_machine (machine_id=?)"),
            (LAST_SAMPLE, "SEARCH worker_samples USING PRIMARY KEY (worker=?)"),
        ];
        let check = |when: &str| {
            let other: Vec<String> = expected
                .iter()
                .map(|&(sql, wanted)| (sql, wanted, plan(&conn, sql)))
                .filter(|(_, wanted, found)| wanted != found)
                .map(|(sql, wanted, found)| format!("{sql}\n  wanted {wanted}\n  found  {found}\n"))
                .collect();
            assert!(other.is_empty(), "{when}:\n{}", other.join("\n"));
        };
        check("empty");
        fill(&conn);
        conn.flush_prepared_statement_cache();
        check("filled");
    }
}
