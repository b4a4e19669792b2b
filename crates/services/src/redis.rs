//! Redis, or Valkey.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::path::PathBuf;

use rustix::process::Signal;

use crate::keeper::{Keeper, Order, until};
use crate::missing;
use crate::program::{can_step_down, find, folder, free_port, give, placed, secret, unprivileged};

const PROGRAMS: &[&str] = &["redis-server", "valkey-server"];

/// A Redis server of a test's own, in memory only, with a password. It ends with the test's process, however that ends.
pub struct Redis {
    folder: PathBuf,
    port: u16,
    password: String,
    arguments: Vec<String>,
    keeper: Option<Keeper>,
}

impl Redis {
    /// A server of one's own; `None` where there is no Redis, which is noted for `test`.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn start(test: &str) -> Option<Self> {
        Self::start_with(test, &[], &[])
    }

    /// With further arguments, and files in its folder. `{folder}` in an argument stands for where those are, and `{port}` for
    /// its port.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn start_with(test: &str, arguments: &[&str], files: &[(&str, &[u8])]) -> Option<Self> {
        if find(PROGRAMS, &[]).is_none() || !can_step_down() {
            missing(test, "there is no Redis here: install Debian's package redis-server, or valkey");
            return None;
        }
        let folder = folder(files);
        give(&folder);
        let arguments = placed(arguments, &folder);
        let mut server = Self { folder, port: 0, password: secret(), arguments, keeper: None };
        // Between finding a port and taking it another may have come.
        for _ in 0..5 {
            server.port = free_port();
            if server.run() {
                return Some(server);
            }
            if let Some(keeper) = server.keeper.take() {
                keeper.stop("KILL");
            }
        }
        panic!("Redis does not start: {}", server.log());
    }

    /// Starts it again, empty, on the same port.
    ///
    /// # Panics
    /// When it runs, or does not come up.
    pub fn resume(&mut self) {
        assert!(self.keeper.is_none(), "it runs");
        assert!(self.run(), "Redis does not start again: {}", self.log());
    }

    fn run(&mut self) -> bool {
        let port = self.port.to_string();
        let mut command = unprivileged("KILL");
        command.push(find(PROGRAMS, &[]).expect("it was here").into());
        let base = ["--port", &port, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"];
        command.extend(base.map(Into::into));
        command.extend(["--requirepass".into(), self.password.clone().into()]);
        command.extend(["--dir".into(), self.folder.clone().into()]);
        command.extend(self.arguments.iter().map(|argument| argument.replace("{port}", &port).into()));
        let order = Order { folder: &self.folder, command, signal: "KILL", lock: None };
        let keeper = self.keeper.insert(Keeper::start(order));
        let mut up = false;
        until("Redis", || {
            up = TcpStream::connect(("127.0.0.1", self.port)).is_ok();
            up || keeper.ended()
        });
        up && !keeper.ended()
    }

    /// What it logged.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }

    /// Its port, the same after every start.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Where it is.
    pub fn url(&self) -> String {
        self.url_at(self.port)
    }

    /// The same by another port: that of a [proxy](crate::Proxy) before it.
    pub fn url_at(&self, port: u16) -> String {
        format!("redis://:{}@127.0.0.1:{port}", self.password)
    }

    /// Its answer to a command, the first line of it.
    ///
    /// # Panics
    /// When it gives none.
    pub fn ask(&self, command: &str) -> String {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).expect("a connection to Redis");
        write!(stream, "AUTH {}\r\n{command}\r\n", self.password).expect("a command for Redis");
        let mut lines = BufReader::new(stream).lines().map(|line| line.expect("an answer of Redis"));
        assert_eq!(lines.next().as_deref(), Some("+OK"));
        lines.next().expect("an answer of Redis")
    }

    /// Its password.
    pub fn password(&self) -> &str {
        &self.password
    }

    /// Its process id.
    ///
    /// # Panics
    /// When it does not run.
    pub fn pid(&self) -> u32 {
        self.keeper.as_ref().expect("it runs").pid().as_raw_nonzero().get().unsigned_abs()
    }

    /// Ends it at once. Its port stays, its data is gone.
    ///
    /// # Panics
    /// When it does not run.
    pub fn stop(&mut self) {
        self.keeper.take().expect("it runs").stop("KILL");
    }

    /// Stops it with SIGSTOP: connections stay and nobody answers.
    ///
    /// # Panics
    /// When it does not run.
    pub fn freeze(&self) {
        self.keeper.as_ref().expect("it runs").signal(Signal::STOP, false);
    }

    /// It goes on.
    ///
    /// # Panics
    /// When it does not run.
    pub fn thaw(&self) {
        self.keeper.as_ref().expect("it runs").signal(Signal::CONT, false);
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        // One that runs is removed with its folder by its keeper.
        if self.keeper.take().is_none() {
            let _ = std::fs::remove_dir_all(&self.folder);
        }
    }
}

/// A Redis that may be used, but not stopped.
pub struct RedisPlace {
    /// Where it is.
    pub url: String,
    _server: Option<Redis>,
}

/// A Redis: the one that `REGATTA_TEST_REDIS_URL` names, which others may use too, else one that is started for the test.
/// `None` where there is none, which is noted for `test`.
pub fn redis(test: &str) -> Option<RedisPlace> {
    if let Ok(url) = std::env::var("REGATTA_TEST_REDIS_URL") {
        return Some(RedisPlace { url, _server: None });
    }
    let server = Redis::start(test)?;
    Some(RedisPlace { url: server.url(), _server: Some(server) })
}
