//! The checks: a function each, in a file named like its group.

pub mod api;
pub mod tasks;
pub mod websocket;
pub mod workers;

use crate::own::OwnCheck;
use crate::runner::Item;
use crate::trial::{Check, Needs, Number, RUNS};

/// `a::b::c` as a text.
macro_rules! join {
    ($first:ident $(:: $rest:ident)*) => {
        concat!(stringify!($first) $(, "::", stringify!($rest))*)
    };
}

/// A check and its function, whose path is its name.
macro_rules! check {
    ($($segment:ident)::+, $title:literal, $number:expr, $needs:expr, $about:literal) => {
        Check {
            name: join!($($segment)::+),
            title: $title,
            about: $about,
            number: $number,
            needs: $needs,
            run: |trial| Box::pin($($segment)::+(trial)),
        }
    };
}

/// Repeated one after the other.
const REPEATED: Number = Number::Runs(RUNS);

/// All checks, in the order in which they run.
pub static ALL: &[Check] = &[
    check!(
        api::health::response,
        "Health Check",
        REPEATED,
        Needs::Server,
        "asks for the health, one call after the other"
    ),
    check!(
        api::health::consistency,
        "Health Check Consistency",
        Number::Runs(50),
        Needs::Server,
        "asks for the health 50 times: whether it is steady"
    ),
    check!(
        api::worker::registration,
        "Worker Registration",
        REPEATED,
        Needs::Server,
        "registers new workers, one after the other"
    ),
    check!(
        api::worker::registration_repeated,
        "Repeated Worker Registration",
        REPEATED,
        Needs::Server,
        "registers one worker again and again; it keeps its id"
    ),
    check!(api::worker::heartbeat, "Worker Heartbeat", REPEATED, Needs::Server, "sends heartbeats of one worker"),
    check!(api::worker::list, "Worker List", REPEATED, Needs::Server, "lists workers"),
    check!(api::worker::get, "Worker Get", REPEATED, Needs::Server, "gets one worker"),
    check!(api::task::submission, "Task Submission", REPEATED, Needs::Server, "submits tasks, one after the other"),
    check!(
        api::task::submission_repeated,
        "Repeated Task Submission",
        REPEATED,
        Needs::Server,
        "submits one task again and again under its key; it stays one task"
    ),
    check!(api::task::query, "Task Query", REPEATED, Needs::Server, "gets tasks that nobody asked for before"),
    check!(api::task::list, "Task List", REPEATED, Needs::Server, "lists tasks; between two lists one is submitted"),
    check!(
        api::task::progress,
        "Task Progress Query",
        REPEATED,
        Needs::Server,
        "asks how far tasks are; the answers come from the cache, not from the database"
    ),
    check!(
        api::task::decomposition,
        "Task Decomposition",
        REPEATED,
        Needs::Server,
        "decomposes tasks, one after the other"
    ),
    check!(
        workers::registration::concurrent,
        "Concurrent Worker Registration",
        Number::Scaled(10),
        Needs::Server,
        "10 workers register at once"
    ),
    check!(
        workers::registration::stress,
        "Stressed Worker Registration",
        Number::Scaled(20),
        Needs::Server,
        "20 workers register at once"
    ),
    check!(
        workers::heartbeat::concurrent,
        "Concurrent Worker Heartbeat",
        Number::Scaled(10),
        Needs::Server,
        "10 workers send a heartbeat at once"
    ),
    check!(
        workers::heartbeat::sustained,
        "Sustained Worker Heartbeat",
        Number::Scaled(10),
        Needs::Server,
        "10 workers at once send 5 heartbeats each"
    ),
    check!(
        workers::listing::small,
        "Worker List",
        Number::Scaled(10),
        Needs::Server,
        "lists workers with 10 registered"
    ),
    check!(
        workers::listing::large,
        "Large Worker List",
        Number::Scaled(50),
        Needs::Server,
        "lists workers with 50 registered"
    ),
    check!(
        workers::listing::by_status,
        "Worker List By Status",
        Number::Runs(4),
        Needs::Server,
        "lists the workers of each status; every row has it"
    ),
    check!(
        workers::presence::online,
        "Workers Online",
        Number::Scaled(10),
        Needs::Workers,
        "10 workers stay online while work runs"
    ),
    check!(
        tasks::submission::concurrent,
        "Concurrent Task Submission",
        Number::Scaled(20),
        Needs::Server,
        "20 tasks are submitted at once"
    ),
    check!(
        tasks::submission::stress,
        "Stressed Task Submission",
        Number::Scaled(50),
        Needs::Server,
        "50 tasks are submitted at once"
    ),
    check!(
        tasks::query::concurrent,
        "Concurrent Task Query",
        Number::Scaled(20),
        Needs::Server,
        "20 tasks are asked for at once"
    ),
    check!(
        tasks::query::concurrent_progress,
        "Concurrent Progress Query",
        Number::Scaled(20),
        Needs::Server,
        "20 tasks are asked at once how far they are"
    ),
    check!(
        tasks::decomposition::concurrent,
        "Concurrent Task Decomposition",
        Number::Scaled(10),
        Needs::Server,
        "10 tasks are decomposed at once"
    ),
    check!(
        tasks::decomposition::sequential,
        "Sequential Task Decomposition",
        REPEATED,
        Needs::Server,
        "10 tasks are decomposed one after the other"
    ),
    check!(tasks::listing::small, "Task List", Number::Scaled(20), Needs::Server, "lists tasks with 20 submitted"),
    check!(
        tasks::listing::large,
        "Large Task List",
        Number::Scaled(100),
        Needs::Server,
        "lists tasks with 100 submitted"
    ),
    check!(
        tasks::listing::pagination,
        "Task List Pagination",
        Number::Scaled(50),
        Needs::Server,
        "lists 50 tasks page by page; each is on one page"
    ),
    check!(
        tasks::listing::by_status,
        "Task List By Status",
        Number::Runs(4),
        Needs::Server,
        "lists the tasks of a status; every row has it"
    ),
    check!(
        tasks::execution::parallel,
        "Parallel Task Start",
        Number::Scaled(20),
        Needs::Workers,
        "20 tasks run at the same moment on real workers; how long each waited for its start"
    ),
    check!(
        tasks::mixed::workload,
        "Mixed Workload",
        Number::Scaled(10),
        Needs::Server,
        "10 at once register, send heartbeats, submit, ask and list"
    ),
    check!(
        websocket::delivery::latency,
        "WebSocket Latency",
        REPEATED,
        Needs::Server,
        "from a worker's log line to a client that watches"
    ),
    check!(
        websocket::delivery::fan_out,
        "WebSocket Fan-Out",
        Number::Scaled(50),
        Needs::Server,
        "from a worker's log line to each of 50 clients that watch"
    ),
    check!(
        websocket::connections::concurrent,
        "WebSocket Connections",
        Number::Scaled(50),
        Needs::Server,
        "50 clients connect at once, and all of them hear"
    ),
    check!(
        websocket::connections::replay,
        "WebSocket Replay",
        REPEATED,
        Needs::Server,
        "a client connects and reads a log of 100 lines from its beginning"
    ),
];

