//! Copies of the database: made under load, looked at, put back.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use regatta_model::command::*;
use regatta_model::*;
use regatta_store::sqlite::{Contents, Options, SqliteStore, Synchronous, backup, inspect, restore};
use regatta_store::{Store, StoreExt};
use rusqlite::Connection;

use crate::support::{BEGIN, Recorder, new_task};

fn open(path: &Path) -> SqliteStore {
    let options = Options { synchronous: Synchronous::Off, ..Options::new(path) };
    SqliteStore::open(options, Arc::new(Recorder::default())).unwrap()
}

async fn submit(store: &SqliteStore) -> TaskId {
    let task = new_task(&[("a", &[]), ("b", &["a"])]);
    let id = task.id;
    let made = store.run(BEGIN, Submit { tasks: vec![task], idempotency: None }).await.unwrap().value;
    assert_eq!(made, Submitted::Made);
    id
}

/// A folder with a database in which there are tasks.
async fn filled(tasks: usize) -> (tempfile::TempDir, PathBuf, Vec<TaskId>) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("regatta.db");
    let store = open(&path);
    let mut ids = Vec::new();
    for _ in 0..tasks {
        ids.push(submit(&store).await);
    }
    store.close().await;
    (folder, path, ids)
}

fn restored(file: &Path, database: &Path, replace: bool) -> Result<Option<PathBuf>, String> {
    let done = restore(file, database, replace, "now", 1_000);
    done.map(|restored| restored.replaced).map_err(|error| error.to_string())
}

/// The names of what is in a folder.
fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    let mut names: Vec<String> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_before_a_backup_under_load_is_in_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("regatta.db");
    let store = Arc::new(open(&path));
    let stop = Arc::new(AtomicBool::new(false));
    let (load, stopping) = (store.clone(), stop.clone());
    let load = tokio::spawn(async move {
        let mut made = 0;
        while !stopping.load(Ordering::SeqCst) {
            submit(&load).await;
            made += 1;
        }
        made
    });
    for round in 0..3 {
        let mut acknowledged = Vec::new();
        for _ in 0..20 {
            acknowledged.push(submit(&store).await);
        }
        let (from, to) = (path.clone(), folder.path().join(format!("backup-{round}.db")));
        let target = to.clone();
        let contents = tokio::task::spawn_blocking(move || backup(&from, &target, false)).await.unwrap().unwrap();
        assert_eq!(contents, inspect(&to).unwrap());
        assert_eq!(contents.rows["subtasks"], 2 * contents.rows["tasks"], "of one moment");
        assert!(contents.rows["tasks"] >= 20 * (round + 1));
        let elsewhere = folder.path().join(format!("restored-{round}/regatta.db"));
        assert_eq!(restored(&to, &elsewhere, false).unwrap(), None);
        let copy = open(&elsewhere);
        for id in acknowledged {
            assert_eq!(copy.task(id).await.unwrap().value, store.task(id).await.unwrap().value);
        }
        assert_eq!(copy.cluster_id(), store.cluster_id());
        submit(&copy).await;
    }
    stop.store(true, Ordering::SeqCst);
    assert!(load.await.unwrap() > 0, "it was under load");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_closing_there_is_only_the_database() {
    let (folder, path, ids) = filled(5).await;
    assert_eq!(names(folder.path()), ["regatta.db", "regatta.db.lock"]);
    // Also when it was read by several at once.
    let store = Arc::new(open(&path));
    let reads = (0..8).map(|_| {
        let (store, ids) = (store.clone(), ids.clone());
        tokio::spawn(async move {
            for _ in 0..50 {
                for id in &ids {
                    assert!(store.task(*id).await.unwrap().value.is_some());
                }
            }
        })
    });
    for read in reads.collect::<Vec<_>>() {
        read.await.unwrap();
    }
    assert!(names(folder.path()).contains(&"regatta.db-wal".to_owned()));
    store.close().await;
    assert_eq!(names(folder.path()), ["regatta.db", "regatta.db.lock"]);
    // A backup of a database that nobody uses leaves nothing either.
    backup(&path, &folder.path().join("z.db"), false).unwrap();
    assert_eq!(names(folder.path()), ["regatta.db", "regatta.db.lock", "z.db"]);
}

#[tokio::test]
async fn a_backup_replaces_nothing_unasked() {
    let (folder, path, _) = filled(1).await;
    let target = folder.path().join("backup.db");
    std::fs::write(&target, "precious").unwrap();
    let refused = backup(&path, &target, false).unwrap_err().to_string();
    assert!(refused.contains("is there already") && refused.contains("--force"), "{refused}");
    assert_eq!(std::fs::read(&target).unwrap(), b"precious");
    backup(&path, &target, true).unwrap();
    inspect(&target).unwrap();
    let refused = backup(&path, &path, true).unwrap_err().to_string();
    assert!(refused.contains("is the database itself"), "{refused}");
    let refused = backup(&folder.path().join("none.db"), &target, true).unwrap_err().to_string();
    assert!(refused.contains("there is no database"), "{refused}");
    let refused = backup(&path, &folder.path().join("none/backup.db"), false).unwrap_err().to_string();
    assert!(refused.contains("cannot be written") && refused.contains("choose another place"), "{refused}");
    let kept = std::fs::metadata(&target).unwrap();
    assert_eq!(std::os::unix::fs::PermissionsExt::mode(&kept.permissions()) & 0o777, 0o600, "for its owner alone");
}

