//! Tables: as wide as the terminal at most, everything in full when piped.
//!
//! Our own hundred lines: styles must not count as width, and one column gives way while the others stay whole.

use anstyle::Style;

use super::style::{BOLD, PLAIN, cut, one_line, paint, width};

/// The gap between two columns.
const GAP: usize = 2;
/// A column that gives way keeps at least so much.
const LEAST: usize = 12;
/// and so much as long as there are columns that can be left out.
const READABLE: usize = 32;

/// One cell.
pub struct Cell {
    text: String,
    style: Style,
}

impl Cell {
    /// Text in a style.
    pub fn new(style: Style, text: impl std::fmt::Display) -> Self {
        Self { text: one_line(&text.to_string()), style }
    }
}

impl<T: std::fmt::Display> From<T> for Cell {
    fn from(text: T) -> Self {
        Self::new(PLAIN, text)
    }
}

/// Rows under a head.
pub struct Table {
    head: Vec<&'static str>,
    rows: Vec<Vec<Cell>>,
    /// The column that gives way when the terminal is too narrow.
    gives: usize,
    /// The columns that are left out before that, the first one first.
    drops: &'static [&'static str],
}

impl Table {
    /// An empty table; the column called `gives` is cut when there is no room.
    pub fn new(head: impl IntoIterator<Item = &'static str>, gives: &str) -> Self {
        let head: Vec<_> = head.into_iter().collect();
        let gives = head.iter().position(|name| *name == gives).unwrap_or(0);
        Self { head, rows: Vec::new(), gives, drops: &[] }
    }

    /// Says which columns are left out when there is no room, the first one first.
    pub const fn drops(mut self, drops: &'static [&'static str]) -> Self {
        self.drops = drops;
        self
    }

    /// Adds a row with a cell for each column.
    pub fn row(&mut self, cells: impl IntoIterator<Item = Cell>) {
        self.rows.push(cells.into_iter().collect());
    }

    /// The table, a line a row. With `columns` it is at most so wide.
    pub fn render(&self, columns: Option<usize>) -> String {
        let mut widths: Vec<usize> = self.head.iter().map(|name| width(name)).collect();
        for row in &self.rows {
            for (cell, widest) in row.iter().zip(&mut widths) {
                *widest = (*widest).max(width(&cell.text));
            }
        }
        // A column that says nothing is left out, also when piped: there scripts ask for JSON.
        let says = |&at: &usize| self.rows.iter().any(|row| row.get(at).is_some_and(|cell| !cell.text.is_empty()));
        let mut shown: Vec<usize> = (0..self.head.len()).filter(|at| self.rows.is_empty() || says(at)).collect();
        if let Some(columns) = columns {
            let total = |shown: &[usize], widths: &[usize]| {
                shown.iter().map(|&at| widths[at]).sum::<usize>() + GAP * shown.len().saturating_sub(1)
            };
            let full = widths[self.gives];
            widths[self.gives] = full.min(READABLE);
            for name in self.drops {
                if total(&shown, &widths) > columns {
                    shown.retain(|&at| self.head[at] != *name);
                }
            }
            // What is left of the line is for the column that gives way, and not less than the least.
            let others = total(&shown, &widths) - widths[self.gives];
            widths[self.gives] = columns.saturating_sub(others).clamp(LEAST.min(full), full);
        }
        let head = self.head.iter().map(|name| Cell::new(BOLD, name)).collect::<Vec<_>>();
        std::iter::once(&head).chain(&self.rows).map(|row| line(row, &shown, &widths, columns)).collect()
    }
}

/// One row, cut at the width of the terminal.
fn line(row: &[Cell], shown: &[usize], widths: &[usize], columns: Option<usize>) -> String {
    let mut text = String::new();
    let mut used = 0;
    for (cell, room) in shown.iter().filter_map(|&at| Some((row.get(at)?, widths.get(at)?))) {
        // What is left of the terminal, for this cell and for the gap after it.
        let left = columns.map_or(usize::MAX, |columns| columns.saturating_sub(used));
        let shown = cut(&cell.text, (*room).min(left));
        let fill = (room + GAP).min(left).saturating_sub(width(&shown));
        used += width(&shown) + fill;
        text.push_str(&if cell.style == PLAIN || shown.is_empty() { shown } else { paint(cell.style, shown) });
        text.extend(std::iter::repeat_n(' ', fill));
    }
    text.truncate(text.trim_end().len());
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use super::super::style::GOOD;
    use super::*;

    fn table() -> Table {
        let mut table = Table::new(["STATUS", "WHAT", "N"], "WHAT");
        table.row([Cell::new(GOOD, "completed"), "Count the words of a long book".into(), 12.into()]);
        table.row([Cell::new(PLAIN, ""), "日本語".into(), 3.into()]);
        table
    }

    fn plain(text: &str) -> String {
        anstream::adapter::strip_str(text).to_string()
    }

    #[test]
    fn piped_it_is_whole() {
        assert_eq!(
            plain(&table().render(None)),
            "STATUS     WHAT                            N\n\
             completed  Count the words of a long book  12\n\
             \u{20}          日本語                          3\n"
        );
    }

    #[test]
    fn one_column_gives_way() {
        let text = plain(&table().render(Some(30)));
        assert_eq!(text.lines().nth(1), Some("completed  Count the word…  12"));
        assert!(text.lines().all(|line| width(line) <= 30), "{text}");
    }

    #[test]
    fn columns_are_left_out_before_text_is_unreadable() {
        let table = table().drops(&["N", "STATUS"]);
        let head = |columns| plain(&table.render(Some(columns))).lines().next().map(str::to_owned);
        assert_eq!(head(60).unwrap().split_whitespace().count(), 3);
        assert_eq!(head(43).unwrap(), "STATUS     WHAT");
        assert_eq!(head(20).unwrap(), "WHAT");
    }

    #[test]
    fn no_line_is_wider_than_the_terminal() {
        for columns in 1..60 {
            let text = plain(&table().render(Some(columns)));
            assert!(text.lines().all(|line| width(line) <= columns), "{columns}: {text}");
        }
    }
}
