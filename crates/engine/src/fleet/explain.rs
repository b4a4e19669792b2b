//! Why something queued does not run, in words that say what to do.

use regatta_model::routing::{Lane, serve};
use regatta_model::{LaneKey, Timestamp};

use super::Fleet;

impl Fleet {
    /// Why what is ready in a lane does not run now.
    pub fn explain(&self, key: LaneKey, now: Timestamp) -> String {
        let Some(state) = self.lanes.get(&key) else {
            return "waits to be dispatched".into();
        };
        let lane = &*state.lane;
        let (mut able, mut draining, mut connected, mut free) = (0_u32, 0_u32, 0_u32, 0_u32);
        for class in &self.classes {
            if serve(lane, &class.offer).is_none() {
                continue;
            }
            for member in class.members.keys().filter_map(|key| self.members.get(key)) {
                if member.row.is_offline(now) {
                    continue;
                }
                able += 1;
                draining += u32::from(member.row.draining);
                connected += u32::from(member.line.is_some() || member.poll.is_some());
                free += member.free();
            }
        }
        if able == 0 {
            return self.nobody(lane, now);
        }
        let workers = if able == 1 {
            "the one online worker that may run it is".into()
        } else {
            format!("all {able} online workers that may run it are")
        };
        if draining == able {
            format!("{workers} draining; start another, or: regatta workers drain --undo ID")
        } else if connected == 0 {
            format!("{workers} without an open line; they get work when they connect or poll")
        } else if free == 0 {
            format!("{workers} busy; it runs when a slot is free")
        } else {
            "about to be given to a worker".into()
        }
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
