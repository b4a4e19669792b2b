//! Finished results that the server has not taken yet, on disk: they survive the death of the worker.
//!
//! A file of lines, each a checksum and a JSON record; a torn last line is cut off. One thread writes what has come in, syncs
//! once, and answers all (group commit); the file is emptied when nothing is left in it.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Seek, Write};
use std::path::{Path, PathBuf};
use std::sync::mpsc;

use regatta_api::subtask::ReportResult;
use regatta_api::worker::LeaseRef;
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;
use uuid::Uuid;
use xxhash_rust::xxh3::xxh3_64;

/// A file with nothing left in it is emptied once it is larger than this, in bytes.
const EMPTY_FROM: u64 = 256 << 10;
/// A file of which less than half is left is written anew once it is larger than this, in bytes.
const COMPACT_FROM: u64 = 16 << 20;

/// A finished attempt whose result the server has not taken yet.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// The address of the server that the lease came from.
    pub server: String,
    /// The system that the server belonged to, as far as it said so; another one has no use for the result.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster: Option<Uuid>,
    /// The attempt.
    #[serde(flatten)]
    pub lease: LeaseRef,
    /// How it ended.
    pub report: ReportResult,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Record {
    Kept(Entry),
    Gone(LeaseRef),
}

enum Order {
    Keep { lease: LeaseRef, line: Vec<u8>, sync: bool, answer: oneshot::Sender<std::io::Result<()>> },
    Forget(LeaseRef),
}

/// The journal of one worker. Dropping it writes what is still waiting.
#[derive(Debug)]
pub struct Journal {
    orders: Option<mpsc::Sender<Order>>,
    writer: Option<std::thread::JoinHandle<()>>,
}

impl Journal {
    /// Opens the journal, made if there is none, and says what is in it.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn open(path: &Path) -> std::io::Result<(Self, Vec<Entry>)> {
        let mut file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
        let (entries, whole) = read(&file)?;
        let length = file.metadata()?.len();
        if whole < length {
            tracing::warn!(bytes = length - whole, "the journal's end was torn and is cut off");
        }
        // Also what was forgotten goes: the rest is written anew.
        let left = if length > 0 { rewrite(path, &mut file, &entries)? } else { 0 };
        let (orders, received) = mpsc::channel();
        let mut book = Book {
            path: path.to_owned(),
            file,
            length: left,
            live: entries.iter().map(|entry| (entry.lease.clone(), 0)).collect(),
            live_bytes: 0,
        };
        book.recount(&entries);
        let writer = std::thread::Builder::new()
            .name("journal".into())
            .stack_size(256 << 10)
            .spawn(move || book.keep_going(&received))?;
        Ok((Self { orders: Some(orders), writer: Some(writer) }, entries))
    }

    /// Writes a result down; when this returns, it outlives this process, and with `sync` also a power cut.
    ///
    /// # Errors
    /// Those of the file system; the result is then only in memory.
    pub async fn keep(&self, entry: Entry, sync: bool) -> std::io::Result<()> {
        let lease = entry.lease.clone();
        let line = line(&Record::Kept(entry))?;
        let (answer, answered) = oneshot::channel();
        self.order(Order::Keep { lease, line, sync, answer });
        answered.await.unwrap_or_else(|_| Err(std::io::Error::other("the journal's thread has ended")))
    }

    /// Forgets a result that the server has taken or refused.
    pub fn forget(&self, lease: LeaseRef) {
        self.order(Order::Forget(lease));
    }

    fn order(&self, order: Order) {
        if let Some(orders) = &self.orders {
            // A thread that has ended drops the order, and with it the sender of its answer.
            let _ = orders.send(order);
        }
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        self.orders = None;
        if let Some(writer) = self.writer.take() {
            let _ = writer.join();
        }
    }
}

fn line(record: &Record) -> std::io::Result<Vec<u8>> {
    let json = serde_json::to_vec(record)?;
    let mut line = format!("{:016x} ", xxh3_64(&json)).into_bytes();
    line.extend_from_slice(&json);
    line.push(b'\n');
    Ok(line)
}

