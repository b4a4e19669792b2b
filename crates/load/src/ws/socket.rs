//! An open WebSocket.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use tokio::io::ReadBuf;

use super::frame::{self, Kind};
use crate::http::connection::Connection;
use crate::http::exchange::Buffer;
use crate::http::fault::Fault;

/// So many messages wait to be looked at; then no more are read, and the server has to wait.
const INBOX: usize = 1_000;

/// With so many bytes that the server does not take, no more is read: every ping wants an answer.
const BACKLOG: usize = 64 << 10;

/// A message as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// When its last byte was read.
    pub at: Instant,
    /// Its content: a text's bytes are UTF-8.
    pub body: Vec<u8>,
}

/// An open WebSocket. Whatever is awaited on it may be dropped half-way: nothing is lost.
#[derive(Debug)]
pub struct Socket {
    connection: Connection,
    /// What came and is no whole frame yet.
    buffer: Vec<u8>,
    /// The message so far, when it comes in pieces, and what it is.
    partial: Option<(Kind, Vec<u8>)>,
    /// What is not sent yet.
    out: Vec<u8>,
    inbox: VecDeque<Message>,
    /// So many bytes one message may hold.
    most: u64,
    /// Why nothing more comes.
    over: Option<Fault>,
    /// Whether we have said goodbye.
    closing: bool,
}

impl Socket {
    /// On a connection that was upgraded; `rest` is what came behind the answer.
    pub fn new(connection: Connection, rest: Vec<u8>, most: u64) -> Self {
        Self {
            connection,
            buffer: rest,
            partial: None,
            out: Vec::new(),
            inbox: VecDeque::new(),
            most,
            over: None,
            closing: false,
        }
    }

    /// Sends a text.
    ///
    /// # Errors
    /// When the connection is broken or over.
    pub async fn send(&mut self, text: &str, buffer: &Buffer) -> Result<(), Fault> {
        if let Some(over) = &self.over {
            return Err(over.clone());
        }
        self.write(Kind::Text, text.as_bytes());
        poll_fn(|cx| {
            ready!(self.poll_flush(cx))?;
            Poll::Ready(Ok(()))
        })
        .await?;
        // What came meanwhile is noted with its time.
        poll_fn(|cx| {
            self.poll_read(cx, buffer);
            Poll::Ready(())
        })
        .await;
        Ok(())
    }

    /// The next message.
    ///
    /// # Errors
    /// When the server ends it, or sends what is no WebSocket.
    pub async fn receive(&mut self, buffer: &Buffer) -> Result<Message, Fault> {
        poll_fn(|cx| {
            if let Some(message) = self.inbox.pop_front() {
                return Poll::Ready(Ok(message));
            }
            self.poll_read(cx, buffer);
            match (self.inbox.pop_front(), &self.over) {
                (Some(message), _) => Poll::Ready(Ok(message)),
                (None, Some(over)) => Poll::Ready(Err(over.clone())),
                (None, None) => Poll::Pending,
            }
        })
        .await
    }

    /// Says goodbye and waits until the server has, too.
    ///
    /// # Errors
    /// When the connection breaks first.
    pub async fn close(&mut self, buffer: &Buffer) -> Result<(), Fault> {
        if self.over.is_none() {
            self.goodbye(1000);
        }
        poll_fn(|cx| {
            self.inbox.clear();
            self.poll_read(cx, buffer);
            match &self.over {
                None => Poll::Pending,
                Some(Fault::Closed(_) | Fault::SocketClosed(_)) => Poll::Ready(Ok(())),
                Some(fault) => Poll::Ready(Err(fault.clone())),
            }
        })
        .await
    }

