//! What only the PostgreSQL store can show: statements and plans, several nodes on one database, and a database that goes.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use regatta_model::command::*;
use regatta_model::*;
use regatta_services::{Database, Postgres, Proxy, Stop, Way, database};
use regatta_store::postgres::{self, Options, PostgresStore, Time};
use regatta_store::{LogQuery, Store, StoreError, StoreExt, TaskQuery};
use tokio_postgres::{Client, NoTls};

use crate::support::{BEGIN, Fixture, LEASE, Recorder, all_tasks, new_task, postgres_options, registration, report};

async fn client(url: &str) -> Client {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

async fn node(database: &Database) -> Arc<PostgresStore> {
    Arc::new(PostgresStore::open(postgres_options(database), Arc::new(Recorder::default())).await.unwrap())
}

fn files() -> Vec<(String, String)> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("src/postgres/sql");
    let mut files: Vec<(String, String)> = std::fs::read_dir(folder)
        .unwrap()
        .map(|file| {
            let path = file.unwrap().path();
            let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
            (name, std::fs::read_to_string(path).unwrap())
        })
        .collect();
    files.sort();
    files
}

#[tokio::test]
async fn every_statement_is_listed_and_prepares() {
    let Some(database) = database("every_statement_is_listed_and_prepares") else { return };
    postgres::migrate(database.url()).await.unwrap();
    let client = client(database.url()).await;
    let listed = include_str!("../../src/postgres/sql.rs");
    for (name, sql) in files() {
        assert!(listed.contains(&format!("\"{name}\"")), "{name} is in no list");
        if let Err(error) = client.prepare(&sql).await {
            panic!("{name}: {error:?}");
        }
    }
}

/// The plan that a writer has for a statement, whatever is bound: one line a step, indexes named.
async fn plan(client: &Client, sql: &str) -> String {
    let count = (1..30).rev().find(|number| sql.contains(&format!("${number}"))).unwrap_or(0);
    client.batch_execute(&format!("DEALLOCATE ALL; PREPARE looked AS {sql}")).await.unwrap();
    let nulls = vec!["NULL"; count].join(", ");
    let call = if count == 0 { "looked".to_owned() } else { format!("looked({nulls})") };
    let rows = client.query(&format!("EXPLAIN (COSTS OFF) EXECUTE {call}"), &[]).await.unwrap();
    rows.iter().map(|row| row.get::<_, String>(0)).collect::<Vec<_>>().join("\n")
}

