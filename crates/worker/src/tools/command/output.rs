//! What of a program's output is its result: the file `$REGATTA_OUTPUT`, else the last line of stdout that is a JSON object, else
//! the end of stdout as text.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use regatta_api::{JsonObject, limits};
use serde_json::Value;

use super::lines::{self, Line};

/// How much of the end of stdout is kept as text, in bytes.
const TAIL: usize = 64 << 10;

/// The longest line that can be a result.
pub const LINE_KEPT: usize = limits::RESULT_BYTES;

/// What a program printed, as far as its result may need it.
#[derive(Debug, Default)]
pub struct Printed {
    tail: Vec<u8>,
    object: Option<LastObject>,
}

#[derive(Debug)]
enum LastObject {
    Text(Vec<u8>),
    TooLong(usize),
}

impl Printed {
    /// Takes bytes of stdout as they come.
    pub fn bytes(&mut self, bytes: &[u8]) {
        self.tail.extend_from_slice(bytes);
        if self.tail.len() > 2 * TAIL {
            self.tail.drain(..self.tail.len() - TAIL);
        }
    }

    /// Takes a line of stdout: the last that is a JSON object is remembered.
    pub fn line(&mut self, line: &Line<'_>) {
        let start = line.kept.trim_ascii_start();
        if start.first() != Some(&b'{') {
            return;
        }
        if line.length > line.kept.len() {
            if line.last == Some(b'}') {
                self.object = Some(LastObject::TooLong(line.length));
            }
            return;
        }
        let text = start.trim_ascii_end();
        // Only looked through, not built: most such lines are not the last.
        if text.last() == Some(&b'}') && serde_json::from_slice::<serde::de::IgnoredAny>(text).is_ok() {
            self.object = Some(LastObject::Text(text.to_vec()));
        }
    }

    /// The end of stdout, as text.
    fn tail(&self) -> String {
        let from = self.tail.len().saturating_sub(TAIL);
        let text = lines::text(&self.tail[from..]);
        // Bad bytes grow; a cut character at the beginning is one of them.
        lines::end(&text, TAIL).to_owned()
    }

    /// The end of stdout as a result.
    fn as_text(&self) -> JsonObject {
        JsonObject::from_iter([("stdout".to_owned(), self.tail().into())])
    }

    /// The result, and what is to be said about a file that is none.
    ///
    /// # Errors
    /// A sentence when the file or the line is longer than a result may be.
    pub fn result(self, file: &OutputFile) -> Result<(JsonObject, Option<String>), String> {
        let (written, mut complaint) = match file.read()? {
            Written::Object(object) => (Some(object), None),
            Written::Nothing => (None, None),
            Written::Other(reason) => (
                None,
                Some(format!("what was written to $REGATTA_OUTPUT is no JSON object and not the result: {reason}")),
            ),
        };
        let found = match written {
            Some(object) => object,
            None => match self.object {
                Some(LastObject::TooLong(length)) => {
                    return Err(too_large("the last line of stdout that is a JSON object", length));
                }
                Some(LastObject::Text(ref text)) => serde_json::from_slice(text).unwrap_or_else(|error| {
                    // It was only looked through: deeper than can be built, for example.
                    complaint = Some(format!("the last line of stdout that looks like a result is none: {error}"));
                    self.as_text()
                }),
                None => self.as_text(),
            },
        };
        let found = without_zero(found);
        let length = serde_json::to_vec(&found).map_or(0, |text| text.len());
        if length > limits::RESULT_BYTES {
            return Err(too_large("the result", length));
        }
        Ok((found, complaint))
    }
}

fn too_large(what: &str, length: usize) -> String {
    format!(
        "{what} has {length} bytes; a result has at most {} (1 MiB): write what is larger to a file and give its path",
        limits::RESULT_BYTES
    )
}

/// U+0000 becomes U+FFFD, as everywhere in logs and outputs.
fn without_zero(object: JsonObject) -> JsonObject {
    fn clean(text: String) -> String {
        if text.contains('\0') { text.replace('\0', "\u{FFFD}") } else { text }
    }
    fn value(one: Value) -> Value {
        match one {
            Value::String(text) => clean(text).into(),
            Value::Array(items) => items.into_iter().map(value).collect(),
            Value::Object(object) => without_zero(object).into(),
            other => other,
        }
    }
    object.into_iter().map(|(key, one)| (clean(key), value(one))).collect()
}

/// The file a program may write its result to.
#[derive(Debug)]
pub struct OutputFile {
    path: PathBuf,
    /// What was there before the program ran: left untouched, it is no result of this run.
    before: Option<(SystemTime, u64)>,
    /// Whether the file is ours to delete.
    temporary: bool,
}

impl OutputFile {
    /// A file of this attempt's own, deleted afterwards. `folder` exists.
    pub fn temporary(folder: &Path, name: &str) -> Self {
        Self { path: folder.join(name), before: None, temporary: true }
    }

