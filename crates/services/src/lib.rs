//! What tests start for themselves: PostgreSQL and Redis on free ports, with their data in temporary folders, as a user
//! without rights, gone when the test is, however it ends; and a proxy that cuts, delays and loses what goes through it.
//! Only tests use this crate.
//!
//! [`database`] is what most want: a database of their own on a server that all tests of a run share. Who stops servers and
//! kills them starts one of their own: [`Postgres`], [`Redis`].
//!
//! The programs are Debian's packages `postgresql` and `redis-server` (or Valkey), which `make test` installs; other places
//! are looked at too. Where they are not, a test says so by [`skipped`] and does nothing; in CI, and with
//! `REGATTA_SKIP_NOTHING`, that is a failure. `REGATTA_TEST_POSTGRES_URL` and `REGATTA_TEST_REDIS_URL` name servers to use
//! instead.

mod database;
mod keeper;
mod postgres;
mod program;
mod proxy;
mod redis;

pub use database::{Database, database};
pub use postgres::{Postgres, Stop, program};
pub use proxy::{Proxy, Way};
pub use redis::{Redis, RedisPlace, redis};

use std::fs::OpenOptions;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

/// The folder for what tests keep between runs: `target/tmp`, wherever `target` is.
pub fn kept() -> &'static Path {
    static KEPT: LazyLock<PathBuf> = LazyLock::new(|| {
        // The folder of targets is marked, and the test's own program lies in it.
        let program = std::env::current_exe().unwrap_or_default();
        let target = program.ancestors().find(|folder| folder.join("CACHEDIR.TAG").is_file());
        let target =
            target.map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target"), Path::to_path_buf);
        let kept = target.join("tmp");
        std::fs::create_dir_all(&kept).expect("a folder for what tests keep");
        kept
    });
    &KEPT
}

/// Says that a test, or what it needs, was skipped, and why, where `make test` reads it at its end.
///
/// # Panics
/// With `REGATTA_SKIP_NOTHING`.
pub fn skipped(test: &str, why: &str) {
    assert!(std::env::var_os("REGATTA_SKIP_NOTHING").is_none(), "{test} must not be skipped, and {why}");
    eprintln!("SKIPPED {test}: {why}");
    if let Ok(mut file) = OpenOptions::new().create(true).append(true).open(kept().join("skipped")) {
        let _ = writeln!(file, "SKIPPED {test}: {why}");
    }
}

/// The same for what every machine can have: in CI it is a failure.
fn missing(test: &str, why: &str) {
    assert!(std::env::var_os("CI").is_none(), "{test}: {why}");
    skipped(test, why);
}