    /// Reads what there is into the inbox, and answers pings. The task is woken when more comes, unless it is over.
    pub fn poll_read(&mut self, cx: &mut Context<'_>, buffer: &Buffer) {
        while self.over.is_none() && self.inbox.len() < INBOX {
            if let Err(fault) = self.take() {
                // The server shall know why (RFC 6455, section 7.1.7), as far as it still listens.
                self.goodbye(if matches!(fault, Fault::TooLarge(_)) { 1009 } else { 1002 });
                self.over = Some(fault);
                break;
            }
            // What was taken may want an answer.
            if let Poll::Ready(Err(fault)) = self.poll_flush(cx) {
                self.over = Some(fault);
                return;
            }
            if self.over.is_some() || self.inbox.len() >= INBOX || self.out.len() > BACKLOG {
                break;
            }
            let mut shared = buffer.borrow_mut();
            let mut read = ReadBuf::new(&mut shared);
            match self.connection.poll_read(cx, &mut read) {
                Poll::Pending => break,
                Poll::Ready(Err(error)) => self.over = Some(Fault::io(&error)),
                Poll::Ready(Ok(())) if read.filled().is_empty() => self.over = Some(Fault::SocketClosed(None)),
                Poll::Ready(Ok(())) => self.buffer.extend_from_slice(read.filled()),
            }
        }
        // A goodbye is answered before it ends.
        if self.over.is_some() && !self.out.is_empty() {
            let _ = self.poll_flush(cx);
        }
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Fault>> {
        if self.out.is_empty() {
            return Poll::Ready(Ok(()));
        }
        while !self.out.is_empty() {
            match ready!(self.connection.poll_write(cx, &self.out)) {
                Ok(0) => return Poll::Ready(Err(Fault::Closed(false))),
                Ok(count) => drop(self.out.drain(..count)),
                Err(error) => return Poll::Ready(Err(Fault::io(&error))),
            }
        }
        // A socket that rests keeps no memory.
        self.out = Vec::new();
        self.connection.poll_flush(cx).map_err(|error| Fault::io(&error))
    }

    /// Takes every whole frame out of the buffer.
    fn take(&mut self) -> Result<(), Fault> {
        let mut at = 0;
        while self.inbox.len() < INBOX && self.over.is_none() {
            let Some(header) = frame::header(&self.buffer[at..])? else { break };
            let so_far = self.partial.as_ref().map_or(0, |(_, partial)| partial.len() as u64);
            if so_far.saturating_add(header.length) > self.most {
                return Err(Fault::TooLarge(self.most));
            }
            let from = at + header.from;
            // Not above `most`; where that is more than memory holds, the frame never becomes whole.
            let to = from.saturating_add(usize::try_from(header.length).unwrap_or(usize::MAX));
            let Some(content) = self.buffer.get(from..to) else { break };
            let content = content.to_vec();
            at = to;
            self.frame(header.kind, header.last, content)?;
        }
        if at == self.buffer.len() {
            self.buffer = Vec::new();
        } else if at > 0 {
            self.buffer.drain(..at);
        }
        Ok(())
    }

    fn frame(&mut self, kind: Kind, last: bool, content: Vec<u8>) -> Result<(), Fault> {
        let whole = match (kind, self.partial.take()) {
            (Kind::Ping, partial) => {
                self.partial = partial;
                self.write(Kind::Pong, &content);
                return Ok(());
            }
            (Kind::Pong, partial) => {
                self.partial = partial;
                return Ok(());
            }
            (Kind::Close, _) => {
                let code = content.get(..2).and_then(|code| <[u8; 2]>::try_from(code).ok()).map(u16::from_be_bytes);
                self.goodbye(code.unwrap_or(1000));
                self.over = Some(Fault::SocketClosed(code));
                return Ok(());
            }
            (Kind::Continuation, None) => return Err(Fault::Malformed("a piece of a message that has not begun")),
            (Kind::Continuation, Some((kind, mut partial))) => {
                partial.extend_from_slice(&content);
                (kind, partial)
            }
            (_, Some(_)) => return Err(Fault::Malformed("a message begins before the one before has ended")),
            (kind, None) => (kind, content),
        };
        if !last {
            self.partial = Some(whole);
            return Ok(());
        }
        let (kind, body) = whole;
        if kind == Kind::Text && std::str::from_utf8(&body).is_err() {
            return Err(Fault::Malformed("a text is no UTF-8"));
        }
        self.inbox.push_back(Message { at: Instant::now(), body });
        Ok(())
    }

    fn goodbye(&mut self, code: u16) {
        if !std::mem::replace(&mut self.closing, true) {
            self.write(Kind::Close, &code.to_be_bytes());
        }
    }

    fn write(&mut self, kind: Kind, content: &[u8]) {
        frame::write(kind, content, rand::random(), &mut self.out);
    }
}
