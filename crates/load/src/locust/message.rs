//! What a master and its workers say to each other: msgpack arrays of a type, data and the worker's id.

use std::collections::BTreeMap;

use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};

use crate::report::json::Row;

/// Locust's own version of this protocol; a master warns of another minor one.
const VERSION: &str = "2.47.0";

/// What a worker is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Nothing: it waits for a start.
    Ready,
    /// It was told how many users there shall be, and they come.
    Spawning,
    /// They are there.
    Running,
}

/// What a worker says.
#[derive(Debug)]
pub enum Said<'a> {
    /// It joins, or is ready for another run.
    Ready,
    /// It is there: sent once a second.
    Heartbeat(&'a Heartbeat),
    /// It has heard how many users there shall be.
    Spawning,
    /// They are there.
    SpawningComplete(&'a Users),
    /// What was measured since the last report.
    Stats(&'a Stats),
    /// The run is over, as the master asked.
    Stopped,
    /// It leaves.
    Quit,
    /// Something went wrong in a scenario.
    Exception(&'a Exception),
    /// All that it logged lately.
    Logs(&'a Logs<'a>),
}

/// A sign of life.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Heartbeat {
    /// What it does.
    pub state: State,
    /// How much of its threads' cores it uses, in per cent.
    pub current_cpu_usage: f64,
    /// Resident bytes.
    pub current_memory_usage: u64,
}

/// Users there are, by class.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Users {
    /// By class.
    pub user_classes_count: BTreeMap<String, u64>,
    /// All of them.
    pub user_count: u64,
}

impl Users {
    /// From the counts of the classes.
    pub fn new(counts: impl IntoIterator<Item = (String, u64)>) -> Self {
        let user_classes_count: BTreeMap<String, u64> = counts.into_iter().collect();
        Self { user_count: user_classes_count.values().sum(), user_classes_count }
    }
}

/// What was measured since the last report.
#[derive(Debug, Serialize)]
pub struct Stats {
    /// Requests with something to tell.
    pub stats: Vec<Row>,
    /// All of them together.
    pub stats_total: Row,
    /// By a key that is the same for the same error on every worker.
    pub errors: BTreeMap<String, Failure>,
    /// Users there are.
    #[serde(flatten)]
    pub users: Users,
}

/// An error of requests.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Failure {
    /// Of the request.
    pub name: String,
    /// Of the request.
    pub method: &'static str,
    /// What went wrong.
    pub error: String,
    /// How often.
    pub occurrences: u64,
    /// Seconds since 1970 of the first.
    pub first_seen: f64,
    /// Seconds since 1970 of the last.
    pub last_seen: f64,
}

/// Something that went wrong in a scenario.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Exception {
    /// What.
    pub msg: String,
    /// Where: the master counts by it.
    pub traceback: String,
}

/// What a worker logged.
#[derive(Debug, Serialize)]
pub struct Logs<'a> {
    /// Who.
    pub worker_id: &'a str,
    /// Its lines.
    pub logs: Vec<&'a str>,
}

impl Said<'_> {
    /// As it goes over the wire.
    pub fn encode(&self, node: &str) -> Vec<u8> {
        // Serialising plain data into memory cannot fail; were it to, the master would count us as missing.
        match self {
            Self::Ready => rmp_serde::to_vec_named(&("client_ready", VERSION, node)),
            Self::Heartbeat(data) => rmp_serde::to_vec_named(&("heartbeat", data, node)),
            Self::Spawning => rmp_serde::to_vec_named(&("spawning", (), node)),
            Self::SpawningComplete(data) => rmp_serde::to_vec_named(&("spawning_complete", data, node)),
            Self::Stats(data) => rmp_serde::to_vec_named(&("stats", data, node)),
            Self::Stopped => rmp_serde::to_vec_named(&("client_stopped", (), node)),
            Self::Quit => rmp_serde::to_vec_named(&("quit", (), node)),
            Self::Exception(data) => rmp_serde::to_vec_named(&("exception", data, node)),
            Self::Logs(data) => rmp_serde::to_vec_named(&("logs", data, node)),
        }
        .unwrap_or_default()
    }
}

/// What a master says.
#[derive(Debug, Clone, PartialEq)]
pub enum Heard {
    /// We are known.
    Ack,
    /// So many users shall there be.
    Spawn(Job),
    /// All workers have theirs.
    SpawningComplete,
    /// The run is over.
    Stop,
    /// So is our work.
    Quit,
    /// An answer to our sign of life.
    Heartbeat,
    /// Connect anew.
    Reconnect,
    /// Something that we do not know.
    Other(String),
}

