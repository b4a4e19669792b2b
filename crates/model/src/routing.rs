//! Which worker may run which subtask, with which tool, and which of several is best.
//!
//! A [`Lane`] is everything about a queued subtask that decides who may run it. Subtasks of one lane are
//! interchangeable to the dispatcher, which therefore looks at lanes, of which there are few, and not at
//! subtasks, of which there may be many.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// Labels of a worker, or those that a subtask requires.
pub type Labels = BTreeMap<String, String>;

/// The tool that runs a program of the caller's: it needs an input and is never chosen unasked.
pub const COMMAND: &str = "command";
/// The tool that pretends; chosen only by name.
pub const SIMULATE: &str = "simulate";
/// Tools that keep data in the house wherever they run; every other name is a cloud tool.
const LOCAL_TOOLS: [&str; 2] = [COMMAND, "ollama"];

/// What a queued subtask asks of a worker.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Lane {
    /// The one tool that will do; else any agent tool.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool: Option<Arc<str>>,
    /// Without `tool`: the tools to try first, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub prefer: Vec<Arc<str>>,
    /// Local tools only.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub sensitive: bool,
    /// Labels that the worker must carry.
    #[serde(default, skip_serializing_if = "Labels::is_empty")]
    pub requires: Labels,
}

impl Lane {
    /// The canonical text under which a store keeps it: equal lanes have equal texts.
    pub fn canonical(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }
}

/// What a worker offers: the part of its registration that routing looks at.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Offer {
    /// Names of its tools.
    pub tools: Vec<Arc<str>>,
    /// Those of them that its owner vouches to be local.
    pub local_tools: Vec<Arc<str>>,
    /// Its labels.
    pub labels: Labels,
    /// Takes only subtasks that require one of its labels.
    pub reserved: bool,
}

impl Offer {
    fn offers(&self, tool: &str) -> bool {
        self.tools.iter().any(|t| &**t == tool)
    }

    /// Whether `tool` keeps data in the house when this worker runs it.
    pub fn is_local(&self, tool: &str) -> bool {
        LOCAL_TOOLS.contains(&tool) || self.local_tools.iter().any(|t| &**t == tool)
    }
}

/// How a worker would serve a lane.
#[derive(Debug, Clone, PartialEq)]
pub struct Match {
    /// The tool it would run.
    pub tool: Arc<str>,
    /// 0..=1: how well the tool meets the wish.
    pub tool_score: f64,
    /// 0..=1: how well the worker guards what is private.
    pub privacy_score: f64,
}

/// Whether a tool takes text (an agent) rather than a program's input.
fn is_agent(tool: &str) -> bool {
    tool != COMMAND && tool != SIMULATE
}

/// Whether and how a worker with this `offer` may run subtasks of `lane`.
pub fn serve(lane: &Lane, offer: &Offer) -> Option<Match> {
    if !lane.requires.iter().all(|(label, value)| offer.labels.get(label) == Some(value)) {
        return None;
    }
    if offer.reserved && lane.requires.is_empty() {
        return None;
    }
    let allowed = |tool: &str| !lane.sensitive || offer.is_local(tool);
    let (tool, tool_score) = match &lane.tool {
        Some(tool) if offer.offers(tool) && allowed(tool) => (tool.clone(), 1.0),
        Some(_) => return None,
        None => {
            let preferred = lane
                .prefer
                .iter()
                .enumerate()
                .find(|(_, tool)| &***tool != COMMAND && offer.offers(tool) && allowed(tool));
            match preferred {
                Some((place, tool)) => (tool.clone(), 1.0 - 0.5 * place as f64 / lane.prefer.len() as f64),
                None => {
                    let any = offer.tools.iter().find(|tool| is_agent(tool) && allowed(tool))?;
                    (any.clone(), if lane.prefer.is_empty() { 1.0 } else { 0.25 })
                }
            }
        }
    };
    let privacy_score = if lane.sensitive {
        let local = offer.tools.iter().filter(|tool| offer.is_local(tool)).count();
        local as f64 / offer.tools.len().max(1) as f64
    } else {
        1.0
    };
    Some(Match { tool, tool_score, privacy_score })
}

/// How much a score weighs what; configuration.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Weights {
    /// Tool match.
    pub tool: f64,
    /// Free resources.
    pub resources: f64,
    /// Privacy.
    pub privacy: f64,
}