/// What is left in the file, in order, and how many of its bytes are whole lines with a right checksum.
fn read(file: &File) -> std::io::Result<(Vec<Entry>, u64)> {
    let mut reader = BufReader::new(file);
    let mut entries: Vec<Entry> = Vec::new();
    let mut whole = 0;
    let mut bytes = Vec::new();
    loop {
        bytes.clear();
        let count = reader.read_until(b'\n', &mut bytes)?;
        let Some(record) = parse(&bytes) else {
            return Ok((entries, whole));
        };
        match record {
            Record::Kept(entry) => entries.push(entry),
            Record::Gone(lease) => entries.retain(|entry| entry.lease != lease),
        }
        whole += count as u64;
    }
}

fn parse(line: &[u8]) -> Option<Record> {
    let json = line.strip_suffix(b"\n")?.get(17..)?;
    let sum = u64::from_str_radix(std::str::from_utf8(line.get(..16)?).ok()?, 16).ok()?;
    if sum != xxh3_64(json) {
        return None;
    }
    serde_json::from_slice(json).ok()
}

/// Puts a file with only these entries in the place of the old one, whole or not at all, and says how long it is.
fn rewrite(path: &Path, file: &mut File, entries: &[Entry]) -> std::io::Result<u64> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let mut temporary = tempfile::NamedTempFile::new_in(folder)?;
    let mut length = 0;
    for entry in entries {
        let line = line(&Record::Kept(entry.clone()))?;
        temporary.write_all(&line)?;
        length += line.len() as u64;
    }
    temporary.as_file().sync_all()?;
    *file = temporary.persist(path).map_err(|error| error.error)?;
    File::open(folder)?.sync_all()?;
    Ok(length)
}

/// The thread's side.
struct Book {
    path: PathBuf,
    file: File,
    length: u64,
    /// What is left, with the length of its line.
    live: HashMap<LeaseRef, u64>,
    live_bytes: u64,
}

impl Book {
    fn keep_going(mut self, orders: &mpsc::Receiver<Order>) {
        while let Ok(first) = orders.recv() {
            let mut lines = Vec::new();
            let mut waiting = Vec::new();
            let mut must_sync = false;
            let mut next = Some(first);
            while let Some(order) = next {
                must_sync |= matches!(order, Order::Keep { sync: true, .. });
                self.take(order, &mut lines, &mut waiting);
                // A batch is bounded, so that the first does not wait for ever.
                next = if lines.len() < (8 << 20) { orders.try_recv().ok() } else { None };
            }
            let written = self.write(&lines, must_sync);
            if let Err(error) = &written {
                tracing::error!(%error, journal = %self.path.display(), "a result could not be written down; free some space");
            }
            for answer in waiting {
                let answered = written.as_ref().copied().map_err(|error| error.kind().into());
                let _ = answer.send(answered);
            }
            if let Err(error) = self.tidy() {
                tracing::error!(%error, journal = %self.path.display(), "the journal could not be shortened");
            }
        }
    }

    fn take(&mut self, order: Order, lines: &mut Vec<u8>, waiting: &mut Vec<oneshot::Sender<std::io::Result<()>>>) {
        match order {
            Order::Keep { lease, line, answer, .. } => {
                lines.extend_from_slice(&line);
                self.live_bytes += line.len() as u64;
                self.live.insert(lease, line.len() as u64);
                waiting.push(answer);
            }
            Order::Forget(lease) => {
                if let Some(bytes) = self.live.remove(&lease) {
                    self.live_bytes -= bytes;
                    // A record of a lease can always be written as JSON.
                    lines.extend_from_slice(&line(&Record::Gone(lease)).unwrap_or_default());
                }
            }
        }
    }

    fn write(&mut self, lines: &[u8], sync: bool) -> std::io::Result<()> {
        self.file.seek(std::io::SeekFrom::Start(self.length))?;
        if let Err(error) = self.file.write_all(lines) {
            // Half a line must not stand before the next.
            self.file.set_len(self.length)?;
            return Err(error);
        }
        self.length += lines.len() as u64;
        // What is only forgotten needs no sync: at worst it is sent once more, which changes nothing.
        if sync { self.file.sync_data() } else { Ok(()) }
    }

    fn tidy(&mut self) -> std::io::Result<()> {
        if self.live.is_empty() && self.length > EMPTY_FROM {
            self.file.set_len(0)?;
            self.length = 0;
        } else if self.length > COMPACT_FROM && self.live_bytes < self.length / 2 {
            self.file.rewind()?;
            let (entries, _) = read(&self.file)?;
            self.length = rewrite(&self.path, &mut self.file, &entries)?;
        }
        Ok(())
    }