/// How many users there shall be on this worker.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
pub struct Job {
    /// The master's clock, in seconds since 1970. Later jobs replace earlier ones.
    pub timestamp: f64,
    /// By class, all of them and not only those that are new.
    pub user_classes_count: BTreeMap<String, u64>,
    /// The server, when the master names one.
    pub host: Option<String>,
    /// So many seconds users may finish what they do when they are stopped.
    pub stop_timeout: Option<f64>,
    /// The master's command line.
    #[serde(default)]
    pub parsed_options: Option<MasterOptions>,
}

/// What of the master's command line concerns workers.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub struct MasterOptions {
    /// Only tasks with one of these tags.
    pub tags: Option<Vec<String>>,
    /// No tasks with one of these tags.
    pub exclude_tags: Option<Vec<String>>,
}

/// Reads what a master says.
///
/// # Errors
/// When it is no message of this protocol.
pub fn decode(bytes: &[u8]) -> Result<Heard, rmp_serde::decode::Error> {
    let (kind, ..): (String, IgnoredAny, IgnoredAny) = rmp_serde::from_slice(bytes)?;
    Ok(match kind.as_str() {
        "ack" => Heard::Ack,
        "spawn" => {
            let (_, job, _): (IgnoredAny, Job, IgnoredAny) = rmp_serde::from_slice(bytes)?;
            Heard::Spawn(job)
        }
        "spawning_complete" => Heard::SpawningComplete,
        "stop" => Heard::Stop,
        "quit" => Heard::Quit,
        "heartbeat" => Heard::Heartbeat,
        "reconnect" => Heard::Reconnect,
        _ => Heard::Other(kind),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What Python's msgpack makes of `("spawn", {...}, "w")`, with a key that is a number among the options.
    #[test]
    fn a_job_is_read_and_what_is_unknown_in_it_passed_over() {
        let mut bytes = vec![0x93];
        bytes.extend(rmp_serde::to_vec("spawn").unwrap());
        bytes.push(0x85);
        for (key, value) in [("timestamp", rmp_serde::to_vec(&12.5).unwrap()), ("host", vec![0xC0])] {
            bytes.extend(rmp_serde::to_vec(key).unwrap());
            bytes.extend(value);
        }
        bytes.extend(rmp_serde::to_vec("user_classes_count").unwrap());
        bytes.extend(rmp_serde::to_vec(&BTreeMap::from([("Api", 3), ("Web", 0)])).unwrap());
        bytes.extend(rmp_serde::to_vec("stop_timeout").unwrap());
        bytes.extend(rmp_serde::to_vec(&2.0).unwrap());
        bytes.extend(rmp_serde::to_vec("parsed_options").unwrap());
        bytes.push(0x82);
        bytes.extend(rmp_serde::to_vec("tags").unwrap());
        bytes.extend(rmp_serde::to_vec(&["read"]).unwrap());
        bytes.extend(rmp_serde::to_vec("mine").unwrap());
        bytes.extend(rmp_serde::to_vec(&BTreeMap::from([(7, "x")])).unwrap());
        bytes.extend(rmp_serde::to_vec("w").unwrap());
        let Heard::Spawn(job) = decode(&bytes).unwrap() else { panic!() };
        assert_eq!((job.timestamp, job.host, job.stop_timeout), (12.5, None, Some(2.0)));
        assert_eq!(job.user_classes_count, BTreeMap::from([("Api".to_owned(), 3), ("Web".to_owned(), 0)]));
        assert_eq!(job.parsed_options.unwrap().tags.unwrap(), ["read"]);
    }

    #[test]
    fn what_is_no_message_is_refused_and_what_is_new_is_named() {
        assert!(decode(b"").is_err() && decode(b"\x01").is_err() && decode(b"\x93\x01\x02\x03").is_err());
        let custom = rmp_serde::to_vec(&("hello", 1, "w")).unwrap();
        assert_eq!(decode(&custom).unwrap(), Heard::Other("hello".to_owned()));
        let missing = rmp_serde::to_vec(&("spawn", (), "w")).unwrap();
        assert!(decode(&missing).is_err());
    }

    #[test]
    fn structs_are_maps_and_the_message_is_an_array() {
        let beat = Heartbeat { state: State::Ready, current_cpu_usage: 1.5, current_memory_usage: 9 };
        let bytes = Said::Heartbeat(&beat).encode("h_1");
        assert_eq!(bytes[0], 0x93);
        assert!(bytes.windows(5).any(|window| window == b"ready") && bytes.windows(3).any(|window| window == b"h_1"));
        assert_eq!(bytes[11], 0x83, "{bytes:?}");
    }
}