    /// A file that the step names, and that stays.
    pub fn named(path: PathBuf) -> Self {
        Self { before: state(&path), path, temporary: false }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn read(&self) -> Result<Written, String> {
        let now = state(&self.path);
        let Some((_, length)) = now else {
            return Ok(Written::Nothing);
        };
        if length == 0 || (!self.temporary && now == self.before) {
            return Ok(Written::Nothing);
        }
        // JSON of a result may be written with spaces; four times its limit is no result whatever it holds.
        if length > 4 * limits::RESULT_BYTES as u64 {
            return Err(too_large("the file $REGATTA_OUTPUT", length as usize));
        }
        let read = fs::read(&self.path).map_err(|error| error.to_string());
        let parsed = read.and_then(|text| serde_json::from_slice(&text).map_err(|error| error.to_string()));
        Ok(parsed.map_or_else(Written::Other, Written::Object))
    }
}

/// What a program left in the file.
enum Written {
    Nothing,
    Object(JsonObject),
    /// Something that is no result, and why.
    Other(String),
}

impl Drop for OutputFile {
    fn drop(&mut self) {
        if self.temporary {
            // Most programs write none.
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn state(path: &Path) -> Option<(SystemTime, u64)> {
    let metadata = fs::metadata(path).ok().filter(fs::Metadata::is_file)?;
    Some((metadata.modified().ok()?, metadata.len()))
}

#[cfg(test)]
mod tests {
    use super::super::lines::Splitter;
    use super::*;

    fn printed(text: &[u8]) -> Printed {
        let mut printed = Printed::default();
        let mut splitter = Splitter::new(LINE_KEPT);
        for chunk in text.chunks(4096) {
            printed.bytes(chunk);
            splitter.push(chunk, |line| printed.line(&line));
        }
        splitter.finish(|line| printed.line(&line));
        printed
    }

    fn no_file() -> OutputFile {
        OutputFile::temporary(Path::new("/nonexistent"), "none")
    }

    fn result(text: &[u8]) -> Result<JsonObject, String> {
        printed(text).result(&no_file()).map(|(found, _)| found)
    }

    #[test]
    fn the_last_line_that_is_an_object_is_the_result() {
        let found = result(b"{\"a\":1}\n  {\"b\": 2} \r\ndone\n{not json}\n[3]").unwrap();
        assert_eq!(Value::from(found).to_string(), r#"{"b":2}"#);
    }

    #[test]
    fn an_object_that_is_too_deep_is_no_result_and_no_failure() {
        let deep = format!("{{\"a\":{}1{}}}", "[".repeat(200), "]".repeat(200));
        let (found, complaint) = printed(deep.as_bytes()).result(&no_file()).unwrap();
        assert_eq!(found["stdout"], deep);
        assert!(complaint.unwrap().contains("recursion limit"));
    }

    #[test]
    fn without_one_the_end_of_stdout_is() {
        assert_eq!(result(b"").unwrap()["stdout"], "");
        assert_eq!(result(b"7 book.txt\n").unwrap()["stdout"], "7 book.txt\n");
        let mut long = "ä".repeat(200_000);
        long.push_str("the end");
        let found = result(long.as_bytes()).unwrap();
        let text = found["stdout"].as_str().unwrap();
        assert!(text.len() <= TAIL && text.len() > TAIL - 8 && text.ends_with("äthe end"));
    }

    #[test]
    fn a_result_over_the_limit_is_a_clear_failure() {
        let long = format!("{{\"x\":\"{}\"}}\n", "y".repeat(limits::RESULT_BYTES));
        let error = result(long.as_bytes()).unwrap_err();
        assert!(error.contains("last line of stdout") && error.contains("1 MiB"), "{error}");
        // A later object that fits is the last one.
        let found = result(format!("{long}{{\"ok\":true}}\n").as_bytes()).unwrap();
        assert_eq!(found["ok"], true);
    }

    #[test]
    fn the_file_wins_when_it_holds_an_object() {
        let folder = tempfile::tempdir().unwrap();
        let file = OutputFile::temporary(folder.path(), "out.json");
        assert_eq!(printed(b"{\"a\":1}").result(&file).unwrap().0["a"], 1);
        fs::write(file.path(), "{\n  \"from\": \"file\\u0000\"\n}\n").unwrap();
        let (found, complaint) = printed(b"{\"a\":1}").result(&file).unwrap();
        assert_eq!(complaint, None);
        assert_eq!(Value::from(found).to_string(), "{\"from\":\"file\u{FFFD}\"}");
        for none in [&b"no object"[..], b"[1]", b"{\"name\": \"caf\xe9\"}"] {
            fs::write(file.path(), none).unwrap();
            let (found, complaint) = printed(b"{\"a\":1}").result(&file).unwrap();
            assert_eq!(found["a"], 1);
            assert!(complaint.is_some_and(|text| text.contains("$REGATTA_OUTPUT is no JSON object")), "{none:?}");
        }
        fs::write(file.path(), vec![b' '; 5 << 20]).unwrap();
        assert!(printed(b"").result(&file).unwrap_err().contains("REGATTA_OUTPUT"));
        let path = file.path().to_owned();
        drop(file);
        assert!(!path.exists());
    }

    #[test]
    fn a_named_file_counts_only_when_this_run_wrote_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("report.json");
        fs::write(&path, "{\"old\":1}").unwrap();
        let file = OutputFile::named(path.clone());
        assert!(printed(b"").result(&file).unwrap().0.contains_key("stdout"));
        fs::write(&path, "{\"brand\":\"new\"}").unwrap();
        assert_eq!(printed(b"").result(&file).unwrap().0["brand"], "new");
        drop(file);
        assert!(path.exists());
    }
}
