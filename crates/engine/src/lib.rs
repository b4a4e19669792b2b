//! regatta-engine
