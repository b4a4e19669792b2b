//! The store's integration tests, one binary: the suite that every store passes, and what only one of them can show.

mod conformance;
mod keeping;
mod late;
mod moving;
mod postgres;
mod power;
mod properties;
mod sequences;
mod shown;
mod sqlite;

mod support;
