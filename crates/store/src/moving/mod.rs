//! Moving a database from SQLite to PostgreSQL, and back.
//!
//! What travels is a SQLite database file, a whole one of one moment: from SQLite that is a backup, from PostgreSQL it is made
//! here. So there is one format, which `regatta serve` can be started on, and anybody can look into. Rows travel one by one as
//! [`Value`]s, with a sum over all of each table on either side; they must agree before anything counts.

mod from_postgres;
mod sqlite;
mod to_postgres;

use std::collections::BTreeMap;

use xxhash_rust::xxh3::xxh3_128;

use crate::StoreError;
use crate::pack::subtask::due_at;

pub use from_postgres::export;
pub use to_postgres::{Imported, import};

/// Rows that travel together.
const BATCH: usize = 1_000;
/// Batches that may wait for the slower side.
const WAITING: usize = 4;

/// A value of a column, as both databases have it.
#[derive(Debug, Clone, PartialEq)]
enum Value {
    Null,
    Int(i64),
    Real(f64),
    Text(String),
    Blob(Vec<u8>),
}

type Row = Vec<Value>;

/// What a column is to PostgreSQL, where that is more than its [`Value`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Int,
    Bool,
    Real,
    Text,
    Blob,
    Uuid,
    /// Several, sixteen bytes each.
    Uuids,
}

/// What PostgreSQL has beside: a column, and its value for a row.
type Added = (&'static str, fn(&Row) -> Result<Value, StoreError>);

/// A table of both databases.
struct Table {
    name: &'static str,
    columns: &'static [(&'static str, Kind)],
    /// The key of the task that a row belongs to: of deleted tasks there may be rows left, which stay behind.
    task: Option<&'static str>,
    added: Option<Added>,
}

use Kind::{Blob, Bool, Int, Real, Text, Uuid, Uuids};

const fn table(name: &'static str, columns: &'static [(&'static str, Kind)]) -> Table {
    Table { name, columns, task: None, added: None }
}

const fn of_task(name: &'static str, task: &'static str, columns: &'static [(&'static str, Kind)]) -> Table {
    Table { name, columns, task: Some(task), added: None }
}

/// All that travels, in the order in which it does.
const TABLES: &[Table] = &[
    table(
        "tasks",
        &[
            ("key", Int),
            ("uuid", Uuid),
            ("user_id", Text),
            ("task_type", Int),
            ("priority", Int),
            ("created_at", Int),
            ("summary", Text),
            ("checkpoint_frequency", Int),
            ("privacy", Int),
            ("tool_preferences", Text),
            ("requires", Text),
            ("metadata", Text),
            ("requirements", Text),
            ("description", Text),
            ("deferred_steps", Text),
        ],
    ),
    of_task(
        "task_state",
        "key",
        &[
            ("key", Int),
            ("status", Int),
            ("total", Int),
            ("completed", Int),
            ("failed", Int),
            ("cancelled", Int),
            ("running", Int),
            ("seq", Int),
            ("started_at", Int),
            ("completed_at", Int),
            ("updated_at", Int),
            ("start_at", Int),
            ("error", Text),
        ],
    ),
    Table {
        name: "subtasks",
        columns: &[
            ("key", Int),
            ("state", Int),
            ("lane", Int),
            ("rank", Int),
            ("worker", Int),
            ("changing", Blob),
            ("head", Blob),
            ("name", Text),
            ("output", Text),
        ],
        task: Some("key >> 14"),
        added: Some(("due_at", |row| match &row[5] {
            Value::Blob(changing) => match due_at(changing) {
                Ok(due) => Ok(due.map_or(Value::Null, |at| Value::Int(at.0))),
                Err(error) => Err(StoreError::Database(format!("a subtask: {error}"))),
            },
            other => Err(StoreError::Database(format!("{other:?} as a packed subtask"))),
        })),
    },
    of_task("subtask_texts", "key >> 14", &[("key", Int), ("description", Text), ("input", Text)]),
    of_task(
        "attempts",
        "subtask >> 14",
        &[
            ("subtask", Int),
            ("attempt", Int),
            ("worker_uuid", Uuid),
            ("tool", Text),
            ("started_at", Int),
            ("ended_at", Int),
            ("outcome", Int),
            ("error", Text),
            ("exit_code", Int),
        ],
    ),
    of_task("events", "key >> 30", &[("key", Int), ("packed", Blob)]),
    of_task(
        "logs",
        "key >> 30",
        &[
            ("key", Int),
            ("at", Int),
            ("position", Int),
            ("level", Int),
            ("stale", Bool),
            ("worker_uuid", Uuid),
            ("message", Text),
            ("metadata", Text),
        ],
    ),
    table(
        "workers",
        &[
            ("key", Int),
            ("uuid", Uuid),
            ("machine_id", Text),
            ("session", Int),
            ("slots", Int),
            ("used", Int),
            ("said", Int),
            ("draining", Bool),
            ("unregistered", Bool),
            ("uses_leases", Bool),
            ("cpu_percent", Real),
            ("memory_percent", Real),
            ("disk_percent", Real),
            ("current_task", Text),
            ("last_heartbeat", Int),
            ("registered_at", Int),
            ("figures", Text),
        ],
    ),
    table("worker_profiles", &[("key", Int), ("profile", Text), ("system_info", Text)]),
    table(
        "worker_samples",
        &[("worker", Int), ("at", Int), ("cpu_percent", Real), ("memory_percent", Real), ("disk_percent", Real)],
    ),
    table("lanes", &[("key", Int), ("canonical", Text)]),
    table("idempotency", &[("scope", Text), ("name", Text), ("body", Int), ("tasks", Uuids), ("at", Int)]),
    Table {
        name: COUNTERS,
        columns: &[("kind", Int), ("id", Int), ("count", Int)],
        task: None,
        added: Some(("shard", |_| Ok(Value::Int(0)))),
    },
    table(
        "tokens",
        &[("id", Uuid), ("hash", Blob), ("role", Int), ("name", Text), ("created_at", Int), ("revoked_at", Int)],
    ),
];

