//! The engine against real servers on real sockets. Times are judged as ratios of delays that the server is told to
//! make, never as what this machine should manage.

mod faults;
mod fuzz;
mod http2;
mod measure;
mod models;
mod scenarios;
mod server;
mod tls;
mod websocket;
