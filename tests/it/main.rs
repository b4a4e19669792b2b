//! End to end: the real binary, as people and scripts run it, its real worker processes, and `kill -9`.
//!
//! Each test has its own home, data folder and port. A time limit is only there so that a hang ends; none is asserted.

mod backup;
mod chaos;
mod deploy;
mod errors;
mod examples;
mod hostile;
mod house;
mod http;
mod in_place;
mod kill;
mod load;
mod load_page;
mod locust;
mod machine;
mod nodes;
mod output;
mod overload;
mod perf;
mod python;
mod rig;
mod schemathesis;
mod settings;
mod stop;
mod terminal;
mod tokens;
mod watch;
