//! Schema change 3: rows of subtasks from thirty-five columns into packed ones, which SQL alone cannot do.

use std::sync::Arc;

use regatta_model::subtask::{Holder, State, SubtaskHead, SubtaskRow};
use regatta_model::{LaneKey, Span, SubtaskKey, TaskId, Timestamp, WorkerId, WorkerKey};
use rusqlite::types::FromSql;
use rusqlite::{Connection, Row, params};
use uuid::Uuid;

use super::codec;
use super::error::DbError;
use crate::pack::subtask as packed;

/// As the schema's first version had them.
const WIDE: &str =
    "SELECT key, state, lane, rank, due_at, worker, lease_expires_at, deps_left, attempt, failures, losses,
    missed, epoch, context_bytes, avoid_worker, avoid_until, progress, queued_at, started_at, completed_at,
    execution_time, simulated, exit_code, session, worker_uuid, tool, error, complexity, priority, timeout_seconds,
    max_attempts, head_start, name, dependencies, dependents, output
FROM wide_subtasks ORDER BY key";

const INSERT: &str = "INSERT INTO subtasks (key, state, lane, rank, worker, changing, head, name, output)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)";

/// Moves all rows and drops the old table. Call inside the transaction of the change.
pub(super) fn pack(conn: &Connection) -> Result<(), DbError> {
    {
        let mut statement = conn.prepare(WIDE)?;
        let mut insert = conn.prepare(INSERT)?;
        let mut rows = statement.query([])?;
        let (mut changing, mut head) = (Vec::new(), Vec::new());
        while let Some(found) = rows.next()? {
            let row = wide_row(found)?;
            packed::changing(&row, &mut changing);
            packed::head(&row.head, &mut head);
            insert.execute(params![
                row.head.key.0,
                row.state.code(),
                row.head.lane.0,
                row.rank,
                row.holder.as_ref().map(|holder| holder.worker.0),
                changing,
                head,
                row.head.name,
                found.get::<_, Option<Arc<str>>>(35)?,
            ])?;
        }
    }
    conn.execute_batch("DROP TABLE wide_subtasks")?;
    Ok(())
}

fn get<T: FromSql>(row: &Row<'_>, column: usize) -> Result<T, DbError> {
    Ok(row.get(column)?)
}

/// Positions were little-endian pairs of bytes.
fn positions(row: &Row<'_>, column: usize) -> Result<Box<[u16]>, DbError> {
    let bytes: Vec<u8> = get(row, column)?;
    Ok(bytes.as_chunks::<2>().0.iter().map(|pair| u16::from_le_bytes(*pair)).collect())
}

fn wide_row(row: &Row<'_>) -> Result<SubtaskRow, DbError> {
    let key = SubtaskKey(get(row, 0)?);
    let head = SubtaskHead {
        key,
        // Not packed: it is made from the task's.
        id: TaskId::from_random(Uuid::nil()).subtask(key.position()),
        lane: LaneKey(get(row, 2)?),
        complexity: get(row, 27)?,
        priority: get(row, 28)?,
        timeout_seconds: get(row, 29)?,
        max_attempts: get(row, 30)?,
        head_start: Span(get(row, 31)?),
        name: get(row, 32)?,
        dependencies: positions(row, 33)?,
        dependents: positions(row, 34)?,
    };
    let holder = match get::<Option<i64>>(row, 5)? {
        Some(worker) => Some(Holder {
            worker: WorkerKey(worker),
            session: get(row, 23)?,
            id: WorkerId(codec::uuid(row, 24)?),
            tool: get(row, 25)?,
        }),
        None => None,
    };
    let avoid = match get::<Option<i64>>(row, 14)? {
        Some(worker) => Some((WorkerKey(worker), Timestamp(get(row, 15)?))),
        None => None,
    };
    Ok(SubtaskRow {
        head: Arc::new(head),
        state: codec::word(row, 1, State::from_code, "a subtask's state")?,
        rank: get(row, 3)?,
        due_at: codec::time(row, 4)?,
        holder,
        lease_expires_at: codec::time(row, 6)?,
        deps_left: get(row, 7)?,
        attempt: get(row, 8)?,
        failures: get(row, 9)?,
        losses: get(row, 10)?,
        missed: get(row, 11)?,
        epoch: get(row, 12)?,
        context_bytes: get::<i64>(row, 13)? as u64,
        avoid,
        progress: get(row, 16)?,
        queued_at: codec::time(row, 17)?,
        started_at: codec::time(row, 18)?,
        completed_at: codec::time(row, 19)?,
        execution_time: get(row, 20)?,
        simulated: get(row, 21)?,
        exit_code: get(row, 22)?,
        error: get(row, 26)?,
    })
}

#[cfg(test)]
mod tests {
    use super::super::migrate::{MIGRATIONS, migrate};
    use super::super::sql;
    use super::*;

