//! Frames as bytes (RFC 6455, section 5).

use crate::http::fault::Fault;

/// What a frame is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Another piece of the message before.
    Continuation,
    /// A text, or its first piece.
    Text,
    /// Bytes, or their first piece.
    Binary,
    /// The end.
    Close,
    /// To be answered with a pong of the same content.
    Ping,
    /// The answer.
    Pong,
}

impl Kind {
    const fn code(self) -> u8 {
        match self {
            Self::Continuation => 0,
            Self::Text => 1,
            Self::Binary => 2,
            Self::Close => 8,
            Self::Ping => 9,
            Self::Pong => 10,
        }
    }

    const fn of(code: u8) -> Option<Self> {
        Some(match code {
            0 => Self::Continuation,
            1 => Self::Text,
            2 => Self::Binary,
            8 => Self::Close,
            9 => Self::Ping,
            10 => Self::Pong,
            _ => return None,
        })
    }

    const fn is_control(self) -> bool {
        self.code() >= 8
    }
}

/// What stands at the beginning of a server's frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// What it is.
    pub kind: Kind,
    /// Whether it is the last piece of its message.
    pub last: bool,
    /// Where its content begins.
    pub from: usize,
    /// Bytes of its content.
    pub length: u64,
}

/// Reads a header; `None` while it is not complete.
///
/// # Errors
/// When a server may send no such frame.
pub fn header(bytes: &[u8]) -> Result<Option<Header>, Fault> {
    let &[first, second, ..] = bytes else { return Ok(None) };
    if first & 0x70 != 0 {
        return Err(Fault::Malformed("a frame uses an extension that was not agreed on"));
    }
    let Some(kind) = Kind::of(first & 0x0F) else { return Err(Fault::Malformed("a frame is of no known kind")) };
    if second & 0x80 != 0 {
        return Err(Fault::Malformed("a server's frame is masked"));
    }
    let last = first & 0x80 != 0;
    let (from, length) = match second & 0x7F {
        126 => match bytes.get(2..4).and_then(|length| <[u8; 2]>::try_from(length).ok()) {
            Some(length) => (4, u64::from(u16::from_be_bytes(length))),
            None => return Ok(None),
        },
        127 => match bytes.get(2..10).and_then(|length| <[u8; 8]>::try_from(length).ok()) {
            Some(length) => (10, u64::from_be_bytes(length)),
            None => return Ok(None),
        },
        length => (2, u64::from(length)),
    };
    if kind.is_control() && (length > 125 || !last) {
        return Err(Fault::Malformed("a control frame is too long or in pieces"));
    }
    Ok(Some(Header { kind, last, from, length }))
}

/// Writes a client's frame at the end of `out`: whole, and masked with `key`.
pub fn write(kind: Kind, content: &[u8], key: [u8; 4], out: &mut Vec<u8>) {
    out.push(0x80 | kind.code());
    match content.len() {
        length @ 0..=125 => out.push(0x80 | length as u8),
        length @ 126..=65_535 => {
            out.push(0x80 | 126);
            out.extend_from_slice(&(length as u16).to_be_bytes());
        }
        length => {
            out.push(0x80 | 127);
            out.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
    out.extend_from_slice(&key);
    out.extend(content.iter().zip(key.iter().cycle()).map(|(byte, key)| byte ^ key));
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The examples of RFC 6455, section 5.7.
    #[test]
    fn the_examples_of_the_standard() {
        let hello = header(&[0x81, 0x05, b'H', b'e', b'l', b'l', b'o']).unwrap().unwrap();
        assert_eq!(hello, Header { kind: Kind::Text, last: true, from: 2, length: 5 });
        let piece = header(&[0x01, 0x03]).unwrap().unwrap();
        assert_eq!((piece.kind, piece.last), (Kind::Text, false));
        let bytes = header(&[0x82, 0x7E, 0x01, 0x00]).unwrap().unwrap();
        assert_eq!((bytes.from, bytes.length), (4, 256));
        let more = header(&[0x82, 0x7F, 0, 0, 0, 0, 0, 1, 0, 0]).unwrap().unwrap();
        assert_eq!((more.from, more.length), (10, 65_536));
        let mut masked = Vec::new();
        write(Kind::Text, b"Hello", [0x37, 0xFA, 0x21, 0x3D], &mut masked);
        assert_eq!(masked, [0x81, 0x85, 0x37, 0xFA, 0x21, 0x3D, 0x7F, 0x9F, 0x4D, 0x51, 0x58]);
    }

    #[test]
    fn pieces_wait_and_nonsense_is_refused() {
        for bytes in [&[0x81][..], &[0x82, 126, 1], &[0x82, 127, 0, 0, 0]] {
            assert_eq!(header(bytes).unwrap(), None);
        }
        // An extension, an unknown kind, a mask, a long ping, a close in pieces.
        for bytes in [[0xC1, 0], [0x83, 0], [0x81, 0x85], [0x89, 126], [0x08, 0]] {
            let bytes = [bytes[0], bytes[1], 0, 200];
            assert!(matches!(header(&bytes), Err(Fault::Malformed(_))), "{bytes:?}");
        }
    }

    #[test]
    fn lengths_of_every_size() {
        for length in [0, 125, 126, 65_535, 65_536] {
            let mut frame = Vec::new();
            write(Kind::Binary, &vec![1; length], [0; 4], &mut frame);
            frame[1] &= 0x7F;
            let header = header(&frame).unwrap().unwrap();
            assert_eq!((header.length, header.from + 4 + length), (length as u64, frame.len()));
        }
    }
}
