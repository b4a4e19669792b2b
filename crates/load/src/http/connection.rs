//! A connection of one user to the server.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::fault::Fault;

/// What secures a connection, and the name to be proven.
pub type Security<'a> = Option<(&'a Arc<ClientConfig>, ServerName<'static>)>;

/// Bytes both ways.
#[derive(Debug)]
pub struct Connection {
    stream: Stream,
    /// Whether an answer came over it already: then the server may have closed it since.
    pub used: bool,
}

#[derive(Debug)]
enum Stream {
    Plain(TcpStream),
    // Large beside the other, and most users have the other.
    Tls(Box<TlsStream<TcpStream>>),
}

impl Connection {
    /// Connects to the first of the addresses that answers, beginning with `first`; with its index.
    ///
    /// # Errors
    /// When none answers: what the last one said. When the server cannot prove its name.
    pub async fn open(addresses: &[SocketAddr], first: usize, security: Security<'_>) -> Result<(Self, usize), Fault> {
        let mut last = Fault::Connect("the server has no address".to_owned());
        for step in 0..addresses.len() {
            let index = (first + step) % addresses.len();
            match TcpStream::connect(addresses[index]).await {
                Ok(stream) => {
                    // A request goes out when it is written, not when the last packet was acknowledged.
                    stream.set_nodelay(true).map_err(|error| Fault::connect(&error))?;
                    let stream = match security.clone() {
                        None => Stream::Plain(stream),
                        Some((config, name)) => {
                            let secured = TlsConnector::from(Arc::clone(config)).connect(name, stream).await;
                            Stream::Tls(Box::new(secured.map_err(|error| Fault::Tls(error.to_string()))?))
                        }
                    };
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
        match &self.stream {
            Stream::Plain(stream) => match stream.try_read(&mut byte) {
                Ok(_) => true,
                Err(error) => error.kind() != io::ErrorKind::WouldBlock,
            },
            // Under TLS a server may send what is not for us (new keys): only the end counts, and nothing is taken.
            Stream::Tls(stream) => {
                let mut read = ReadBuf::new(&mut byte);
                let peeked = stream.get_ref().0.poll_peek(&mut Context::from_waker(Waker::noop()), &mut read);
                matches!(peeked, Poll::Ready(Ok(0) | Err(_)))
            }
        }
    }

    /// What was agreed on to be spoken over it, when that was asked (ALPN).
    pub fn protocol(&self) -> Option<&[u8]> {
        match &self.stream {
            Stream::Plain(_) => None,
            Stream::Tls(stream) => stream.get_ref().1.alpn_protocol(),
        }
    }

    /// See [`AsyncRead::poll_read`].
    pub fn poll_read(&mut self, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match &mut self.stream {
            Stream::Plain(stream) => Pin::new(stream).poll_read(cx, buffer),
            Stream::Tls(stream) => Pin::new(stream).poll_read(cx, buffer),
        }
    }

    /// See [`AsyncWrite::poll_write`].
    pub fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match &mut self.stream {
            Stream::Plain(stream) => Pin::new(stream).poll_write(cx, bytes),
            Stream::Tls(stream) => Pin::new(stream).poll_write(cx, bytes),
        }
    }

    /// See [`AsyncWrite::poll_flush`].
    pub fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.stream {
            Stream::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Stream::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }
}

/// For a protocol that brings code of its own.
impl AsyncRead for Connection {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Self::poll_read(self.get_mut(), cx, buffer)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Self::poll_write(self.get_mut(), cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Self::poll_flush(self.get_mut(), cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().stream {
            Stream::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Stream::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
