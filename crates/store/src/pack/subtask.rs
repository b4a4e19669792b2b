//! A subtask's row, packed: what no query asks for by itself stands in two BLOBs, `changing` and `head`.
//!
//! A claim, a result and a dependency that is met write the row again, and most of what a column costs (binding,
//! checking, copying) is paid for each of them. Packed, a write binds five values instead of twenty-five and the row is
//! a third as long. State, lane, rank and worker are columns, because statements and indexes use them.
//!
//! Values are written as [`super::bytes`] has them.

use std::sync::Arc;

use regatta_model::subtask::{Holder, State, SubtaskHead, SubtaskRow};
use regatta_model::{LaneKey, Span, SubtaskId, SubtaskKey, Timestamp, WorkerId, WorkerKey};
use uuid::Uuid;

use super::PackError;
use super::bytes::{FORMAT, Unpack, damaged, push_fixed, push_number, push_positions, push_signed, push_text};

// Which of the values that may be missing are there.
const DUE: u64 = 1;
const LEASE: u64 = 1 << 1;
const HOLDER: u64 = 1 << 2;
const AVOID: u64 = 1 << 3;
const QUEUED: u64 = 1 << 4;
const STARTED: u64 = 1 << 5;
const COMPLETED: u64 = 1 << 6;
const EXIT: u64 = 1 << 7;
const ERROR: u64 = 1 << 8;
const SIMULATED: u64 = 1 << 9;
const RAN: u64 = 1 << 10;

/// What of a subtask changes, without what stands in columns, into `out`, which is emptied first.
pub(crate) fn changing(row: &SubtaskRow, out: &mut Vec<u8>) {
    let bit = |there: bool, bit: u64| if there { bit } else { 0 };
    let there = bit(row.due_at.is_some(), DUE)
        | bit(row.lease_expires_at.is_some(), LEASE)
        | bit(row.holder.is_some(), HOLDER)
        | bit(row.avoid.is_some(), AVOID)
        | bit(row.queued_at.is_some(), QUEUED)
        | bit(row.started_at.is_some(), STARTED)
        | bit(row.completed_at.is_some(), COMPLETED)
        | bit(row.exit_code.is_some(), EXIT)
        | bit(row.error.is_some(), ERROR)
        | bit(row.simulated, SIMULATED)
        | bit(row.execution_time != 0.0, RAN);
    out.clear();
    out.push(FORMAT);
    push_number(out, there);
    // What sweeps look for comes first, see [`due_at`].
    let times = [row.due_at, row.lease_expires_at, row.queued_at, row.started_at, row.completed_at];
    for at in times.into_iter().flatten() {
        push_fixed(out, at.0);
    }
    for number in [row.deps_left, row.attempt, row.failures, row.losses, row.missed.into(), row.progress.into()] {
        push_number(out, number.into());
    }
    push_number(out, row.context_bytes);
    push_fixed(out, row.epoch);
    if let Some(holder) = &row.holder {
        push_signed(out, holder.session);
        out.extend_from_slice(holder.id.uuid().as_bytes());
        push_text(out, &holder.tool);
    }
    if let Some((worker, until)) = row.avoid {
        push_signed(out, worker.0);
        push_fixed(out, until.0);
    }
    if let Some(code) = row.exit_code {
        push_signed(out, code.into());
    }
    if row.execution_time != 0.0 {
        out.extend_from_slice(&row.execution_time.to_le_bytes());
    }
    if let Some(error) = &row.error {
        push_text(out, error);
    }
}

/// When a sweep must look at the subtask whose `changing` this is.
pub(crate) fn due_at(changing: &[u8]) -> Result<Option<Timestamp>, PackError> {
    let mut from = Unpack::begin(changing)?;
    let there = from.number()?;
    from.time(there & DUE != 0)
}

/// What stands in columns of its own.
pub(crate) struct Columns {
    pub(crate) state: State,
    pub(crate) rank: i64,
    pub(crate) worker: Option<WorkerKey>,
}

/// A row from its columns and what [`changing`] packed.
pub(crate) fn row(head: SubtaskHead, columns: &Columns, changing: &[u8]) -> Result<SubtaskRow, PackError> {
    let mut from = Unpack::begin(changing)?;
    let there = from.number()?;
    let due_at = from.time(there & DUE != 0)?;
    let lease_expires_at = from.time(there & LEASE != 0)?;
    let queued_at = from.time(there & QUEUED != 0)?;
    let started_at = from.time(there & STARTED != 0)?;
    let completed_at = from.time(there & COMPLETED != 0)?;
    let [deps_left, attempt, failures, losses] = [from.small()?, from.small()?, from.small()?, from.small()?];
    let [missed, progress] = [from.small()?, from.small()?];
    let context_bytes = from.number()?;
    let epoch = from.fixed()?;
    let holder = match (there & HOLDER != 0, columns.worker) {
        (true, Some(worker)) => Some(Holder {
            worker,
            session: from.signed()?,
            id: WorkerId(Uuid::from_bytes(from.array()?)),
            tool: from.text()?,
        }),
        (false, None) => None,
        _ => return Err(damaged()),
    };
    let avoid = match there & AVOID != 0 {
        true => Some((WorkerKey(from.signed()?), Timestamp(from.fixed()?))),
        false => None,
    };
    let exit_code = match there & EXIT != 0 {
        true => Some(i32::try_from(from.signed()?).map_err(|_| damaged())?),
        false => None,
    };
    let execution_time = if there & RAN != 0 { f64::from_le_bytes(from.array()?) } else { 0.0 };
    let error = if there & ERROR != 0 { Some(from.text()?) } else { None };
    Ok(SubtaskRow {
        head: Arc::new(head),
        state: columns.state,
        deps_left,
        context_bytes,
        rank: columns.rank,
        attempt,
        failures,
        losses,
        epoch,
        holder,
        lease_expires_at,
        due_at,
        missed,
        avoid,
        progress,
        queued_at,
        started_at,
        completed_at,
        error,
        exit_code,
        execution_time,
        simulated: there & SIMULATED != 0,
    })
}

