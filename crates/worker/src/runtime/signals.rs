//! SIGINT and SIGTERM: the first drains, the second stops at once.

use tokio::signal::unix::{Signal, SignalKind, signal};

use super::Handle;

/// Ready at the first signal; from then on the second one makes the worker stop at once. To be given to [`super::Service::run`].
pub async fn until_signalled(handle: Handle) {
    let (Ok(mut interrupt), Ok(mut terminate)) = (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
    else {
        // Without handlers a signal ends the process, and the supervisor what it ran.
        tracing::error!("signals cannot be handled; a signal will end the worker at once");
        return std::future::pending().await;
    };
    next(&mut interrupt, &mut terminate).await;
    tracing::info!("stopping; once more to stop at once");
    tokio::spawn(async move {
        next(&mut interrupt, &mut terminate).await;
        handle.stop_now();
    });
}

async fn next(interrupt: &mut Signal, terminate: &mut Signal) {
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
}
