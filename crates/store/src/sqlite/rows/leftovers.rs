//! What is left of tasks that were too long to be deleted in one transaction.
//!
//! Such a task is gone for everyone at once, counts and all: nothing finds its rows without it, and its key is never given
//! again. The rows go in pieces that are small enough to hold nobody up, with the sweeps; which tasks they belong to is
//! kept in the database, so a restart goes on with it.

use regatta_model::TaskKey;
use rusqlite::{Connection, OptionalExtension, params};

use super::{Result, SqliteRows};
use crate::pack::keys;
use crate::sqlite::sql;

/// Rows that go in one transaction.
pub(in crate::sqlite) const PIECE: usize = 1_000;
/// Where the keys of the tasks are kept, eight bytes each.
const LEFTOVERS: &str = "leftovers";

/// Deleted tasks of which there are rows.
#[derive(Default)]
pub(super) struct Leftovers {
    tasks: Vec<TaskKey>,
    changed: bool,
}

impl Leftovers {
    pub(super) fn load(conn: &Connection) -> Result<Self> {
        let kept: Option<Vec<u8>> =
            conn.prepare_cached(sql::META)?.query_row([LEFTOVERS], |row| row.get(0)).optional()?;
        let kept = kept.unwrap_or_default();
        let tasks = kept.as_chunks::<8>().0.iter().map(|key| TaskKey(i64::from_be_bytes(*key)));
        Ok(Self { tasks: tasks.collect(), changed: false })
    }

    pub(super) fn flush(&mut self, conn: &Connection) -> Result<()> {
        if std::mem::take(&mut self.changed) {
            let keys: Vec<u8> = self.tasks.iter().flat_map(|task| task.0.to_be_bytes()).collect();
            conn.prepare_cached(sql::SET_META)?.execute(params![LEFTOVERS, keys])?;
        }
        Ok(())
    }
}

impl SqliteRows {
    /// The rows of a deleted task are left for later.
    pub(super) fn leave(&mut self, task: TaskKey) {
        self.leftovers.tasks.push(task);
        self.leftovers.changed = true;
    }

    /// Removes up to [`PIECE`] rows of deleted tasks.
    pub(in crate::sqlite) fn sweep_leftovers(&mut self) -> Result<()> {
        let mut room = PIECE;
        while let Some(&task) = self.leftovers.tasks.first() {
            let (events, subtasks) = (keys::event_range(task), keys::subtask_range(task));
            for (statement, (first, last)) in [
                (sql::DELETE_SOME_LOGS, events),
                (sql::DELETE_SOME_EVENTS, events),
                (sql::DELETE_SOME_ATTEMPTS, subtasks),
                (sql::DELETE_SOME_TEXTS, subtasks),
                (sql::DELETE_SOME_SUBTASKS, subtasks),
            ] {
                let room_left = i64::try_from(room).unwrap_or(i64::MAX);
                room -= self.conn.prepare_cached(statement)?.execute(params![first, last, room_left])?.min(room);
                if room == 0 {
                    return Ok(());
                }
            }
            self.leftovers.tasks.remove(0);
            self.leftovers.changed = true;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use regatta_model::command::{CancelTask, Command, DeleteTask, Forget, Submit};
    use regatta_model::ledger::{self, Effects};
    use regatta_model::plan::{self, Brief, NewSteps, Step};
    use regatta_model::routing::Labels;
    use regatta_model::task::{NewPlan, NewTask, Start, TaskText};
    use regatta_model::{Priority, Privacy, Span, TaskId, TaskType, Timestamp};
    use uuid::Uuid;

    use super::*;
    use crate::sqlite::open::{Options, Synchronous, writer};

    const NOW: Timestamp = Timestamp(1_700_000_000_000_000);

    fn task(number: u128, steps: u32) -> NewTask {
        let steps: Vec<Step> = (0..steps)
            .map(|step| Step {
                name: format!("step {step}"),
                // Of its own, so that it is kept.
                description: Some("do it".into()),
                depends_on: Vec::new(),
                tool: Some("t".into()),
                requires: Labels::new(),
                input: None,
                complexity: 1,
                priority: 0,
                timeout_seconds: 60,
                max_attempts: 1,
            })
            .collect();
        let brief = Brief {
            description: "a task",
            task_type: TaskType::Custom,
            privacy: Privacy::Normal,
            priority: Priority::Normal,
            tool_preferences: &[],
            requires: &Labels::new(),
        };
        let plan = plan::plan(&brief, Some(&steps)).unwrap();
        let total = plan.steps.len() as u32;
        NewTask {
            id: TaskId::from_random(Uuid::from_u128(number << 40)),
            user: "local".into(),
            task_type: TaskType::Custom,
            priority: Priority::Normal,
            text: TaskText::plain("a task"),
            start: Start::Now,
            plan: Some(NewPlan { steps: NewSteps { first: 0, steps: plan.steps }, total }),
        }
    }

    /// One command in a transaction of its own, and how many rows it changed.
    fn apply(rows: &mut SqliteRows, now: Timestamp, command: Option<Command>) -> u64 {
        let before = changes(rows);
        rows.conn().execute_batch("BEGIN IMMEDIATE").unwrap();
        let mut effects = Effects::default();
        match command {
            Some(command) => drop(ledger::apply(rows, &mut effects, now, &command).unwrap()),
            None => rows.sweep_leftovers().unwrap(),
        }
        effects.seal(rows, now).unwrap();
        rows.flush().unwrap();
        rows.keep_events(&effects.events).unwrap();
        rows.conn().execute_batch("COMMIT").unwrap();
        rows.committed();
        changes(rows) - before
    }

    fn changes(rows: &SqliteRows) -> u64 {
        rows.conn().query_row("SELECT total_changes()", [], |row| row.get::<_, i64>(0)).unwrap().unsigned_abs()
    }

    fn count(rows: &SqliteRows, table: &str) -> i64 {
        rows.conn().query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0)).unwrap()
    }

