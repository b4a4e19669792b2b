//! How events are kept: one row for all events of a task in one commit, packed into a BLOB one behind the other.
//!
//! The events of each task lie on a page of their own, so their size decides how many pages a commit writes: packed, an
//! event is a fifth of what it was as JSON, which rows of earlier versions still hold. Names and dependencies are not
//! repeated: they are read with the subtask's row. Only when a plan that was never whole is thrown away do its
//! subtasks' records get what never changes of them, because there is no row any more.

use std::sync::Arc;

use regatta_model::event::{SubtaskRecord, TaskRecord};
use regatta_model::subtask::SubtaskHead;
use regatta_model::task::TaskHead;
use regatta_model::{LaneKey, Span, SubtaskStatus, TaskStatus, Timestamp, WorkerId};
use serde::Deserialize;
use serde_json::value::RawValue;
use uuid::Uuid;

use super::PackError;
use super::bytes::{FORMAT, Unpack, damaged, push_fixed, push_number, push_signed, push_text};
use super::subtask as packed;

/// An event as it is kept.
#[derive(Debug, PartialEq)]
pub(crate) struct Record {
    /// Its number.
    pub(crate) seq: u64,
    /// When.
    pub(crate) at: Timestamp,
    /// What changed.
    pub(crate) changed: Changed,
}

/// What changed, and into what.
#[derive(Debug, PartialEq)]
pub(crate) enum Changed {
    /// The task.
    Task(TaskRecord),
    /// The subtask at a position; with what never changed of it, when its row is gone.
    Subtask(u16, SubtaskRecord, Option<Box<SubtaskHead>>),
}

const WORKER: u64 = 1;
const TOOL: u64 = 1 << 1;
const ERROR: u64 = 1 << 2;
const QUEUED: u64 = 1 << 3;
const STARTED: u64 = 1 << 4;
const COMPLETED: u64 = 1 << 5;
const SIMULATED: u64 = 1 << 6;
const HEAD: u64 = 1 << 7;

/// Begins a BLOB of records in `out`.
pub(crate) fn begin(out: &mut Vec<u8>) {
    out.clear();
    out.push(FORMAT);
}

/// Adds a change of the task.
pub(crate) fn push_task(out: &mut Vec<u8>, seq: u64, at: Timestamp, record: &TaskRecord) {
    push_number(out, seq);
    push_fixed(out, at.0);
    push_number(out, 0);
    out.push(record.status.code());
    out.push(record.progress);
}

/// Adds a change of the subtask at `position`.
pub(crate) fn push_subtask(
    out: &mut Vec<u8>,
    seq: u64,
    at: Timestamp,
    position: u16,
    record: &SubtaskRecord,
    head: Option<&SubtaskHead>,
) {
    let bit = |there: bool, bit: u64| if there { bit } else { 0 };
    let there = bit(record.worker.is_some(), WORKER)
        | bit(record.tool.is_some(), TOOL)
        | bit(record.error.is_some(), ERROR)
        | bit(record.queued_at.is_some(), QUEUED)
        | bit(record.started_at.is_some(), STARTED)
        | bit(record.completed_at.is_some(), COMPLETED)
        | bit(record.simulated, SIMULATED)
        | bit(head.is_some(), HEAD);
    push_number(out, seq);
    push_fixed(out, at.0);
    push_number(out, u64::from(position) + 1);
    push_number(out, there);
    out.push(record.status.code());
    out.push(record.progress);
    push_number(out, record.attempt.into());
    if let Some(worker) = record.worker {
        out.extend_from_slice(worker.uuid().as_bytes());
    }
    for text in [&record.tool, &record.error].into_iter().flatten() {
        push_text(out, text);
    }
    // Nearly the event's own time, so the difference is short.
    for time in [record.queued_at, record.started_at, record.completed_at].into_iter().flatten() {
        push_signed(out, at.0.wrapping_sub(time.0));
    }
    if let Some(head) = head {
        let mut rest = Vec::new();
        packed::head(head, &mut rest);
        push_signed(out, head.lane.0);
        push_text(out, &head.name);
        push_number(out, rest.len() as u64);
        out.extend_from_slice(&rest);
    }
}

