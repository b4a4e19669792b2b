//! File descriptors: every user holds a connection, or two with a WebSocket, and a system's default allows a thousand.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::Error;

/// What is open beside users' connections: standard streams, reports, libraries.
const OTHERS: u64 = 64;
/// What each thread's runtime needs.
const PER_THREAD: u64 = 8;

/// Raises this process's limit as far as the system lets us, and refuses a run that does not fit below it.
pub(super) fn allow(users: u64, connections: u64, threads: usize) -> Result<(), Error> {
    let needed = users.saturating_mul(connections).saturating_add(OTHERS).saturating_add(threads as u64 * PER_THREAD);
    let limit = getrlimit(Resource::Nofile);
    let (Some(current), maximum) = (limit.current, limit.maximum) else { return Ok(()) };
    if current >= needed {
        return Ok(());
    }
    let allowed = maximum.unwrap_or(u64::MAX);
    if allowed < needed {
        return Err(Error::Descriptors { users, needed, allowed });
    }
    setrlimit(Resource::Nofile, Rlimit { current: Some(needed), maximum }).map_err(|_| Error::Descriptors {
        users,
        needed,
        allowed: current,
    })
}

/// Raises this process's limit as far as the system lets us.
pub(super) fn allow_most() {
    let limit = getrlimit(Resource::Nofile);
    // Where it is refused, users that come too many fail and say why.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
}
