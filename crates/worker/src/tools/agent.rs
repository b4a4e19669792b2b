//! Tools under names of their own: AI agents, and whatever programs the worker's owner declares. Their arguments are the owner's;
//! a step brings the text.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::command::{Commands, Step};
use super::{Job, Outcome, Sink, Stop, Tool, Unable};

/// How a tool of this name is run: `[tools.NAME]` in the config file. Every text may hold templates, such as `{{prompt}}` (the
/// description, and what the steps before made), `{{description}}`, `{{input.x}}` or `{{context["Step"].field}}`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AgentOptions {
    /// The program and its arguments. Without it the built-in of this name is meant.
    pub argv: Vec<String>,
    /// What the program reads. Without it: description, input and context as JSON, or nothing for the built-in ones.
    pub stdin: Option<String>,
    /// The working directory, relative to the worker's.
    pub cwd: Option<String>,
    /// Variables to set.
    pub env: BTreeMap<String, String>,
    /// Names of variables of the worker's own environment to pass on; `ABC_*` stands for all that begin with `ABC_`.
    pub pass_env: Vec<String>,
}

impl AgentOptions {
    /// What the built-in agents are run as; `None` for a name that is none of them.
    pub fn built_in(name: &str) -> Option<Self> {
        let (argv, pass_env): (&[&str], &[&str]) = match name {
            "claude_code" => (&["claude", "-p", "{{prompt}}"], &["ANTHROPIC_*", "CLAUDE_*", "XDG_*"]),
            "gemini_cli" => (&["gemini", "-p", "{{prompt}}"], &["GEMINI_*", "GOOGLE_*", "XDG_*"]),
            "ollama" => (&["ollama", "run", "{{input.model|default('llama3.2')}}", "{{prompt}}"], &["OLLAMA_*"]),
            _ => return None,
        };
        let texts = |list: &[&str]| list.iter().map(|&text| text.to_owned()).collect();
        Some(Self { argv: texts(argv), stdin: Some(String::new()), pass_env: texts(pass_env), ..Self::default() })
    }

    /// The program it needs.
    pub fn program(&self) -> &str {
        self.argv.first().map_or("", String::as_str)
    }

    pub(super) fn step(&self) -> Step {
        use super::command::Argument;
        Step {
            argv: self.argv.iter().cloned().map(Argument).collect(),
            cwd: self.cwd.clone(),
            env: self.env.iter().map(|(name, value)| (name.clone(), Argument(value.clone()))).collect(),
            stdin: self.stdin.clone(),
            ..Step::default()
        }
    }
}

/// The tool.
pub struct Agent {
    step: Step,
    commands: Arc<Commands>,
}

impl Agent {
    /// The tool that these options describe; `commands` holds the environment it is given.
    pub fn new(options: &AgentOptions, commands: Arc<Commands>) -> Self {
        Self { step: options.step(), commands }
    }
}

#[async_trait]
impl Tool for Agent {
    async fn run(&self, job: &Job, sink: &dyn Sink, stop: &Stop) -> Result<Outcome, Unable> {
        self.commands.run(&self.step, job, sink, stop).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_built_in_agents_name_a_program_and_read_nothing() {
        for name in ["claude_code", "gemini_cli", "ollama"] {
            let options = AgentOptions::built_in(name).unwrap();
            assert!(options.step().check().is_ok());
            assert!(name.starts_with(options.program()));
            assert_eq!(options.stdin.as_deref(), Some(""));
        }
        assert_eq!(AgentOptions::built_in("command"), None);
    }
}
