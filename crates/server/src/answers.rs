//! Answers that are kept as bytes while what they were made of stands: many who ask the same cost one read.
//!
//! Nothing here grows old: an answer is given again only while [`Basis`] says that it would be the same, so a read
//! after an acknowledged change shows that change, and an `ETag` changes whenever the body does.

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use axum::response::{IntoResponse, Response};
use lru::LruCache;
use parking_lot::Mutex;
use regatta_engine::{Basis, Engine};
use regatta_model::TaskId;
use serde::Serialize;

use crate::reply::{Result, Written};

const SHARDS: usize = 16;
/// Room that an entry takes beside its body and its question, about.
const ENTRY: usize = 256;
/// A longer query is no usual one, and is not kept.
const LONGEST_QUERY: usize = 256;

/// What was asked.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Question {
    /// A task with everything.
    Task(TaskId),
    /// A page of tasks: the query as it came.
    Tasks(Option<Box<str>>),
    /// A page of workers: the query as it came.
    Workers(Option<Box<str>>),
    /// The overview.
    Stats,
}

impl Question {
    fn query(&self) -> Option<&str> {
        match self {
            Self::Tasks(query) | Self::Workers(query) => query.as_deref(),
            Self::Task(_) | Self::Stats => None,
        }
    }

    async fn basis(&self, engine: &Engine) -> Result<Basis> {
        Ok(match self {
            Self::Task(id) => engine.basis_of_task(*id).await?,
            Self::Tasks(_) | Self::Workers(_) => engine.basis(),
            Self::Stats => engine.basis_of_stats(),
        })
    }
}

/// The answers kept, those that were asked for last.
pub(crate) struct Answers {
    shards: Vec<Mutex<Shard>>,
    hasher: RandomState,
    /// Bytes for each shard.
    room: usize,
}

struct Shard {
    kept: LruCache<Question, Arc<Kept>>,
    bytes: usize,
}

struct Kept {
    basis: Basis,
    answer: Written,
}

/// What came of asking.
pub(crate) enum Asked<'a> {
    /// It is known.
    Known(Response),
    /// It is to be worked out, on this basis.
    Open(Open<'a>),
}

/// An answer that is being worked out.
pub(crate) struct Open<'a> {
    answers: &'a Answers,
    question: Question,
    /// To be told what the answer is made of beside rows.
    pub(crate) basis: Basis,
}

impl Answers {
    /// Keeps up to so many bytes.
    pub(crate) fn new(bytes: usize) -> Self {
        let shard = || Mutex::new(Shard { kept: LruCache::unbounded(), bytes: 0 });
        Self { shards: (0..SHARDS).map(|_| shard()).collect(), hasher: RandomState::new(), room: bytes / SHARDS }
    }

    /// The answer that is kept, if it stands; else what it takes to keep one.
    ///
    /// # Errors
    /// 404 for what is not there.
    pub(crate) async fn ask(&self, engine: &Engine, question: Question) -> Result<Asked<'_>> {
        let kept = self.shard(&question).lock().kept.get(&question).cloned();
        if let Some(kept) = kept
            && engine.stands(&kept.basis).await
        {
            return Ok(Asked::Known(kept.answer.clone().into_response()));
        }
        let basis = question.basis(engine).await?;
        Ok(Asked::Open(Open { answers: self, question, basis }))
    }

    fn shard(&self, question: &Question) -> &Mutex<Shard> {
        &self.shards[self.hasher.hash_one(question) as usize % SHARDS]
    }

    fn keep(&self, question: Question, kept: Kept) {
        let size =
            |question: &Question, kept: &Kept| ENTRY + kept.answer.body.len() + question.query().map_or(0, str::len);
        let more = size(&question, &kept);
        if more > self.room || question.query().is_some_and(|query| query.len() > LONGEST_QUERY) {
            return;
        }
        let mut shard = self.shard(&question).lock();
        shard.bytes += more;
        if let Some((question, old)) = shard.kept.push(question, Arc::new(kept)) {
            shard.bytes -= size(&question, &old);
        }
        while shard.bytes > self.room
            && let Some((question, old)) = shard.kept.pop_lru()
        {
            shard.bytes -= size(&question, &old);
        }
    }
}

impl Open<'_> {
    /// Writes the answer down and keeps it; with a tag where it is one resource.
    pub(crate) fn answer<T: Serialize>(self, body: &T) -> Result<Response> {
        let answer = Written::new(body, matches!(self.question, Question::Task(_)))?;
        if self.basis.is_known() {
            self.answers.keep(self.question, Kept { basis: self.basis, answer: answer.clone() });
        }
        Ok(answer.into_response())
    }
}
