//! regatta-store
