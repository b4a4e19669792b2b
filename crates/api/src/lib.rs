//! regatta-api
