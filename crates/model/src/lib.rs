//! regatta-model
