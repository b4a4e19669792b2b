//! The power is cut, hundreds of times: what was acknowledged is there afterwards, and the file is whole.
//!
//! A store works while a shim writes down what it does to its files. Then a disk is made up as it may be found after
//! a cut at any moment: what was synced before is there; of what was not, any part may be, down to single sectors.
//! `REGATTA_POWER_CUTS` says how many cuts (default 300), `REGATTA_POWER_SEED` which.

mod vfs;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use regatta_model::command::*;
use regatta_model::subtask::State;
use regatta_model::*;
use regatta_store::sqlite::{Options, SqliteStore, Synchronous};
use regatta_store::{Store, StoreExt};

use crate::support::{BEGIN, LEASE, Recorder, new_task, registration, report};
use vfs::{Kept, Op};

/// Written whole or not at all.
const SECTOR: usize = 512;

type Log = Vec<Op>;

fn open(path: PathBuf, synchronous: Synchronous) -> Result<SqliteStore, regatta_store::StoreError> {
    SqliteStore::open(Options { synchronous, ..Options::new(path) }, Arc::new(Recorder::default()))
}

/// A store at work: tasks are submitted, claimed and completed by several at once. Returns what happened on the disk.
async fn work(synchronous: Synchronous) -> Log {
    let folder = tempfile::tempdir().unwrap();
    vfs::watch(folder.path());
    let store = Arc::new(open(folder.path().join("test.db"), synchronous).unwrap());
    let worker = store.run(BEGIN, registration("m", 64, None)).await.unwrap().value.unwrap();
    let mut calls = tokio::task::JoinSet::new();
    for _ in 0..4 {
        let store = store.clone();
        calls.spawn(async move {
            for _ in 0..40 {
                let task = new_task(&[("first", &[]), ("second", &["first"])]);
                let id = task.id;
                let submit = Submit { tasks: vec![task], idempotency: None };
                assert_eq!(store.run(BEGIN, submit).await.unwrap().value, Submitted::Made);
                vfs::acknowledged(Kept::Task(id));
                let seat = Seat { worker: worker.key, session: worker.session, free: 2 };
                let offer = LaneOffer { lane: LaneKey(1), takers: vec![(0, "t".into()); 2] };
                let claim = Claim { seats: vec![seat], lanes: vec![offer], limit: 2, lease: LEASE, nonce: 7 };
                for given in store.run(BEGIN, claim).await.unwrap().value {
                    let reported =
                        store.run(BEGIN, report(given.lease, Ok(()), r#"{"done":true}"#)).await.unwrap().value;
                    assert!(matches!(reported, Reported::Accepted { .. }));
                    vfs::acknowledged(Kept::Result(given.lease.subtask));
                }
            }
        });
    }
    calls.join_all().await;
    // What happens when it is closed in order is another matter.
    let log = vfs::unwatch();
    store.close().await;
    log
}

/// A file as it may be found.
#[derive(Default)]
struct Found {
    bytes: Vec<u8>,
    exists: bool,
}

impl Found {
    fn write(&mut self, offset: usize, data: &[u8]) {
        let end = offset + data.len();
        if self.bytes.len() < end {
            self.bytes.resize(end, 0);
        }
        self.bytes[offset..end].copy_from_slice(data);
        self.exists = true;
    }

    fn truncate(&mut self, size: usize) {
        self.bytes.resize(size, 0);
    }

    /// What was not synced: it may be there, in part, or not at all.
    fn maybe(&mut self, op: &Op, chance: &mut StdRng) {
        match op {
            Op::Write { offset, data, .. } => match chance.random_range(0..4) {
                0 => {}
                1 => {
                    for (place, sector) in data.chunks(SECTOR).enumerate() {
                        if chance.random() {
                            self.write(offset + place * SECTOR, sector);
                        }
                    }
                }
                _ => self.write(*offset, data),
            },
            Op::Truncate { size, .. } if chance.random() => self.truncate(*size),
            Op::Delete { .. } if chance.random() => *self = Self::default(),
            _ => {}
        }
    }
}

fn file_of(op: &Op) -> Option<&PathBuf> {
    match op {
        Op::Write { file, .. } | Op::Truncate { file, .. } | Op::Sync { file, .. } | Op::Delete { file, .. } => {
            Some(file)
        }
        Op::Acknowledged(_) => None,
    }
}

/// The disk after the power was cut behind the first `cut` entries, written into `folder`.
fn disk_after(log: &[Op], folder: &Path, chance: &mut StdRng) {
    let mut synced: BTreeMap<&PathBuf, usize> = BTreeMap::new();
    // The first sync of a file that SQLite has made syncs its folder too: what was deleted before stays so.
    let mut folder_synced = 0;
    for op in log {
        let Op::Sync { file, upto } = op else { continue };
        if !synced.contains_key(file) {
            folder_synced = *upto;
        }
        // Two threads may sync one file at once, and the one that began first be done last.
        let before = synced.entry(file).or_default();
        *before = (*before).max(*upto);
    }
    let mut files: BTreeMap<&PathBuf, Found> = BTreeMap::new();
    for (place, op) in log.iter().enumerate() {
        let Some(file) = file_of(op) else { continue };
        let found = files.entry(file).or_default();
        let sure = synced.get(file).is_some_and(|&upto| place < upto);
        match op {
            Op::Write { offset, data, .. } if sure => found.write(*offset, data),
            Op::Truncate { size, .. } if sure => found.truncate(*size),
            Op::Delete { synced, .. } if *synced || place < folder_synced => *found = Found::default(),
            op => found.maybe(op, chance),
        }
    }
    for (file, found) in files.into_iter().filter(|(_, found)| found.exists) {
        std::fs::write(folder.join(file.file_name().unwrap()), found.bytes).unwrap();
    }
}

/// What of the acknowledged is not there; an error when the file cannot be used at all.
async fn missing(folder: &Path, log: &[Op]) -> Result<Vec<Kept>, String> {
    let path = folder.join("test.db");
    let store = open(path.clone(), Synchronous::Full).map_err(|error| error.to_string())?;
    let mut missing = Vec::new();
    for op in log {
        let Op::Acknowledged(kept) = op else { continue };
        let there = match *kept {
            Kept::Task(id) => store.progress(id).await.map_err(|error| error.to_string())?.value.is_some(),
            Kept::Result(id) => {
                let subtask = store.subtask(id).await.map_err(|error| error.to_string())?.value;
                subtask.is_some_and(|detail| detail.row.state == State::Completed)
            }
        };
        if !there {
            missing.push(*kept);
        }
    }
    store.close().await;
    let conn = rusqlite::Connection::open(path).map_err(|error| error.to_string())?;
    let word: String =
        conn.query_row("PRAGMA integrity_check", [], |row| row.get(0)).map_err(|error| error.to_string())?;
    if word == "ok" { Ok(missing) } else { Err(word) }
}

fn variable(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name} must be a number")))
}

/// Cuts the power so often; how many cuts lost something, and how much was acknowledged before them in all.
async fn cut(log: &Log, cuts: u64, seed: u64) -> (u64, u64, Vec<String>) {
    let (mut losses, mut acknowledged, mut errors) = (0, 0, Vec::new());
    for number in 0..cuts {
        let mut chance = StdRng::seed_from_u64(seed + number);
        let place = chance.random_range(0..=log.len());
        let folder = tempfile::tempdir().unwrap();
        disk_after(&log[..place], folder.path(), &mut chance);
        acknowledged += log[..place].iter().filter(|op| matches!(op, Op::Acknowledged(_))).count() as u64;
        match missing(folder.path(), &log[..place]).await {
            Ok(missing) if missing.is_empty() => {}
            Ok(missing) => {
                losses += 1;
                errors.push(format!("cut {number} (seed {seed}) at {place} lost {}", missing.len()));
            }
            Err(error) => {
                losses += 1;
                errors.push(format!("cut {number} (seed {seed}) at {place}: {error}"));
            }
        }
    }
    (losses, acknowledged, errors)
}

/// Both runs in one test: one folder is watched at a time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_power_cut_loses_nothing_that_was_acknowledged() {
    let (cuts, seed) = (variable("REGATTA_POWER_CUTS", 300), variable("REGATTA_POWER_SEED", 1));

    let log = work(Synchronous::Full).await;
    let told: BTreeSet<Kept> =
        log.iter().filter_map(|op| if let Op::Acknowledged(kept) = op { Some(*kept) } else { None }).collect();
    assert!(told.len() > 200, "there was something to lose: {}", told.len());
    let (losses, acknowledged, errors) = cut(&log, cuts, seed).await;
    println!("{cuts} cuts, {acknowledged} times something acknowledged, {losses} losses");
    assert_eq!(losses, 0, "{errors:#?}");

    // The same without syncs: a test that found nothing there would show nothing here.
    let log = work(Synchronous::Off).await;
    let (losses, acknowledged, errors) = cut(&log, 40, seed).await;
    println!("without syncs: 40 cuts, {acknowledged} times something acknowledged, {losses} losses");
    assert!(losses > 10, "{errors:#?}");
}
