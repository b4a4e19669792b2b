//! regatta-worker