    /// A database as the first version of the schema left it, with a subtask in every column of which something stands.
    fn wide() -> Connection {
        let mut conn = Connection::open_in_memory().unwrap();
        migrate(&mut conn, &MIGRATIONS[..1], "0.1.0").unwrap();
        conn.execute_batch(
            "INSERT INTO subtasks (key, state, lane, rank, due_at, worker, lease_expires_at, deps_left, attempt,
                 failures, losses, missed, epoch, context_bytes, avoid_worker, avoid_until, progress, queued_at,
                 started_at, completed_at, execution_time, simulated, exit_code, session, worker_uuid, tool, error,
                 complexity, priority, timeout_seconds, max_attempts, head_start, name, dependencies, dependents,
                 description, output)
             VALUES ((7 << 14) + 1, 3, 4, -5, 600, 9, 601, 2, 3, 1, 2, 1, 4294967300, 70000, 8, 602, 55, 603, 604, 605,
                 1.5, 1, -9, 6, x'0102030405060708090a0b0c0d0e0f10', 'claude_code', 'late', 5, -2, 300, 3, 60000000, 'Test',
                 x'00000201', x'0300', 'Test it', '{\"a\":1}'),
                ((7 << 14) + 2, 1, 4, 6, NULL, NULL, NULL, 0, 0, 0, 0, 0, 0, 0, NULL, NULL, 0, 603, NULL, NULL, 0.0, 0, NULL,
                 NULL, NULL, NULL, NULL, 1, 0, 60, 1, 0, 'Next', x'', x'', 'Next of it', NULL);
             INSERT INTO subtask_inputs VALUES ((7 << 14) + 1, '{\"n\":1}');",
        )
        .unwrap();
        conn
    }

    #[test]
    fn rows_of_the_first_schema_keep_all_they_say() {
        let mut conn = wide();
        migrate(&mut conn, MIGRATIONS, "0.1.0").unwrap();
        let task = TaskId::from_random(Uuid::nil());
        let keys = format!("[{}, {}]", (7 << 14) + 1, (7 << 14) + 2);
        let mut statement = conn.prepare(sql::SUBTASKS_BY_KEYS).unwrap();
        let mut rows = statement.query([keys]).unwrap();
        let first = codec::subtask_row(rows.next().unwrap().unwrap(), task).unwrap();
        let second = codec::subtask_row(rows.next().unwrap().unwrap(), task).unwrap();
        assert!(rows.next().unwrap().is_none());

        let head = SubtaskHead {
            key: SubtaskKey((7 << 14) + 1),
            id: task.subtask(1),
            name: "Test".into(),
            dependencies: [0, 258].into(),
            dependents: [3].into(),
            complexity: 5,
            priority: -2,
            timeout_seconds: 300,
            max_attempts: 3,
            lane: LaneKey(4),
            head_start: Span(60_000_000),
        };
        let id = WorkerId(Uuid::from_u128(0x0102_0304_0506_0708_090a_0b0c_0d0e_0f10));
        let leased = SubtaskRow {
            head: Arc::new(head),
            state: State::Leased,
            deps_left: 2,
            context_bytes: 70_000,
            rank: -5,
            attempt: 3,
            failures: 1,
            losses: 2,
            epoch: (1 << 32) + 4,
            holder: Some(Holder { worker: WorkerKey(9), id, session: 6, tool: "claude_code".into() }),
            lease_expires_at: Some(Timestamp(601)),
            due_at: Some(Timestamp(600)),
            missed: 1,
            avoid: Some((WorkerKey(8), Timestamp(602))),
            progress: 55,
            queued_at: Some(Timestamp(603)),
            started_at: Some(Timestamp(604)),
            completed_at: Some(Timestamp(605)),
            error: Some("late".into()),
            exit_code: Some(-9),
            execution_time: 1.5,
            simulated: true,
        };
        assert_eq!(first, leased);
        assert_eq!((&*second.head.name, second.state, second.rank, second.holder), ("Next", State::Ready, 6, None));

        let texts = |key: i64| {
            conn.query_row(sql::READ_SUBTASK, [key], |row| {
                let first = codec::SUBTASK_COLUMNS;
                let (description, input, output) = (row.get(first)?, row.get(first + 1)?, row.get(first + 2)?);
                Ok::<(String, Option<String>, Option<String>), _>((description, input, output))
            })
        };
        let json = |text: &str| Some(text.to_owned());
        assert_eq!(texts((7 << 14) + 1).unwrap(), ("Test it".into(), json(r#"{"n":1}"#), json(r#"{"a":1}"#)));
        assert_eq!(texts((7 << 14) + 2).unwrap(), ("Next of it".into(), None, None));
        conn.prepare("SELECT 1 FROM wide_subtasks").unwrap_err();
        conn.prepare("SELECT 1 FROM subtask_inputs").unwrap_err();
    }
}
