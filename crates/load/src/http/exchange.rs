//! One request and its answer on one connection.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io::{self, Read};
use std::task::{Context, Poll, ready};

use tokio::io::ReadBuf;

use super::chunked::Decoder;
use super::connection::Connection;
use super::fault::Fault;
use super::head::{self, Framing, Head};
use super::request::Method;

/// One buffer for all connections of a thread: an answer that comes whole is parsed in it and never copied.
pub type Buffer = RefCell<Box<[u8]>>;

/// Its size: what most answers fit into, and what a core's second-level cache holds.
const BUFFER: usize = 64 << 10;

/// A buffer for a thread.
pub fn buffer() -> Buffer {
    RefCell::new(vec![0; BUFFER].into_boxed_slice())
}

/// What of an answer is needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Want {
    /// The method asked with: it decides where the answer ends.
    pub method: Method,
    /// Whether the head is kept, for extracting headers.
    pub head: bool,
    /// Whether the body is kept.
    pub body: bool,
    /// So many bytes one answer may hold, compressed and not.
    pub most: u64,
}

/// A complete answer.
#[derive(Debug)]
pub struct Answer {
    /// What its head says.
    pub head: Head,
    /// Bytes of its body as they came over the wire.
    pub bytes: u64,
    /// Its head as it came, when wanted.
    pub raw_head: Vec<u8>,
    /// Its body, decompressed, when wanted.
    pub body: Vec<u8>,
}

/// Sends the request and waits for the whole answer. After an error the connection is of no use any more.
///
/// # Errors
/// See [`Fault`]. `Closed(false)` and `Io` on a connection that was used before may only mean that the server had
/// closed it meanwhile.
pub async fn exchange(
    connection: &mut Connection,
    request: &[u8],
    want: Want,
    buffer: &Buffer,
) -> Result<Answer, Fault> {
    let mut written = 0;
    let mut reader = Reader::new(want);
    poll_fn(move |cx| {
        while written < request.len() {
            match connection.poll_write(cx, &request[written..]) {
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(Fault::Closed(false))),
                Poll::Ready(Ok(count)) => written += count,
                Poll::Ready(Err(error)) => return Poll::Ready(Err(Fault::io(&error))),
                Poll::Pending => {
                    // A server may answer before it has read everything, and hang up; its answer counts.
                    return reader.poll(connection, buffer, cx);
                }
            }
            if written == request.len()
                && let Poll::Ready(Err(error)) = connection.poll_flush(cx)
            {
                return Poll::Ready(Err(Fault::io(&error)));
            }
        }
        reader.poll(connection, buffer, cx)
    })
    .await
}

/// Reads one answer, however it comes in pieces.
struct Reader {
    want: Want,
    /// The head so far, while it is not complete.
    partial: Vec<u8>,
    raw_head: Vec<u8>,
    head: Option<Head>,
    body: Body,
    bytes: u64,
    kept: Vec<u8>,
}

enum Body {
    Left(u64),
    Chunks(Decoder),
    UntilClose,
}

impl Reader {
    const fn new(want: Want) -> Self {
        Self {
            want,
            partial: Vec::new(),
            raw_head: Vec::new(),
            head: None,
            body: Body::UntilClose,
            bytes: 0,
            kept: Vec::new(),
        }
    }

