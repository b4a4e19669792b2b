//! The bus, through its trait. `conformance` holds what every bus promises; `model` compares the local one, which
//! is synchronous, with a model under any sequence of calls; `redis` runs the suite over a real Redis and takes it away.

mod conformance;
mod make;
mod model;
mod redis;

conformance::suite!(local, regatta_bus::LocalBus::new());
