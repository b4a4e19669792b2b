//! The fixed words of the domain: statuses, types, levels. The same word stands in the schema, the code, the API and the console.
//!
//! Not here: what may follow on what (that is in the state machines of [`crate::ledger`]).

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A word that is none of the fixed ones of its kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{word:?} is not one of {expected}")]
pub struct UnknownWord {
    /// What was given.
    pub word: String,
    /// The words that would do, comma-separated.
    pub expected: &'static str,
}

macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $word:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
        #[serde(rename_all = "snake_case")]
        #[repr(u8)]
        pub enum $name { $($(#[$vdoc])* #[serde(rename = $word)] $variant),+ }

        impl $name {
            /// Every word, in the order of declaration; the position is the stored code.
            pub const ALL: &'static [$name] = &[$($name::$variant),+];

            /// The word as it stands on the wire.
            pub const fn as_str(self) -> &'static str {
                match self { $($name::$variant => $word),+ }
            }

            /// The small integer a store keeps for it.
            pub const fn code(self) -> u8 {
                self as u8
            }

            /// The word of a stored code; `None` for a code that was never given.
            pub fn from_code(code: u8) -> Option<Self> {
                Self::ALL.get(code as usize).copied()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl FromStr for $name {
            type Err = UnknownWord;
            fn from_str(word: &str) -> Result<Self, UnknownWord> {
                match word {
                    $($word => Ok($name::$variant),)+
                    _ => Err(UnknownWord { word: word.to_owned(), expected: words!(@list $($word),+) }),
                }
            }
        }
    };
    (@list $first:literal $(, $rest:literal)*) => { concat!($first $(, ", ", $rest)*) };
}

words! {
    /// Where a task stands.
    TaskStatus {
        /// Not planned yet: made with `start: false`, or its `start_at` has not come.
        Pending = "pending",
        /// A long plan is being written, in chunks.
        Initializing = "initializing",
        /// Planned; its subtasks wait, run or have ended in part.
        InProgress = "in_progress",
        /// Waits for a person (used later).
        Checkpoint = "checkpoint",
        /// Every subtask completed.
        Completed = "completed",
        /// Nothing is left to run and a subtask failed for good.
        Failed = "failed",
        /// Cancelled by a caller.
        Cancelled = "cancelled",
    }
}

impl TaskStatus {
    /// Whether nothing more will happen to the task unless someone retries it.
    pub const fn is_ended(self) -> bool {
        matches!(self, Self::Completed | Self::Failed | Self::Cancelled)
    }
}

words! {
    /// Where a subtask stands, as clients see it.
    SubtaskStatus {
        /// Waits for its dependencies.
        Pending = "pending",
        /// Ready, or in backoff before its next attempt.
        Queued = "queued",
        /// Leased to a worker.
        InProgress = "in_progress",
        /// A result was accepted.
        Completed = "completed",
        /// Failed for good.
        Failed = "failed",
        /// Cancelled with its task, or because a dependency failed.
        Cancelled = "cancelled",
    }
}

impl SubtaskStatus {
    /// Whether nothing more will happen to the subtask unless its task is retried.
    pub const fn is_ended(self) -> bool {
        matches!(self, Self::Completed | Self::Failed | Self::Cancelled)
    }
}

words! {
    /// What kind of work a task is; it chooses the built-in plan.
    TaskType {
        /// Generate code, review and test it, document it.
        DevelopFeature = "develop_feature",
        /// Analyse, fix, test.
        BugFix = "bug_fix",
        /// Analyse, restructure, verify.
        Refactor = "refactor",
        /// Static analysis and security review, then a report.
        CodeReview = "code_review",
        /// API documentation, user guide, README.
        Documentation = "documentation",
        /// Plan, write unit and integration tests, report.
        Testing = "testing",
        /// One step, or the steps the caller brings.
        Custom = "custom",
    }
}

words! {
    /// How soon a task should run beside others: a head start on its age, see [`crate::rank`].
    Priority {
        /// After normal work.
        Low = "low",
        /// The default.
        Normal = "normal",
        /// Before normal work.
        High = "high",
        /// Before everything that is not much older.
        Urgent = "urgent",
    }
}

words! {
    /// Whether a task may leave the house.
    Privacy {
        /// Any tool.
        Normal = "normal",
        /// Local tools only.
        Sensitive = "sensitive",
    }
}

words! {
    /// How often a task stops for a person to look (stored; used later).
    CheckpointFrequency {
        /// Rarely.
        Low = "low",
        /// The default.
        Medium = "medium",
        /// Often.
        High = "high",
    }
}

words! {
    /// What a worker says of itself, and what it is shown as.
    WorkerStatus {
        /// Has free slots.
        Online = "online",
        /// All slots are taken.
        Busy = "busy",
        /// Free, between two subtasks.
        Idle = "idle",
        /// Said so, unregistered, or silent for too long.
        Offline = "offline",
    }
}

words! {
    /// The weight of a log line.
    LogLevel {
        /// For whoever debugs the tool.
        Debug = "debug",
        /// The ordinary course of things.
        Info = "info",
        /// Something a person should look at.
        Warning = "warning",
        /// Something went wrong.
        Error = "error",
    }
}

words! {
    /// How an attempt at a subtask ended.
    AttemptOutcome {
        /// It still runs.
        Running = "running",
        /// Its result was accepted.
        Completed = "completed",
        /// The worker reported a failure.
        Failed = "failed",
        /// It ran longer than `timeout_seconds`.
        TimedOut = "timed_out",
        /// Its lease ran out, or the worker no longer had it.
        Lost = "lost",
        /// The worker would not take it.
        Rejected = "rejected",
        /// The worker gave it back while draining.
        Drained = "drained",
        /// The worker unregistered.
        Unregistered = "unregistered",
        /// The task was cancelled.
        Cancelled = "cancelled",
    }
}

words! {
    /// What the holder of a token may do.
    TokenRole {
        /// Everything.
        User = "user",
        /// Register workers, and act for those that it registered.
        Worker = "worker",
        /// Read.
        Viewer = "viewer",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_survives_text_code_and_json() {
        for &status in TaskStatus::ALL {
            assert_eq!(status.as_str().parse::<TaskStatus>(), Ok(status));
            assert_eq!(TaskStatus::from_code(status.code()), Some(status));
            assert_eq!(serde_json::to_string(&status).unwrap(), format!("{:?}", status.as_str()));
        }
    }

    #[test]
    fn an_unknown_word_names_the_known_ones() {
        let error = "paused".parse::<Priority>().unwrap_err();
        assert_eq!(error.to_string(), "\"paused\" is not one of low, normal, high, urgent");
    }
}
