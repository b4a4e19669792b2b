//! What a worker can be told: by its config file, its environment and its flags, under the same names.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use regatta_api::limits;
use serde::{Deserialize, Serialize};

use crate::tools::set::{CommandOptions, ToolOptions};

/// Why a worker cannot be made as it was told.
#[derive(Debug, thiserror::Error)]
pub enum OptionsError {
    /// The config file cannot be read.
    #[error("the config file {} cannot be read ({source}); see that it is there and may be read", file.display())]
    Unreadable {
        /// The file.
        file: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// The config file does not fit.
    #[error("the config file {} does not fit: {reason}", file.display())]
    Unfit {
        /// The file.
        file: PathBuf,
        /// Where and why.
        reason: String,
    },
    /// A value cannot be used.
    #[error("{0}")]
    Bad(String),
}

/// A token; never printed.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Token(pub String);

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("…")
    }
}

/// What a worker can be told. In the config file (TOML) the same names; a name that is not here is an error.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Options {
    /// The server's address; several nodes of one system with commas between them. `--server`, `REGATTA_SERVER`.
    pub server: String,
    /// The token to show the server. `REGATTA_TOKEN`.
    #[serde(skip_serializing)]
    pub token: Option<Token>,
    /// A PEM file with the certificates of the authorities to believe, in place of the system's. `--tls-ca`,
    /// `REGATTA_TLS_CA`.
    pub tls_ca: Option<PathBuf>,
    /// The worker's name, 1..=100 characters: other names on one machine are other workers. Without it the machine's name.
    /// `--name`.
    pub name: Option<String>,
    /// What it runs; what is not listed is refused, whatever the server says. `--tools a,b`.
    pub tools: ToolOptions,
    /// How many subtasks it runs at once, 1..=1024. `--slots`.
    pub slots: u32,
    /// What tasks may require. `--labels k=v`.
    pub labels: BTreeMap<String, String>,
    /// Whether it takes only subtasks that require one of its labels. `--reserved`.
    pub reserved: bool,
    /// Tools that keep data in the house although their names are not among the known local ones. `--local-tools`.
    pub local_tools: Vec<String>,
    /// Where identity and journal are kept. `--data-dir`, `REGATTA_DATA`.
    pub data_dir: Option<PathBuf>,
    /// Seconds between heartbeats; without it 30, or a third of the shortest lease.
    pub heartbeat_seconds: Option<f64>,
    /// Seconds that running subtasks have to end when the worker is told to stop, before they are given back.
    pub drain_seconds: f64,
    /// What programs may do.
    pub command: CommandOptions,
    /// The program that supervises processes, and its arguments; without it this binary itself. For tests.
    #[serde(skip)]
    pub supervisor: Option<Vec<OsString>>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            server: "http://localhost:8000".to_owned(),
            token: None,
            tls_ca: None,
            name: None,
            tools: ToolOptions::default(),
            slots: 1,
            labels: BTreeMap::new(),
            reserved: false,
            local_tools: Vec::new(),
            data_dir: None,
            heartbeat_seconds: None,
            drain_seconds: 30.0,
            command: CommandOptions::default(),
            supervisor: None,
        }
    }
}

impl Options {
    /// Reads a config file.
    ///
    /// # Errors
    /// When it cannot be read or does not fit; with line and column.
    pub fn load(file: &Path) -> Result<Self, OptionsError> {
        let text = std::fs::read_to_string(file)
            .map_err(|source| OptionsError::Unreadable { file: file.to_owned(), source })?;
        toml::from_str(&text).map_err(|error| OptionsError::Unfit { file: file.to_owned(), reason: error.to_string() })
    }

    /// The worker's name.
    ///
    /// # Errors
    /// When it is empty, too long, or not given on a machine without a name.
    pub fn worker_name(&self) -> Result<String, OptionsError> {
        let name = match &self.name {
            Some(name) => name.trim().to_owned(),
            None => sysinfo::System::host_name().unwrap_or_default(),
        };
        if !limits::MACHINE_NAME.contains(&name.chars().count()) || name.contains(char::is_control) {
            return Err(OptionsError::Bad(format!(
                "the name {name:?} cannot be used; give one of 1 to 100 printable characters: --name"
            )));
        }
        Ok(name)
    }

    /// The folder for identity and journal: as given, else `regatta` in the user's folder for application data.
    ///
    /// # Errors
    /// When none is given and the user has no home.
    pub fn data_folder(&self) -> Result<PathBuf, OptionsError> {
        if let Some(folder) = &self.data_dir {
            return Ok(folder.clone());
        }
        let from = |variable: &str| std::env::var_os(variable).map(PathBuf::from).filter(|path| path.is_absolute());
        from("XDG_DATA_HOME")
            .or_else(|| from("HOME").map(|home| home.join(".local/share")))
            .map(|folder| folder.join("regatta"))
            .ok_or_else(|| {
                OptionsError::Bad("there is no home folder to keep the worker's data in; give one: --data-dir".into())
            })
    }

