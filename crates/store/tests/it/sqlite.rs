//! What only the SQLite store can show: its file, its groups, its statements.

use std::collections::BTreeSet;
use std::sync::Arc;

use regatta_model::command::*;
use regatta_model::ledger::ProgressChange;
use regatta_model::*;
use regatta_store::sqlite::{Options, SqliteStore, Synchronous};
use regatta_store::{Committed, LogQuery, Sink, Store, StoreError, StoreExt};

use crate::support::{BEGIN, Gate, LEASE, Recorder, all_tasks, all_workers, heartbeat, new_task, registration, report};

fn options(folder: &tempfile::TempDir) -> Options {
    Options { synchronous: Synchronous::Off, ..Options::new(folder.path().join("test.db")) }
}

fn open(options: Options) -> Result<SqliteStore, String> {
    SqliteStore::open(options, Arc::new(Recorder::default())).map_err(|error| error.to_string())
}

async fn submit(store: &SqliteStore, task: task::NewTask) -> Result<Submitted, StoreError> {
    Ok(store.run(BEGIN, Submit { tasks: vec![task], idempotency: None }).await?.value)
}

#[tokio::test]
async fn a_second_server_on_the_same_file_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let first = open(options(&folder)).unwrap();
    let refused = open(options(&folder)).err().unwrap();
    assert!(refused.contains(&format!("process {}", std::process::id())), "{refused}");
    assert!(refused.contains("stop that server"), "{refused}");
    first.close().await;
    open(options(&folder)).unwrap();
}

#[tokio::test]
async fn what_cannot_be_opened_says_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("test.db"), "this is a letter and not a database, whatever its name may say")
        .unwrap();
    let refused = open(options(&folder)).err().unwrap();
    assert!(refused.contains("is not a Regatta database; choose another file"), "{refused}");

    let folder = tempfile::tempdir().unwrap();
    let foreign = rusqlite::Connection::open(folder.path().join("test.db")).unwrap();
    foreign.execute_batch("CREATE TABLE theirs (x)").unwrap();
    drop(foreign);
    let refused = open(options(&folder)).err().unwrap();
    assert!(refused.contains("another program's database"), "{refused}");

    let refused = open(Options::default()).err().unwrap();
    assert!(refused.contains("name a file"), "{refused}");

    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, "").unwrap();
    let refused = open(Options::new(file.join("test.db"))).err().unwrap();
    assert!(refused.contains("cannot be made") && refused.contains("choose another place"), "{refused}");

    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("test.db")).unwrap();
    let refused = open(options(&folder)).err().unwrap();
    assert!(refused.contains("let this user write"), "{refused}");
}

