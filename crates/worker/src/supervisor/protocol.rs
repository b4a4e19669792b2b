//! What worker and supervisor say to each other over their socket: length-prefixed JSON, a tool's three pipes riding on its request.
//!
//! The length prefix is sent in one piece with the file descriptors; the kernel keeps such a piece apart from what comes before and after.

use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::Errno;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags,
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

/// The hidden sub-command the binary is started with to be a supervisor.
pub const SUBCOMMAND: &str = "__supervise";

/// Longer frames are a fault: arguments and environment of a program are bounded by the kernel at a few MiB.
const MAX_FRAME: usize = 64 << 20;

/// Bytes of the length prefix.
pub const PREFIX: usize = 4;

/// What the worker asks for.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Request {
    /// Start a program; its stdin, stdout and stderr ride on the frame.
    Spawn(Spawn),
    /// End a program: SIGTERM, and after the grace SIGKILL to all that is left of it.
    Stop { id: u64, grace_ms: u64 },
    /// The boot-clock time at which what belongs to this marker is ended, should the worker be unable to.
    Deadline { marker: String, at_ms: u64 },
}

/// A program to start.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Spawn {
    /// The number this process has in later frames; chosen by the worker, never used twice.
    pub id: u64,
    /// Path of the program.
    pub program: String,
    /// The arguments, the program's name as it was asked for first.
    pub argv: Vec<String>,
    /// The whole environment; nothing is inherited.
    pub env: Vec<(String, String)>,
    /// The working directory.
    pub cwd: Option<String>,
    /// The value of [`super::proc::SUBTASK_VARIABLE`], which is set by the supervisor.
    pub marker: String,
    /// As in [`Request::Deadline`].
    pub deadline_ms: Option<u64>,
}

/// What the supervisor answers.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Report {
    /// The program runs.
    Spawned { id: u64 },
    /// The program could not be started, with the operating system's word on it.
    Failed { id: u64, message: String },
    /// The program and everything it started is over.
    Exited { id: u64, code: Option<i32>, signal: Option<i32> },
}

/// A frame ready to be sent.
pub fn encode<T: Serialize>(message: &T) -> std::io::Result<Vec<u8>> {
    let mut frame = vec![0; PREFIX];
    serde_json::to_writer(&mut frame, message)?;
    let length = frame.len() - PREFIX;
    if length > MAX_FRAME {
        return Err(std::io::Error::other(format!(
            "arguments and environment are {length} bytes long; no system starts a program with that much: give it by stdin or a file"
        )));
    }
    frame[..PREFIX].copy_from_slice(&(length as u32).to_be_bytes());
    Ok(frame)
}

/// Sends the length prefix of a frame with its file descriptors, and says how many bytes went.
pub fn send_prefix(socket: impl AsFd, frame: &[u8], fds: &[OwnedFd]) -> rustix::io::Result<usize> {
    let borrowed: Vec<BorrowedFd<'_>> = fds.iter().map(AsFd::as_fd).collect();
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(3))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !borrowed.is_empty() && !control.push(SendAncillaryMessage::ScmRights(&borrowed)) {
        return Err(Errno::NOBUFS);
    }
    rustix::net::sendmsg(socket, &[IoSlice::new(&frame[..PREFIX])], &mut control, SendFlags::NOSIGNAL)
}

/// What [`Receiver::receive`] found.
pub enum Received<T> {
    /// A whole frame and what rode on it.
    Frame(T, Vec<OwnedFd>),
    /// Nothing more for now.
    NotYet,
    /// The other side is gone.
    Closed,
}

/// Puts frames together from a socket that does not block.
#[derive(Default)]
pub struct Receiver {
    bytes: Vec<u8>,
    fds: Vec<OwnedFd>,
}

impl Receiver {
    /// Reads on until a frame is whole, the socket has nothing more, or its other side is gone.
    pub fn receive<T: DeserializeOwned>(&mut self, socket: impl AsFd) -> std::io::Result<Received<T>> {
        loop {
            let wanted = match self.bytes.first_chunk::<PREFIX>() {
                None => PREFIX,
                Some(prefix) => {
                    let length = u32::from_be_bytes(*prefix) as usize;
                    if length > MAX_FRAME {
                        return Err(std::io::Error::other(format!("a frame of {length} bytes")));
                    }
                    PREFIX + length
                }
            };
            if self.bytes.len() == wanted && wanted > PREFIX {
                let message = serde_json::from_slice(&self.bytes[PREFIX..])?;
                self.bytes.clear();
                // One large frame must not keep its memory for ever.
                self.bytes.shrink_to(64 << 10);
                return Ok(Received::Frame(message, std::mem::take(&mut self.fds)));
            }
            let mut chunk = [0; 16 << 10];
            let room = (wanted - self.bytes.len()).min(chunk.len());
            match self.read(&socket, &mut chunk[..room]) {
                Ok(0) => return Ok(Received::Closed),
                Ok(count) => self.bytes.extend_from_slice(&chunk[..count]),
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return Ok(Received::NotYet),
                Err(Errno::CONNRESET | Errno::PIPE) => return Ok(Received::Closed),
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn read(&mut self, socket: impl AsFd, buffer: &mut [u8]) -> rustix::io::Result<usize> {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(3))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let received =
            rustix::net::recvmsg(socket, &mut [IoSliceMut::new(buffer)], &mut control, RecvFlags::CMSG_CLOEXEC)?;
        for message in control.drain() {
            if let RecvAncillaryMessage::ScmRights(fds) = message {
                self.fds.extend(fds);
            }
        }
        Ok(received.bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::os::unix::net::UnixStream;

    #[test]
    fn frames_and_descriptors_arrive_whole_and_apart() {
        let (mut near, far) = UnixStream::pair().unwrap();
        far.set_nonblocking(true).unwrap();
        let mut receiver = Receiver::default();
        assert!(matches!(receiver.receive::<Request>(&far).unwrap(), Received::NotYet));

        let (mut read, write) = std::io::pipe().unwrap();
        let first = encode(&Request::Stop { id: 1, grace_ms: 5 }).unwrap();
        let second = encode(&Request::Deadline { marker: "a/b".into(), at_ms: 7 }).unwrap();
        near.write_all(&first).unwrap();
        assert_eq!(send_prefix(&near, &second, &[write.into()]).unwrap(), PREFIX);
        near.write_all(&second[PREFIX..]).unwrap();

        let Received::Frame(Request::Stop { id: 1, .. }, fds) = receiver.receive(&far).unwrap() else {
            panic!("the first frame is a stop");
        };
        assert!(fds.is_empty());
        let Received::Frame(Request::Deadline { at_ms: 7, .. }, fds) = receiver.receive(&far).unwrap() else {
            panic!("the second frame is a deadline");
        };
        let mut sent: std::fs::File = fds.into_iter().next().unwrap().into();
        sent.write_all(b"hello").unwrap();
        drop(sent);
        let mut text = String::new();
        read.read_to_string(&mut text).unwrap();
        assert_eq!(text, "hello");

        drop(near);
        assert!(matches!(receiver.receive::<Request>(&far).unwrap(), Received::Closed));
    }
}
