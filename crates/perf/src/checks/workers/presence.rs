//! Whether workers stay online.

use std::time::{Duration, Instant};

use crate::checks::tasks::execution::Held;
use crate::trial::{Outcome, Trial, Trouble};

/// So long it is looked, and so often.
const LOOKED: Duration = Duration::from_secs(1);
const LOOK: Duration = Duration::from_millis(50);

/// All workers are online at every look, before, while and after they work.
pub async fn online(trial: &Trial) -> Outcome {
    let world = &trial.world;
    let fleet = world.fleet()?;
    let mut least = fleet.online(&world.client).await?;
    let held = Held::submit(world, fleet.capacity()).await?;
    held.until_all_run(fleet.capacity()).await;
    let began = Instant::now();
    while began.elapsed() < LOOKED {
        least = least.min(fleet.online(&world.client).await?);
        tokio::time::sleep(LOOK).await;
    }
    held.round.release().map_err(|error| Trouble(error.to_string()))?;
    held.spans(world).await?;
    least = least.min(fleet.online(&world.client).await?);
    trial.fact("workers online at every look", least, trial.number());
    Ok(())
}
