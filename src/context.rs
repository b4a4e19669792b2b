//! What every command gets: the global flags over the environment over the configuration file over the defaults.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use regatta_client::{Client, Options, RetryPolicy};

use crate::config::{self, File, Secret};
use crate::exit::Failure;
use crate::ui::Color;

/// The address of a server that nobody named.
const DEFAULT_SERVER: &str = "http://localhost:8000";

/// Flags of every command.
#[derive(Debug, Args)]
#[command(next_help_heading = "Global options")]
pub struct Globals {
    /// The server to talk to, or several of one system: the next is used when one does not answer [default: http://localhost:8000]
    #[arg(long, global = true, value_name = "URL[,URL…]", env = "REGATTA_SERVER", hide_env_values = true)]
    pub server: Option<String>,

    /// The token to show the server; better in REGATTA_TOKEN or the configuration file, where nobody else sees it
    #[arg(long, global = true, value_name = "TOKEN", env = "REGATTA_TOKEN", hide_env_values = true)]
    pub token: Option<Secret>,

    /// The certificates of the authorities to believe for https://, a PEM file, in place of the system's
    #[arg(long, global = true, value_name = "FILE", env = "REGATTA_TLS_CA", hide_env_values = true)]
    pub tls_ca: Option<PathBuf>,

    /// The configuration file [default: ~/.config/regatta/config.toml]
    #[arg(long, global = true, value_name = "FILE", env = "REGATTA_CONFIG", hide_env_values = true)]
    pub config: Option<PathBuf>,

    /// When to use colours [default: auto: on a terminal, and never with NO_COLOR]
    #[arg(long, global = true, value_name = "WHEN")]
    pub color: Option<Color>,

    /// Say only what was asked for and what went wrong
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub quiet: bool,

    /// Say more about what is done (-vv: everything)
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub verbose: u8,
}

/// Settings from all sources.
#[derive(Debug)]
pub struct Context {
    pub globals: Globals,
    pub file: File,
    /// Whether there is a configuration file.
    pub configured: bool,
}

impl Context {
    /// Reads the configuration file.
    ///
    /// # Errors
    /// See [`config::read`].
    pub fn new(mut globals: Globals) -> Result<Self, Failure> {
        // A variable that is set to nothing is not set.
        globals.server = globals.server.filter(|server| !server.trim().is_empty());
        globals.token = globals.token.filter(|token| !token.0.is_empty());
        globals.tls_ca = globals.tls_ca.filter(|path| !path.as_os_str().is_empty());
        globals.config = globals.config.filter(|path| !path.as_os_str().is_empty());
        let file = config::read(globals.config.as_deref())?;
        Ok(Self { globals, configured: file.is_some(), file: file.unwrap_or_default() })
    }

    /// The server somebody named.
    pub fn named_server(&self) -> Option<&str> {
        self.globals.server.as_deref().or(self.file.server.as_deref())
    }

    /// The server, named or not.
    pub fn server(&self) -> &str {
        self.named_server().unwrap_or(DEFAULT_SERVER)
    }

    /// The token somebody gave.
    pub fn token(&self) -> Option<&str> {
        self.globals.token.as_ref().or(self.file.token.as_ref()).map(|token| token.0.as_str())
    }

    /// The certificates that somebody named.
    pub fn tls_ca(&self) -> Option<&Path> {
        self.globals.tls_ca.as_deref().or(self.file.tls_ca.as_deref())
    }

    /// A client for a command that a person waits for: a server that is not there is told within a moment.
    ///
    /// # Errors
    /// When the address or the token cannot be used.
    pub fn client(&self) -> Result<Client, Failure> {
        self.client_within(Duration::from_secs(2))
    }

    /// A client for what follows a task to its end: a server that restarts is waited for.
    ///
    /// # Errors
    /// As [`Context::client`].
    pub fn patient_client(&self) -> Result<Client, Failure> {
        self.client_within(Duration::from_secs(5 * 60))
    }

    fn client_within(&self, patience: Duration) -> Result<Client, Failure> {
        let options = Options {
            server: self.server().to_owned(),
            token: self.token().map(str::to_owned),
            tls_ca: self.tls_ca().map(Path::to_owned),
            retry: RetryPolicy::within(patience),
            reconnect: RetryPolicy::within(patience),
            ..Options::default()
        };
        Ok(Client::new(options)?)
    }

    /// Where this machine's server and workers keep what they must not lose.
    ///
    /// # Errors
    /// When nobody named a folder and there is no home directory.
    pub fn data_dir(&self, flag: Option<&Path>) -> Result<PathBuf, Failure> {
        flag.filter(|path| !path.as_os_str().is_empty())
            .or(self.file.data_dir.as_deref())
            .map(Path::to_owned)
            .or_else(config::default_data_dir)
            .ok_or_else(|| {
                Failure::usage("there is no folder to keep data in: HOME is not set")
                    .hint("name one with --data-dir or REGATTA_DATA")
            })
    }
}
