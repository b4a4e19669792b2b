//! Taking addresses: `localhost` as IPv4 and IPv6, port 0, and errors that say what to do.

use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs};
use std::path::PathBuf;

use socket2::{Domain, Protocol, SockAddr, Socket, Type};

use crate::guard;

/// Connections the system keeps for us until they are accepted; it may allow fewer.
const BACKLOG: i32 = 4_096;
/// How often a free port that is free in only one of IPv4 and IPv6 is given up for another.
const PORT_TRIES: u32 = 50;

/// Why there is no server.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// The text is no address.
    #[error("{0:?} is no address to listen on; give one like localhost:8000, 127.0.0.1:8000 or [::1]:8000")]
    NoAddress(String),
    /// The name has no address.
    #[error("{name} has no address to listen on ({error}); give an address of this machine, or 0.0.0.0:PORT for all")]
    Unknown {
        /// As it was given.
        name: String,
        /// Why.
        error: io::Error,
    },
    /// Someone else listens there.
    #[error("{address} is taken by another process; stop that, or listen on another port: --listen localhost:{other}")]
    Taken {
        /// Where.
        address: SocketAddr,
        /// A port to try instead.
        other: u16,
    },
    /// The system refused.
    #[error("cannot listen on {address}: {error}")]
    Refused {
        /// Where.
        address: SocketAddr,
        /// Why.
        error: io::Error,
    },
    /// The certificate or its key cannot be used.
    #[error("{} cannot be used for TLS: {why}; give the certificate's PEM file and that of its key", .file.display())]
    Tls {
        /// Which file.
        file: PathBuf,
        /// Why.
        why: String,
    },
    /// Nothing was given.
    #[error("no address to listen on was given; give one like localhost:8000")]
    Nowhere,
}

/// Listens on every address given.
pub(crate) fn bind(listen: &[String]) -> Result<Vec<std::net::TcpListener>, ListenError> {
    let mut sockets = Vec::new();
    for text in listen {
        match parse(text)? {
            Place::Address(address) => sockets.push(open(address)?),
            Place::Localhost(port) => sockets.extend(open_localhost(port)?),
            Place::Name => {
                let addresses =
                    text.to_socket_addrs().map_err(|error| ListenError::Unknown { name: text.clone(), error })?;
                for address in addresses {
                    sockets.push(open(address)?);
                }
            }
        }
    }
    if sockets.is_empty() { Err(ListenError::Nowhere) } else { Ok(sockets) }
}

#[derive(Debug, PartialEq, Eq)]
enum Place {
    Address(SocketAddr),
    Localhost(u16),
    /// Another name with a port.
    Name,
}

fn parse(text: &str) -> Result<Place, ListenError> {
    if let Ok(address) = text.parse::<SocketAddr>() {
        return Ok(Place::Address(address));
    }
    let no_address = || ListenError::NoAddress(text.to_owned());
    let (name, port) = text.rsplit_once(':').ok_or_else(no_address)?;
    let port: u16 = port.parse().map_err(|_| no_address())?;
    if name.is_empty() || name.contains(['/', ' ', '@', ':']) {
        return Err(no_address());
    }
    Ok(if guard::is_loopback(name) { Place::Localhost(port) } else { Place::Name })
}

/// IPv4 and IPv6 with the same port; only one of them where the machine has only one.
fn open_localhost(port: u16) -> Result<Vec<std::net::TcpListener>, ListenError> {
    let v6 = |port| SocketAddr::new(IpAddr::V6(Ipv6Addr::LOCALHOST), port);
    let v4 = |port| SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port);
    let mut tries = 0;
    loop {
        let first = match open(v4(port)) {
            Ok(socket) => socket,
            Err(ListenError::Refused { error, .. }) if is_absent(&error) => return Ok(vec![open(v6(port))?]),
            Err(error) => return Err(error),
        };
        let taken = first.local_addr().map_err(|error| ListenError::Refused { address: v4(port), error })?.port();
        match open(v6(taken)) {
            Ok(second) => return Ok(vec![first, second]),
            Err(ListenError::Refused { error, .. }) if is_absent(&error) => return Ok(vec![first]),
            Err(ListenError::Taken { .. }) if port == 0 && tries < PORT_TRIES => tries += 1,
            Err(error) => return Err(error),
        }
    }
}

/// Whether the machine lacks this kind of address.
fn is_absent(error: &io::Error) -> bool {
    // EAFNOSUPPORT (97 on Linux, 47 on macOS) has no ErrorKind.
    error.kind() == ErrorKind::AddrNotAvailable || matches!(error.raw_os_error(), Some(97 | 47))
}

fn open(address: SocketAddr) -> Result<std::net::TcpListener, ListenError> {
    let listen = || -> io::Result<std::net::TcpListener> {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
        // So that a restart need not wait for connections of the one before to be forgotten.
        socket.set_reuse_address(true)?;
        if address.is_ipv6() {
            socket.set_only_v6(true)?;
        }
        socket.bind(&SockAddr::from(address))?;
        socket.listen(BACKLOG)?;
        socket.set_nonblocking(true)?;
        Ok(socket.into())
    };
    listen().map_err(|error| match error.kind() {
        ErrorKind::AddrInUse => ListenError::Taken { address, other: address.port().checked_add(1).unwrap_or(8_000) },
        _ => ListenError::Refused { address, error },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_an_address_and_what_is_not() {
        assert_eq!(parse("localhost:8000").unwrap(), Place::Localhost(8_000));
        assert_eq!(parse("LOCALHOST:0").unwrap(), Place::Localhost(0));
        assert!(matches!(parse("[::1]:1").unwrap(), Place::Address(_)));
        for text in
            ["", "localhost", "8000", ":8000", "localhost:99999", "localhost:http", "http://localhost:1", "a b:1"]
        {
            assert!(matches!(parse(text), Err(ListenError::NoAddress(_))), "{text}");
        }
        for text in ["0.0.0.0:8000", "[::]:8000", "192.168.0.1:1"] {
            assert!(matches!(parse(text).unwrap(), Place::Address(_)), "{text}");
        }
        assert_eq!(parse("farm.example:80").unwrap(), Place::Name);
    }

    #[test]
    fn both_families_share_a_free_port_and_a_taken_one_is_named() {
        let sockets = bind(&["localhost:0".to_owned()]).unwrap();
        let ports: Vec<u16> = sockets.iter().map(|socket| socket.local_addr().unwrap().port()).collect();
        assert!(ports.iter().all(|port| *port == ports[0] && *port != 0), "{ports:?}");
        let error = bind(&[format!("localhost:{}", ports[0])]).unwrap_err();
        assert!(error.to_string().contains("is taken by another process"), "{error}");
    }
}
