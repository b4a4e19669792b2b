//! How a command ends: one table of exit codes for all commands, and errors made for the person who reads them.

use std::fmt;
use std::io;
use std::process::ExitCode;

/// The exit codes, as every command's help can show them.
pub const TABLE: &str = "\
Exit codes, the same for every command:
    0  done (also a server or worker that was drained by Ctrl-C or SIGTERM)
    1  failed: the work, the task, or what the server refused
    2  usage: the command line, a configuration file or a plan cannot be used
    3  unreachable: no server answers there
    4  invalid: a load test missed a requirement, and the generator itself was the bottleneck
  130  interrupted by Ctrl-C before it was done";

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// It did what it should.
    Done,
    /// The work failed.
    Failed,
    /// The command line, a configuration file or a plan cannot be used.
    Usage,
    /// No server answers.
    Unreachable,
    /// A load test missed a requirement, and the generator was the bottleneck.
    Invalid,
    /// Ctrl-C came first: 128 + SIGINT, as shells have it.
    Interrupted,
    /// What `--exit-code-on-error` says.
    Other(u8),
}

impl Exit {
    /// The number.
    pub const fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Failed => 1,
            Self::Usage => 2,
            Self::Unreachable => 3,
            Self::Invalid => 4,
            Self::Interrupted => 130,
            Self::Other(code) => code,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

/// What a command answers.
pub type Outcome = Result<Exit, Failure>;

/// Why a command could not do what it should: what happened, and what to do.
#[derive(Debug)]
pub struct Failure {
    /// The exit code it makes.
    pub exit: Exit,
    /// What happened; empty when there is nothing to say.
    pub what: String,
    /// What to do about it.
    pub hint: Option<String>,
}

impl Failure {
    /// The work failed.
    pub fn failed(what: impl Into<String>) -> Self {
        Self { exit: Exit::Failed, what: what.into(), hint: None }
    }

    /// What was given cannot be used.
    pub fn usage(what: impl Into<String>) -> Self {
        Self { exit: Exit::Usage, what: what.into(), hint: None }
    }

    /// Ctrl-C, with what it means for the work.
    pub fn interrupted(what: impl Into<String>) -> Self {
        Self { exit: Exit::Interrupted, what: what.into(), hint: None }
    }

    /// Ends with this code and says nothing: all is said.
    pub const fn quiet(exit: Exit) -> Self {
        Self { exit, what: String::new(), hint: None }
    }

    /// Says what to do.
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)?;
        match &self.hint {
            Some(hint) => write!(f, "\n  hint: {hint}"),
            None => Ok(()),
        }
    }
}

impl From<regatta_client::Error> for Failure {
    fn from(error: regatta_client::Error) -> Self {
        use regatta_client::Error;
        let exit = match &error {
            Error::Options(_) => Exit::Usage,
            error if error.is_unreachable() => Exit::Unreachable,
            _ => Exit::Failed,
        };
        // The server's own sentence is for who writes requests; who typed a command wants to know what does not fit.
        if let Some(problem) = error.problem().filter(|problem| problem.status == 422 && !problem.errors.is_empty()) {
            let fields = problem.errors.iter().map(|error| format!("\n  {}: {}", error.field, error.message));
            let what = format!("the server refuses what does not fit{}", fields.collect::<String>());
            return Self { exit, what, hint: None };
        }
        let text = error.to_string();
        if error.status() == Some(401) {
            let hint = "give a token of this server with REGATTA_TOKEN, --token or the configuration file";
            return Self { exit, what: text, hint: Some(hint.to_owned()) };
        }
        // The client's own sentences say first what happened and, after a semicolon, what to do; a server's answer
        // stays whole, with the fields it names.
        match text.rsplit_once("; ") {
            Some((what, hint)) if error.problem().is_none() => {
                Self { exit, what: what.to_owned(), hint: Some(hint.to_owned()) }
            }
            _ => Self { exit, what: text, hint: None },
        }
    }
}

impl From<io::Error> for Failure {
    /// Of writing to our own output: who closed the pipe has seen enough, and that is no error.
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe {
            return Self::quiet(Exit::Done);
        }
        Self::failed(format!("the output cannot be written: {error}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_names_every_code() {
        for exit in [Exit::Done, Exit::Failed, Exit::Usage, Exit::Unreachable, Exit::Invalid, Exit::Interrupted] {
            let code = exit.code().to_string();
            assert!(TABLE.lines().any(|line| line.split_whitespace().next() == Some(&code)), "{code}");
        }
    }

    #[test]
    fn a_clients_sentence_is_told_as_what_and_hint() {
        let failure = Failure::from(regatta_client::Error::Unreachable {
            url: "http://localhost:1".to_owned(),
            reason: "Connection refused".to_owned(),
        });
        assert_eq!(failure.exit, Exit::Unreachable);
        assert_eq!(failure.what, "no Regatta server answers at http://localhost:1 (Connection refused)");
        assert!(failure.hint.is_some_and(|hint| hint.starts_with("start one with `regatta up`")));
    }

    #[test]
    fn a_closed_pipe_is_no_error() {
        let failure = Failure::from(io::Error::from(io::ErrorKind::BrokenPipe));
        assert_eq!((failure.exit, failure.what.as_str()), (Exit::Done, ""));
    }
}