    /// Looks at what needs no look at the machine.
    ///
    /// # Errors
    /// The first value that cannot be used.
    pub fn check(&self) -> Result<(), OptionsError> {
        let bad = |text: String| Err(OptionsError::Bad(text));
        if !limits::SLOTS.contains(&self.slots) {
            return bad(format!("slots is {}; a worker has 1 to 1024", self.slots));
        }
        if let Some((label, value)) = self.labels.iter().find(|(label, _)| label.is_empty()) {
            return bad(format!("the label {label:?} = {value:?} has no name; write it as name=value"));
        }
        if self.reserved && self.labels.is_empty() {
            return bad("a reserved worker takes only subtasks that require one of its labels, and it has none; give some: --labels name=value".into());
        }
        if !(self.drain_seconds >= 0.0 && self.drain_seconds <= 86_400.0) {
            return bad(format!("drain_seconds is {}; give 0 to 86400", self.drain_seconds));
        }
        if let Some(seconds) = self.heartbeat_seconds
            && !(0.01..=30.0).contains(&seconds)
        {
            return bad(format!("heartbeat_seconds is {seconds}; give 0.01 to 30: leases last a few of them"));
        }
        Ok(())
    }

    /// The time between heartbeats, if it is given.
    pub fn heartbeat(&self) -> Option<Duration> {
        self.heartbeat_seconds.map(Duration::from_secs_f64)
    }

    /// The time that running subtasks have when the worker is told to stop.
    pub fn drain(&self) -> Duration {
        Duration::from_secs_f64(self.drain_seconds)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(text: &str) -> Result<Options, OptionsError> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        Options::load(file.path())
    }

    #[test]
    fn a_config_file_says_all_and_nothing_unknown() {
        let options = load(
            r#"
            server = "http://farm:8000"
            token = "rgw_secret"
            name = "builder"
            slots = 4
            labels = { gpu = "a100" }
            reserved = true
            local_tools = ["reviewer"]
            data_dir = "/var/lib/regatta"
            heartbeat_seconds = 5
            drain_seconds = 10
            [command]
            allow = ["wc"]
            pass_env = ["CARGO_*"]
            [tools.command]
            [tools.reviewer]
            argv = ["my-reviewer", "{{prompt}}"]
            "#,
        )
        .unwrap();
        options.check().unwrap();
        assert_eq!(options.worker_name().unwrap(), "builder");
        assert_eq!(options.tools.offered, ["command", "reviewer"]);
        assert_eq!(options.command.allow.as_deref(), Some(&["wc".to_owned()][..]));
        assert_eq!(options.heartbeat(), Some(Duration::from_secs(5)));
        assert!(!format!("{options:?}").contains("secret"));

        let error = load("slots = 2\nslotz = 3\n").unwrap_err().to_string();
        assert!(error.contains("slotz") && error.contains("line 2"), "{error}");
        assert!(load("[command]\nallowed = []\n").is_err());
        let missing = Options::load(Path::new("/no/such/file")).unwrap_err().to_string();
        assert!(missing.contains("/no/such/file"), "{missing}");
    }

    #[test]
    fn what_cannot_be_used_is_refused_with_advice() {
        type Change = fn(&mut Options);
        let cases: [(Change, &str); 7] = [
            (|options| options.slots = 0, "1 to 1024"),
            (|options| options.slots = 2000, "1 to 1024"),
            (|options| options.reserved = true, "--labels"),
            (|options| options.drain_seconds = -1.0, "drain_seconds"),
            (|options| options.drain_seconds = f64::NAN, "drain_seconds"),
            (|options| options.heartbeat_seconds = Some(0.0), "heartbeat_seconds"),
            (
                |options| {
                    options.labels.insert(String::new(), "x".into());
                },
                "name=value",
            ),
        ];
        for (change, word) in cases {
            let mut options = Options::default();
            options.check().unwrap();
            change(&mut options);
            let error = options.check().unwrap_err().to_string();
            assert!(error.contains(word), "{error}");
        }
        let named = |name: &str| Options { name: Some(name.into()), ..Options::default() }.worker_name();
        assert!(named("").is_err() && named(&"x".repeat(101)).is_err() && named("a\nb").is_err());
        assert_eq!(named(" w1 ").unwrap(), "w1");
    }
}
