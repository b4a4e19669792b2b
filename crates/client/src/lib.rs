//! regatta-client