#[tokio::test]
async fn a_newer_schema_is_refused_only_when_it_must_be() {
    let folder = tempfile::tempdir().unwrap();
    drop(open(options(&folder)).unwrap());
    let newer = |version: i64, needs: &str| {
        let conn = rusqlite::Connection::open(folder.path().join("test.db")).unwrap();
        let row = rusqlite::params![version, needs];
        conn.execute("INSERT INTO schema_migrations VALUES (?1, 'later', '', ?2, '')", row).unwrap();
    };
    newer(900, "0.0.1");
    drop(open(options(&folder)).unwrap());
    newer(901, "900.0.0");
    let refused = open(options(&folder)).err().unwrap();
    assert!(refused.contains("needs at least version 900.0.0") && refused.contains("install"), "{refused}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bad_command_of_a_group_fails_alone() {
    let folder = tempfile::tempdir().unwrap();
    let sink = Arc::new(Gate::default());
    let store = Arc::new(SqliteStore::open(options(&folder), sink.clone()).unwrap());
    sink.shut();
    let known = new_task(&[("a", &[])]);
    // It is committed, and the writer waits behind it until all others are there.
    submit(&store, known.clone()).await.unwrap();
    let call = |n| {
        // The eleventh uses an id that is taken, which the database refuses.
        let task = if n == 10 { known.clone() } else { new_task(&[("a", &[])]) };
        let store = store.clone();
        tokio::spawn(async move { submit(&store, task).await })
    };
    let waiting: Vec<_> = (0..20).map(call).collect();
    while store.queued() < 20 {
        tokio::task::yield_now().await;
    }
    sink.open();
    let mut failed = Vec::new();
    for (place, waiting) in waiting.into_iter().enumerate() {
        match waiting.await.unwrap() {
            Ok(submitted) => assert_eq!(submitted, Submitted::Made),
            Err(StoreError::Database(_)) => failed.push(place),
            Err(error) => panic!("{error}"),
        }
    }
    assert_eq!(failed, [10]);
    assert_eq!(store.tasks(all_tasks()).await.unwrap().value.total.unwrap().count, 20);
    let counters = store.counters(BEGIN).await.unwrap().value;
    assert_eq!(counters.tasks, [(TaskStatus::InProgress, 20)]);
    assert_eq!(counters.subtasks, [(SubtaskStatus::Queued, 20)]);

    // What the writer keeps in order went back with the group that failed: each is given once, and nothing else.
    let worker = store.run(BEGIN, registration("m", 30, None)).await.unwrap().value.unwrap();
    let claim = |nonce| {
        let seat = Seat { worker: worker.key, session: worker.session, free: 30 };
        let lanes = vec![LaneOffer { lane: LaneKey(1), takers: vec![(0, "t".into()); 30] }];
        Claim { seats: vec![seat], lanes, limit: 30, lease: LEASE, nonce }
    };
    let given = store.run(BEGIN, claim(1)).await.unwrap().value;
    let different: BTreeSet<_> = given.iter().map(|given| given.lease.subtask.uuid()).collect();
    assert_eq!((given.len(), different.len()), (20, 20));
    assert!(store.run(BEGIN, claim(2)).await.unwrap().value.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_waits_shares_a_commit() {
    let folder = tempfile::tempdir().unwrap();
    let sink = Arc::new(Gate::default());
    let unhurried = Options { group_millis: 600_000, ..options(&folder) };
    let store = Arc::new(SqliteStore::open(unhurried, sink.clone()).unwrap());
    sink.shut();
    submit(&store, new_task(&[("a", &[])])).await.unwrap();
    let call = |_| {
        let store = store.clone();
        tokio::spawn(async move { submit(&store, new_task(&[("a", &[])])).await })
    };
    let waiting: Vec<_> = (0..20).map(call).collect();
    while store.queued() < 20 {
        tokio::task::yield_now().await;
    }
    sink.open();
    for waiting in waiting {
        assert_eq!(waiting.await.unwrap().unwrap(), Submitted::Made);
    }
    Gate::settle(&*store).await;
    assert_eq!(sink.groups(), 2, "one for the first, one for the twenty that waited");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_submissions_is_refused_and_heartbeats_are_not() {
    let folder = tempfile::tempdir().unwrap();
    let sink = Arc::new(Gate::default());
    let limited = Options { queue_rows: 100, ..options(&folder) };
    let store = Arc::new(SqliteStore::open(limited, sink.clone()).unwrap());
    let worker = store.run(BEGIN, registration("m", 1, None)).await.unwrap().value.unwrap().worker;
    Gate::settle(&*store).await;
    sink.shut();
    submit(&store, new_task(&[("a", &[])])).await.unwrap();
    let call = |_| {
        let store = store.clone();
        tokio::spawn(async move { submit(&store, new_task(&[("a", &[])])).await })
    };
    let flood: Vec<_> = (0..200).map(call).collect();
    // Nothing is written meanwhile, so who is answered is refused.
    while !flood.iter().any(tokio::task::JoinHandle::is_finished) {
        tokio::task::yield_now().await;
    }
    let beating = store.clone();
    let beat = tokio::spawn(async move { beating.run(BEGIN, heartbeat(worker, None)).await });
    while !beat.is_finished() {
        sink.open();
        tokio::task::yield_now().await;
    }
    assert_eq!(beat.await.unwrap().unwrap().value, Heard::Yes);
    let (mut made, mut refused) = (1, 0);
    for call in flood {
        match call.await.unwrap() {
            Ok(_) => made += 1,
            Err(StoreError::Overloaded) => refused += 1,
            Err(error) => panic!("{error}"),
        }
    }
    assert!(made > 1 && refused > 0, "{made} made, {refused} refused");
    assert_eq!(store.tasks(all_tasks()).await.unwrap().value.total.unwrap().count, made);
}

#[tokio::test]
async fn a_row_that_should_be_there_and_is_not_fails_its_command_alone() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(options(&folder)).unwrap();
    let mut task = new_task(&[("a", &[])]);
    // A plan whose second step was never written.
    task.plan.as_mut().unwrap().steps.steps[0].dependents = [7].into();
    let id = task.id;
    submit(&store, task).await.unwrap();
    let worker = store.run(BEGIN, registration("m", 1, None)).await.unwrap().value.unwrap();
    let seat = Seat { worker: worker.key, session: worker.session, free: 1 };
    let lanes = vec![LaneOffer { lane: LaneKey(1), takers: vec![(0, "t".into())] }];
    let claim = Claim { seats: vec![seat], lanes, limit: 1, lease: LEASE, nonce: 1 };
    let given = store.run(BEGIN, claim).await.unwrap().value.remove(0);
    let failed = store.run(BEGIN, report(given.lease, Ok(()), "{}")).await;
    assert!(matches!(failed, Err(StoreError::Database(_))), "{failed:?}");
    let row = store.task(id).await.unwrap().value.unwrap().row;
    assert_eq!((row.completed, row.running), (0, 1), "nothing of it was done");
    assert_eq!(submit(&store, new_task(&[])).await.unwrap(), Submitted::Made);
}

/// Panics whenever it is told something.
struct Nervous;

impl Sink for Nervous {
    fn progressed(&self, _: &[ProgressChange]) {
        panic!("progressed");
    }
    fn committed(&self, _: Committed) {
        panic!("committed");
    }
}

#[tokio::test]
async fn what_a_step_is_to_do_is_kept_only_where_it_cannot_be_made_up() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(options(&folder)).unwrap();
    // The second has an input; the third has words of its own; the fourth's task is too long for its summary.
    let mut task = new_task(&[("abc", &[]), ("ab", &[]), ("a", &[])]);
    let steps = &mut task.plan.as_mut().unwrap().steps.steps;
    steps[2].description = "something else".into();
    let mut long = new_task(&[("abc", &[])]);
    long.text.description = "long ".repeat(100).into();
    long.plan.as_mut().unwrap().steps.steps[0].description = format!("abc: {}", long.text.description).into();
    let expected: Vec<(SubtaskId, Arc<str>, Option<plan::Json>)> = [&task, &long]
        .into_iter()
        .flat_map(|task| {
            (0..).zip(&task.plan.as_ref().unwrap().steps.steps).map(|(at, step)| (task.id.subtask(at), step))
        })
        .map(|(id, step)| (id, step.description.clone(), step.input.clone()))
        .collect();
    submit(&store, task).await.unwrap();
    submit(&store, long).await.unwrap();
    let check = async |store: &SqliteStore| {
        for (id, description, input) in &expected {
            let found = store.subtask(*id).await.unwrap().value.unwrap();
            assert_eq!((&found.description, &found.input), (description, input));
        }
    };
    check(&store).await;
    store.close().await;
    let conn = rusqlite::Connection::open(folder.path().join("test.db")).unwrap();
    let kept: i64 = conn.query_row("SELECT count(*) FROM subtask_texts", [], |row| row.get(0)).unwrap();
    assert_eq!(kept, 3);
    drop(conn);

    // And a worker is told the same, by a store that did not make them.
    let store = open(options(&folder)).unwrap();
    check(&store).await;
    let worker = store.run(BEGIN, registration("one", 8, None)).await.unwrap().value.unwrap();
    let lanes = store.lanes(LaneKey(0)).await.unwrap();
    let claim = Claim {
        seats: vec![Seat { worker: worker.key, session: worker.session, free: 8 }],
        lanes: lanes.iter().map(|(lane, _)| LaneOffer { lane: *lane, takers: vec![(0, "t".into()); 8] }).collect(),
        limit: 8,
        lease: LEASE,
        nonce: 1,
    };
    let mut told: Vec<_> = store.run(BEGIN, claim).await.unwrap().value;
    told.sort_by_key(|given| expected.iter().position(|(id, ..)| *id == given.lease.subtask));
    let told: Vec<_> = told.into_iter().map(|given| (given.lease.subtask, given.description, given.input)).collect();
    assert_eq!(told, expected);
}

#[tokio::test]
async fn the_log_is_long_from_the_beginning_and_copied_when_nobody_writes() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("test.db");
    let store = open(Options::new(&path)).unwrap();
    let log = || std::fs::metadata(folder.path().join("test.db-wal")).map(|log| log.len());
    let length = log().unwrap();
    assert!(length >= 4 << 20, "{length}");
    let id = submit_one(&store).await;
    assert_eq!(log().unwrap(), length);

    // Another process sees when everything is copied.
    let conn = rusqlite::Connection::open(&path).unwrap();
    let left = || {
        conn.query_row("PRAGMA wal_checkpoint(NOOP)", [], |row| Ok(row.get::<_, i64>(1)? - row.get::<_, i64>(2)?))
            .unwrap()
    };
    assert!(left() > 0);
    let hang = std::time::Instant::now() + std::time::Duration::from_secs(180);
    while left() > 0 {
        assert!(std::time::Instant::now() < hang, "{} pages are left", left());
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    drop(conn);
    store.close().await;
    assert!(log().is_err(), "a clean stop leaves one file");
    let store = open(Options::new(&path)).unwrap();
    assert!(store.progress(id).await.unwrap().value.is_some());
}

async fn submit_one(store: &SqliteStore) -> TaskId {
    let task = task_to_submit();
    let id = task.id;
    submit(store, task).await.unwrap();
    id
}

#[tokio::test]
async fn a_listener_that_panics_does_not_take_the_writer_along() {
    let folder = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(options(&folder), Arc::new(Nervous)).unwrap();
    for made in 1..4 {
        assert_eq!(submit(&store, new_task(&[("a", &[])])).await.unwrap(), Submitted::Made);
        assert_eq!(store.tasks(all_tasks()).await.unwrap().value.total.unwrap().count, made);
    }
}

/// Statements of each read with these many rows behind it.
async fn statements(rows: usize) -> Vec<(&'static str, u64)> {
    let folder = tempfile::tempdir().unwrap();
    let store = open(options(&folder)).unwrap();
    let names: Vec<String> = (0..rows).map(|n| format!("step {n}")).collect();
    let all: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut steps: Vec<(&str, &[&str])> = all.iter().map(|&name| (name, &[][..])).collect();
    steps.push(("join", &all));
    let task = new_task(&steps);
    let id = task.id;
    submit(&store, task).await.unwrap();
    for _ in 0..rows {
        submit(&store, new_task(&[("a", &[])])).await.unwrap();
    }
    let mut worker = None;
    for n in 0..rows {
        worker = Some(store.run(BEGIN, registration(&format!("m{n}"), 100, None)).await.unwrap().value.unwrap());
    }
    let worker = worker.unwrap();
    let seat = Seat { worker: worker.key, session: worker.session, free: rows as u32 };
    let lanes = vec![LaneOffer { lane: LaneKey(1), takers: vec![(0, "t".into()); rows] }];
    let claim = Claim { seats: vec![seat], lanes, limit: rows as u32, lease: LEASE, nonce: 1 };
    for given in store.run(BEGIN, claim).await.unwrap().value {
        store.run(BEGIN, report(given.lease, Ok(()), "{}")).await.unwrap();
        let line = AppendLog {
            subtask: given.lease.subtask,
            lease: None,
            worker: None,
            bound: None,
            level: LogLevel::Info,
            message: "x".into(),
            metadata: None,
        };
        store.run(BEGIN, line).await.unwrap();
    }
    let mut counts = Vec::new();
    macro_rules! count {
        ($($call:tt)+) => {{
            let before = store.read_statements();
            store.$($call)+.await.unwrap();
            counts.push((stringify!($($call)+), store.read_statements() - before));
        }};
    }
    count!(task(id));
    count!(progress(id));
    count!(tasks(all_tasks()));
    count!(subtask(id.subtask(rows as u16)));
    count!(subtasks(id, 0, 100, false));
    count!(subtasks(id, 0, 100, true));
    count!(events(id, 0, 1_000));
    count!(logs(id, LogQuery::Last(1_000)));
    count!(workers(all_workers(), BEGIN));
    count!(worker(worker.worker, BEGIN));
    count!(counters(BEGIN));
    count!(lanes(LaneKey(0)));
    count!(ready_lanes());
    counts
}

#[tokio::test]
async fn a_reads_statements_do_not_grow_with_its_rows() {
    let (few, many) = (statements(2).await, statements(60).await);
    assert_eq!(few, many);
    assert!(few.iter().all(|&(_, count)| (1..=5).contains(&count)), "{few:?}");
}

/// In a child process, where the database is.
const CHILD_DATABASE: &str = "REGATTA_TEST_CHILD_DATABASE";
/// What a child says before the id of a task that was acknowledged.
const MADE: &str = "made ";
/// What a child says before the error of a task that was not.
const REFUSED: &str = "refused ";

/// A task with an id that another process does not give, too.
fn task_to_submit() -> task::NewTask {
    let id = TaskId::from_random(uuid::Uuid::now_v7());
    task::NewTask { id, ..new_task(&[("a", &[]), ("b", &["a"])]) }
}

/// This test again, in a process of its own, started through a shell that does `first`.
fn child(first: &str, test: &str, database: &std::path::Path) -> std::process::Child {
    std::process::Command::new("sh")
        .args(["-c", &format!("{first} exec \"$@\""), "sh"])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture"])
        .env(CHILD_DATABASE, database)
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap()
}

/// What a child says, as it says it.
fn said(child: &mut std::process::Child) -> impl Iterator<Item = String> + use<> {
    use std::io::BufRead;
    std::io::BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok)
}

fn made(line: &str) -> Option<TaskId> {
    line.strip_prefix(MADE).map(|id| TaskId::from_uuid(id.parse().unwrap()).unwrap())
}

/// Every task that was acknowledged is there, and whatever was committed besides is whole.
async fn nothing_is_lost(path: &std::path::Path, made: &[TaskId]) {
    let store = open(Options::new(path)).unwrap();
    for id in made {
        let detail = store.task(*id).await.unwrap().value.unwrap();
        assert_eq!((detail.row.status, detail.subtasks.len()), (TaskStatus::InProgress, 2));
        assert_eq!(store.events(*id, 0, 10).await.unwrap().value.unwrap().events.len(), 1);
    }
    let counters = store.counters(BEGIN).await.unwrap().value;
    let tasks = counters.tasks[0].1;
    assert!(tasks >= made.len() as u64);
    assert_eq!(counters.subtasks, [(SubtaskStatus::Pending, tasks), (SubtaskStatus::Queued, tasks)]);
    assert_eq!(store.ready_lanes().await.unwrap(), [(LaneKey(1), tasks)]);
    assert_eq!(submit(&store, task_to_submit()).await.unwrap(), Submitted::Made);
}

/// Submits for ever and says what was acknowledged, until it is killed.
async fn submit_until_killed(path: std::path::PathBuf) {
    let store = Arc::new(open(Options::new(path)).unwrap());
    let mut calls = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let store = store.clone();
        calls.spawn(async move {
            loop {
                let task = task_to_submit();
                let id = task.id;
                submit(&store, task).await.unwrap();
                println!("{MADE}{id}");
            }
        });
    }
    calls.join_all().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_killed_process_acknowledged_is_there() {
    if let Some(path) = std::env::var_os(CHILD_DATABASE) {
        return submit_until_killed(path.into()).await;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("test.db");
    let mut child = child("", "sqlite::what_a_killed_process_acknowledged_is_there", &path);
    let mut acknowledged = Vec::new();
    for line in said(&mut child) {
        acknowledged.extend(made(&line));
        if acknowledged.len() == 500 {
            child.kill().unwrap();
        }
    }
    child.wait().unwrap();
    assert!(acknowledged.len() >= 500, "{} made", acknowledged.len());
    nothing_is_lost(&path, &acknowledged).await;
}

/// Submits until it is refused, and some more, and reads what it made.
async fn submit_until_full(path: std::path::PathBuf) {
    let store = open(Options::new(path)).unwrap();
    let (mut first, mut refused) = (None, 0);
    while refused < 3 {
        let task = task_to_submit();
        let id = task.id;
        match submit(&store, task).await {
            Ok(_) => {
                first = first.or(Some(id));
                println!("{MADE}{id}");
            }
            Err(error) => {
                refused += 1;
                println!("{REFUSED}{error}");
            }
        }
    }
    assert!(store.progress(first.unwrap()).await.unwrap().value.is_some());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_refuses_and_loses_nothing() {
    if let Some(path) = std::env::var_os(CHILD_DATABASE) {
        return submit_until_full(path.into()).await;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("test.db");
    // No file may grow over 2,000 blocks, and the write that would fails instead of ending the process.
    let limit = "trap '' XFSZ; ulimit -f 2000;";
    let mut child = child(limit, "sqlite::a_full_disk_refuses_and_loses_nothing", &path);
    let (mut acknowledged, mut refused) = (Vec::new(), Vec::new());
    for line in said(&mut child) {
        acknowledged.extend(made(&line));
        refused.extend(line.strip_prefix(REFUSED).map(str::to_owned));
    }
    assert!(child.wait().unwrap().success(), "it goes on and still reads");
    assert!(!acknowledged.is_empty());
    assert!(refused.len() == 3 && refused.iter().all(|error| error.contains("disk")), "{refused:?}");
    nothing_is_lost(&path, &acknowledged).await;
}

#[tokio::test]
async fn what_runs_later_is_not_earlier() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(options(&folder)).unwrap();
    submit(&store, new_task(&[("a", &[])])).await.unwrap();
    let claim = |worker: Registered| Claim {
        seats: vec![Seat { worker: worker.key, session: worker.session, free: 1 }],
        lanes: vec![LaneOffer { lane: LaneKey(1), takers: vec![(0, "t".into())] }],
        limit: 1,
        lease: LEASE,
        nonce: 7,
    };
    let (one, two) = (registration("one", 1, Some(Vec::new())), registration("two", 1, Some(Vec::new())));
    let first = store.run(BEGIN, one.clone()).await.unwrap().value.unwrap();
    let second = store.run(BEGIN, two).await.unwrap().value.unwrap();
    let given = store.run(BEGIN, claim(first)).await.unwrap().value.remove(0);
    let lost = BEGIN + Span::millis(3);
    store.run(lost, one).await.unwrap().value.unwrap();
    // Its caller looked at the clock before, and its turn came after.
    let again = store.run(BEGIN + Span::millis(1), claim(second)).await.unwrap().value.remove(0);
    let row = store.subtask(given.lease.subtask).await.unwrap().value.unwrap().row;
    assert_eq!((again.attempt, row.started_at), (2, Some(lost)), "one lease at a time");
    // A clock that is set back is followed.
    let back = BEGIN - Span::seconds(3_600);
    store.run(back, Report { ..report(again.lease, Ok(()), "{}") }).await.unwrap();
    let row = store.subtask(given.lease.subtask).await.unwrap().value.unwrap().row;
    assert_eq!(row.completed_at, Some(back));
}
