//! Leasing what is ready to workers with free slots.

use std::collections::HashMap;
use std::sync::Arc;

use super::{Ledger, Rows};
use crate::command::{Assignment, Claim};
use crate::id::{LaneKey, Lease, SubtaskKey};
use crate::subtask::{Holder, State};

/// A place among the seats and the tool that worker would use.
type Taker = (u32, Arc<str>);

/// Rows read beyond the wanted number, so that a few that their only taker has just rejected do not hide
/// what stands behind them.
const LOOK_PAST: u32 = 16;

impl<R: Rows> Ledger<'_, R> {
    pub(super) fn claim(&mut self, command: &Claim) -> Result<Vec<Assignment>, R::Error> {
        let mut free = Vec::with_capacity(command.seats.len());
        for seat in &command.seats {
            // The caller's view may be old; the row decides, if it is still there.
            if !self.rows.knows_worker(seat.worker)? {
                free.push(0);
                continue;
            }
            let worker = self.rows.worker(seat.worker)?;
            free.push(if worker.session == seat.session { worker.free_slots().min(seat.free) } else { 0 });
        }
        let wanted = free.iter().sum::<u32>().min(command.limit);
        if wanted == 0 {
            return Ok(Vec::new());
        }
        let mut lanes: Vec<LaneKey> = command.lanes.iter().map(|offer| offer.lane).collect();
        let mut offers: HashMap<LaneKey, (usize, &[Taker])> =
            command.lanes.iter().map(|offer| (offer.lane, (0, offer.takers.as_slice()))).collect();
        let mut assignments = Vec::new();
        loop {
            let page = wanted - assignments.len() as u32 + LOOK_PAST;
            let ready = self.rows.ready(&lanes, page)?;
            let may_hide_more = ready.len() as u32 >= page;
            for key in ready {
                if assignments.len() as u32 >= wanted {
                    break;
                }
                let Some(row) = self.rows.subtask(key)? else { continue };
                let avoid = row.avoid.filter(|&(_, until)| self.now < until).map(|(worker, _)| worker);
                let Some((next, takers)) = offers.get_mut(&row.head.lane) else { continue };
                skip_full(next, takers, &free);
                let taker = takers[*next..].iter().position(|(seat, _)| {
                    let seat = *seat as usize;
                    free.get(seat).is_some_and(|&left| left > 0) && avoid != Some(command.seats[seat].worker)
                });
                let Some(past) = taker else { continue };
                let (seat, tool) = &takers[*next + past];
                // An entry further back is not used up, which the worker's free slots bound all the same.
                *next += usize::from(past == 0);
                let seat = *seat as usize;
                free[seat] -= 1;
                assignments.push(self.lease(key, command, seat, tool.clone())?);
            }
            // A page may be full of lanes whose takers ran out on it. Behind them others may wait, and a worker
            // must not idle because another has a backlog.
            let before = lanes.len();
            lanes.retain(|lane| {
                offers.get_mut(lane).is_some_and(|(next, takers)| {
                    skip_full(next, takers, &free);
                    *next < takers.len()
                })
            });
            let done = assignments.len() as u32 >= wanted;
            if done || !may_hide_more || lanes.is_empty() || lanes.len() == before {
                break;
            }
        }
        Ok(assignments)
    }

    fn lease(&mut self, key: SubtaskKey, command: &Claim, seat: usize, tool: Arc<str>) -> Result<Assignment, R::Error> {
        let now = self.now;
        let seat = &command.seats[seat];
        let worker = self.rows.worker_mut(seat.worker)?;
        worker.used += 1;
        let lease_length = worker.lease_length(command.lease);
        let worker_id = worker.id;
        self.effects.worker_changed(seat.worker);

        let row = self.rows.subtask_mut(key)?;
        row.state = State::Leased;
        row.attempt += 1;
        row.epoch = Lease::epoch(row.attempt, command.nonce);
        row.holder = Some(Holder { worker: seat.worker, id: worker_id, session: seat.session, tool: tool.clone() });
        row.lease_expires_at = Some(now + lease_length);
        row.started_at = Some(now);
        row.due_at = [row.lease_expires_at, row.deadline()].into_iter().flatten().min();
        row.missed = 0;
        row.avoid = row.avoid.filter(|&(_, until)| now < until);
        row.progress = 0;
        row.exit_code = None;
        let (head, lease, attempt) = (row.head.clone(), row.lease(), row.attempt);

        self.rows.task_mut(key.task())?.running += 1;
        self.effects.task_counted(key.task());
        self.tell_subtask(key)?;
        let text = self.rows.subtask_text(key)?;
        let context = self.rows.context(key.task(), &head.dependencies)?;
        Ok(Assignment {
            worker: worker_id,
            lease,
            name: head.name.clone(),
            description: text.description,
            tool,
            input: text.input,
            context,
            complexity: head.complexity,
            priority: head.priority,
            attempt,
            lease_length,
            timeout_seconds: head.timeout_seconds,
        })
    }
}

/// Moves `next` on to the first taker that still has a free slot.
fn skip_full(next: &mut usize, takers: &[Taker], free: &[u32]) {
    while takers.get(*next).is_some_and(|(seat, _)| free.get(*seat as usize).is_none_or(|&left| left == 0)) {
        *next += 1;
    }
}
