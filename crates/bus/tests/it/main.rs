//! The bus, through its trait. `conformance` holds what every bus promises; `model` compares the local one, which
//! is synchronous, with a model under any sequence of calls.

mod conformance;
mod make;
mod model;

conformance::suite!(local, regatta_bus::LocalBus::new());
