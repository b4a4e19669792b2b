//! A worker's line to the server: assignments in, reports out.
//!
//! When to connect again, and the order of frames (`resume` after `connected`), are the worker's business.

use std::sync::{Arc, OnceLock};

use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt, StreamExt};
use regatta_api::frames::worker::{ServerFrame, WorkerFrame};
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use uuid::Uuid;

use super::closed::Closed;
use super::incoming::{CLOSING, Incoming, parse};
use super::socket::{Socket, broken, connect, message};
use crate::{Client, Error, Result};

impl Client {
    /// Opens a worker's line; one attempt.
    ///
    /// # Errors
    /// [`Error::Unreachable`] without a connection; [`Error::Problem`] with 404 for an unknown worker, 409 for one that is
    /// unregistered.
    pub async fn worker_line(&self, worker: Uuid) -> Result<WorkerLine> {
        let socket = connect(&self.inner, &format!("/workers/{worker}/ws"), "").await?;
        let (sink, stream) = socket.split();
        let reader = WorkerLineReader { incoming: Incoming::new(stream) };
        let writer = WorkerLineWriter { sink, closed: Arc::clone(reader.incoming.closed()) };
        Ok(WorkerLine { reader, writer })
    }
}

/// A worker's line.
pub struct WorkerLine {
    reader: WorkerLineReader,
    writer: WorkerLineWriter,
}

impl WorkerLine {
    /// See [`WorkerLineReader::recv`].
    ///
    /// # Errors
    /// See there.
    pub async fn recv(&mut self) -> Result<Option<ServerFrame>> {
        self.reader.recv().await
    }

    /// See [`WorkerLineWriter::send`].
    ///
    /// # Errors
    /// See there.
    pub async fn send(&mut self, frame: &WorkerFrame) -> Result<()> {
        self.writer.send(frame).await
    }

    /// How the line ended; `None` while it is open.
    pub fn closed(&self) -> Option<&Closed> {
        self.reader.closed()
    }

    /// The halves, for two tasks.
    pub fn split(self) -> (WorkerLineReader, WorkerLineWriter) {
        (self.reader, self.writer)
    }

    /// Closes the line in order (close code 1000).
    pub async fn close(mut self) {
        self.writer.close().await;
        // Reading on until the server's answer ends the handshake; a frame that still comes is not wanted any more.
        let _ = timeout(CLOSING, async { while let Ok(Some(_)) = self.reader.recv().await {} }).await;
    }
}

/// The half of a line that reads. It must be read all the time: reading answers the server's pings.
pub struct WorkerLineReader {
    incoming: Incoming<SplitStream<Socket>>,
}

impl WorkerLineReader {
    /// The next frame; `Ok(None)` when the line is closed, then [`WorkerLineReader::closed`] says how. A server that is
    /// silent for 60 s counts as gone. Frames of unknown types are skipped. Nothing is lost when the future is dropped.
    ///
    /// # Errors
    /// [`Error::Protocol`] for a frame that does not fit its type; the line stays usable.
    pub async fn recv(&mut self) -> Result<Option<ServerFrame>> {
        while let Some(text) = self.incoming.text().await {
            if let Some(frame) = parse(&text)? {
                return Ok(Some(frame));
            }
        }
        Ok(None)
    }

    /// How the line ended; `None` while it is open.
    pub fn closed(&self) -> Option<&Closed> {
        self.incoming.closed().get()
    }
}

/// The half of a line that writes.
pub struct WorkerLineWriter {
    sink: SplitSink<Socket, Message>,
    closed: Arc<OnceLock<Closed>>,
}

impl WorkerLineWriter {
    /// Sends a frame; when it returns, the frame is with the operating system, not yet with the server.
    ///
    /// # Errors
    /// [`Error::Closed`] when the line is closed, [`Error::FrameTooLarge`] when the server would not take the frame.
    pub async fn send(&mut self, frame: &WorkerFrame) -> Result<()> {
        self.feed(frame).await?;
        self.flush().await
    }

    /// Buffers a frame, so that several go out in one write; [`WorkerLineWriter::flush`] sends them.
    ///
    /// # Errors
    /// As [`WorkerLineWriter::send`].
    pub async fn feed(&mut self, frame: &WorkerFrame) -> Result<()> {
        let message = message(frame)?;
        let fed = self.sink.feed(message).await;
        fed.map_err(|error| self.ended(&error))
    }

    /// Sends what was buffered.
    ///
    /// # Errors
    /// As [`WorkerLineWriter::send`].
    pub async fn flush(&mut self) -> Result<()> {
        let flushed = self.sink.flush().await;
        flushed.map_err(|error| self.ended(&error))
    }

    /// Begins to close the line in order (close code 1000); the reader sees the end.
    pub async fn close(&mut self) {
        // One that is closed already is closed.
        let _ = self
            .sink
            .send(Message::Close(Some(CloseFrame { code: CloseCode::Normal, reason: "the worker leaves".into() })))
            .await;
    }

    /// The reader knows better how the line ended than a failed write does.
    fn ended(&self, error: &tokio_tungstenite::tungstenite::Error) -> Error {
        Error::Closed(self.closed.get().cloned().unwrap_or_else(|| broken(error)))
    }
}