    fn recount(&mut self, entries: &[Entry]) {
        for entry in entries {
            let length = line(&Record::Kept(entry.clone())).map_or(0, |line| line.len() as u64);
            self.live_bytes += length;
            self.live.insert(entry.lease.clone(), length);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use regatta_api::JsonObject;
    use regatta_api::subtask::ResultStatus;

    fn entry(text: &str) -> Entry {
        let lease = LeaseRef { subtask_id: Uuid::now_v7(), lease: Uuid::now_v7().to_string() };
        let mut result = JsonObject::new();
        result.insert("text".into(), text.into());
        Entry {
            server: "http://localhost:8000".into(),
            cluster: Some(Uuid::nil()),
            report: ReportResult {
                status: ResultStatus::Completed,
                result,
                execution_time: 0.5,
                error: None,
                exit_code: Some(0),
                simulated: false,
                lease: Some(lease.lease.clone()),
            },
            lease,
        }
    }

    #[tokio::test]
    async fn what_is_kept_is_there_again_and_what_is_forgotten_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal");
        let (journal, before) = Journal::open(&path).unwrap();
        assert_eq!(before, []);
        let entries = [entry("one"), entry("two\nwith a line break"), entry("three")];
        for one in &entries {
            journal.keep(one.clone(), true).await.unwrap();
        }
        journal.forget(entries[0].lease.clone());
        // As after a kill: the file as it is now is all there is, and forgetting may not have come to it.
        let copy = folder.path().join("copy");
        std::fs::copy(&path, &copy).unwrap();
        let (_, survived) = Journal::open(&copy).unwrap();
        assert!(survived.ends_with(&entries[1..]));

        drop(journal);
        let (_, left) = Journal::open(&path).unwrap();
        assert_eq!(left, &entries[1..]);
    }

    #[tokio::test]
    async fn a_torn_end_costs_only_itself_at_every_byte() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal");
        let (journal, _) = Journal::open(&path).unwrap();
        let entries = [entry("one"), entry("two")];
        for one in &entries {
            journal.keep(one.clone(), true).await.unwrap();
        }
        drop(journal);
        let whole = std::fs::read(&path).unwrap();
        let first = whole.iter().position(|byte| *byte == b'\n').unwrap() + 1;
        for end in 0..whole.len() {
            std::fs::write(&path, &whole[..end]).unwrap();
            let (journal, left) = Journal::open(&path).unwrap();
            assert_eq!(left.len(), usize::from(end >= first), "cut at {end}");
            drop(journal);
        }
        // A byte that flipped is no better than one that is missing.
        let mut bad = whole.clone();
        bad[first + 40] ^= 1;
        std::fs::write(&path, &bad).unwrap();
        let (journal, left) = Journal::open(&path).unwrap();
        assert_eq!(left, &entries[..1]);
        // And what is written afterwards is read again.
        journal.keep(entries[1].clone(), true).await.unwrap();
        drop(journal);
        assert_eq!(Journal::open(&path).unwrap().1, entries);
    }

    #[tokio::test]
    async fn the_file_does_not_grow_with_what_was_forgotten() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal");
        let (journal, _) = Journal::open(&path).unwrap();
        let long = "x".repeat(64 << 10);
        for _ in 0..20 {
            let one = entry(&long);
            let lease = one.lease.clone();
            journal.keep(one, false).await.unwrap();
            journal.forget(lease);
        }
        drop(journal);
        assert!(std::fs::metadata(&path).unwrap().len() <= EMPTY_FROM + (70 << 10));
        assert_eq!(Journal::open(&path).unwrap().1, []);
        assert_eq!(std::fs::metadata(&path).unwrap().len(), 0);
    }

    #[tokio::test]
    async fn a_thousand_at_once_are_all_kept() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal");
        let (journal, _) = Journal::open(&path).unwrap();
        let entries: Vec<Entry> = (0..1000).map(|number| entry(&number.to_string())).collect();
        let kept = entries.iter().map(|one| journal.keep(one.clone(), true));
        for result in futures_util::future::join_all(kept).await {
            result.unwrap();
        }
        drop(journal);
        assert_eq!(Journal::open(&path).unwrap().1.len(), 1000);
    }
}
