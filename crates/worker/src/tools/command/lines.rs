//! Bytes into lines of log: bounded memory whatever a program prints, and text that is safe to pass on.

use std::borrow::Cow;
use std::fmt::Write as _;

use regatta_api::limits;

/// One line as it was printed, without its line break.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Line<'a> {
    /// The line, or its beginning when it is longer than is kept.
    pub kept: &'a [u8],
    /// Its length in bytes.
    pub length: usize,
    /// Its last byte, also of a line that is not kept whole.
    pub last: Option<u8>,
}

/// Splits what a program prints into lines.
#[derive(Debug)]
pub struct Splitter {
    /// How much of a line to keep, in bytes.
    keep: usize,
    /// The beginning of a line whose end has not come yet.
    open: Vec<u8>,
    length: usize,
    last: Option<u8>,
}

impl Splitter {
    /// Lines of which at most `keep` bytes are kept.
    pub fn new(keep: usize) -> Self {
        Self { keep, open: Vec::new(), length: 0, last: None }
    }

    /// Takes what was printed, and hands over each line that is complete.
    pub fn push(&mut self, mut bytes: &[u8], mut line: impl FnMut(Line<'_>)) {
        while let Some(end) = bytes.iter().position(|byte| *byte == b'\n') {
            if self.length == 0 {
                // Most lines: within what was read at once, and not copied.
                line(trimmed(&bytes[..end], end, bytes[..end].last(), self.keep));
            } else {
                self.hold(&bytes[..end]);
                self.hand_over(&mut line);
            }
            bytes = &bytes[end + 1..];
        }
        self.hold(bytes);
    }

    /// The program is done: a last line without a line break counts too.
    pub fn finish(&mut self, mut line: impl FnMut(Line<'_>)) {
        if self.length > 0 {
            self.hand_over(&mut line);
        }
    }

    fn hold(&mut self, bytes: &[u8]) {
        let room = self.keep.saturating_sub(self.open.len());
        self.open.extend_from_slice(&bytes[..bytes.len().min(room)]);
        self.length += bytes.len();
        self.last = bytes.last().copied().or(self.last);
    }

    fn hand_over(&mut self, line: &mut impl FnMut(Line<'_>)) {
        line(trimmed(&self.open, self.length, self.last.as_ref(), self.keep));
        self.open.clear();
        self.open.shrink_to(64 << 10);
        self.length = 0;
        self.last = None;
    }
}

/// Without the carriage return of a Windows line break.
fn trimmed<'a>(kept: &'a [u8], length: usize, last: Option<&u8>, keep: usize) -> Line<'a> {
    if last == Some(&b'\r') && kept.len() == length {
        let kept = &kept[..length - 1];
        return Line { kept: &kept[..kept.len().min(keep)], length: length - 1, last: kept.last().copied() };
    }
    Line { kept: &kept[..kept.len().min(keep)], length, last: last.copied() }
}

/// Bytes as text: what is not UTF-8, and U+0000, become U+FFFD.
pub fn text(bytes: &[u8]) -> Cow<'_, str> {
    match String::from_utf8_lossy(bytes) {
        text if text.contains('\0') => text.replace('\0', "\u{FFFD}").into(),
        text => text,
    }
}

/// As much of the beginning of a text as fits this many bytes.
pub fn beginning(text: &str, most: usize) -> &str {
    let mut at = most.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    &text[..at]
}

/// As much of the end of a text as fits this many bytes.
pub fn end(text: &str, most: usize) -> &str {
    let mut at = text.len().saturating_sub(most);
    while !text.is_char_boundary(at) {
        at += 1;
    }
    &text[at..]
}

impl Line<'_> {
    /// The line as a message of log: at most [`limits::LOG_LINE_BYTES`] long, with a mark where it was cut.
    pub fn message(&self) -> String {
        if self.length <= limits::LOG_LINE_BYTES {
            let text = text(self.kept);
            if text.len() <= limits::LOG_LINE_BYTES {
                return text.into_owned();
            }
        }
        let mut mark = String::new();
        let _ = write!(mark, " … [cut, the line has {} bytes]", self.length);
        let room = limits::LOG_LINE_BYTES - mark.len();
        // Each bad byte grows to three.
        let text = text(&self.kept[..self.kept.len().min(room)]);
        let mut message = beginning(&text, room).to_owned();
        message.push_str(&mark);
        message
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(chunks: &[&[u8]], keep: usize) -> Vec<(String, usize)> {
        let mut lines = Vec::new();
        let mut splitter = Splitter::new(keep);
        let mut take = |line: Line<'_>| lines.push((text(line.kept).into_owned(), line.length));
        for chunk in chunks {
            splitter.push(chunk, &mut take);
        }
        splitter.finish(&mut take);
        lines
    }

    #[test]
    fn lines_are_the_same_however_the_bytes_come() {
        let bytes: &[u8] = b"one\ntwo\r\n\nlast without a break";
        let whole = split(&[bytes], 100);
        assert_eq!(
            whole.iter().map(|line| line.0.as_str()).collect::<Vec<_>>(),
            ["one", "two", "", "last without a break"]
        );
        for at in 0..bytes.len() {
            assert_eq!(split(&[&bytes[..at], &bytes[at..]], 100), whole, "{at}");
        }
        let single: Vec<&[u8]> = bytes.chunks(1).collect();
        assert_eq!(split(&single, 100), whole);
    }

    #[test]
    fn a_long_line_is_counted_and_not_kept() {
        let chunk = [b'x'; 1000];
        let mut splitter = Splitter::new(64);
        let mut seen = None;
        for _ in 0..100 {
            splitter.push(&chunk, |_| panic!("no line has ended"));
            assert!(splitter.open.capacity() <= 2 * 64);
        }
        splitter.push(b"}\nnext", |line| {
            seen = Some((line.kept.len(), line.length, line.last));
        });
        assert_eq!(seen, Some((64, 100_001, Some(b'}'))));
    }

    #[test]
    fn bad_bytes_and_zero_become_the_replacement_character() {
        assert_eq!(text(b"a\0b\xffc"), "a\u{FFFD}b\u{FFFD}c");
    }

    #[test]
    fn a_message_is_cut_with_a_mark_and_stays_within_the_limit() {
        let long = "ä".repeat(limits::LOG_LINE_BYTES);
        let bad = vec![0xff; limits::LOG_LINE_BYTES];
        for bytes in [long.as_bytes(), &bad] {
            let line = Line { kept: bytes, length: bytes.len(), last: bytes.last().copied() };
            let message = line.message();
            assert!(message.len() <= limits::LOG_LINE_BYTES);
            assert!(message.len() > limits::LOG_LINE_BYTES - 8);
            assert!(message.ends_with(&format!("[cut, the line has {} bytes]", bytes.len())));
        }
        let fits = "x".repeat(limits::LOG_LINE_BYTES);
        let line = Line { kept: fits.as_bytes(), length: fits.len(), last: None };
        assert_eq!(line.message(), fits);
    }
}