#[tokio::test]
async fn hot_statements_use_their_indexes_on_an_empty_and_on_a_filled_database() {
    let Some(database) = database("hot_statements_use_their_indexes") else { return };
    postgres::migrate(database.url()).await.unwrap();
    let client = client(database.url()).await;
    // As a writer's connection has it.
    client
        .batch_execute(
            "SET plan_cache_mode = force_generic_plan; SET enable_seqscan = off; SET enable_hashjoin = off;
             SET enable_mergejoin = off; SET enable_bitmapscan = off; SET jit = off",
        )
        .await
        .unwrap();
    let wanted: &[(&str, &[&str])] = &[
        ("lock_tasks", &["task_state_pkey", "tasks_pkey"]),
        ("lock_tasks_skip", &["task_state_pkey", "tasks_pkey"]),
        ("lock_tasks_by_uuid", &["tasks_uuid", "task_state_pkey", "tasks_pkey"]),
        ("load_blocks", &["subtasks_pkey"]),
        ("subtasks_by_keys", &["subtasks_pkey"]),
        ("subtask_texts", &["subtask_texts_pkey"]),
        ("subtask_outputs", &["subtasks_pkey"]),
        ("ready", &["subtasks_ready", "subtask_texts_pkey"]),
        ("lock_ready", &["subtasks_ready", "task_state_pkey", "tasks_pkey"]),
        ("due", &["subtasks_due"]),
        ("next_due", &["subtasks_due"]),
        ("leased_by", &["subtasks_leased"]),
        ("tasks_leased_by", &["subtasks_leased"]),
        ("lock_workers", &["workers_pkey"]),
        ("update_task_states", &["task_state_pkey"]),
        ("update_subtasks", &["subtasks_pkey"]),
        ("update_subtasks_output", &["subtasks_pkey"]),
        ("update_workers", &["workers_pkey"]),
        ("tasks_to_start", &["task_state_start"]),
        ("read_events", &["events_pkey"]),
        ("read_logs", &["logs_pkey"]),
        ("list_tasks", &["task_state_pkey", "tasks_pkey"]),
        ("list_subtasks", &["subtasks_pkey"]),
        ("read_progress", &["tasks_uuid", "task_state_pkey"]),
    ];
    let files = files();
    for when in ["empty", "filled"] {
        if when == "filled" {
            client.batch_execute(FILL).await.unwrap();
        }
        for (name, indexes) in wanted {
            let (_, sql) = files.iter().find(|(file, _)| file == name).unwrap();
            let plan = plan(&client, sql).await;
            for index in *indexes {
                assert!(plan.contains(index), "{when}, {name}: no {index} in\n{plan}");
            }
            let whole = ["Seq Scan on tasks", "Seq Scan on task_state", "Seq Scan on subtasks", "Seq Scan on workers"];
            assert!(!whole.iter().any(|scan| plan.contains(scan)), "{when}, {name}:\n{plan}");
        }
    }
    // As a reader has it, whose plans may look at what is asked: of a status that few have, not all tasks are looked through.
    client.batch_execute("DISCARD ALL").await.unwrap();
    let (_, sql) = files.iter().find(|(file, _)| file == "list_tasks_status").unwrap();
    client.batch_execute(&format!("PREPARE looked AS {sql}")).await.unwrap();
    let rows = client.query("EXPLAIN (COSTS OFF) EXECUTE looked(9223372036854775807, 21, 0, 2::smallint)", &[]).await;
    let plan: Vec<String> = rows.unwrap().iter().map(|row| row.get(0)).collect();
    assert!(plan.iter().any(|step| step.contains("task_state_status")), "{plan:?}");
}

/// 100,000 tasks of four subtasks, nearly all completed, as after a while of work.
const FILL: &str = "
    INSERT INTO tasks (key, uuid, user_id, task_type, priority, created_at, summary, checkpoint_frequency, privacy,
        tool_preferences, requires, description)
    SELECT k, gen_random_uuid(), 'local', k % 7, 1, k, 's', 1, 0, '[]', '{}', 'd' FROM generate_series(1, 100000) k;
    INSERT INTO task_state (key, status, total, completed, failed, cancelled, running, seq, updated_at)
    SELECT key, CASE WHEN key % 1000 = 0 THEN 2 WHEN key % 10 = 1 THEN 0 ELSE 4 END, 4, 4, 0, 0, 0, 9, 0 FROM tasks;
    INSERT INTO subtasks (key, state, lane, rank, worker, changing, head, name, output)
    SELECT (t.key << 14) + p, CASE WHEN t.key % 1000 = 0 THEN p ELSE 4 END, t.key % 3 + 1, t.key, t.key % 50,
        '\\x0100'::bytea, '\\x01'::bytea, 'n', '{}'
    FROM tasks t, generate_series(0, 3) p;
    INSERT INTO events (key, packed) SELECT (key << 30) + 9, '\\x01'::bytea FROM tasks;
    ANALYZE";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_nodes_that_start_together_change_the_schema_once() {
    let Some(database) = database("ten_nodes_that_start_together") else { return };
    let opened = (0..10).map(|_| {
        let url = database.url().to_owned();
        tokio::spawn(async move { postgres::migrate(&url).await })
    });
    for opened in opened.collect::<Vec<_>>() {
        opened.await.unwrap().unwrap();
    }
    let schema = postgres::schema(database.url()).await.unwrap();
    assert!(!schema.is_empty() && schema.iter().all(|change| change.applied_at.is_some()), "{schema:?}");
}

