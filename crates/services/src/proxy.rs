//! A proxy before a service that does to connections what networks do: cut them at any byte, delay them, or say nothing.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// A direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// What clients say.
    ToServer,
    /// What the server answers.
    ToClient,
}

/// What is wrong at the moment.
#[derive(Debug, Clone, Default)]
struct Faults {
    delay: [Duration; 2],
    /// Nothing passes; it is kept, as a network keeps what it did not deliver yet.
    silent: bool,
    /// New connections end at once.
    refusing: bool,
    /// Connections that began before this many cuts are over.
    cuts: u64,
    over: bool,
}

struct Shared {
    faults: watch::Sender<Faults>,
    /// How many bytes still pass before the connection is cut; one cut a call.
    budget: [Mutex<Option<u64>>; 2],
    passed: [AtomicU64; 2],
    open: AtomicUsize,
}

/// A proxy at a port of its own. It ends when it is dropped.
pub struct Proxy {
    port: u16,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl Proxy {
    /// Before the service at this port of this machine.
    ///
    /// # Panics
    /// When it gets no port.
    pub fn to(port: u16) -> Self {
        let server = SocketAddr::from(([127, 0, 0, 1], port));
        let shared = Arc::new(Shared {
            faults: watch::Sender::new(Faults::default()),
            budget: Default::default(),
            passed: Default::default(),
            open: AtomicUsize::new(0),
        });
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).expect("a port on the loopback device");
        let port = listener.local_addr().expect("its address").port();
        listener.set_nonblocking(true).expect("a listener that does not block");
        let of_thread = shared.clone();
        let thread = std::thread::spawn(move || {
            let mut faults = of_thread.faults.subscribe();
            runtime.block_on(async {
                let listener = TcpListener::from_std(listener).expect("a listener");
                tokio::select! {
                    () = accept(listener, server, of_thread.clone()) => {}
                    _ = faults.wait_for(|faults| faults.over) => {}
                }
            });
        });
        Self { port, shared, thread: Some(thread) }
    }

    /// Where it listens, on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Keeps everything that goes this way for so long.
    pub fn delay(&self, way: Way, by: Duration) {
        self.shared.faults.send_modify(|faults| faults.delay[way as usize] = by);
    }

    /// Nothing passes any more, and nobody is told: connections stay, new ones open and are silent.
    pub fn partition(&self) {
        self.shared.faults.send_modify(|faults| faults.silent = true);
    }

    /// Everything passes again, also what was kept.
    pub fn heal(&self) {
        self.shared.faults.send_modify(|faults| {
            *faults = Faults { cuts: faults.cuts, ..Faults::default() };
        });
        self.shared.budget.iter().for_each(|budget| *budget.lock() = None);
    }

    /// Cuts all connections; new ones are welcome.
    pub fn cut(&self) {
        self.shared.faults.send_modify(|faults| faults.cuts += 1);
    }

    /// Cuts all connections, and new ones at once, until [`Proxy::heal`].
    pub fn refuse(&self) {
        self.shared.faults.send_modify(|faults| {
            faults.cuts += 1;
            faults.refusing = true;
        });
    }

    /// Lets so many more bytes pass this way, counted over all connections, then cuts the one that comes to it. Once.
    pub fn cut_after(&self, way: Way, bytes: u64) {
        *self.shared.budget[way as usize].lock() = Some(bytes);
    }

    /// How many bytes have passed this way.
    pub fn passed(&self, way: Way) -> u64 {
        self.shared.passed[way as usize].load(Ordering::SeqCst)
    }

    /// How many connections there are.
    pub fn connections(&self) -> usize {
        self.shared.open.load(Ordering::SeqCst)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.faults.send_modify(|faults| faults.over = true);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

async fn accept(listener: TcpListener, server: SocketAddr, shared: Arc<Shared>) {
    loop {
        let Ok((client, _)) = listener.accept().await else { continue };
        if shared.faults.borrow().refusing {
            continue;
        }
        let shared = shared.clone();
        tokio::spawn(async move {
            shared.open.fetch_add(1, Ordering::SeqCst);
            let cuts = shared.faults.borrow().cuts;
            let mut faults = shared.faults.subscribe();
            tokio::select! {
                () = connection(client, server, &shared) => {}
                _ = faults.wait_for(|faults| faults.cuts > cuts) => {}
            }
            shared.open.fetch_sub(1, Ordering::SeqCst);
        });
    }
}

/// A connection until either side ends it, or a cut does.
async fn connection(client: TcpStream, server: SocketAddr, shared: &Shared) {
    let _ = shared.faults.subscribe().wait_for(|faults| !faults.silent).await;
    let Ok(server) = TcpStream::connect(server).await else { return };
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let there = pass(from_client, to_server, Way::ToServer, shared);
    let back = pass(from_server, to_client, Way::ToClient, shared);
    tokio::pin!(there, back);
    // The end of one way is passed on, and the other one may still have something to say; a cut ends both.
    tokio::select! {
        cut = &mut there => if !cut { back.await; },
        cut = &mut back => if !cut { there.await; },
    }
}

/// Passes on what comes; `true` when it was cut.
async fn pass(mut from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin, way: Way, shared: &Shared) -> bool {
    let mut faults = shared.faults.subscribe();
    let mut buffer = vec![0; 65_536];
    loop {
        let count = match from.read(&mut buffer).await {
            Ok(count @ 1..) => count,
            _ => {
                let _ = to.shutdown().await;
                return false;
            }
        };
        let delay = faults.borrow().delay[way as usize];
        if !delay.is_zero() {
            tokio::time::sleep(delay).await;
        }
        if faults.wait_for(|faults| !faults.silent).await.is_err() {
            return true;
        }
        let (count, cut) = {
            let mut budget = shared.budget[way as usize].lock();
            match *budget {
                Some(left) if left <= count as u64 => {
                    *budget = None;
                    (usize::try_from(left).unwrap_or(count), true)
                }
                Some(left) => {
                    *budget = Some(left - count as u64);
                    (count, false)
                }
                None => (count, false),
            }
        };
        if to.write_all(&buffer[..count]).await.is_err() {
            return true;
        }
        shared.passed[way as usize].fetch_add(count as u64, Ordering::SeqCst);
        if cut {
            return true;
        }
    }
}
