//! `simulate`: stands in for a tool, or for itself. It does nothing for a while and says so; a timer each, no process, no thread.

use std::time::Duration;

use async_trait::async_trait;
use regatta_api::subtask::ResultStatus;
use regatta_api::{JsonObject, LogLevel, limits};
use serde::Deserialize;
use tokio::time::Instant;

use super::{Event, Job, Outcome, Sink, Stop, Tool, Unable};

/// The name of the tool, and with a colon the prefix of the names it stands in for.
pub const NAME: &str = "simulate";

/// What a subtask's input may say; what else it holds is meant for the tool that is stood in for.
#[derive(Debug, Clone, Deserialize)]
#[serde(default)]
struct Input {
    /// How long to run, in milliseconds.
    duration_ms: u64,
    /// How much longer or shorter than that, at most, in milliseconds.
    jitter_ms: u64,
    /// The share of attempts that fail, 0..=1.
    failure_rate: f64,
    /// The length of `output` in the result, in bytes.
    output_bytes: usize,
    /// How many lines to log, spread over the run.
    log_lines: u32,
}

impl Default for Input {
    fn default() -> Self {
        Self { duration_ms: 100, jitter_ms: 0, failure_rate: 0.0, output_bytes: 0, log_lines: 0 }
    }
}

impl Input {
    fn check(self) -> Result<Self, String> {
        if !(0.0..=1.0).contains(&self.failure_rate) {
            return Err(format!("failure_rate is {}; give a share from 0 to 1", self.failure_rate));
        }
        // Room for the rest of the result.
        let most = limits::RESULT_BYTES - 4096;
        if self.output_bytes > most {
            return Err(format!("output_bytes is {}; a result holds at most {most} of them", self.output_bytes));
        }
        Ok(self)
    }

    /// How long this run takes.
    fn duration(&self) -> Duration {
        let mut millis = self.duration_ms;
        if self.jitter_ms > 0 {
            let shift = rand::random_range(0..=self.jitter_ms.saturating_mul(2));
            millis = millis.saturating_add(shift).saturating_sub(self.jitter_ms);
        }
        Duration::from_millis(millis)
    }
}

/// The tool.
#[derive(Debug, Clone, Copy, Default)]
pub struct Simulate;

#[async_trait]
impl Tool for Simulate {
    async fn run(&self, job: &Job, sink: &dyn Sink, stop: &Stop) -> Result<Outcome, Unable> {
        let started = Instant::now();
        let mut outcome = match parse(job) {
            Ok(input) => simulate(job, &input, sink, stop).await,
            Err(error) => Outcome::failed(format!("the input does not fit simulate: {error}")),
        };
        outcome.execution_time = started.elapsed().as_secs_f64();
        outcome.simulated = true;
        Ok(outcome)
    }

    fn is_simulated(&self) -> bool {
        true
    }
}

fn parse(job: &Job) -> Result<Input, String> {
    match job.assignment.input.as_str() {
        "{}" | "null" => Ok(Input::default()),
        text => serde_json::from_str::<Input>(text).map_err(|error| error.to_string()).and_then(Input::check),
    }
}

async fn simulate(job: &Job, input: &Input, sink: &dyn Sink, stop: &Stop) -> Outcome {
    let duration = input.duration();
    let tool = &job.assignment.assigned_tool;
    let started = Instant::now();
    for line in 1..=input.log_lines {
        let due = duration.mul_f64(f64::from(line - 1) / f64::from(input.log_lines));
        if !pause_until(started + due, stop).await {
            return Outcome::failed("stopped");
        }
        sink.emit(Event::Log {
            level: LogLevel::Info,
            message: format!("simulated {tool}: line {line} of {}", input.log_lines),
        });
    }
    if !pause_until(started + duration, stop).await {
        return Outcome::failed("stopped");
    }
    if input.failure_rate > 0.0 && rand::random::<f64>() < input.failure_rate {
        return Outcome::failed(format!("simulated failure (failure_rate {})", input.failure_rate));
    }
    let mut result = JsonObject::new();
    result.insert("simulated".into(), true.into());
    result.insert("tool".into(), tool.as_str().into());
    result.insert("step".into(), job.assignment.name.as_str().into());
    if input.output_bytes > 0 {
        result.insert("output".into(), "x".repeat(input.output_bytes).into());
    }
    Outcome { status: ResultStatus::Completed, error: None, result, ..Outcome::failed("") }
}