/// The records of a row, of this version or of one before it.
pub(crate) fn read(task: &TaskHead, json: &str, packed: Option<&[u8]>) -> Result<Vec<Record>, PackError> {
    let Some(packed) = packed else { return read_json(task, json) };
    let mut from = Unpack::begin(packed)?;
    let mut records = Vec::new();
    while !from.is_empty() {
        let seq = from.number()?;
        let at = Timestamp(from.fixed()?);
        let changed = match from.number()? {
            0 => {
                let [status, progress] = from.array()?;
                Changed::Task(TaskRecord { status: TaskStatus::from_code(status).ok_or_else(damaged)?, progress })
            }
            place => subtask(task, u16::try_from(place - 1).map_err(|_| damaged())?, at, &mut from)?,
        };
        records.push(Record { seq, at, changed });
    }
    Ok(records)
}

fn subtask(task: &TaskHead, position: u16, at: Timestamp, from: &mut Unpack<'_>) -> Result<Changed, PackError> {
    let there = from.number()?;
    let [status, progress] = from.array()?;
    let attempt = from.small()?;
    let worker = match there & WORKER != 0 {
        true => Some(WorkerId(Uuid::from_bytes(from.array()?))),
        false => None,
    };
    let tool = if there & TOOL != 0 { Some(from.text()?) } else { None };
    let error = if there & ERROR != 0 { Some(from.text()?) } else { None };
    let mut time = |bit: u64| -> Result<Option<Timestamp>, PackError> {
        Ok(if there & bit != 0 { Some(Timestamp(at.0.wrapping_sub(from.signed()?))) } else { None })
    };
    let [queued_at, started_at, completed_at] = [time(QUEUED)?, time(STARTED)?, time(COMPLETED)?];
    let head = match there & HEAD != 0 {
        true => {
            let (lane, name) = (LaneKey(from.signed()?), from.text()?);
            let length = from.small()?;
            let (key, id) = (task.key.subtask(position), task.id.subtask(position));
            Some(Box::new(packed::unpack_head(key, id, lane, name, from.take(length)?)?))
        }
        false => None,
    };
    let record = SubtaskRecord {
        status: SubtaskStatus::from_code(status).ok_or_else(damaged)?,
        progress,
        attempt,
        worker,
        tool,
        error,
        queued_at,
        started_at,
        completed_at,
        simulated: there & SIMULATED != 0,
    };
    Ok(Changed::Subtask(position, record, head))
}

/// A record of an earlier version: `[seq, at, null, {task}]` or `[seq, at, position, {subtask}, {head}?]`.
#[derive(Deserialize)]
struct JsonRecord<'a>(u64, Timestamp, Option<u16>, #[serde(borrow)] &'a RawValue, #[serde(default)] Option<JsonHead>);

/// What never changes of a subtask.
#[derive(Deserialize)]
struct JsonHead {
    name: Arc<str>,
    dependencies: Box<[u16]>,
    dependents: Box<[u16]>,
    complexity: u8,
    priority: i32,
    timeout_seconds: u32,
    max_attempts: u32,
    lane: LaneKey,
    head_start: Span,
}

impl JsonHead {
    fn of(self, task: &TaskHead, position: u16) -> SubtaskHead {
        SubtaskHead {
            key: task.key.subtask(position),
            id: task.id.subtask(position),
            name: self.name,
            dependencies: self.dependencies,
            dependents: self.dependents,
            complexity: self.complexity,
            priority: self.priority,
            timeout_seconds: self.timeout_seconds,
            max_attempts: self.max_attempts,
            lane: self.lane,
            head_start: self.head_start,
        }
    }
}

