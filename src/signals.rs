//! SIGINT (Ctrl-C) and SIGTERM: for servers the first drains and the second ends at once; who watches is done with either.
//! And the end of the process that started this one.

use std::io::Read;

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::exit::Failure;

/// Both signals; taking them keeps them from ending the process.
pub struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    /// Takes the signals. Inside a runtime.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn take() -> Result<Self, Failure> {
        let refused = |error| Failure::failed(format!("signals cannot be handled: {error}"));
        Ok(Self {
            interrupt: signal(SignalKind::interrupt()).map_err(refused)?,
            terminate: signal(SignalKind::terminate()).map_err(refused)?,
        })
    }

    /// The next of either.
    pub async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

/// Ready when either signal comes: for what has nothing to bring to its end but its own terminal.
pub async fn interrupted() {
    match Signals::take() {
        Ok(mut signals) => signals.next().await,
        // Without handlers a signal ends the process by itself.
        Err(_) => std::future::pending().await,
    }
}

/// Ready when standard input ends: the process that started this one held it open while it lived.
pub async fn parent_gone() {
    // A thread of its own: a blocking read of standard input cannot be called off.
    let (sender, gone) = tokio::sync::oneshot::channel::<()>();
    std::thread::spawn(move || {
        let mut stdin = std::io::stdin().lock();
        let mut buffer = [0; 256];
        while stdin.read(&mut buffer).is_ok_and(|count| count > 0) {}
        // Nobody listens when the process has left already.
        let _ = sender.send(());
    });
    let _ = gone.await;
}
