//! Chunked bodies (RFC 9112, section 7.1), decoded piece by piece as they come.

use super::fault::Fault;

/// A line of sizes or trailers longer than this is refused.
const LONGEST_LINE: usize = 8 << 10;

/// Where in a chunked body we are.
#[derive(Debug, Default)]
pub struct Decoder {
    state: State,
    /// Bytes of the current line so far: an endless one must end somewhere.
    line: usize,
}

#[derive(Debug, Default, Clone, Copy, PartialEq)]
enum State {
    /// In a size; whether a digit was there.
    #[default]
    Start,
    Size(u64),
    /// In what follows a size up to the end of its line.
    Extension(u64),
    Data(u64),
    /// Between a chunk's data and the next size.
    AfterData,
    /// At the beginning of a line of trailers.
    Trailer,
    /// Within one.
    InTrailer,
    Done,
}

impl Decoder {
    /// Takes bytes, gives `data` what is body; with the number of bytes that belong to this answer and whether it
    /// is complete.
    ///
    /// # Errors
    /// When the bytes are not chunked.
    pub fn feed(&mut self, bytes: &[u8], mut data: impl FnMut(&[u8])) -> Result<(usize, bool), Fault> {
        let mut at = 0;
        while at < bytes.len() {
            if let State::Data(left) = self.state {
                let take = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len() - at);
                data(&bytes[at..at + take]);
                at += take;
                let left = left - take as u64;
                self.state = if left == 0 { State::AfterData } else { State::Data(left) };
                continue;
            }
            let byte = bytes[at];
            at += 1;
            self.line += 1;
            if self.line > LONGEST_LINE {
                return Err(Fault::Malformed("a line of its chunks does not end"));
            }
            self.state = self.step(byte)?;
            if byte == b'\n' {
                self.line = 0;
            }
            if self.state == State::Done {
                return Ok((at, true));
            }
        }
        Ok((at, false))
    }

    fn step(&self, byte: u8) -> Result<State, Fault> {
        let bad = Fault::Malformed("its chunks cannot be read");
        let size = |before: u64| {
            let digit = (byte as char).to_digit(16).map(u64::from);
            digit.and_then(|digit| before.checked_mul(16)?.checked_add(digit))
        };
        let end = |size| if size == 0 { State::Trailer } else { State::Data(size) };
        Ok(match (self.state, byte) {
            (State::Start, _) => State::Size(size(0).ok_or(bad)?),
            (State::Size(size) | State::Extension(size), b'\n') => end(size),
            (State::Size(size), b'\r' | b';' | b' ' | b'\t') => State::Extension(size),
            (State::Size(before), _) => State::Size(size(before).ok_or(bad)?),
            (State::Extension(size), _) => State::Extension(size),
            (State::AfterData, b'\r') => State::AfterData,
            (State::AfterData, b'\n') => State::Start,
            (State::Trailer, b'\r') => State::Trailer,
            (State::Trailer, b'\n') => State::Done,
            (State::InTrailer, b'\n') => State::Trailer,
            (State::Trailer | State::InTrailer, _) => State::InTrailer,
            _ => return Err(bad),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode(pieces: &[&[u8]]) -> Result<(Vec<u8>, bool), Fault> {
        let (mut decoder, mut body, mut done) = (Decoder::default(), Vec::new(), false);
        for piece in pieces {
            done = decoder.feed(piece, |data| body.extend_from_slice(data))?.1;
        }
        Ok((body, done))
    }

    #[test]
    fn whole_and_byte_by_byte() {
        let text = b"5;x=y\r\nhello\r\n1\r\n \r\nA\r\n0123456789\r\n0\r\nTrailer: 1\r\n\r\n";
        assert_eq!(decode(&[text]).unwrap(), (b"hello 0123456789".to_vec(), true));
        let bytes: Vec<&[u8]> = text.chunks(1).collect();
        assert_eq!(decode(&bytes).unwrap(), (b"hello 0123456789".to_vec(), true));
        assert!(!decode(&[&text[..text.len() - 1]]).unwrap().1);
    }

    #[test]
    fn what_follows_is_not_eaten() {
        let (used, done) = Decoder::default().feed(b"0\r\n\r\nHTTP/1.1", |_| ()).unwrap();
        assert_eq!((used, done), (5, true));
    }

    #[test]
    fn nonsense_is_refused() {
        for text in [b"xyz\r\n".as_slice(), b"\r\n", b"fffffffffffffffff\r\n", b"1\r\nab"] {
            assert!(decode(&[text]).is_err(), "{text:?}");
        }
        assert!(decode(&[&[b'0'; LONGEST_LINE + 1]]).is_err());
    }
}
