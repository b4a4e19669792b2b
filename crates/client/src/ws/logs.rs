//! Following one task's log, resumed where it broke.

use regatta_api::frames::logs::LogsFrame;
use uuid::Uuid;

use super::incoming::parse;
use super::link::Link;
use crate::{Client, Result};

impl Client {
    /// Follows a task's log from `from_seq` (inclusive; 0 for everything kept), or from its last 50 lines: see
    /// [`LogFollower::next`].
    ///
    /// # Errors
    /// [`Error::Unreachable`](crate::Error::Unreachable) without a connection,
    /// [`Error::Problem`](crate::Error::Problem) with 404 for an unknown task.
    pub async fn follow_logs(&self, task: Uuid, from_seq: Option<u64>) -> Result<LogFollower> {
        let path = format!("/ws/tasks/{task}/logs");
        let link = Link::open(self, &path, &query(from_seq)).await?;
        Ok(LogFollower { link, path, next_seq: from_seq })
    }
}

/// A follower of one task's log. Its connection comes back by itself; it must be read all the time, or the server closes
/// it.
pub struct LogFollower {
    link: Link,
    path: String,
    /// The first number that was not seen yet.
    next_seq: Option<u64>,
}

impl LogFollower {
    /// The next frame, each line once, also over connections that broke: after one, `history_start` and the rest of the
    /// opening come again. Nothing is lost when the future is dropped.
    ///
    /// # Errors
    /// When the connection could not be made again for as long as `Options::reconnect` says, or the server refuses; a
    /// next call tries again. [`Error::Protocol`](crate::Error::Protocol) for a frame that does not fit its type; the
    /// follower stays usable.
    pub async fn next(&mut self) -> Result<LogsFrame> {
        loop {
            self.link.restore(&self.path, &query(self.next_seq)).await?;
            let Some(text) = self.link.text().await else { continue };
            let Some(frame) = parse::<LogsFrame>(&text)? else { continue };
            match frame {
                LogsFrame::Log { seq, .. } if self.next_seq.is_some_and(|next| seq < next) => continue,
                LogsFrame::Log { seq, .. } => self.next_seq = Some(seq + 1),
                LogsFrame::HistoryEnd { last_seq, .. } => self.next_seq = self.next_seq.max(Some(last_seq + 1)),
                _ => {}
            }
            return Ok(frame);
        }
    }
}

fn query(from_seq: Option<u64>) -> String {
    from_seq.map(|seq| format!("from_seq={seq}")).unwrap_or_default()
}
