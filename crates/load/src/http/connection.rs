//! A connection of one user to the server.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use super::fault::Fault;

/// Bytes both ways.
#[derive(Debug)]
pub struct Connection {
    stream: TcpStream,
    /// Whether an answer came over it already: then the server may have closed it since.
    pub used: bool,
}

impl Connection {
    /// Connects to the first of the addresses that answers, beginning with `first`; with its index.
    ///
    /// # Errors
    /// When none answers: what the last one said.
    pub async fn open(addresses: &[SocketAddr], first: usize) -> Result<(Self, usize), Fault> {
        let mut last = Fault::Connect("the server has no address".to_owned());
        for step in 0..addresses.len() {
            let index = (first + step) % addresses.len();
            match TcpStream::connect(addresses[index]).await {
                Ok(stream) => {
                    // A request goes out when it is written, not when the last packet was acknowledged.
                    stream.set_nodelay(true).map_err(|error| Fault::connect(&error))?;
                    return Ok((Self { stream, used: false }, index));
                }
                Err(error) => last = Fault::connect(&error),
            }
        }
        Err(last)
    }

    /// Whether it is plainly of no use any more: the server closed it, or sent what nobody asked for. Costs
    /// nothing while the system has not reported anything.
    pub fn is_stale(&self) -> bool {
        let mut byte = [0; 1];
        match self.stream.try_read(&mut byte) {
            Ok(_) => true,
            Err(error) => error.kind() != io::ErrorKind::WouldBlock,
        }
    }

    /// See [`AsyncRead::poll_read`].
    pub fn poll_read(&mut self, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }

    /// See [`AsyncWrite::poll_write`].
    pub fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    /// See [`AsyncWrite::poll_flush`].
    pub fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }
}
