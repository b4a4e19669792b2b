//! Rows for templates, from CSV and JSON files.

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use rand::RngExt;
use serde_json::Value;

use super::extract::as_text;
use super::file::Order;

/// A data file in memory.
#[derive(Debug)]
pub struct Table {
    /// What templates call it.
    pub name: String,
    /// The names of its columns.
    pub columns: Vec<String>,
    rows: Vec<Vec<Box<str>>>,
    order: Order,
    /// Rows given out so far. Shared by all threads; it is touched once a task, and only by tasks that use the file.
    given: AtomicUsize,
}

impl Table {
    /// Reads a file; the suffix says what it is.
    ///
    /// # Errors
    /// A sentence that says what is wrong with it.
    pub fn read(name: &str, path: &Path, order: Order) -> Result<Self, String> {
        let shown = path.display();
        let text = std::fs::read_to_string(path).map_err(|error| format!("{shown} cannot be read: {error}"))?;
        let suffix = path.extension().and_then(|suffix| suffix.to_str()).unwrap_or_default().to_ascii_lowercase();
        let (columns, rows) = match suffix.as_str() {
            "csv" => from_csv(&text),
            "json" => from_json(&text),
            _ => Err("is neither a .csv nor a .json file".to_owned()),
        }
        .map_err(|why| format!("{shown} {why}"))?;
        if rows.is_empty() {
            return Err(format!("{shown} has no rows"));
        }
        Ok(Self { name: name.to_owned(), columns, rows, order, given: AtomicUsize::new(0) })
    }

    /// The row for the next task.
    pub fn next(&self) -> usize {
        match self.order {
            Order::Sequential => self.given.fetch_add(1, Ordering::Relaxed) % self.rows.len(),
            Order::Random => rand::rng().random_range(0..self.rows.len()),
        }
    }

    /// A cell.
    pub fn cell(&self, row: usize, column: usize) -> &str {
        &self.rows[row][column]
    }
}

type Rows = (Vec<String>, Vec<Vec<Box<str>>>);

fn from_csv(text: &str) -> Result<Rows, String> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut reader = csv::Reader::from_reader(text.as_bytes());
    let wrong = |error: csv::Error| format!("is no CSV: {error}");
    let columns = reader.headers().map_err(wrong)?.iter().map(|name| name.trim().to_owned()).collect();
    let mut rows = Vec::new();
    for record in reader.records() {
        rows.push(record.map_err(wrong)?.iter().map(Into::into).collect());
    }
    Ok((columns, rows))
}

fn from_json(text: &str) -> Result<Rows, String> {
    let objects: Vec<serde_json::Map<String, Value>> =
        serde_json::from_str(text).map_err(|error| format!("is no JSON list of objects: {error}"))?;
    let columns: Vec<String> = objects.first().map(|first| first.keys().cloned().collect()).unwrap_or_default();
    let mut rows = Vec::with_capacity(objects.len());
    for (index, object) in objects.iter().enumerate() {
        let cell = |column: &String| {
            let value = object.get(column).ok_or_else(|| format!("has no `{column}` in its object {}", index + 1))?;
            Ok::<Box<str>, String>(as_text(value).into())
        };
        rows.push(columns.iter().map(cell).collect::<Result<_, _>>()?);
    }
    Ok((columns, rows))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(name: &str, text: &str) -> Result<Table, String> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        Table::read("people", &path, Order::Sequential)
    }

    #[test]
    fn csv_and_json_say_the_same() {
        for table in [
            table("a.csv", "name,age\n\"Ann, B\",3\nCy,4\n").unwrap(),
            table("a.json", r#"[{"name": "Ann, B", "age": 3}, {"name": "Cy", "age": 4}]"#).unwrap(),
        ] {
            assert_eq!(table.columns, ["name", "age"]);
            assert_eq!([table.next(), table.next(), table.next()], [0, 1, 0]);
            assert_eq!((table.cell(0, 0), table.cell(1, 1)), ("Ann, B", "4"));
        }
    }

    #[test]
    fn mistakes_name_the_file() {
        for (name, text, why) in [
            ("a.txt", "x", "neither"),
            ("a.csv", "name\n", "no rows"),
            ("a.csv", "a,b\n1\n", "no CSV"),
            ("a.json", "{}", "no JSON list"),
            ("a.json", r#"[{"a": 1}, {"b": 1}]"#, "object 2"),
        ] {
            let error = table(name, text).unwrap_err();
            assert!(error.contains(why) && error.contains(name), "{error}");
        }
    }
}
