//! Many connections at once, and what was said before one connects.

use std::time::Instant;

use regatta_client::api::frames::logs::LogsFrame;

use super::{Stage, line, watch};
use crate::fixtures::run_concurrent;
use crate::trial::{Outcome, Trial};

/// So many lines are kept before a client connects.
const KEPT: usize = 100;

/// Clients connect at once, each to the first frame of its own; then all of them stand, and get the same line.
pub async fn concurrent(trial: &Trial) -> Outcome {
    let mut stage = Stage::set(&trial.world).await?;
    let task = stage.task;
    let connecting = trial.at_once(|_| async {
        let began = Instant::now();
        match watch(&trial.world, task).await {
            Ok(follower) => {
                trial.took("connecting", began, Instant::now());
                Some(follower)
            }
            Err(error) => {
                trial.fail(format!("connecting: {error}"));
                None
            }
        }
    });
    let followers: Vec<_> = connecting.await.into_iter().flatten().collect();
    stage.say("all here".to_owned()).await?;
    let hearing = followers.into_iter().map(|mut follower| async move { line(&mut follower).await });
    let heard = run_concurrent(hearing).await.into_iter().filter(|line| line.is_ok()).count();
    trial.fact("connections at once", heard, trial.number());
    stage.strike().await
}

/// A client that connects later asks for the log from its beginning: all lines, in order, each once. From connecting to the
/// last of them.
pub async fn replay(trial: &Trial) -> Outcome {
    let mut stage = Stage::set(&trial.world).await?;
    let mut live = watch(&trial.world, stage.task).await?;
    for number in 0..KEPT {
        stage.say(number.to_string()).await?;
    }
    for _ in 0..KEPT {
        line(&mut live).await?;
    }
    let mut whole = 0;
    for _ in 0..trial.number() {
        let began = Instant::now();
        let mut lines = Vec::new();
        let mut follower = trial.world.client.follow_logs(stage.task, Some(0)).await?;
        loop {
            match follower.next().await? {
                LogsFrame::Log { data, .. } => lines.push(data.message),
                LogsFrame::HistoryEnd { .. } => break,
                _ => {}
            }
        }
        trial.took("connecting and reading the log", began, Instant::now());
        whole += usize::from(
            lines.iter().enumerate().all(|(number, line)| *line == number.to_string()) && lines.len() == KEPT,
        );
    }
    trial.fact("logs read whole and in order", whole, trial.number());
    stage.strike().await
}