/// Claims and completes until the task has ended; what was completed.
async fn work(store: Arc<PostgresStore>, task: TaskId, machine: String) -> Vec<SubtaskId> {
    let worker = store.run(BEGIN, registration(&machine, 20, Some(Vec::new()))).await.unwrap().value.unwrap();
    let mut done = Vec::new();
    while !store.progress(task).await.unwrap().value.unwrap().status.is_ended() {
        let lanes = store.lanes(LaneKey(0)).await.unwrap();
        let lanes = lanes.into_iter().map(|(lane, _)| LaneOffer { lane, takers: vec![(0, "t".into()); 20] }).collect();
        let seats = vec![Seat { worker: worker.key, session: worker.session, free: 20 }];
        let claim = Claim { seats, lanes, limit: 20, lease: LEASE, nonce: 7 };
        let given = store.run(BEGIN, claim).await.unwrap().value;
        let reports = given.into_iter().map(|assignment| {
            let store = store.clone();
            tokio::spawn(async move {
                let reported = store.run(BEGIN, report(assignment.lease, Ok(()), "{}")).await.unwrap().value;
                assert!(matches!(reported, Reported::Accepted { .. }), "{reported:?}");
                assignment.lease.subtask
            })
        });
        for report in reports.collect::<Vec<_>>() {
            done.push(report.await.unwrap());
        }
    }
    done
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wide_join_completed_from_three_nodes_at_once_is_queued_once() {
    const WIDE: usize = 1_000;
    let Some(database) = database("a_wide_join") else { return };
    let nodes = [node(&database).await, node(&database).await, node(&database).await];
    let names: Vec<String> = (0..WIDE).map(|n| format!("part {n}")).collect();
    let parts: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut steps: Vec<(&str, &[&str])> = parts.iter().map(|name| (*name, &[][..])).collect();
    steps.push(("join", &parts));
    let task = new_task(&steps);
    let id = task.id;
    nodes[0].run(BEGIN, Submit { tasks: vec![task], idempotency: None }).await.unwrap();
    let at_work: Vec<_> =
        (0..6).map(|n| tokio::spawn(work(nodes[n % 3].clone(), id, format!("machine {n}")))).collect();
    let mut done = Vec::new();
    for work in at_work {
        done.extend(work.await.unwrap());
    }
    assert_eq!(done.len(), WIDE + 1, "each once");
    assert_eq!(done.iter().collect::<BTreeSet<_>>().len(), WIDE + 1);
    let task = nodes[1].task(id).await.unwrap().value.unwrap();
    assert_eq!((task.row.status, task.row.completed), (TaskStatus::Completed, WIDE as u32 + 1));
    let events = nodes[2].events(id, 0, 100_000).await.unwrap().value.unwrap();
    let numbers: Vec<u64> = events.events.iter().map(|event| event.seq).collect();
    assert_eq!(numbers, (1..=task.row.seq).collect::<Vec<_>>(), "without a gap");
    let join = nodes[0].subtask(id.subtask(WIDE as u16)).await.unwrap().value.unwrap();
    assert_eq!(join.row.attempt, 1);
    for node in nodes {
        node.close().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_node_has_a_duty_until_it_is_over() {
    let Some(database) = database("one_node_has_a_duty") else { return };
    let (first, second) = (node(&database).await, node(&database).await);
    let (duty, long, short) = (regatta_store::Duty::Sweep, Span::seconds(3_600), Span::seconds(-1));
    assert!(first.take_duty(duty, long).await.unwrap());
    assert!(!second.take_duty(duty, long).await.unwrap());
    assert!(second.take_duty(regatta_store::Duty::Retention, long).await.unwrap(), "another duty");
    assert!(first.take_duty(duty, short).await.unwrap(), "it keeps it, and lets it end");
    assert!(second.take_duty(duty, long).await.unwrap());
    assert!(!first.take_duty(duty, long).await.unwrap());
}

/// Submits until told to stop, by callers who each wait for their answer; what was acknowledged, and whether anything failed.
async fn submit_until(store: Arc<PostgresStore>, over: Arc<std::sync::atomic::AtomicBool>) -> (Vec<TaskId>, usize) {
    let (mut acknowledged, mut failed) = (Vec::new(), 0);
    while !over.load(std::sync::atomic::Ordering::Relaxed) {
        let task = new_task(&[("a", &[]), ("b", &["a"])]);
        let id = task.id;
        match store.run(BEGIN, Submit { tasks: vec![task], idempotency: None }).await {
            Ok(_) => acknowledged.push(id),
            Err(StoreError::Unknown(_) | StoreError::Failing(_)) => {
                failed += 1;
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            Err(other) => panic!("{other}"),
        }
    }
    (acknowledged, failed)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_restarts_loses_nothing_that_was_acknowledged() {
    // With the disk's word for it: what is stopped at once recovers from its log.
    let Some(mut server) = Postgres::start_with("a_database_that_restarts", &["fsync=on"], &[]) else { return };
    let options = Options { time: Time::Given, pool_size: 4, ..Options::new(server.url()) };
    let store = Arc::new(PostgresStore::open(options, Arc::new(Recorder::default())).await.unwrap());
    let over = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let callers: Vec<_> = (0..4).map(|_| tokio::spawn(submit_until(store.clone(), over.clone()))).collect();
    let stopped = tokio::task::spawn_blocking(move || {
        for how in [Stop::Fast, Stop::Immediate] {
            std::thread::sleep(Duration::from_millis(300));
            server.stop(how);
            std::thread::sleep(Duration::from_millis(200));
            server.resume();
        }
        server
    });
    let _server = stopped.await.unwrap();
    // It is used again by itself.
    let healed = async {
        loop {
            let task = new_task(&[("a", &[])]);
            if store.run(BEGIN, Submit { tasks: vec![task], idempotency: None }).await.is_ok() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), healed).await.expect("the store finds its database again");
    over.store(true, std::sync::atomic::Ordering::Relaxed);
    let (mut acknowledged, mut failed) = (Vec::new(), 0);
    for caller in callers {
        let (ids, failures) = caller.await.unwrap();
        acknowledged.extend(ids);
        failed += failures;
    }
    assert!(failed > 0 && !acknowledged.is_empty(), "{failed} failed, {} did not", acknowledged.len());
    for id in &acknowledged {
        assert!(store.progress(*id).await.unwrap().value.is_some(), "{id} was acknowledged and is gone");
    }
    assert!(store.health().await.connected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_cut_at_any_byte_is_never_a_success_that_was_none() {
    let Some(server) = Postgres::start("a_connection_cut_at_any_byte") else { return };
    let proxy = Proxy::to(server.port());
    let options = Options { time: Time::Given, pool_size: 2, ..Options::new(server.url_at(proxy.port())) };
    let store = Arc::new(PostgresStore::open(options, Arc::new(Recorder::default())).await.unwrap());
    let submit = async |tasks: usize| {
        let tasks: Vec<_> = (0..tasks).map(|_| new_task(&[("a", &[])])).collect();
        let ids: Vec<TaskId> = tasks.iter().map(|task| task.id).collect();
        (store.run(BEGIN, Submit { tasks, idempotency: None }).await, ids)
    };
    let (warm, _) = submit(1).await;
    warm.unwrap();
    let before = (proxy.passed(Way::ToServer), proxy.passed(Way::ToClient));
    submit(1).await.0.unwrap();
    let long = [proxy.passed(Way::ToServer) - before.0, proxy.passed(Way::ToClient) - before.1];
    let (mut unknown, mut known) = (0, 0);
    for (way, length) in [Way::ToServer, Way::ToClient].into_iter().zip(long) {
        // Every few bytes, and each of the last: those are the commit's.
        let places = (1..=length).filter(|place| place % 97 == 0 || length - place < 24);
        for place in places {
            proxy.cut_after(way, place);
            let (answer, ids) = submit(1).await;
            proxy.heal();
            let there = store.progress(ids[0]).await.unwrap().value.is_some();
            match answer {
                Ok(_) => assert!(there, "acknowledged and not there, cut at {place} of {length}"),
                Err(StoreError::Unknown(_)) => unknown += 1,
                Err(StoreError::Failing(_)) => {
                    known += 1;
                    assert!(!there, "refused and there, cut at {place} of {length}");
                }
                Err(other) => panic!("{other}"),
            }
        }
    }
    assert!(unknown > 0, "no cut met the commit; {known} met what came before");
    let counted = store.tasks(all_tasks()).await.unwrap().value.total.unwrap().count;
    let there = client(&server.url()).await.query_one("SELECT count(*) FROM tasks", &[]).await.unwrap();
    assert_eq!(counted, u64::try_from(there.get::<_, i64>(0)).unwrap(), "the counts are those of the rows");
}

/// PostgreSQL has no text with a NUL in it; what a program printed must not fail for that, nor what else is in its group.
#[tokio::test]
async fn a_nul_becomes_its_picture() {
    let Some(f) = crate::support::postgres().await else { return };
    let text = "a\0b";
    let mut task = crate::support::new_task(&[(text, &[])]);
    task.text.description = text.into();
    let id = task.id;
    f.run(Submit { tasks: vec![task], idempotency: None }).await;
    let worker = f.register(text, 1).await;
    let again = f.run(registration(text, 1, Some(Vec::new()))).await.unwrap();
    assert_eq!((again.known, again.worker), (true, worker.worker), "it is the same machine");
    let given = f.claim(again, 1).await.remove(0);
    let subtask = given.lease.subtask;
    let line = AppendLog {
        subtask,
        lease: None,
        worker: None,
        bound: None,
        level: LogLevel::Info,
        message: text.into(),
        metadata: None,
    };
    assert!(matches!(f.run(line).await, Logged::Kept { .. }));
    f.fail(given.lease, text).await;
    let f = f.reopen(true).await.unwrap();
    let detail = f.store.task(id).await.unwrap().value.unwrap();
    assert_eq!(&*detail.text.description, "a\u{2400}b");
    let logs = f.store.logs(id, LogQuery::Last(9)).await.unwrap().value.unwrap();
    assert!(format!("{logs:?}").contains("a\u{2400}b"), "{logs:?}");
    let found = TaskQuery { search: Some(text.into()), ..crate::support::all_tasks() };
    assert_eq!(f.store.tasks(found).await.unwrap().value.tasks.len(), 1);
}

/// Two nodes whose clocks are twenty minutes apart: the database's counts.
#[tokio::test]
async fn clocks_of_nodes_may_differ() {
    let Some(database) = database("clocks_of_nodes_may_differ") else { return };
    let open = async || {
        let options = Options { time: Time::Database, pool_size: 2, ..Options::new(database.url()) };
        Arc::new(PostgresStore::open(options, Arc::new(Recorder::default())).await.unwrap())
    };
    let clock = open().await.clock();
    let (before, ten) = (clock.now(), Span::seconds(600));
    let fast = Fixture::over(open().await, before + ten);
    let slow = Fixture::over(open().await, before - ten);
    let id = slow.submit(&[("a", &[]), ("b", &["a"])]).await;
    let worker = fast.register("m", 4).await;
    let given = slow.claim(worker, 1).await.remove(0);
    assert_eq!(fast.sweep().await.handled, 0, "its lease is not over for the one that is ahead");
    assert!(matches!(fast.complete(given.lease, "{}").await, Reported::Accepted { .. }));
    let next = fast.claim(worker, 1).await.remove(0);
    assert!(matches!(slow.complete(next.lease, "{}").await, Reported::Accepted { .. }));
    let (row, after) = (slow.task(id).await, clock.now());
    assert_eq!(row.status, TaskStatus::Completed);
    for at in [row.head.created_at, row.started_at.unwrap(), row.completed_at.unwrap()] {
        assert!((before..=after + Span::seconds(1)).contains(&at), "{at:?} between {before:?} and {after:?}");
    }
}
