//! What happened, on its way to those who watch: the [`Bus`] trait and the buses behind it.
//!
//! A bus carries events to watchers, wake-ups and stops to the nodes' engines, and it caches the progress of
//! tasks. It holds no truth: whoever loses everything that it carries reads the store and loses only time.
//! Not here: WebSockets and frames (the server makes their text, [`Notice::frame`] keeps it), the store, policy.
//!
//! [`topic`] says who gets what, [`hub`] fans out in one process, [`local`] is the bus of a single node, [`relay`] that of
//! several, over any [`relay::Transport`], of which [`redis`] is one.

mod bus;
pub mod hub;
pub mod local;
mod mailbox;
pub mod node;
pub mod notice;
pub mod progress;
pub mod redis;
pub mod relay;
pub mod subscriber;
pub mod topic;

pub use bus::{Bus, BusHealth};
pub use local::LocalBus;
pub use node::{NodeListener, NodeNews};
pub use notice::{Body, Notice};
pub use redis::RedisTransport;
pub use relay::RelayBus;
pub use subscriber::{Delivery, Subscriber};
pub use topic::Topic;
