//! ZMTP 3.0 (<https://rfc.zeromq.org/spec/23/>) as far as a Locust worker needs it: a DEALER that connects over TCP
//! without security. A library for all of ZeroMQ brings a runtime of its own and its sockets; this is a greeting,
//! one command and a length before each message.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// A message longer than this is refused: a master's are a few kilobytes.
const LONGEST: u64 = 64 << 20;
/// Connecting, greeting and each message to a peer that does not read may take so long.
const PATIENCE: Duration = Duration::from_secs(5);
/// A peer whose machine is gone is noticed after so long without a message.
const KEEP_ALIVE: Duration = Duration::from_secs(30);

/// More frames of the same message follow.
const MORE: u8 = 1;
/// The length takes eight bytes instead of one.
const LONG: u8 = 2;
/// A command, no message.
const COMMAND: u8 = 4;

/// A connected DEALER.
#[derive(Debug)]
pub struct Dealer {
    stream: TcpStream,
    /// What came and is not taken yet.
    buffer: Vec<u8>,
    /// Frames of a message whose last one has not come.
    parts: Vec<u8>,
}

impl Dealer {
    /// Connects to a ROUTER, which will know us under this identity (at most 255 bytes).
    ///
    /// # Errors
    /// When nobody answers there, or something that is no ZeroMQ socket.
    pub async fn connect(host: &str, port: u16, identity: &str) -> io::Result<Self> {
        within(async {
            let stream = TcpStream::connect((host, port)).await?;
            stream.set_nodelay(true)?;
            let alive = socket2::TcpKeepalive::new().with_time(KEEP_ALIVE);
            socket2::SockRef::from(&stream).set_tcp_keepalive(&alive)?;
            let mut dealer = Self { stream, buffer: Vec::new(), parts: Vec::new() };
            dealer.greet(identity).await?;
            Ok(dealer)
        })
        .await
    }

    async fn greet(&mut self, identity: &str) -> io::Result<()> {
        self.stream.write_all(&greeting()).await?;
        let mut theirs = [0; 64];
        self.stream.read_exact(&mut theirs).await?;
        check(&theirs)?;
        let ready = ready(identity);
        self.stream.write_all(&frame(COMMAND, &ready)).await?;
        loop {
            if let Some((flags, body)) = self.take()? {
                if flags & COMMAND == 0 {
                    return Err(bad("a message came before the handshake was over"));
                }
                // A name, its length before it; READY or ERROR.
                return match body.get(1..6) {
                    Some(b"READY") => Ok(()),
                    Some(b"ERROR") => Err(bad("it refuses us")),
                    _ => Err(bad("its handshake is not understood")),
                };
            }
            self.fill().await?;
        }
    }

    /// Sends a message.
    ///
    /// # Errors
    /// When the connection is broken, or the peer does not read.
    pub async fn send(&mut self, message: &[u8]) -> io::Result<()> {
        within(self.stream.write_all(&frame(0, message))).await
    }

    /// The next message. Dropped half-way it loses nothing.
    ///
    /// # Errors
    /// When the connection ends or breaks, or what comes is no ZMTP.
    pub async fn receive(&mut self) -> io::Result<Vec<u8>> {
        loop {
            while let Some((flags, body)) = self.take()? {
                if flags & COMMAND != 0 {
                    // PING of a later version of the protocol: its context comes after a time to live of two bytes.
                    if body.get(1..5) == Some(b"PING") {
                        let context = body.get(7..).unwrap_or_default();
                        let pong = [b"\x04PONG".as_slice(), context].concat();
                        within(self.stream.write_all(&frame(COMMAND, &pong))).await?;
                    }
                    continue;
                }
                if (self.parts.len() + body.len()) as u64 > LONGEST {
                    return Err(bad("its message is too long"));
                }
                self.parts.extend_from_slice(&body);
                if flags & MORE == 0 {
                    return Ok(std::mem::take(&mut self.parts));
                }
            }
            self.fill().await?;
        }
    }

    /// Ends the connection so that what was sent arrives: what lies unread would make the system break it off.
    pub async fn close(mut self) {
        let work = async {
            self.stream.shutdown().await?;
            while self.stream.read_buf(&mut self.buffer).await? > 0 {
                self.buffer.clear();
            }
            Ok(())
        };
        let _ = within(work).await;
    }

    async fn fill(&mut self) -> io::Result<()> {
        match self.stream.read_buf(&mut self.buffer).await? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(()),
        }
    }

    /// A whole frame out of the buffer: its flags and its body.
    fn take(&mut self) -> io::Result<Option<(u8, Vec<u8>)>> {
        let Some((flags, from, to)) = measure(&self.buffer)? else { return Ok(None) };
        if self.buffer.len() < to {
            return Ok(None);
        }
        let body = self.buffer[from..to].to_vec();
        self.buffer.drain(..to);
        Ok(Some((flags, body)))
    }
}

