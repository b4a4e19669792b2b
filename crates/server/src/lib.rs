//! Regatta over HTTP and WebSockets: thin routes over the engine.
//!
//! [`Options`] `->` [`Options::build`] `->` a [`Service`] that runs until it is told to drain, and a [`Handle`] that knows
//! the addresses. One layer ([`front`]) stands before every route; [`routes`] mirror the URLs; [`ws`] holds the three
//! sockets; [`convert`] shapes the domain for the wire. Not here: SQL, rules about what a state may become.

mod answers;
mod app;
mod body;
mod check;
mod compress;
pub mod console;
mod convert;
mod document;
mod faults;
mod fields;
mod front;
mod guard;
mod host;
mod idempotency;
mod identity;
mod kind;
mod leftover;
mod listen;
mod metrics;
mod nullable;
mod options;
mod overload;
mod pace;
mod page;
mod params;
mod path;
mod policy;
mod problem;
mod problem_pages;
mod reply;
mod request;
mod request_id;
mod required;
mod router;
mod routes;
mod service;
mod throttle;
mod timing;
mod tls;
mod wire;
mod ws;

pub use document::document;
pub use identity::{Bearer, LOCAL_USER, bearer};
pub use listen::ListenError;
pub use options::{Bound, Limits, Options};
pub use request::id as current_request;
pub use service::{Access, Handle, Service};
pub use throttle::Throttle;
pub use tls::Tls;
