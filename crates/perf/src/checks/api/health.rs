//! How fast and how steadily the health is told.

use crate::caller::Call;
use crate::trial::{Outcome, Trial};

/// Asks for the health, one call after the other.
pub async fn response(trial: &Trial) -> Outcome {
    for _ in 0..trial.number() {
        trial.measure(Call::get("/health", "/health")).await;
    }
    Ok(())
}

/// Asks for it many times: whether it is steady.
pub async fn consistency(trial: &Trial) -> Outcome {
    response(trial).await
}