impl Default for Weights {
    fn default() -> Self {
        Self { tool: 0.5, resources: 0.3, privacy: 0.2 }
    }
}

/// A worker's last figures, in percent used; what it has not said counts as half used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Resources {
    /// Processor.
    pub cpu_percent: Option<f64>,
    /// Memory.
    pub memory_percent: Option<f64>,
    /// Disk.
    pub disk_percent: Option<f64>,
}

impl Resources {
    /// 0..=1: how free the machine is (cpu 40, memory 40, disk 20).
    pub fn free(&self) -> f64 {
        let free = |used: Option<f64>| 1.0 - used.unwrap_or(50.0).clamp(0.0, 100.0) / 100.0;
        0.4 * free(self.cpu_percent) + 0.4 * free(self.memory_percent) + 0.2 * free(self.disk_percent)
    }
}

/// The routing score, 0..=1 with weights that add up to 1; higher is better.
pub fn score(weights: &Weights, found: &Match, free_resources: f64) -> f64 {
    weights.tool * found.tool_score + weights.resources * free_resources + weights.privacy * found.privacy_score
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offer(tools: &[&str]) -> Offer {
        Offer { tools: tools.iter().map(|&t| t.into()).collect(), ..Offer::default() }
    }

    fn lane(tool: Option<&str>, prefer: &[&str]) -> Lane {
        Lane {
            tool: tool.map(Into::into),
            prefer: prefer.iter().map(|&t| t.into()).collect(),
            sensitive: false,
            requires: Labels::new(),
        }
    }

    fn chosen(lane: &Lane, offer: &Offer) -> Option<String> {
        serve(lane, offer).map(|found| found.tool.to_string())
    }

    #[test]
    fn a_program_is_never_chosen_unasked() {
        assert_eq!(chosen(&lane(None, &[]), &offer(&["command", "simulate"])), None);
        assert_eq!(chosen(&lane(None, &["command"]), &offer(&["command"])), None);
        assert_eq!(chosen(&lane(Some("command"), &[]), &offer(&["command"])).as_deref(), Some("command"));
        assert_eq!(chosen(&lane(None, &["simulate"]), &offer(&["simulate"])).as_deref(), Some("simulate"));
    }

    #[test]
    fn the_first_preference_that_is_offered_wins_else_any_agent() {
        let both = offer(&["gemini_cli", "claude_code"]);
        assert_eq!(chosen(&lane(None, &["claude_code", "gemini_cli"]), &both).as_deref(), Some("claude_code"));
        assert_eq!(chosen(&lane(None, &["ollama"]), &both).as_deref(), Some("gemini_cli"));
        let (first, second) = (lane(None, &["claude_code"]), lane(None, &["ollama", "claude_code"]));
        assert!(serve(&first, &both).unwrap().tool_score > serve(&second, &both).unwrap().tool_score);
    }

    #[test]
    fn sensitive_work_stays_on_local_tools() {
        let sensitive = Lane { sensitive: true, ..lane(None, &["claude_code"]) };
        assert_eq!(chosen(&sensitive, &offer(&["claude_code"])), None);
        assert_eq!(chosen(&sensitive, &offer(&["claude_code", "ollama"])).as_deref(), Some("ollama"));
        let vouched = Offer { local_tools: vec!["claude_code".into()], ..offer(&["claude_code"]) };
        assert_eq!(chosen(&sensitive, &vouched).as_deref(), Some("claude_code"));
    }

    #[test]
    fn labels_and_reservation() {
        let gpu: Labels = [("gpu".to_owned(), "yes".to_owned())].into();
        let wants = Lane { requires: gpu.clone(), ..lane(Some("ollama"), &[]) };
        let plain = offer(&["ollama"]);
        let labelled = Offer { labels: gpu, reserved: true, ..offer(&["ollama"]) };
        assert_eq!(chosen(&wants, &plain), None);
        assert_eq!(chosen(&wants, &labelled).as_deref(), Some("ollama"));
        assert_eq!(chosen(&lane(Some("ollama"), &[]), &labelled), None);
    }

    #[test]
    fn equal_lanes_have_equal_texts() {
        let one = lane(None, &["a", "b"]);
        assert_eq!(one.canonical(), r#"{"prefer":["a","b"]}"#);
        assert_eq!(serde_json::from_str::<Lane>(&one.canonical()).unwrap(), one);
    }
}
