//! The engine over a real store: dispatching, leases, lines and polls, restarts.

mod dispatch;
mod leases;
mod presence;
mod restart;
mod rig;
mod simulation;
