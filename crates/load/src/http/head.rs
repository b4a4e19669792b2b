//! The head of an answer: status, and the few headers that say where it ends and what to do with it.

use std::mem::MaybeUninit;

use super::fault::Fault;
use super::request::Method;

/// A head longer than this is refused.
pub const LONGEST: usize = 64 << 10;
/// So many headers one may have.
const HEADERS: usize = 100;

/// Where the body of an answer ends (RFC 9112, section 6.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// After so many bytes.
    Length(u64),
    /// With its last chunk.
    Chunked,
    /// With the connection.
    UntilClose,
}

/// What a head says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// The status.
    pub status: u16,
    /// Where the body ends.
    pub framing: Framing,
    /// Whether the connection may be used again.
    pub keep_alive: bool,
    /// Whether the body is compressed with gzip.
    pub gzip: bool,
    /// Where a redirect leads to.
    pub location: Option<String>,
    /// `Server-Timing`, as it came.
    pub timing: Option<String>,
}

/// Parses a head at the beginning of `bytes`; with the number of bytes it takes, `None` while it is not complete.
///
/// # Errors
/// When it is no HTTP/1 answer, or too long.
pub fn parse(bytes: &[u8], method: Method) -> Result<Option<(usize, Head)>, Fault> {
    let mut headers = [const { MaybeUninit::uninit() }; HEADERS];
    let mut response = httparse::Response::new(&mut []);
    let config = httparse::ParserConfig::default();
    let length = match config.parse_response_with_uninit_headers(&mut response, bytes, &mut headers) {
        Ok(httparse::Status::Complete(length)) => length,
        Ok(httparse::Status::Partial) if bytes.len() > LONGEST => {
            return Err(Fault::Malformed("its head does not end"));
        }
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(httparse::Error::TooManyHeaders) => return Err(Fault::Malformed("it has more than 100 headers")),
        Err(httparse::Error::Version) => return Err(Fault::Malformed("it is no HTTP/1 answer")),
        Err(httparse::Error::Status) => return Err(Fault::Malformed("it has no status")),
        Err(_) => return Err(Fault::Malformed("its head cannot be read")),
    };
    let status = response.code.unwrap_or_default();
    let mut head = Head {
        status,
        framing: Framing::UntilClose,
        keep_alive: response.version == Some(1),
        gzip: false,
        location: None,
        timing: None,
    };
    let mut content_length = None;
    let mut chunked = false;
    for header in response.headers.iter() {
        let (name, value) = (header.name, header.value);
        // By length first: most headers are none of these.
        match name.len() {
            8 if (300..400).contains(&status) && name.eq_ignore_ascii_case("location") => head.location = text(value),
            10 if name.eq_ignore_ascii_case("connection") => {
                if has_word(value, b"close") {
                    head.keep_alive = false;
                } else if has_word(value, b"keep-alive") {
                    head.keep_alive = true;
                }
            }
            13 if name.eq_ignore_ascii_case("server-timing") => match &mut head.timing {
                None => head.timing = text(value),
                Some(timing) => {
                    if let Some(more) = text(value) {
                        timing.push(',');
                        timing.push_str(&more);
                    }
                }
            },
            14 if name.eq_ignore_ascii_case("content-length") => {
                let length = number(value)?;
                if content_length.is_some_and(|before| before != length) {
                    return Err(Fault::Malformed("it has two lengths"));
                }
                content_length = Some(length);
            }
            16 if name.eq_ignore_ascii_case("content-encoding") => head.gzip = has_word(value, b"gzip"),
            17 if name.eq_ignore_ascii_case("transfer-encoding") => {
                chunked = has_word(value, b"chunked");
                if !chunked {
                    return Err(Fault::Malformed("its transfer encoding is not chunked"));
                }
            }
            _ => {}
        }
    }
    head.framing = if method == Method::Head || matches!(status, 100..=199 | 204 | 304) {
        Framing::Length(0)
    } else if chunked {
        Framing::Chunked
    } else if let Some(length) = content_length {
        Framing::Length(length)
    } else {
        head.keep_alive = false;
        Framing::UntilClose
    };
    Ok(Some((length, head)))
}

/// The value of a header in the bytes of a head that was parsed before.
pub fn header(head: &[u8], name: &str) -> Option<String> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS];
    let mut response = httparse::Response::new(&mut headers);
    response.parse(head).ok()?;
    response.headers.iter().find(|header| header.name.eq_ignore_ascii_case(name)).and_then(|header| text(header.value))
}

fn text(value: &[u8]) -> Option<String> {
    Some(String::from_utf8_lossy(value).trim().to_owned())
}

fn has_word(value: &[u8], word: &[u8]) -> bool {
    value.split(|byte| *byte == b',').any(|part| part.trim_ascii().eq_ignore_ascii_case(word))
}

fn number(value: &[u8]) -> Result<u64, Fault> {
    let digits = value.trim_ascii();
    // Digits only: `parse` would also take a sign.
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return Err(Fault::Malformed("its length is no number"));
    }
    std::str::from_utf8(digits)
        .ok()
        .and_then(|digits| digits.parse().ok())
        .ok_or(Fault::Malformed("its length is no number"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(text: &str) -> Result<Option<(usize, Head)>, Fault> {
        parse(text.as_bytes(), Method::Get)
    }

    #[test]
    fn where_an_answer_ends() {
        for (text, framing, keep_alive) in [
            ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", Framing::Length(5), true),
            ("HTTP/1.1 200\r\ncontent-length: 0\r\nConnection: close\r\n\r\n", Framing::Length(0), false),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", Framing::Chunked, true),
            ("HTTP/1.1 200 OK\r\n\r\n", Framing::UntilClose, false),
            ("HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\n", Framing::Length(1), false),
            ("HTTP/1.1 204 No Content\r\nContent-Length: 9\r\n\r\n", Framing::Length(0), true),
        ] {
            let (length, head) = head(text).unwrap().unwrap();
            assert_eq!((length, head.framing, head.keep_alive), (text.len(), framing, keep_alive), "{text}");
        }
        let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n";
        assert_eq!(parse(answer, Method::Head).unwrap().unwrap().1.framing, Framing::Length(0));
    }

    #[test]
    fn pieces_wait_and_nonsense_is_refused() {
        assert_eq!(head("HTTP/1.1 200 OK\r\nConte").unwrap(), None);
        for text in [
            "SSH-2.0-OpenSSH\r\n\r\n",
            "HTTP/1.1 abc\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: +1\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\n",
        ] {
            assert!(matches!(head(text), Err(Fault::Malformed(_))), "{text}");
        }
        let endless = format!("HTTP/1.1 200 OK\r\nX: {}", "x".repeat(LONGEST));
        assert_eq!(head(&endless), Err(Fault::Malformed("its head does not end")));
    }

    #[test]
    fn one_header_of_a_head() {
        let bytes = b"HTTP/1.1 201 Created\r\nLocation: /tasks/1\r\n\r\n";
        assert_eq!(header(bytes, "location").as_deref(), Some("/tasks/1"));
        assert_eq!(header(bytes, "etag"), None);
    }
}