/// A backup that somebody changed: why it is refused.
fn refusal(backup: &Path, change: &str) -> String {
    let changed = backup.with_extension("changed");
    std::fs::copy(backup, &changed).unwrap();
    Connection::open(&changed).unwrap().execute_batch(change).unwrap();
    inspect(&changed).unwrap_err().to_string()
}

#[tokio::test]
async fn what_is_no_sound_backup_is_refused_and_nothing_is_changed() {
    let (folder, path, _) = filled(200).await;
    let file = folder.path().join("backup.db");
    let contents: Contents = backup(&path, &file, false).unwrap();
    assert_eq!((contents.rows["tasks"], contents.rows["subtasks"]), (200, 400));
    let bytes = std::fs::read(&file).unwrap();
    let target = folder.path().join("target/regatta.db");
    let refuse = |what: &str, content: &[u8], says: &str| {
        let other = folder.path().join("other.db");
        std::fs::write(&other, content).unwrap();
        let refused = restored(&other, &target, true).unwrap_err();
        assert!(refused.contains(says), "{what}: {refused}");
        assert!(!target.exists());
    };
    refuse("an empty file", b"", "it is empty");
    refuse("a letter", &b"Dear database, how are you? ".repeat(200), "is not a Regatta database");
    refuse("half of it", &bytes[..bytes.len() / 2], "damaged");
    let mut zeroed = bytes.clone();
    let middle = bytes.len() / 2 / 4_096 * 4_096;
    zeroed[middle..middle + 8_192].fill(0);
    refuse("a hole in it", &zeroed, "damaged");
    let newer = "INSERT INTO schema_migrations VALUES (900, 'later', '', '99.0.0', '')";
    assert!(refusal(&file, newer).contains("install a newer regatta"));
    let lost = "DELETE FROM subtasks WHERE key IN (SELECT key FROM subtasks LIMIT 1)";
    assert!(refusal(&file, lost).contains("it is not whole: 399 subtasks"));
    assert!(refusal(&file, "DROP TABLE meta").contains("no backup of a Regatta database"));
    std::fs::write(folder.path().join("backup.db-wal"), "a log").unwrap();
    assert!(restored(&file, &target, true).unwrap_err().contains("no finished copy"));
    assert!(!target.exists());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restore_keeps_what_it_replaces_and_waits_for_no_server() {
    let (folder, path, before) = filled(2).await;
    let file = folder.path().join("backup.db");
    backup(&path, &file, false).unwrap();
    let store = open(&path);
    let after = submit(&store).await;
    let refused = restored(&file, &path, true).unwrap_err();
    assert!(refused.contains("in use by") && refused.contains("stop that server"), "{refused}");
    store.close().await;
    let refused = restored(&file, &path, false).unwrap_err();
    assert!(refused.contains("--force"), "{refused}");

    // As a killed server leaves it: what it committed last stands in the log alone.
    let live = Connection::open(&path).unwrap();
    live.execute_batch("PRAGMA wal_autocheckpoint = 0; INSERT INTO meta VALUES ('in the log', 1)").unwrap();
    let left = folder.path().join("left");
    std::fs::create_dir(&left).unwrap();
    for ending in ["", "-wal"] {
        std::fs::copy(format!("{}{ending}", path.display()), left.join(format!("regatta.db{ending}"))).unwrap();
    }
    drop(live);
    let path = left.join("regatta.db");
    let kept = restored(&file, &path, true).unwrap().unwrap();
    assert_eq!(names(&left), ["regatta.db", "regatta.db.lock", "regatta.db.replaced-now"]);
    let old = Connection::open(&kept).unwrap();
    let noted: i64 = old.query_row("SELECT value FROM meta WHERE name = 'in the log'", [], |row| row.get(0)).unwrap();
    assert_eq!(noted, 1);
    drop(old);
    let again = restored(&file, &path, true).unwrap().unwrap();
    assert_eq!(again, left.join("regatta.db.replaced-now-2"), "nothing that is kept is replaced");
    let store = open(&path);
    for id in before {
        assert!(store.task(id).await.unwrap().value.is_some());
    }
    assert_eq!(store.task(after).await.unwrap().value, None);
    store.close().await;
    let old = open(&kept);
    assert!(old.task(after).await.unwrap().value.is_some());
}

#[tokio::test]
async fn a_damaged_database_is_replaced_too() {
    let (folder, path, ids) = filled(2).await;
    let file = folder.path().join("backup.db");
    backup(&path, &file, false).unwrap();
    std::fs::write(&path, "this was a database before somebody wrote a letter over it").unwrap();
    std::fs::write(folder.path().join("regatta.db-wal"), "and this was its log").unwrap();
    let kept = restored(&file, &path, true).unwrap().unwrap();
    assert!(std::fs::read_to_string(kept).unwrap().starts_with("this was"));
    let store = open(&path);
    assert!(store.task(ids[0]).await.unwrap().value.is_some());
}
