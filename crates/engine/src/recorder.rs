//! What was done in the last minutes, counted as it is committed: throughput and latency for the overview.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use regatta_model::event::What;
use regatta_model::ledger::Effects;
use regatta_model::{Span, SubtaskStatus, TaskStatus, Timestamp};

/// How far back the figures look.
pub const WINDOW: Span = Span::seconds(300);
/// Figures are kept in pieces of this length.
const PIECE: Span = Span::seconds(10);

/// Latencies in buckets that grow by a sixteenth: figures are at most 6 % off.
#[derive(Debug, Clone, Default)]
struct Latencies {
    buckets: Vec<u32>,
    count: u64,
    max: i64,
}

impl Latencies {
    fn record(&mut self, span: Span) {
        let micros = span.0.max(0);
        let bucket = Self::bucket(micros as u64);
        if self.buckets.len() <= bucket {
            self.buckets.resize(bucket + 1, 0);
        }
        self.buckets[bucket] += 1;
        self.count += 1;
        self.max = self.max.max(micros);
    }

    /// Sixteen buckets for each power of two.
    fn bucket(micros: u64) -> usize {
        if micros < 16 {
            return micros as usize;
        }
        let power = 63 - micros.leading_zeros();
        (((power - 3) as usize) << 4) + ((micros >> (power - 4)) & 15) as usize
    }

    fn upper_edge(bucket: usize) -> u64 {
        if bucket < 16 {
            return bucket as u64;
        }
        let power = (bucket >> 4) as u32 + 3;
        ((16 + (bucket as u64 & 15) + 1) << (power - 4)) - 1
    }

    fn merge(&mut self, other: &Self) {
        if self.buckets.len() < other.buckets.len() {
            self.buckets.resize(other.buckets.len(), 0);
        }
        for (sum, more) in self.buckets.iter_mut().zip(&other.buckets) {
            *sum += more;
        }
        self.count += other.count;
        self.max = self.max.max(other.max);
    }

    /// The smallest edge under which at least this share of the values lies.
    fn percentile(&self, share: f64) -> Span {
        let rank = ((self.count as f64 * share).ceil() as u64).max(1);
        let mut seen = 0;
        for (bucket, &count) in self.buckets.iter().enumerate() {
            seen += u64::from(count);
            if seen >= rank {
                return Span((Self::upper_edge(bucket) as i64).min(self.max));
            }
        }
        Span(self.max)
    }

    fn figures(&self) -> LatencyFigures {
        LatencyFigures {
            count: self.count,
            p50: self.percentile(0.50),
            p95: self.percentile(0.95),
            p99: self.percentile(0.99),
            max: Span(self.max),
        }
    }
}

/// Percentiles of a latency.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LatencyFigures {
    /// How many values.
    pub count: u64,
    /// Half of them were at most this long.
    pub p50: Span,
    /// 95 % of them were at most this long.
    pub p95: Span,
    /// 99 % of them were at most this long.
    pub p99: Span,
    /// The longest.
    pub max: Span,
}

/// Figures of the last [`WINDOW`], as far as this node did the work.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Recent {
    /// Tasks submitted.
    pub tasks_submitted: u64,
    /// Tasks that completed.
    pub tasks_completed: u64,
    /// Tasks that failed.
    pub tasks_failed: u64,
    /// Subtasks that completed.
    pub subtasks_completed: u64,
    /// Attempts that failed.
    pub subtasks_failed: u64,
    /// From ready to leased.
    pub queue: LatencyFigures,
    /// From leased to result.
    pub run: LatencyFigures,
}

#[derive(Debug, Default)]
struct Piece {
    from: Timestamp,
    recent: Recent,
    queue: Latencies,
    run: Latencies,
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Recorder {
    pieces: Mutex<VecDeque<Piece>>,
    /// How often they changed.
    generation: AtomicU64,
}

impl Recorder {
    /// Counts an attempt that failed.
    pub fn attempt_failed(&self, at: Timestamp) {
        let mut pieces = self.pieces.lock();
        if let Some(piece) = Self::piece(&mut pieces, at) {
            piece.recent.subtasks_failed += 1;
        }
        self.generation.fetch_add(1, Ordering::Release);
    }

