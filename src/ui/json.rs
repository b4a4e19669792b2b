//! JSON for scripts.

use std::io::Write;

use serde::Serialize;

use crate::exit::Failure;

/// Prints an answer as it came, indented.
///
/// # Errors
/// When it cannot be written.
pub fn print(value: &impl Serialize) -> Result<(), Failure> {
    let text = serde_json::to_string_pretty(value)
        .map_err(|error| Failure::failed(format!("the answer cannot be written as JSON: {error}")))?;
    Ok(writeln!(std::io::stdout().lock(), "{text}")?)
}

/// Prints one of many, a line each.
///
/// # Errors
/// When it cannot be written.
pub fn print_line(value: &impl Serialize) -> Result<(), Failure> {
    let text = serde_json::to_string(value)
        .map_err(|error| Failure::failed(format!("the answer cannot be written as JSON: {error}")))?;
    let mut out = std::io::stdout().lock();
    writeln!(out, "{text}")?;
    Ok(out.flush()?)
}
