//! Printing for people: colours only where they show, tables that fit, times one can read.

pub mod counting;
pub mod json;
pub mod style;
pub mod table;
pub mod time;
pub mod word;

use std::io::IsTerminal;

use clap::ValueEnum;
use serde::Deserialize;

/// When to use colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Color {
    /// On a terminal, and never with NO_COLOR.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

impl Color {
    /// Makes it so for everything that is printed from here on.
    pub fn apply(self) {
        match self {
            Self::Auto => anstream::ColorChoice::Auto,
            Self::Always => anstream::ColorChoice::Always,
            Self::Never => anstream::ColorChoice::Never,
        }
        .write_global();
    }
}

/// An id for people: on a terminal its beginning, which is its time and so mostly its own; in full elsewhere.
pub fn id(id: uuid::Uuid) -> String {
    let text = id.to_string();
    match (terminal(), text.get(..18)) {
        (Some(_), Some(short)) => short.to_owned(),
        _ => text,
    }
}

/// Columns and rows of the terminal that standard output is; `None` when it is none, or one that cannot move its cursor.
pub fn terminal() -> Option<(usize, usize)> {
    if !std::io::stdout().is_terminal() || std::env::var_os("TERM").is_some_and(|term| term == "dumb") {
        return None;
    }
    let (width, height) = terminal_size::terminal_size().map_or((80, 24), |(width, height)| (width.0, height.0));
    // A pseudo terminal may say 0 when nobody told it its size.
    let or = |size: u16, default: usize| if size == 0 { default } else { usize::from(size) };
    Some((or(width, 80), or(height, 24)))
}