    fn piece(pieces: &mut VecDeque<Piece>, at: Timestamp) -> Option<&mut Piece> {
        if pieces.back().is_none_or(|piece| at - piece.from >= PIECE) {
            pieces.push_back(Piece { from: at, ..Piece::default() });
            while pieces.front().is_some_and(|piece| at - piece.from > WINDOW) {
                pieces.pop_front();
            }
        }
        pieces.back_mut()
    }

    /// Counts what a transaction brought about.
    pub fn record(&self, effects: &Effects) {
        let Some(at) = effects.events.last().map(|event| event.at) else { return };
        let mut pieces = self.pieces.lock();
        let Some(piece) = Self::piece(&mut pieces, at) else { return };
        for event in &effects.events {
            match &event.what {
                What::Task(record) => match record.status {
                    TaskStatus::Completed => piece.recent.tasks_completed += 1,
                    TaskStatus::Failed => piece.recent.tasks_failed += 1,
                    _ if event.seq == 1 => piece.recent.tasks_submitted += 1,
                    _ => {}
                },
                What::Subtask(_, record) => match record.status {
                    SubtaskStatus::InProgress if record.progress == 0 => {
                        if let (Some(queued), Some(started)) = (record.queued_at, record.started_at) {
                            piece.queue.record(started - queued);
                        }
                    }
                    SubtaskStatus::Completed => {
                        piece.recent.subtasks_completed += 1;
                        if let Some(started) = record.started_at {
                            piece.run.record(event.at - started);
                        }
                    }
                    _ => {}
                },
                What::Log(_) => {}
            }
        }
        self.generation.fetch_add(1, Ordering::Release);
    }

    /// How often the figures changed otherwise than by growing old.
    pub fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// When the oldest of the figures as of `now` is forgotten.
    pub fn steady_until(&self, now: Timestamp) -> Timestamp {
        let pieces = self.pieces.lock();
        let oldest = pieces.iter().map(|piece| piece.from + WINDOW).find(|&last| now <= last);
        oldest.map_or(Timestamp(i64::MAX), |last| last + Span(1))
    }

    /// The figures as of `now`.
    pub fn recent(&self, now: Timestamp) -> Recent {
        let mut sum = Recent::default();
        let (mut queue, mut run) = (Latencies::default(), Latencies::default());
        for piece in self.pieces.lock().iter().filter(|piece| now - piece.from <= WINDOW) {
            sum.tasks_submitted += piece.recent.tasks_submitted;
            sum.tasks_completed += piece.recent.tasks_completed;
            sum.tasks_failed += piece.recent.tasks_failed;
            sum.subtasks_completed += piece.recent.subtasks_completed;
            sum.subtasks_failed += piece.recent.subtasks_failed;
            queue.merge(&piece.queue);
            run.merge(&piece.run);
        }
        Recent { queue: queue.figures(), run: run.figures(), ..sum }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_within_a_sixteenth() {
        let mut latencies = Latencies::default();
        for micros in 1..=100_000 {
            latencies.record(Span(micros));
        }
        for (share, exact) in [(0.5, 50_000.0), (0.95, 95_000.0), (0.99, 99_000.0)] {
            let found = latencies.percentile(share).0 as f64;
            assert!((found - exact).abs() / exact < 0.07, "{share}: {found} for {exact}");
        }
        assert_eq!(latencies.figures().max, Span(100_000));
    }

    #[test]
    fn a_bucket_holds_what_lies_below_its_edge() {
        for micros in [0_u64, 1, 15, 16, 17, 31, 32, 33, 1_000, 65_535, 1 << 40] {
            let bucket = Latencies::bucket(micros);
            assert!(micros <= Latencies::upper_edge(bucket), "{micros}");
            assert!(bucket == 0 || micros > Latencies::upper_edge(bucket - 1), "{micros}");
        }
    }
}