fn read_json(task: &TaskHead, json: &str) -> Result<Vec<Record>, PackError> {
    let unreadable = |error| PackError::Corrupt(format!("events that cannot be read ({error})"));
    let records: Vec<JsonRecord<'_>> = serde_json::from_str(json).map_err(unreadable)?;
    let record = |JsonRecord(seq, at, position, record, head): JsonRecord<'_>| {
        let changed = match position {
            None => Changed::Task(serde_json::from_str(record.get()).map_err(unreadable)?),
            Some(position) => Changed::Subtask(
                position,
                serde_json::from_str(record.get()).map_err(unreadable)?,
                head.map(|head| Box::new(head.of(task, position))),
            ),
        };
        Ok(Record { seq, at, changed })
    };
    records.into_iter().map(record).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use regatta_model::{Priority, TaskId, TaskKey, TaskType};

    use super::*;

    fn task() -> TaskHead {
        TaskHead {
            key: TaskKey(7),
            id: TaskId::from_random(Uuid::from_u128(99 << 64)),
            user: "local".into(),
            summary: "s".into(),
            task_type: TaskType::DevelopFeature,
            priority: Priority::Normal,
            created_at: Timestamp(1),
        }
    }

    fn head(position: u16) -> SubtaskHead {
        SubtaskHead {
            key: task().key.subtask(position),
            id: task().id.subtask(position),
            name: "Code".into(),
            dependencies: [0, 300].into(),
            dependents: [].into(),
            complexity: 3,
            priority: -1,
            timeout_seconds: 60,
            max_attempts: 2,
            lane: LaneKey(5),
            head_start: Span(9),
        }
    }

    prop_compose! {
        fn a_record()(
            status in 0..6_u8, progress in any::<u8>(), attempt in any::<u32>(), worker in any::<Option<u128>>(),
            tool in proptest::option::of(".*"), error in proptest::option::of(".*"),
            times in any::<[Option<i64>; 3]>(), simulated in any::<bool>(),
        ) -> SubtaskRecord {
            let [queued_at, started_at, completed_at] = times.map(|at| at.map(Timestamp));
            SubtaskRecord {
                status: SubtaskStatus::from_code(status).unwrap(), progress, attempt,
                worker: worker.map(|id| WorkerId(Uuid::from_u128(id))), tool: tool.map(Into::into),
                error: error.map(Into::into), queued_at, started_at, completed_at, simulated,
            }
        }
    }

    proptest! {
        #[test]
        fn what_is_packed_comes_out_the_same(
            events in prop::collection::vec((any::<u64>(), any::<i64>(), any::<u16>(), a_record(), any::<bool>()), 0..5),
        ) {
            let mut out = vec![9];
            begin(&mut out);
            let mut expected = Vec::new();
            for (seq, at, position, record, with_head) in events {
                let at = Timestamp(at);
                let position = position >> 2;
                let head = with_head.then(|| Box::new(head(position)));
                push_subtask(&mut out, seq, at, position, &record, head.as_deref());
                expected.push(Record { seq, at, changed: Changed::Subtask(position, record, head) });
                let record = TaskRecord { status: TaskStatus::InProgress, progress: 7 };
                push_task(&mut out, seq, at, &record);
                expected.push(Record { seq, at, changed: Changed::Task(record) });
            }
            prop_assert_eq!(read(&task(), "", Some(&out)).unwrap(), expected);
        }

        #[test]
        fn what_is_damaged_is_told_and_never_a_panic(bytes in any::<Vec<u8>>()) {
            let _ = read(&task(), "", Some(&bytes));
        }
    }

    #[test]
    fn records_of_the_first_version_are_read() {
        let json = r#"[[1,50,null,{"s":"in_progress","p":0}],
            [2,60,3,{"s":"in_progress","p":0,"a":1,"t":"claude_code","b":60}],
            [3,61,0,{"s":"cancelled","p":0,"a":0},{"name":"Code","dependencies":[0,300],"dependents":[],"complexity":3,
             "priority":-1,"timeout_seconds":60,"max_attempts":2,"lane":5,"head_start":9}]]"#;
        let records = read(&task(), json, None).unwrap();
        let subtask = |status, attempt| SubtaskRecord {
            status,
            progress: 0,
            attempt,
            worker: None,
            tool: None,
            error: None,
            queued_at: None,
            started_at: None,
            completed_at: None,
            simulated: false,
        };
        let running = SubtaskRecord {
            tool: Some("claude_code".into()),
            started_at: Some(Timestamp(60)),
            ..subtask(SubtaskStatus::InProgress, 1)
        };
        let cancelled = Changed::Subtask(0, subtask(SubtaskStatus::Cancelled, 0), Some(Box::new(head(0))));
        let planned = Changed::Task(TaskRecord { status: TaskStatus::InProgress, progress: 0 });
        let expected = [(1, 50, planned), (2, 60, Changed::Subtask(3, running, None)), (3, 61, cancelled)];
        assert_eq!(records, expected.map(|(seq, at, changed)| Record { seq, at: Timestamp(at), changed }));
    }
}
