//! A database for each test, on one server for all of them.
//!
//! A test is a process of its own, and to start a server costs more than most tests. So the first one starts a server for
//! all that come, under a lock that each of them shares until it ends; its [keeper](crate::keeper) ends it when nobody has
//! held the lock for a while.

use std::fs::File;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use parking_lot::Mutex;

use crate::kept;
use crate::postgres::{Postgres, here, program};
use crate::program::find;

/// Many tests at a time, each with a pool or two.
const SETTINGS: &[&str] = &["max_connections=400", "shared_buffers=128MB"];

/// A database of a test's own, dropped with this.
pub struct Database {
    url: String,
    name: String,
    server: String,
}

/// The server that this process uses; its lock is held until the process ends.
static SERVER: Mutex<Option<Server>> = Mutex::new(None);

struct Server {
    url: String,
    _hold: Hold,
}

enum Hold {
    Named,
    Shared { _lock: File },
    Own { _server: Postgres },
}

/// A database of one's own, empty: on the server that `REGATTA_TEST_POSTGRES_URL` names, else on one that tests share. `None`
/// where there is no PostgreSQL, which is noted for `test`.
///
/// # Panics
/// When it cannot be made.
pub fn database(test: &str) -> Option<Database> {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let server = server(test)?;
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    let name = format!("regatta_test_{}_{number}", std::process::id());
    psql(
        &server,
        &[format!("DROP DATABASE IF EXISTS {name} (FORCE)"), format!("CREATE DATABASE {name} TEMPLATE template0")],
    );
    let (front, query) = server.split_once('?').map_or((server.as_str(), None), |(front, query)| (front, Some(query)));
    let place = front.rfind('/').filter(|slash| !front[..*slash].ends_with('/')).map_or(front, |slash| &front[..slash]);
    let url = format!("{place}/{name}{}", query.map(|query| format!("?{query}")).unwrap_or_default());
    Some(Database { url, name, server })
}

fn server(test: &str) -> Option<String> {
    let mut server = SERVER.lock();
    if server.is_none() {
        *server = Some(match std::env::var("REGATTA_TEST_POSTGRES_URL") {
            Ok(url) => Server { url, _hold: Hold::Named },
            Err(_) if !here(test) => return None,
            Err(_) if find(&["flock"], &[]).is_some() => shared(),
            // Nobody could tell when it is needed no more.
            Err(_) => {
                let own = Postgres::start_here(SETTINGS, &[], None);
                Server { url: own.url(), _hold: Hold::Own { _server: own } }
            }
        });
    }
    server.as_ref().map(|server| server.url.clone())
}

/// The server that tests share, started when there is none.
fn shared() -> Server {
    let users = kept().join("postgres.users");
    let lock = File::create(&users).expect("a lock file");
    // Whoever ends a server has this lock for itself until that is done.
    lock.lock_shared().expect("a lock");
    let starting = File::create(kept().join("postgres.lock")).expect("a lock file");
    starting.lock().expect("a lock");
    let note = kept().join("postgres.server");
    let noted = std::fs::read_to_string(&note).unwrap_or_default();
    let running =
        noted.split_once('\n').and_then(|(folder, url)| alive(Path::new(folder), url).then(|| url.to_owned()));
    let url = running.unwrap_or_else(|| {
        let (folder, url) = Postgres::start_here(SETTINGS, &[], Some(&users)).leave();
        std::fs::write(&note, format!("{}\n{url}", folder.display())).expect("a note of where it is");
        url
    });
    Server { url, _hold: Hold::Shared { _lock: lock } }
}

/// Whether the server of this folder answers at its port.
fn alive(folder: &Path, url: &str) -> bool {
    let port = std::fs::read_to_string(folder.join("data/postmaster.pid"))
        .ok()
        .and_then(|text| text.lines().nth(3).and_then(|port| port.trim().parse::<u16>().ok()));
    port.is_some_and(|port| url.contains(&format!(":{port}/")) && TcpStream::connect(("127.0.0.1", port)).is_ok())
}

/// Statements by PostgreSQL's own client.
fn psql(url: &str, statements: &[String]) {
    let psql: PathBuf = program("psql").expect("psql, of Debian's package postgresql-client");
    let mut command = Command::new(psql);
    command.args(["-q", "-X", "-v", "ON_ERROR_STOP=1", "-v", "VERBOSITY=terse"]);
    for statement in statements {
        command.args(["-c", statement]);
    }
    let done = command.arg(url).env("PGOPTIONS", "-c client_min_messages=warning").output().expect("psql");
    assert!(done.status.success(), "{statements:?} failed: {}", String::from_utf8_lossy(&done.stderr));
}

impl Database {
    /// Where it is.
    pub fn url(&self) -> &str {
        &self.url
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        // A test that failed need not fail twice.
        if !std::thread::panicking() {
            psql(&self.server, &[format!("DROP DATABASE IF EXISTS {} (FORCE)", self.name)]);
        }
    }
}
