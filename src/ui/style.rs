//! The few styles there are, and text in them. Printing through `anstream` takes them off where they do not show.

use anstyle::{AnsiColor, Style};
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// As it is.
pub const PLAIN: Style = Style::new();
/// What matters most.
pub const BOLD: Style = Style::new().bold();
/// What matters least.
pub const DIM: Style = Style::new().dimmed();
/// What went well.
pub const GOOD: Style = AnsiColor::Green.on_default();
/// What went wrong.
pub const BAD: Style = AnsiColor::Red.on_default();
/// What to look at.
pub const WARN: Style = AnsiColor::Yellow.on_default();
/// What moves.
pub const LIVE: Style = AnsiColor::Cyan.on_default();

/// Text in a style.
pub fn paint(style: Style, text: impl std::fmt::Display) -> String {
    format!("{style}{text}{style:#}")
}

/// The columns that text takes on a terminal.
pub fn width(text: &str) -> usize {
    text.width()
}

/// Text in one line without control characters, for a terminal: what a tool printed must not move the cursor.
pub fn one_line(text: &str) -> String {
    let tabs = text.replace(['\t', '\n', '\r'], " ");
    anstream::adapter::strip_str(&tabs).to_string().chars().filter(|c| !c.is_control()).collect()
}

/// At most so many columns of a text without styles, with `…` where something was left out.
pub fn cut(text: &str, columns: usize) -> String {
    if width(text) <= columns {
        return text.to_owned();
    }
    let Some(room) = columns.checked_sub(1) else { return String::new() };
    let mut used = 0;
    let mut kept: String = text
        .chars()
        .take_while(|c| {
            used += c.width().unwrap_or(0);
            used <= room
        })
        .collect();
    kept.push('…');
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cutting_counts_columns() {
        assert_eq!(cut("words", 5), "words");
        assert_eq!(cut("words", 4), "wor…");
        assert_eq!(cut("日本語", 5), "日本…");
        assert_eq!(cut("日本語", 4), "日…");
        assert_eq!(cut("words", 0), "");
    }

    #[test]
    fn a_tools_output_cannot_move_the_cursor() {
        assert_eq!(one_line("\u{1b}[2Ja\u{7}\tb\r\n"), "a b  ");
    }
}
