//! From SQLite to PostgreSQL and back.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use regatta_model::command::*;
use regatta_model::token::{TokenHash, TokenRow};
use regatta_model::words::TokenRole;
use regatta_model::*;
use regatta_services::database;
use regatta_store::moving::{export, import};
use regatta_store::postgres::PostgresStore;
use regatta_store::sqlite::{SqliteStore, TokenFile, backup, inspect};
use regatta_store::{LogQuery, Start, Store, TaskQuery};

use crate::support::{Fixture, LEASE, Recorder, all_tasks, all_workers, postgres_options, registration, sqlite};

/// What must arrive as it is.
const NASTY: &str = "tab\t, line\n, return\r, \\ and \\N and \\., 'quotes\", é 🐟 and %_";

struct Filled {
    file: PathBuf,
    tasks: Vec<TaskId>,
    running: (Registered, Assignment),
    fixture: Fixture,
    _folder: tempfile::TempDir,
}

/// A backup of a store in which there is something of everything, one subtask of it running.
async fn filled() -> Filled {
    let f = sqlite().await.unwrap();
    let mut tasks = Vec::new();
    for _ in 0..3 {
        tasks.push(f.submit(&[("a", &[]), ("b", &["a"]), (NASTY, &["b"])]).await);
    }
    let worker = f.register(NASTY, 4).await;
    let given = f.claim(worker, 3).await;
    f.complete(given[0].lease, r#"{"text":"a\tb\n\\N"}"#).await;
    f.fail(given[1].lease, NASTY).await;
    f.pass(Span::seconds(1));
    for message in [NASTY, "", "\\."] {
        let line = AppendLog {
            subtask: given[2].lease.subtask,
            lease: None,
            worker: Some(worker.worker),
            bound: None,
            level: LogLevel::Warning,
            message: message.into(),
            metadata: Some(r#"{"a":"\\"}"#.into()),
        };
        f.run(line).await;
    }
    f.heartbeat(worker.worker, Some(vec![given[2].lease])).await;
    // One that is deleted, and of which a key stays behind.
    let gone = f.submit(&[("gone", &[])]).await;
    f.run(CancelTask { task: gone, reason: None }).await;
    f.run(DeleteTask { task: gone }).await;
    f.store.add_token(token(&f)).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("moving.db");
    f.store.close().await;
    backup(&f.file(), &file, false).unwrap();
    Filled { file, tasks, running: (worker, given[2].clone()), fixture: f, _folder: folder }
}

fn token(f: &Fixture) -> TokenRow {
    TokenRow {
        id: TokenId(uuid::Uuid::from_u128(7)),
        hash: TokenHash([0x5C; 32]),
        role: TokenRole::Worker,
        name: NASTY.into(),
        created_at: f.now(),
        revoked_at: None,
    }
}

async fn open(file: &Path) -> SqliteStore {
    let options = regatta_store::sqlite::Options::new(file);
    SqliteStore::open(options, Arc::new(Recorder::default())).unwrap()
}

/// Everything of a task that is neither running nor shown with the time.
async fn whole(store: &dyn Store, id: TaskId) -> String {
    let detail = store.task(id).await.unwrap().value.unwrap();
    let events = store.events(id, 0, 1_000).await.unwrap().value;
    let logs = store.logs(id, LogQuery::After { seq: 0, limit: 1_000 }).await.unwrap().value;
    let mut subtasks = Vec::new();
    for subtask in &detail.subtasks {
        subtasks.push(store.subtask(subtask.row.head.id).await.unwrap().value);
    }
    format!("{detail:#?}\n{subtasks:#?}\n{events:#?}\n{logs:#?}")
}

/// The lists, the workers, the lanes and the counts.
async fn around(store: &dyn Store, now: Timestamp) -> String {
    let first = TaskQuery { start: Start::Offset(0), ..all_tasks() };
    let tasks = store.tasks(first).await.unwrap().value;
    let workers = store.workers(all_workers(), now).await.unwrap().value;
    let mut details = Vec::new();
    for worker in &workers.workers {
        details.push(store.worker(worker.id, now).await.unwrap().value);
    }
    let lanes = store.lanes(LaneKey(0)).await.unwrap();
    let counters = store.counters(now).await.unwrap().value;
    format!("{tasks:#?}\n{details:#?}\n{lanes:#?}\n{counters:#?}\n{:#?}", store.tokens().await.unwrap())
}

#[tokio::test]
async fn it_all_arrives_and_what_ran_is_in_the_queue_again() {
    let Some(database) = database("moving::it_all_arrives") else { return };
    let filled = filled().await;
    let now = filled.fixture.now() + Span::seconds(5);
    let mut said = Vec::new();
    let imported = import(&filled.file, database.url(), now, |table, rows| said.push((table.to_owned(), rows))).await;
    let imported = imported.unwrap();
    assert_eq!((imported.rows["tasks"], imported.rows["tokens"], imported.requeued), (3, 1, 1), "{imported:?}");
    assert!(said.contains(&("tasks".to_owned(), 3)) && said.contains(&("logs".to_owned(), 3)), "{said:?}");

    let file = open(&filled.file).await;
    let store =
        Arc::new(PostgresStore::open(postgres_options(&database), Arc::new(Recorder::default())).await.unwrap());
    assert_eq!(store.cluster_id(), file.cluster_id(), "it is the same system");
    assert_eq!(store.restored_at().await.unwrap(), Some(now), "nothing is given out for a while");
    let (worker, given) = filled.running;
    for &id in &filled.tasks {
        let running =
            file.task(id).await.unwrap().value.unwrap().subtasks.iter().any(|s| s.row.head.id == given.lease.subtask);
        if !running {
            assert_eq!(whole(&*store, id).await, whole(&file, id).await);
        }
    }
    let here = Fixture::over(store.clone(), now);
    let row = here.row(given.lease.subtask).await;
    assert_eq!((row.state.status(), row.losses), (SubtaskStatus::Queued, 1));
    assert!(
        matches!(here.complete(given.lease, "{}").await, Reported::Stale(_)),
        "what its worker may still say counts no more"
    );
    let again =
        here.claim(worker, 8).await.into_iter().find(|again| again.lease.subtask == given.lease.subtask).unwrap();
    assert!(again.attempt == 2 && again.lease.epoch > given.lease.epoch);
    assert!(matches!(here.complete(again.lease, "{}").await, Reported::Accepted { .. }));
    // New tasks, workers and lanes do not meet the old ones.
    let new = here.submit(&[("a", &[])]).await;
    assert!(here.task(new).await.head.key > TaskKey(4), "the key of one that was deleted is not given again");
    here.register("another", 1).await;
    here.run(registration(NASTY, 1, Some(Vec::new()))).await.unwrap();

    file.close().await;
    let refused = import(&filled.file, database.url(), now, |_, _| {}).await.unwrap_err().to_string();
    assert!(refused.contains("not empty"), "{refused}");
    store.close().await;
}

#[tokio::test]
async fn and_back_again() {
    let Some(database) = database("moving::and_back_again") else { return };
    let filled = filled().await;
    let now = filled.fixture.now() + Span::seconds(5);
    import(&filled.file, database.url(), now, |_, _| {}).await.unwrap();
    let store = PostgresStore::open(postgres_options(&database), Arc::new(Recorder::default())).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("back.db");
    let contents = export(database.url(), &file, false, |_, _| {}).await.unwrap();
    assert_eq!((contents.rows["tasks"], contents.rows["logs"]), (3, 3));
    let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&file).unwrap().permissions());
    assert_eq!(mode & 0o077, 0, "what tasks say is not for everybody");
    let refused = export(database.url(), &file, false, |_, _| {}).await.unwrap_err().to_string();
    assert!(refused.contains("--force"), "{refused}");
    export(database.url(), &file, true, |_, _| {}).await.unwrap();
    let names: Vec<_> = std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["back.db"], "nothing is left beside it");
    inspect(&file).unwrap();
    let back = open(&file).await;
    for &id in &filled.tasks {
        assert_eq!(whole(&back, id).await, whole(&store, id).await);
    }
    assert_eq!(around(&back, now).await, around(&store, now).await);
    // And it is a database to work with.
    let here = Fixture::over(Arc::new(back), now + LEASE);
    let worker = here.register("fresh", 8).await;
    assert!(!here.claim(worker, 8).await.is_empty());
    store.close().await;
}