/// Whether the time came before the order to stop.
async fn pause_until(due: Instant, stop: &Stop) -> bool {
    // A timer costs more than the look at the clock, and its steps are of a millisecond.
    if Instant::now() >= due {
        return true;
    }
    tokio::select! {
        () = tokio::time::sleep_until(due) => true,
        _ = stop.stopped() => false,
    }
}

#[cfg(test)]
mod tests {
    use super::super::test_support::{Kept, job};
    use super::super::{StopReason, Stopper};
    use super::*;
    use serde_json::json;

    async fn run(input: serde_json::Value) -> (Outcome, Kept) {
        let kept = Kept::default();
        let (_stopper, stop) = Stopper::new();
        let job = job("claude_code", input, json!({}));
        (Simulate.run(&job, &kept, &stop).await.unwrap(), kept)
    }

    #[tokio::test(start_paused = true)]
    async fn a_run_takes_its_time_and_says_that_it_is_simulated() {
        let (outcome, kept) = run(json!({"prompt": "for the real tool"})).await;
        assert_eq!(outcome.status, ResultStatus::Completed);
        assert!(outcome.simulated);
        assert!(outcome.execution_time >= 0.1);
        assert_eq!(outcome.result["simulated"], true);
        assert_eq!(outcome.result["tool"], "claude_code");
        assert_eq!(kept.lines(LogLevel::Info), Vec::<String>::new());
    }

    #[tokio::test(start_paused = true)]
    async fn input_sets_length_lines_and_output() {
        let input = json!({"duration_ms": 5000, "jitter_ms": 100, "log_lines": 3, "output_bytes": 10});
        let (outcome, kept) = run(input).await;
        assert!((4.9..=5.11).contains(&outcome.execution_time));
        assert_eq!(kept.lines(LogLevel::Info).len(), 3);
        assert_eq!(outcome.result["output"], "xxxxxxxxxx");
    }

    #[tokio::test]
    async fn no_duration_needs_no_timer() {
        let kept = Kept::default();
        let (_stopper, stop) = Stopper::new();
        let job = job("simulate", json!({"duration_ms": 0}), json!({}));
        let mut run = Simulate.run(&job, &kept, &stop);
        // Ready at the first poll.
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        assert!(run.as_mut().poll(&mut context).is_ready());
    }

    #[tokio::test(start_paused = true)]
    async fn failures_come_at_their_rate() {
        let (outcome, _) = run(json!({"failure_rate": 1.0})).await;
        assert_eq!(outcome.status, ResultStatus::Failed);
        assert!(outcome.simulated);
        assert_eq!(outcome.error.as_deref(), Some("simulated failure (failure_rate 1)"));
    }

    #[tokio::test]
    async fn input_that_does_not_fit_is_named() {
        for (input, word) in [
            (json!({"duration_ms": "long"}), "duration_ms"),
            (json!({"failure_rate": 7}), "from 0 to 1"),
            (json!({"output_bytes": 2_000_000}), "output_bytes"),
            (json!({"log_lines": -1}), "-1"),
        ] {
            let (outcome, _) = run(input).await;
            assert_eq!(outcome.status, ResultStatus::Failed);
            let error = outcome.error.unwrap();
            assert!(error.contains(word) || error.contains("invalid"), "{error}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_thousand_at_once_are_stopped_at_once() {
        let (stopper, stop) = Stopper::new();
        let runs: Vec<_> = (0..1000)
            .map(|_| {
                let stop = stop.clone();
                tokio::spawn(async move {
                    let job = job("simulate", json!({"duration_ms": 3_600_000}), json!({}));
                    Simulate.run(&job, &Kept::default(), &stop).await
                })
            })
            .collect();
        tokio::time::sleep(Duration::from_secs(1)).await;
        stopper.stop(StopReason::Draining, Duration::ZERO);
        for run in runs {
            let outcome = run.await.unwrap().unwrap();
            assert_eq!(outcome.status, ResultStatus::Failed);
            assert!(outcome.execution_time < 3600.0);
        }
    }
}