async fn within<T>(work: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    tokio::time::timeout(PATIENCE, work).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

fn bad(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}

/// Signature, version 3.0, mechanism NULL, not as a server, filler.
fn greeting() -> [u8; 64] {
    let mut greeting = [0; 64];
    (greeting[0], greeting[9]) = (0xFF, 0x7F);
    greeting[10] = 3;
    greeting[12..16].copy_from_slice(b"NULL");
    greeting
}

fn check(theirs: &[u8; 64]) -> io::Result<()> {
    if theirs[0] != 0xFF || theirs[9] & 1 == 0 {
        return Err(bad("what answers there is no ZeroMQ socket"));
    }
    if theirs[10] < 3 {
        return Err(bad("it speaks a version of ZeroMQ's protocol before 3"));
    }
    if &theirs[12..17] != b"NULL\0" {
        return Err(bad("it asks for a security mechanism"));
    }
    Ok(())
}

/// The command READY with what sort of socket we are, and who.
fn ready(identity: &str) -> Vec<u8> {
    let mut ready = b"\x05READY".to_vec();
    for (name, value) in [("Socket-Type", "DEALER"), ("Identity", identity)] {
        ready.push(name.len() as u8);
        ready.extend_from_slice(name.as_bytes());
        ready.extend_from_slice(&(value.len() as u32).to_be_bytes());
        ready.extend_from_slice(value.as_bytes());
    }
    ready
}

fn frame(flags: u8, body: &[u8]) -> Vec<u8> {
    let mut frame = Vec::with_capacity(body.len() + 9);
    match u8::try_from(body.len()) {
        Ok(length) => frame.extend_from_slice(&[flags, length]),
        Err(_) => {
            frame.push(flags | LONG);
            frame.extend_from_slice(&(body.len() as u64).to_be_bytes());
        }
    }
    frame.extend_from_slice(body);
    frame
}

/// Flags of the frame that begins here, where its body begins and where it ends; `None` while its length has not come.
fn measure(bytes: &[u8]) -> io::Result<Option<(u8, usize, usize)>> {
    let Some(&flags) = bytes.first() else { return Ok(None) };
    let (from, length) = if flags & LONG == 0 {
        let Some(&length) = bytes.get(1) else { return Ok(None) };
        (2, u64::from(length))
    } else {
        let Some(length) = bytes.get(1..9).and_then(|length| <[u8; 8]>::try_from(length).ok()) else {
            return Ok(None);
        };
        (9, u64::from_be_bytes(length))
    };
    if length > LONGEST {
        return Err(bad("its message is too long"));
    }
    // Below LONGEST, so it fits.
    Ok(Some((flags, from, from + length as usize)))
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    #[test]
    fn short_and_long_frames() {
        assert_eq!(frame(0, b"ab"), [0, 2, b'a', b'b']);
        let long = frame(0, &[7; 300]);
        assert_eq!((long[0], &long[1..9], long.len()), (LONG, [0, 0, 0, 0, 0, 0, 1, 44].as_slice(), 309));
        assert_eq!(measure(&long).unwrap(), Some((LONG, 9, 309)));
        assert_eq!(measure(&long[..8]).unwrap(), None);
        assert!(measure(&[LONG, 0xFF, 0, 0, 0, 0, 0, 0, 0]).is_err());
    }

    #[test]
    fn who_is_no_zeromq_socket_is_refused() {
        assert!(check(&greeting()).is_ok());
        let mut http = [b' '; 64];
        http[..12].copy_from_slice(b"HTTP/1.1 400");
        assert!(check(&http).unwrap_err().to_string().contains("no ZeroMQ socket"));
        let mut secured = greeting();
        secured[12..17].copy_from_slice(b"PLAIN");
        assert!(check(&secured).unwrap_err().to_string().contains("security"));
    }

    /// A peer that greets and sends byte by byte, in two frames, with a PING between two messages.
    #[tokio::test]
    async fn a_message_may_come_in_any_pieces() {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let peer = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut head = [0; 64];
            stream.read_exact(&mut head).await.unwrap();
            assert_eq!(head, greeting());
            let mut ready = [0; 49];
            let ping = frame(COMMAND, b"\x04PING\0\x0Ax");
            let bytes = [
                greeting().to_vec(),
                frame(COMMAND, b"\x05READY"),
                frame(MORE, b"one "),
                frame(0, b"message"),
                ping,
                frame(0, &[b'x'; 300]),
            ]
            .concat();
            for byte in bytes {
                stream.write_all(&[byte]).await.unwrap();
                stream.flush().await.unwrap();
            }
            stream.read_exact(&mut ready).await.unwrap();
            assert!(ready.ends_with(b"host_1"), "{ready:?}");
            let mut rest = Vec::new();
            stream.read_to_end(&mut rest).await.unwrap();
            rest
        });
        let mut dealer = Dealer::connect("127.0.0.1", port, "host_1").await.unwrap();
        assert_eq!(dealer.receive().await.unwrap(), b"one message");
        assert_eq!(dealer.receive().await.unwrap(), [b'x'; 300]);
        dealer.send(b"back").await.unwrap();
        drop(dealer);
        assert_eq!(peer.await.unwrap(), [frame(COMMAND, b"\x04PONGx"), frame(0, b"back")].concat());
    }
}
