//! `regatta completions`: completions for a shell, to standard output.

use std::io::Write;

use clap::Args;
use clap_complete::Shell;

use crate::exit::{Exit, Outcome};

/// Completions for your shell
///
/// Prints a script that makes your shell complete the commands and options of regatta.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  bash:  regatta completions bash > ~/.local/share/bash-completion/completions/regatta
  zsh:   regatta completions zsh > ~/.zfunc/_regatta        (with ~/.zfunc in $fpath)
  fish:  regatta completions fish > ~/.config/fish/completions/regatta.fish
`make install` does this for the shell you use.")]
pub struct Completions {
    /// The shell
    #[arg(value_enum)]
    shell: Shell,
}

impl Completions {
    pub fn run(self) -> Outcome {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut super::command(), "regatta", &mut script);
        let mut out = std::io::stdout().lock();
        out.write_all(&script)?;
        out.flush()?;
        Ok(Exit::Done)
    }
}
