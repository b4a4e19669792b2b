//! HTTP as a load generator needs it: as little work for each request as the protocol allows.
//!
//! Why a codec of our own: measured on one thread against `wrk`, it spends a sixth of the instructions of a general
//! client on a request, and most of what is left is the kernel's. What makes the difference: requests that do not
//! change are bytes made once; an answer is read into one buffer that all connections of a thread share and parsed
//! where it lies; nothing is copied unless a scenario asks for the body or an answer comes in pieces.
//!
//! - [`target`]: where to connect to
//! - [`request`]: a request as bytes
//! - [`head`], [`chunked`]: the parts of an answer
//! - [`exchange`]: one request and its answer on one connection
//! - [`http2`]: the same for HTTP/2
//! - [`connection`], [`tls`]: the connection, and what secures it
//! - [`fault`]: what can go wrong between the two

pub mod chunked;
pub mod connection;
pub mod exchange;
pub mod fault;
pub mod head;
pub mod http2;
pub mod request;
pub mod target;
pub mod tls;
