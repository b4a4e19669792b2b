//! regatta-server
