//! regatta-bus
