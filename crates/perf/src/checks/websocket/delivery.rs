//! How long a worker's log line takes to those who watch: from the moment it is sent to its arrival.

use std::cell::{Cell, RefCell};
use std::time::{Duration, Instant};

use super::{Stage, line, watch};
use crate::fixtures::{run_concurrent, run_concurrent_timed};
use crate::trial::{Outcome, RUNS, Trial, Trouble};

/// Before a line.
const PAUSE: Duration = Duration::from_millis(10);
/// So long a line is waited for before the next is sent: each is alone on its way.
const PATIENCE: Duration = Duration::from_secs(10);
/// So many clients connect at once.
const BOUND: usize = 50;

/// To one client.
pub async fn latency(trial: &Trial) -> Outcome {
    deliver(trial, 1, trial.number()).await
}

/// To each of many clients.
pub async fn fan_out(trial: &Trial) -> Outcome {
    deliver(trial, trial.number(), RUNS).await
}

async fn deliver(trial: &Trial, clients: usize, lines: usize) -> Outcome {
    let mut stage = Stage::set(&trial.world).await?;
    let connecting = (0..clients).map(|_| watch(&trial.world, stage.task));
    let connected = run_concurrent_timed(connecting, Some(BOUND)).await.results;
    let followers = connected.into_iter().collect::<Result<Vec<_>, _>>()?;
    let sent: RefCell<Vec<Instant>> = RefCell::default();
    let heard = Cell::new(0);
    let receiving = followers.into_iter().map(|mut follower| {
        let (sent, heard) = (&sent, &heard);
        async move {
            for number in 0..lines {
                let arrived = line(&mut follower).await;
                let done = Instant::now();
                heard.set(heard.get() + 1);
                match arrived {
                    Ok(text) if text == number.to_string() => {
                        let began = sent.borrow()[number];
                        trial.took("log line to a client", began, done);
                    }
                    Ok(text) => return trial.fail(format!("line {number} was to come, and {text:?} came")),
                    Err(why) => return trial.fail(why),
                }
            }
        }
    });
    let sending = async {
        for number in 0..lines {
            tokio::time::sleep(PAUSE).await;
            sent.borrow_mut().push(Instant::now());
            stage.say(number.to_string()).await?;
            let said = Instant::now();
            while heard.get() < clients * (number + 1) && said.elapsed() < PATIENCE {
                tokio::time::sleep(PAUSE).await;
            }
        }
        Ok::<(), Trouble>(())
    };
    let (_, said) = tokio::join!(run_concurrent(receiving), sending);
    said?;
    stage.strike().await
}