/// The table of counters: PostgreSQL's writers each count for themselves, and what is nought need not be there.
const COUNTERS: &str = "counters";

impl Table {
    /// The condition under which a row travels.
    fn which(&self) -> String {
        match self.task {
            Some(key) => format!(" WHERE EXISTS (SELECT 1 FROM tasks AS t WHERE t.key = (x.{key}))"),
            None => String::new(),
        }
    }
}

/// Single values that travel beside the tables.
struct Meta {
    cluster: uuid::Uuid,
    /// The last keys that were given to a task and to a worker.
    last_task: i64,
    last_worker: i64,
}

/// The rows of a table and the sum over them, whatever their order.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Sum {
    rows: u64,
    sum: u128,
}

impl Sum {
    fn add(&mut self, row: &Row) {
        let mut bytes = Vec::with_capacity(256);
        for value in row {
            let (kind, value): (u8, &[u8]) = match value {
                Value::Null => (0, &[]),
                Value::Int(number) => (1, &number.to_le_bytes()),
                Value::Real(number) => (2, &number.to_le_bytes()),
                Value::Text(text) => (3, text.as_bytes()),
                Value::Blob(blob) => (4, blob),
            };
            bytes.push(kind);
            bytes.extend_from_slice(&(value.len() as u64).to_le_bytes());
            bytes.extend_from_slice(value);
        }
        self.rows += 1;
        self.sum = self.sum.wrapping_add(xxh3_128(&bytes));
    }
}

/// The sums of all tables, by name.
type Sums = BTreeMap<&'static str, Sum>;

/// The first table in which two sides differ, in words.
fn compare(of: &Sums, with: &Sums) -> Result<(), StoreError> {
    for table in TABLES {
        let (from, to) = (of.get(table.name).copied(), with.get(table.name).copied());
        if from != to {
            let rows = |sum: Option<Sum>| sum.unwrap_or_default().rows;
            return Err(StoreError::Open(format!(
                "what arrived is not what was sent: {} rows of {} became {}, or their contents differ; nothing was changed",
                rows(from),
                table.name,
                rows(to)
            )));
        }
    }
    Ok(())
}

/// How many rows of each table there are.
fn counts(sums: &Sums) -> BTreeMap<String, u64> {
    sums.iter().map(|(table, sum)| ((*table).to_owned(), sum.rows)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sum_is_of_the_rows_and_not_of_their_order() {
        let rows = [vec![Value::Int(1), Value::Null], vec![Value::Int(2), Value::Text("a".into())]];
        let sum = |order: &[usize]| {
            let mut sum = Sum::default();
            order.iter().for_each(|&row| sum.add(&rows[row]));
            sum
        };
        assert_eq!(sum(&[0, 1]), sum(&[1, 0]));
        assert_ne!(sum(&[0, 1]), sum(&[0, 0]));
        // What ends one value must not begin the next.
        let (mut one, mut other) = (Sum::default(), Sum::default());
        one.add(&vec![Value::Text("ab".into()), Value::Text("c".into())]);
        other.add(&vec![Value::Text("a".into()), Value::Text("bc".into())]);
        assert_ne!(one, other);
    }
}
