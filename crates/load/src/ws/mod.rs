//! WebSockets (RFC 6455) on the same connections and under the same TLS as requests: what a user opens, sends and
//! waits for.
//!
//! - [`frame`]: frames as bytes, both ways
//! - [`handshake`]: how one is opened; [`socket`]: an open one
//!
//! Own code for the same reason as HTTP: a socket holds no buffers while nothing comes, and its frames are noted with
//! the time at which they arrived, not at which somebody looked. Extensions (compression) are not offered.

pub mod frame;
pub mod handshake;
pub mod socket;

pub use self::socket::{Message, Socket};