#[tokio::test]
async fn what_cannot_be_moved_says_why_and_changes_nothing() {
    let Some(database) = database("moving::what_cannot_be_moved") else { return };
    let folder = tempfile::tempdir().unwrap();
    let letter = folder.path().join("letter");
    std::fs::write(&letter, "no database at all, but long enough to be looked at as one").unwrap();
    let refused = import(&letter, database.url(), Timestamp(0), |_, _| {}).await.unwrap_err().to_string();
    assert!(refused.contains("letter"), "{refused}");
    let filled = filled().await;
    let now = filled.fixture.now();
    let refused = import(&filled.file, "postgres://nobody@127.0.0.1:1/none", now, |_, _| {}).await.unwrap_err();
    assert!(refused.to_string().contains("127.0.0.1"), "{refused}");

    // A server is at work on it.
    let store = PostgresStore::open(postgres_options(&database), Arc::new(Recorder::default())).await.unwrap();
    assert!(store.take_duty(regatta_store::Duty::Sweep, Span::seconds(600)).await.unwrap());
    let refused = import(&filled.file, database.url(), now, |_, _| {}).await.unwrap_err().to_string();
    assert!(refused.contains("in use") && refused.contains("stop the servers"), "{refused}");
    assert_eq!(store.tasks(all_tasks()).await.unwrap().value.tasks, []);
    store.close().await;
    // The tokens' file knows the one that travels.
    assert_eq!(TokenFile::open(&filled.file).unwrap().list().unwrap().len(), 1);
}
