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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use regatta_model::routing::{Resources, Weights};
    use regatta_model::worker::{Profile, WorkerRow};
    use regatta_model::{Timestamp, WorkerId, WorkerKey, WorkerStatus};
    use uuid::Uuid;

    use super::*;
    use crate::fleet::{Presence, Receiver};

    const LANE: LaneKey = LaneKey(1);
    const NOW: Timestamp = Timestamp(0);

    /// A fleet that learns of workers one by one.
    struct Crew {
        fleet: Fleet,
        lines: Vec<Receiver>,
        last: i64,
    }

    impl Crew {
        fn new() -> Self {
            let mut fleet = Fleet::new(Weights::default(), crate::fleet::Changes::default());
            let lane = Lane {
                tool: Some("command".into()),
                prefer: Vec::new(),
                sensitive: false,
                requires: Default::default(),
            };
            fleet.add_lane(LANE, lane);
            Self { fleet, lines: Vec::new(), last: 0 }
        }

        fn add(&mut self, used: u32, draining: bool, line: bool) -> WorkerRow {
            self.last += 1;
            let name: Arc<str> = self.last.to_string().into();
            let row = WorkerRow {
                key: WorkerKey(self.last),
                id: WorkerId(Uuid::from_u128(self.last as u128)),
                profile: Arc::new(Profile {
                    machine_id: name.clone(),
                    machine_name: name,
                    offer: Offer { tools: ["command".into()].into(), ..Offer::default() },
                    slots: 1,
                    owner: None,
                }),
                session: 1,
                used,
                said: WorkerStatus::Online,
                draining,
                unregistered: false,
                uses_leases: true,
                resources: Resources::default(),
                figures: None,
                current_task: None,
                last_heartbeat: NOW,
                registered_at: NOW,
            };
            self.fleet.update(row.clone());
            if line {
                let (presence, receiver) = Presence::new(self.last as u64, 1, NOW, u32::MAX, 16);
                self.fleet.open_line(row.key, presence);
                self.lines.push(receiver);
            }
            row
        }

        fn says(&mut self) -> String {
            self.fleet.explain(LANE, NOW).to_string()
        }
    }

    #[test]
    fn one_cause_for_all_says_what_to_do() {
        let mut crew = Crew::new();
        assert_eq!(crew.says(), "no online worker offers command; start one: regatta worker --tools command");
        crew.add(1, false, true);
        assert_eq!(crew.says(), "the one online worker that may run it is busy; it runs when a slot is free");
        crew.add(1, false, true);
        assert_eq!(crew.says(), "all 2 online workers that may run it are busy; it runs when a slot is free");
        let mut crew = Crew::new();
        crew.add(0, true, true);
        assert!(crew.says().contains("is draining; start another"), "{}", crew.says());
        let mut crew = Crew::new();
        crew.add(0, false, false);
        assert!(crew.says().contains("is without an open line"), "{}", crew.says());
    }

    #[test]
    fn mixed_causes_are_counted_each_worker_once() {
        let mut crew = Crew::new();
        crew.add(1, false, true);
        crew.add(0, true, true);
        assert_eq!(crew.says(), "of the 2 online workers that may run it 1 busy, 1 draining");
        // Busy, and draining, and away: the first reason that keeps it from work is that it drains.
        crew.add(1, true, false);
        // Busy and away: busy.
        crew.add(1, false, false);
        let away = crew.add(0, false, false);
        assert_eq!(crew.says(), "of the 5 online workers that may run it 2 busy, 1 without an open line, 2 draining");
        // Offline ones count for nothing.
        crew.fleet.update(WorkerRow { said: WorkerStatus::Offline, ..away.clone() });
        assert_eq!(crew.says(), "of the 4 online workers that may run it 2 busy, 2 draining");
        // One that may have it at once outweighs all the others.
        crew.add(0, false, true);
        assert_eq!(crew.says(), "about to be given to a worker");
    }
}
