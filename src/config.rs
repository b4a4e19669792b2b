//! The configuration file: TOML, every key documented here and in the README; a key nobody knows is an error with its line.
//!
//! It is the weakest source: environment variables win over it, and flags over both (see [`crate::context`]).

use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::exit::Failure;
use crate::logging::LogFormat;
use crate::ui::Color;

/// What a configuration file may say. Every key is optional.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct File {
    /// The server that commands talk to and workers register with, such as `http://localhost:8000`.
    pub server: Option<String>,
    /// The token to show it.
    pub token: Option<Secret>,
    /// A PEM file with the certificates of the authorities to believe, in place of the system's.
    pub tls_ca: Option<PathBuf>,
    /// Where this machine's server and workers keep what they must not lose.
    pub data_dir: Option<PathBuf>,
    /// When to use colours: `auto`, `always` or `never`.
    pub color: Option<Color>,
    /// For `regatta up`.
    pub up: Up,
    /// For `regatta serve` and the server in `regatta up`.
    pub serve: Serve,
    /// For `regatta worker`, and in it what programs may do on this machine.
    pub worker: regatta_worker::options::Options,
}

/// `[up]`
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Up {
    /// How many workers to start.
    pub workers: Option<u32>,
    /// How many subtasks each runs at once.
    pub slots: Option<u32>,
    /// Whether to add simulated agents.
    pub demo: Option<bool>,
}

/// `[serve]`
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Serve {
    /// Host and port to listen on.
    pub listen: Option<String>,
    /// A PEM file with the certificate to speak TLS with.
    pub tls_cert: Option<PathBuf>,
    /// A PEM file with its key.
    pub tls_key: Option<PathBuf>,
    /// Whether everyone who reaches the server may do everything, without tokens.
    pub insecure_no_auth: Option<bool>,
    /// The store: `sqlite:PATH`, `postgres://…`.
    pub database: Option<String>,
    /// What servers on one PostgreSQL tell each other their news by: `redis://…`.
    pub redis: Option<String>,
    /// Most connections to PostgreSQL that read.
    pub pool_size: Option<u16>,
    /// How long a lease holds without renewal, in seconds.
    pub lease_seconds: Option<u32>,
    /// After how many days tasks that ended are forgotten.
    pub retain_days: Option<u32>,
    /// How many tasks that ended are kept.
    pub retain_tasks: Option<u64>,
    /// `text` or `json`.
    pub log_format: Option<LogFormat>,
    /// `error`, `warn`, `info`, `debug`, `trace`, or a filter such as `info,regatta_engine=debug`.
    pub log_level: Option<String>,
}

/// A text that is never printed.
#[derive(Clone, Deserialize)]
#[serde(transparent)]
pub struct Secret(pub String);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("…")
    }
}

impl std::str::FromStr for Secret {
    type Err = std::convert::Infallible;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(Self(text.to_owned()))
    }
}

/// Reads the file; `None` when it is the default one and does not exist.
///
/// # Errors
/// When a file that was named does not exist, cannot be read, or says what nobody knows.
pub fn read(named: Option<&Path>) -> Result<Option<File>, Failure> {
    let (path, must_exist) = match named {
        Some(path) => (path.to_owned(), true),
        None => match default_path() {
            Some(path) => (path, false),
            None => return Ok(None),
        },
    };
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && !must_exist => return Ok(None),
        Err(error) => {
            return Err(Failure::usage(format!("the configuration file {} cannot be read: {error}", path.display()))
                .hint("name another with --config or REGATTA_CONFIG"));
        }
    };
    parse(&text).map(Some).map_err(|error| {
        Failure::usage(format!("the configuration file {} cannot be used: {}", path.display(), error.trim_end()))
            .hint("the README lists every key; correct or remove this one")
    })
}

fn parse(text: &str) -> Result<File, String> {
    toml::from_str(text).map_err(|error| error.to_string())
}

/// `$XDG_CONFIG_HOME/regatta/config.toml`, else under `~/.config`.
pub fn default_path() -> Option<PathBuf> {
    xdg("XDG_CONFIG_HOME", ".config").map(|dir| dir.join("config.toml"))
}

/// `$XDG_DATA_HOME/regatta`, else under `~/.local/share`.
pub fn default_data_dir() -> Option<PathBuf> {
    xdg("XDG_DATA_HOME", ".local/share")
}

/// Our folder in one of the base directories of a user (XDG Base Directory Specification, version 0.8: relative paths and
/// empty values do not count).
fn xdg(variable: &str, below_home: &str) -> Option<PathBuf> {
    let absolute = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    absolute(variable).or_else(|| Some(absolute("HOME")?.join(below_home))).map(|dir| dir.join("regatta"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_is_read() {
        let file = parse(
            r#"
            server = "http://localhost:8000"
            token = "rgu_secret"
            tls_ca = "/etc/farm/ca.pem"
            data_dir = "/var/lib/regatta"
            color = "never"
            [up]
            workers = 3
            slots = 4
            demo = true
            [serve]
            listen = "localhost:8001"
            database = "sqlite:regatta.db"
            tls_cert = "farm.pem"
            tls_key = "farm.key"
            insecure_no_auth = false
            lease_seconds = 60
            retain_days = 30
            retain_tasks = 1_000_000
            log_format = "json"
            log_level = "debug"
            [worker]
            name = "gpu-1"
            tools = ["command"]
            slots = 2
            labels = { gpu = "a100" }
            reserved = true
            local_tools = ["whisper"]
            "#,
        )
        .unwrap();
        assert_eq!(file.color, Some(Color::Never));
        assert_eq!(file.up.workers, Some(3));
        assert_eq!((file.worker.slots, file.worker.labels["gpu"].as_str()), (2, "a100"));
        assert!(!format!("{file:?}").contains("secret"));
    }

    #[test]
    fn an_unknown_key_is_an_error_with_its_line() {
        let error = parse("server = \"localhost:8000\"\n\n[worker]\nslot = 2\n").unwrap_err();
        assert!(error.contains("line 4") && error.contains("unknown field `slot`"), "{error}");
    }

    #[test]
    fn the_readme_shows_a_file_that_is_read() {
        let readme = include_str!("../README.md");
        let example = readme.split("```toml").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
        let file = parse(example).unwrap();
        assert_eq!(file.worker.tools.offered, ["command", "reviewer"]);
        assert!(file.worker.tools.agents.contains_key("reviewer"));
    }
}