    #[test]
    fn no_transaction_of_retention_is_long_and_nothing_is_left_behind() {
        let folder = tempfile::tempdir().unwrap();
        let options = Options { synchronous: Synchronous::Off, ..Options::new(folder.path().join("test.db")) };
        let mut rows = SqliteRows::new(writer(&options).unwrap()).unwrap();
        // Two long tasks, and many short ones.
        let sizes = [4_000, 4_000].into_iter().chain([3; 400]);
        for (number, steps) in (1..).zip(sizes) {
            let task = task(number, steps);
            let id = task.id;
            apply(&mut rows, NOW, Some(Command::Submit(Submit { tasks: vec![task], idempotency: None })));
            apply(&mut rows, NOW, Some(Command::CancelTask(CancelTask { task: id, reason: Some(Arc::from("over")) })));
        }
        let kept = task(1_000, 2);
        apply(&mut rows, NOW, Some(Command::Submit(Submit { tasks: vec![kept], idempotency: None })));
        assert_eq!(count(&rows, "tasks"), 403);

        // One of the long ones by request: gone at once, and cheaply.
        let first = TaskId::from_random(Uuid::from_u128(1 << 40));
        let changed = apply(&mut rows, NOW, Some(Command::DeleteTask(DeleteTask { task: first })));
        assert!(changed < 100, "{changed} rows");
        let later = NOW + Span::seconds(10);
        let forget = Forget { ended_before: Some(later), excess: 0, after: TaskKey(0), look: 128, rows: LONG };
        let mut batches = 0;
        while count(&rows, "tasks") > 1 {
            let changed = apply(&mut rows, later, Some(Command::Forget(forget)));
            assert!(changed <= 2 * PIECE as u64, "{changed} rows in one transaction");
            batches += 1;
            assert!(batches < 100, "it goes on");
        }
        assert!(batches > 3, "{batches}");
        // After a restart the rest goes too.
        let mut rows = SqliteRows::new(writer(&options).unwrap()).unwrap();
        assert_eq!(rows.leftovers.tasks.len(), 2);
        while !rows.leftovers.tasks.is_empty() {
            let changed = apply(&mut rows, later, None);
            assert!(changed <= PIECE as u64 + 10, "{changed} rows in one transaction");
        }
        let left = ["tasks", "task_state", "subtasks", "subtask_texts", "events", "logs", "attempts"];
        let left: Vec<i64> = left.into_iter().map(|table| count(&rows, table)).collect();
        assert_eq!(left, [1, 1, 2, 2, 1, 0, 0]);
        let counted = rows.conn().prepare("SELECT kind, sum(count) FROM counters WHERE kind < 2 GROUP BY kind");
        let counted: Vec<(i64, i64)> = counted
            .unwrap()
            .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))
            .unwrap()
            .map(std::result::Result::unwrap)
            .collect();
        assert_eq!(counted, [(0, 1), (1, 2)]);
    }

    const LONG: u64 = regatta_model::command::LONG_TASK;
}