    fn poll(
        &mut self,
        connection: &mut Connection,
        buffer: &Buffer,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Answer, Fault>> {
        loop {
            // Given back before any other user runs: nothing waits while it is borrowed.
            let mut buffer = buffer.borrow_mut();
            let mut read = ReadBuf::new(&mut buffer);
            if let Err(error) = ready!(connection.poll_read(cx, &mut read)) {
                return Poll::Ready(Err(if self.has_begun() { Fault::Closed(true) } else { Fault::io(&error) }));
            }
            let filled = read.filled();
            let done = if filled.is_empty() { self.end() } else { self.feed(filled) };
            match done {
                Ok(true) => {
                    connection.used = true;
                    return Poll::Ready(self.answer());
                }
                Ok(false) => {}
                Err(fault) => return Poll::Ready(Err(fault)),
            }
        }
    }

    fn has_begun(&self) -> bool {
        self.head.is_some() || !self.partial.is_empty()
    }

    /// The connection ended: whether that ends the answer too.
    fn end(&self) -> Result<bool, Fault> {
        if self.head.is_some() && matches!(self.body, Body::UntilClose) {
            return Ok(true);
        }
        Err(Fault::Closed(self.has_begun()))
    }

    /// Takes bytes; whether the answer is complete.
    fn feed(&mut self, bytes: &[u8]) -> Result<bool, Fault> {
        if self.head.is_some() {
            return self.feed_body(bytes);
        }
        if self.partial.is_empty() {
            return self.feed_head(bytes);
        }
        let mut all = std::mem::take(&mut self.partial);
        all.extend_from_slice(bytes);
        self.feed_head(&all)
    }

    fn feed_head(&mut self, mut bytes: &[u8]) -> Result<bool, Fault> {
        let (length, head) = loop {
            match head::parse(bytes, self.want.method)? {
                None => {
                    self.partial = bytes.to_vec();
                    return Ok(false);
                }
                // Something on the way to an answer (100, 103): the answer comes after it.
                Some((length, head)) if (100..200).contains(&head.status) && head.status != 101 => {
                    bytes = &bytes[length..];
                }
                Some(found) => break found,
            }
        };
        // From here on it is no HTTP: what follows is handed on as it is.
        if head.status == 101 {
            self.raw_head = bytes[..length].to_vec();
            self.kept = bytes[length..].to_vec();
            self.head = Some(head);
            return Ok(true);
        }
        self.body = match head.framing {
            Framing::Length(length) => Body::Left(length),
            Framing::Chunked => Body::Chunks(Decoder::default()),
            Framing::UntilClose => Body::UntilClose,
        };
        if let Framing::Length(length) = head.framing
            && length > self.want.most
        {
            return Err(Fault::TooLarge(self.want.most));
        }
        if self.want.head {
            self.raw_head = bytes[..length].to_vec();
        }
        self.head = Some(head);
        self.feed_body(&bytes[length..])
    }

    fn feed_body(&mut self, bytes: &[u8]) -> Result<bool, Fault> {
        let keep = self.want.body;
        let (used, done) = match &mut self.body {
            Body::Left(left) => {
                let take = usize::try_from(*left).unwrap_or(usize::MAX).min(bytes.len());
                if keep {
                    self.kept.extend_from_slice(&bytes[..take]);
                }
                self.bytes += take as u64;
                *left -= take as u64;
                (take, *left == 0)
            }
            Body::UntilClose => {
                if keep {
                    self.kept.extend_from_slice(bytes);
                }
                self.bytes += bytes.len() as u64;
                (bytes.len(), false)
            }
            Body::Chunks(decoder) => {
                let (count, kept) = (&mut self.bytes, &mut self.kept);
                decoder.feed(bytes, |data| {
                    *count += data.len() as u64;
                    if keep {
                        kept.extend_from_slice(data);
                    }
                })?
            }
        };
        if self.bytes > self.want.most {
            return Err(Fault::TooLarge(self.want.most));
        }
        // More than the answer: nobody asked for it, so nothing after it can be trusted.
        if done
            && used < bytes.len()
            && let Some(head) = &mut self.head
        {
            head.keep_alive = false;
        }
        Ok(done)
    }

    fn answer(&mut self) -> Result<Answer, Fault> {
        let head = self.head.take().ok_or(Fault::Closed(false))?;
        let mut body = std::mem::take(&mut self.kept);
        if self.want.body && head.gzip && !body.is_empty() {
            body = unzip(&body, self.want.most)?;
        }
        Ok(Answer { head, bytes: self.bytes, raw_head: std::mem::take(&mut self.raw_head), body })
    }
}

/// Decompresses up to `most` bytes: a small answer can hold gigabytes.
pub(super) fn unzip(body: &[u8], most: u64) -> Result<Vec<u8>, Fault> {
    let mut plain = Vec::new();
    let unzipped: io::Result<usize> =
        flate2::read::MultiGzDecoder::new(body).take(most.saturating_add(1)).read_to_end(&mut plain);
    if unzipped.is_err() {
        return Err(Fault::Malformed("its gzip cannot be read"));
    }
    if plain.len() as u64 > most {
        return Err(Fault::TooLarge(most));
    }
    Ok(plain)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn read(pieces: &[&[u8]], most: u64) -> Result<Option<Answer>, Fault> {
        let mut reader = Reader::new(Want { method: Method::Get, head: true, body: true, most });
        for piece in pieces {
            if reader.feed(piece)? {
                return reader.answer().map(Some);
            }
        }
        Ok(None)
    }

    #[test]
    fn an_answer_in_one_piece_or_many() {
        let text = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";
        for pieces in [vec![text.as_slice()], text.chunks(1).collect(), text.chunks(7).collect()] {
            let answer = read(&pieces, 100).unwrap().unwrap();
            assert_eq!((answer.head.status, answer.bytes, answer.body.as_slice()), (200, 5, b"hello".as_slice()));
            assert!(answer.head.keep_alive && answer.raw_head.starts_with(b"HTTP/1.1 200"));
        }
    }

    #[test]
    fn what_follows_an_upgrade_is_kept() {
        let answer = read(&[b"HTTP/1.1 101 Switching Protocols\r\n", b"Upgrade: websocket\r\n\r\n\x81\0"], 100);
        let answer = answer.unwrap().unwrap();
        assert_eq!((answer.head.status, answer.body.as_slice()), (101, b"\x81\0".as_slice()));
        assert_eq!(head::header(&answer.raw_head, "upgrade").as_deref(), Some("websocket"));
    }

    #[test]
    fn more_than_the_answer_ends_the_connections_use() {
        let answer = read(&[b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nab"], 100).unwrap().unwrap();
        assert!(!answer.head.keep_alive);
    }

    #[test]
    fn an_answer_holds_only_so_much() {
        let large = b"HTTP/1.1 200 OK\r\nContent-Length: 101\r\n\r\n";
        assert_eq!(read(&[large], 100).unwrap_err(), Fault::TooLarge(100));
        let endless = [b"HTTP/1.1 200 OK\r\n\r\n".as_slice(), &[b'x'; 60], &[b'x'; 60]];
        assert_eq!(read(&endless, 100).unwrap_err(), Fault::TooLarge(100));
    }

    #[test]
    fn gzip_is_opened_and_bombs_are_not() {
        let mut zip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        zip.write_all(&[b'x'; 50_000]).unwrap();
        let zip = zip.finish().unwrap();
        let head = format!("HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: {}\r\n\r\n", zip.len());
        let answer = read(&[head.as_bytes(), &zip], 60_000).unwrap().unwrap();
        assert_eq!((answer.bytes, answer.body.len()), (zip.len() as u64, 50_000));
        assert_eq!(read(&[head.as_bytes(), &zip], 40_000).unwrap_err(), Fault::TooLarge(40_000));
        let bad = head.replace(&zip.len().to_string(), "3");
        assert!(matches!(read(&[bad.as_bytes(), b"abc"], 100), Err(Fault::Malformed(_))));
    }
}
