//! Why something queued does not run, in words that say what to do.

use std::sync::Arc;

use regatta_model::routing::{Lane, Offer, serve};
use regatta_model::{LaneKey, Timestamp};

use super::{Fleet, LaneState};

/// Online workers that may run something, and what keeps them from it.
#[derive(Default)]
struct Able {
    all: u32,
    draining: u32,
    busy: u32,
    /// Without an open line or poll.
    away: u32,
}

impl Able {
    /// `None` when there is no such worker.
    fn sentence(&self) -> Option<String> {
        let Self { all, draining, busy, away } = *self;
        if all == 0 {
            return None;
        }
        if draining + busy + away < all {
            return Some("about to be given to a worker".into());
        }
        let who = if all == 1 {
            "the one online worker that may run it is".into()
        } else {
            format!("all {all} online workers that may run it are")
        };
        Some(if busy == all {
            format!("{who} busy; it runs when a slot is free")
        } else if draining == all {
            format!("{who} draining; start another, or: regatta workers drain --undo ID")
        } else if away == all {
            format!("{who} without an open line; they get work when they connect or poll")
        } else {
            let some = |count: u32, what: &str| (count > 0).then(|| format!("{count} {what}"));
            let parts: Vec<String> =
                [some(busy, "busy"), some(away, "without an open line"), some(draining, "draining")]
                    .into_iter()
                    .flatten()
                    .collect();
            format!("of the {all} online workers that may run it {}", parts.join(", "))
        })
    }
}

impl Fleet {
    /// Why what is ready in a lane does not run now. Worked out once for each change of the fleet, since a list
    /// asks for each of its rows and everyone who watches asks for lists.
    pub fn explain(&mut self, key: LaneKey, now: Timestamp) -> Arc<str> {
        let (generation, _) = self.settle(now);
        let lane = match self.lanes.get(&key) {
            None => return "waits to be dispatched".into(),
            Some(LaneState { explained: Some((as_of, why)), .. }) if *as_of == generation => return why.clone(),
            Some(LaneState { lane, .. }) => lane.clone(),
        };
        let why: Arc<str> = self.work_out(&lane, now).into();
        if let Some(state) = self.lanes.get_mut(&key) {
            state.explained = Some((generation, why.clone()));
        }
        why
    }

    fn work_out(&self, lane: &Lane, now: Timestamp) -> String {
        let mut able = Able::default();
        for class in &self.classes {
            if serve(lane, &class.offer).is_none() {
                continue;
            }
            for member in class.members.keys().filter_map(|key| self.members.get(key)) {
                if member.row.is_offline(now) {
                    continue;
                }
                able.all += 1;
                // Each worker for the first reason that keeps it from work.
                if member.row.draining {
                    able.draining += 1;
                } else if member.row.free_slots() == 0 {
                    able.busy += 1;
                } else if member.line.is_none() && member.poll.is_none() {
                    able.away += 1;
                }
            }
        }
        able.sentence().unwrap_or_else(|| self.nobody(lane, now))
    }

    /// What no online worker has, and how to start one that has it.
    fn nobody(&self, lane: &Lane, now: Timestamp) -> String {
        let tool = lane.tool.as_deref();
        let wish = tool.or(lane.prefer.first().map(|tool| &**tool)).unwrap_or("claude_code");
        let labels =
            lane.requires.iter().map(|(label, value)| format!("{label}={value}")).collect::<Vec<_>>().join(",");
        let mut command = format!("regatta worker --tools {wish}");
        if !labels.is_empty() {
            command.push_str(&format!(" --labels {labels}"));
        }
        let anyone = |lane: &Lane| {
            self.classes.iter().any(|class| {
                serve(lane, &class.offer).is_some()
                    && class.members.keys().filter_map(|key| self.members.get(key)).any(|m| !m.row.is_offline(now))
            })
        };
        let what = tool.map_or_else(|| "an agent tool".to_owned(), ToOwned::to_owned);
        let unlabelled = Lane { requires: Default::default(), ..lane.clone() };
        if !lane.requires.is_empty() && anyone(&unlabelled) {
            return format!("no online worker that offers {what} carries {labels}; start one: {command}");
        }
        let reserved = self.classes.iter().any(|class| {
            let open = Offer { reserved: false, ..class.offer.clone() };
            class.offer.reserved
                && serve(lane, &open).is_some()
                && class.members.keys().filter_map(|key| self.members.get(key)).any(|m| !m.row.is_offline(now))
        });
        if reserved {
            return format!(
                "every online worker that offers {what} is reserved for work that requires one of its labels; \
                 require one, or start another: {command}"
            );
        }
        let public = Lane { sensitive: false, ..lane.clone() };
        if lane.sensitive && anyone(&public) {
            return format!(
                "it is sensitive, and no online worker offers {what} as a local tool; let a worker's owner vouch for one \
                 (local_tools), or start one: regatta worker --tools ollama"
            );
        }
        let carries = if labels.is_empty() { String::new() } else { format!(" and carries {labels}") };
        format!("no online worker offers {what}{carries}; start one: {command}")
    }
}