/// What of a subtask never changes, without what stands in columns, into `out`, which is emptied first.
pub(crate) fn head(head: &SubtaskHead, out: &mut Vec<u8>) {
    out.clear();
    out.push(FORMAT);
    out.push(head.complexity);
    push_signed(out, head.priority.into());
    push_number(out, head.timeout_seconds.into());
    push_number(out, head.max_attempts.into());
    push_signed(out, head.head_start.0);
    push_positions(out, &head.dependencies);
    push_positions(out, &head.dependents);
}

/// A head from its columns and what [`head`] packed.
pub(crate) fn unpack_head(
    key: SubtaskKey,
    id: SubtaskId,
    lane: LaneKey,
    name: Arc<str>,
    packed: &[u8],
) -> Result<SubtaskHead, PackError> {
    let mut from = Unpack::begin(packed)?;
    let [complexity] = from.array()?;
    Ok(SubtaskHead {
        key,
        id,
        lane,
        complexity,
        priority: i32::try_from(from.signed()?).map_err(|_| damaged())?,
        timeout_seconds: from.small()?,
        max_attempts: from.small()?,
        head_start: Span(from.signed()?),
        name,
        dependencies: from.positions()?,
        dependents: from.positions()?,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use regatta_model::{TaskId, TaskKey};

    use super::*;

    prop_compose! {
        fn a_head()(
            complexity in any::<u8>(), priority in any::<i32>(), timeout_seconds in any::<u32>(),
            max_attempts in any::<u32>(), start in any::<i64>(), dependencies in any::<Vec<u16>>(),
            dependents in any::<Vec<u16>>(),
        ) -> SubtaskHead {
            SubtaskHead {
                key: TaskKey(3).subtask(5), id: TaskId::from_random(Uuid::nil()).subtask(5), name: "Code".into(),
                dependencies: dependencies.into(), dependents: dependents.into(), complexity, priority,
                timeout_seconds, max_attempts, lane: LaneKey(4), head_start: Span(start),
            }
        }
    }

    prop_compose! {
        fn a_holder()(
            worker in any::<i64>(), id in any::<u128>(), session in any::<i64>(), tool in ".*",
        ) -> Holder {
            Holder { worker: WorkerKey(worker), id: WorkerId(Uuid::from_u128(id)), session, tool: tool.into() }
        }
    }

    prop_compose! {
        fn a_row()(
            head in a_head(), code in 0..7_u8, counts in any::<[u32; 4]>(), bytes in any::<u64>(),
            numbers in any::<[i64; 2]>(), holder in proptest::option::of(a_holder()),
            times in any::<[Option<i64>; 5]>(), small in any::<[u8; 2]>(), avoid in any::<Option<(i64, i64)>>(),
            error in proptest::option::of(".*"), exit_code in any::<Option<i32>>(),
            execution_time in proptest::num::f64::NORMAL | proptest::num::f64::ZERO, simulated in any::<bool>(),
        ) -> SubtaskRow {
            let [lease_expires_at, due_at, queued_at, started_at, completed_at] = times.map(|at| at.map(Timestamp));
            SubtaskRow {
                head: Arc::new(head), state: State::from_code(code).unwrap(), deps_left: counts[0],
                context_bytes: bytes, rank: numbers[0], attempt: counts[1], failures: counts[2], losses: counts[3],
                epoch: numbers[1], holder, lease_expires_at, due_at, missed: small[0],
                avoid: avoid.map(|(worker, until)| (WorkerKey(worker), Timestamp(until))), progress: small[1],
                queued_at, started_at, completed_at, error: error.map(Into::into), exit_code, execution_time, simulated,
            }
        }
    }

    proptest! {
        #[test]
        fn what_is_packed_comes_out_the_same(subtask in a_row()) {
            let (mut packed, mut packed_head) = (vec![7], vec![7]);
            changing(&subtask, &mut packed);
            head(&subtask.head, &mut packed_head);
            let known = &subtask.head;
            let found = unpack_head(known.key, known.id, known.lane, known.name.clone(), &packed_head).unwrap();
            let worker = subtask.holder.as_ref().map(|holder| holder.worker);
            let columns = Columns { state: subtask.state, rank: subtask.rank, worker };
            prop_assert_eq!(due_at(&packed).unwrap(), subtask.due_at);
            prop_assert_eq!(row(found, &columns, &packed).unwrap(), subtask);
        }

        #[test]
        fn what_is_damaged_is_told_and_never_a_panic(bytes in any::<Vec<u8>>(), subtask in a_row(), cut in any::<prop::sample::Index>()) {
            let columns = Columns { state: State::Waiting, rank: 0, worker: None };
            let known = (*subtask.head).clone();
            let _ = row(known.clone(), &columns, &bytes);
            let _ = unpack_head(known.key, known.id, known.lane, known.name.clone(), &bytes);
            let mut packed = Vec::new();
            head(&known, &mut packed);
            packed.truncate(cut.index(packed.len()));
            prop_assert!(unpack_head(known.key, known.id, known.lane, known.name, &packed).is_err());
        }
    }
}