/// The checks of these names, in their own order, those of files last; all without names. A name is a run of whole segments
/// of a check's (`api::worker`, `stress`), or else, when there is no such check, a part of its text.
///
/// # Errors
/// The first name that selects nothing.
pub fn select(names: &[String], own: Vec<OwnCheck>) -> Result<Vec<Item>, String> {
    let all: Vec<Item> = ALL.iter().map(Item::BuiltIn).chain(own.into_iter().map(Box::new).map(Item::Own)).collect();
    let mut selected = vec![names.is_empty(); all.len()];
    for name in names {
        let wanted: Vec<&str> = name.split("::").collect();
        let whole = |item: &Item| {
            let segments: Vec<&str> = item.name().split("::").collect();
            segments.windows(wanted.len()).any(|some| some == wanted)
        };
        let by_segments = all.iter().any(whole);
        let mut found = false;
        for (item, selected) in all.iter().zip(&mut selected) {
            if if by_segments { whole(item) } else { item.name().contains(name.as_str()) } {
                (*selected, found) = (true, true);
            }
        }
        if !found {
            return Err(name.clone());
        }
    }
    Ok(all.into_iter().zip(selected).filter_map(|(item, selected)| selected.then_some(item)).collect())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::thresholds::{DEFAULTS, Limits, Thresholds};

    fn names(selected: &[&str]) -> Vec<String> {
        let names: Vec<String> = selected.iter().map(|&name| name.to_owned()).collect();
        select(&names, Vec::new()).unwrap().iter().map(|item| item.name().to_owned()).collect()
    }

    /// The defaults are a file: every table of it is a check, and every check has one.
    #[test]
    fn every_check_has_limits_and_every_limit_a_check() {
        let file: std::collections::BTreeMap<String, Limits> = toml::from_str(DEFAULTS).unwrap();
        let limits: BTreeSet<&str> = file.keys().map(String::as_str).collect();
        let checks: BTreeSet<&str> = ALL.iter().map(|check| check.name).collect();
        assert_eq!(limits, checks);
        assert_eq!(checks.len(), ALL.len());
        assert!(Thresholds::default().of("api::health::response").is_some());
    }

    #[test]
    fn names_select_by_segments_first() {
        assert_eq!(names(&[]).len(), ALL.len());
        assert_eq!(names(&["api::worker"]).len(), 5);
        // `list` is a segment of two; as a part of a text it would be in `listing` too.
        assert_eq!(names(&["list"]), ["api::worker::list", "api::task::list"]);
        assert_eq!(names(&["stress"]), ["workers::registration::stress", "tasks::submission::stress"]);
        assert_eq!(names(&["fan_"]), ["websocket::delivery::fan_out"]);
        assert_eq!(names(&["get", "latency"]), ["api::worker::get", "websocket::delivery::latency"]);
        let unknown = select(&["api".to_owned(), "nonsense".to_owned()], Vec::new());
        assert_eq!(unknown.unwrap_err(), "nonsense");
    }
}
