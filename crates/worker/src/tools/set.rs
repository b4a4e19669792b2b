//! The tools a worker offers: what its owner listed, and nothing else.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize};

use super::agent::{Agent, AgentOptions};
use super::command::{self, Command, Commands, Inherited, Programs};
use super::simulate::{self, Simulate};
use super::{Job, Outcome, Sink, Stop, Tool, Unable};
use crate::supervisor::Supervisor;

/// Which tools to offer, and how those with names of their own are run.
///
/// In the config file either a list, `tools = ["command", "simulate:claude_code"]`, or a table for each tool:
/// `[tools.command]`, `[tools.reviewer] argv = ["my-reviewer", "{{prompt}}"]`. On the command line the list.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct ToolOptions {
    /// The names, in the order of preference.
    pub offered: Vec<String>,
    /// How tools of these names are run.
    pub agents: BTreeMap<String, AgentOptions>,
}

impl<'de> Deserialize<'de> for ToolOptions {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;
        impl<'de> serde::de::Visitor<'de> for Either {
            type Value = ToolOptions;

            fn expecting(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                out.write_str("a list of names, or a table for each tool, such as [tools.command]")
            }

            fn visit_seq<A: serde::de::SeqAccess<'de>>(self, list: A) -> Result<ToolOptions, A::Error> {
                let list = serde::de::value::SeqAccessDeserializer::new(list);
                Ok(ToolOptions { offered: Vec::deserialize(list)?, agents: BTreeMap::new() })
            }

            fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<ToolOptions, A::Error> {
                let mut tools = ToolOptions::default();
                while let Some((name, agent)) = map.next_entry::<String, AgentOptions>()? {
                    if agent != AgentOptions::default() {
                        tools.agents.insert(name.clone(), agent);
                    }
                    tools.offered.push(name);
                }
                Ok(tools)
            }
        }
        deserializer.deserialize_any(Either)
    }
}

/// What programs may do here: `[command]` in the config file.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CommandOptions {
    /// The programs that may run, by name or path; without it all. This is no sandbox: a program that starts others (sh, env, find,
    /// python, …) opens the door to all.
    pub allow: Option<Vec<String>>,
    /// Names of variables of the worker's own environment to pass on; `ABC_*` stands for all that begin with `ABC_`. Passed on
    /// anyway: PATH, HOME, USER, LOGNAME, LANG, LC_*, TZ, TMPDIR; never: REGATTA_*.
    pub pass_env: Vec<String>,
    /// Where programs run unless their step says otherwise; without it, the directory the worker was started in.
    pub directory: Option<PathBuf>,
}

/// What the tools of a worker need from it.
#[derive(Debug, Clone)]
pub struct Surroundings {
    /// Starts and ends programs.
    pub supervisor: Supervisor,
    /// The worker's name.
    pub worker: String,
    /// An existing folder for short-lived files.
    pub outputs: PathBuf,
    /// The worker's environment.
    pub environment: Vec<(std::ffi::OsString, std::ffi::OsString)>,
}

/// The tools of a worker, by the names it registers.
pub struct ToolSet {
    tools: BTreeMap<String, Arc<dyn Tool>>,
    names: Vec<String>,
    /// Whether any of them starts processes.
    pub starts_processes: bool,
    /// What was asked for and cannot be offered, each with the reason; said once at the start.
    pub left_out: Vec<String>,
}

impl std::fmt::Debug for ToolSet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ToolSet").field("names", &self.names).finish()
    }
}

impl ToolSet {
    /// Makes the tools that are asked for. One whose program is not installed is left out.
    ///
    /// # Errors
    /// A sentence when a name is unknown or given twice, or nothing is left to offer.
    pub fn build(options: &ToolOptions, commands: &CommandOptions, around: &Surroundings) -> Result<Self, String> {
        let path = around.environment.iter().find(|(name, _)| name == "PATH").map(|(_, value)| value.as_os_str());
        let directory = match &commands.directory {
            Some(directory) => directory.clone(),
            None => {
                std::env::current_dir().map_err(|error| format!("the current directory cannot be used: {error}"))?
            }
        };
        let runner = |pass_env: &[String], allow: Option<Vec<String>>| {
            let patterns = [commands.pass_env.as_slice(), pass_env].concat();
            Arc::new(Commands {
                supervisor: around.supervisor.clone(),
                programs: Programs::new(&around.worker, path, allow),
                inherited: Inherited::new(around.environment.iter().cloned(), &patterns),
                directory: directory.clone(),
                outputs: around.outputs.clone(),
                worker: around.worker.clone(),
            })
        };

        let mut set = Self { tools: BTreeMap::new(), names: Vec::new(), starts_processes: false, left_out: Vec::new() };
        for asked in options.offered.iter().map(|name| name.trim()) {
            let agent = options
                .agents
                .get(asked)
                .filter(|agent| !agent.argv.is_empty())
                .cloned()
                .or_else(|| AgentOptions::built_in(asked));
            let (name, tool): (&str, Arc<dyn Tool>) = match (asked, agent) {
                (command::NAME, _) => {
                    set.starts_processes = true;
                    let commands = runner(&[], commands.allow.clone());
                    (asked, Arc::new(Command::new(commands)))
                }
                (simulate::NAME, _) => (asked, Arc::new(Simulate)),
                (_, Some(agent)) => {
                    // The owner's own arguments: `allow` is about what steps ask for.
                    let commands = runner(&agent.pass_env, None);
                    if !agent.program().contains("{{") && !commands.programs.is_installed(agent.program()) {
                        set.left_out.push(format!(
                            "{asked} is not offered: program {:?} is not installed or not on the PATH of worker {}",
                            agent.program(),
                            around.worker
                        ));
                        continue;
                    }
                    set.starts_processes = true;
                    (asked, Arc::new(Agent::new(&agent, commands)))
                }
                (_, None) => match asked.split_once(':') {
                    Some((simulate::NAME, name)) if !name.is_empty() && name != command::NAME => {
                        (name, Arc::new(Simulate))
                    }
                    _ => return Err(unknown(asked)),
                },
            };
            if set.tools.insert(name.to_owned(), tool).is_some() {
                return Err(format!(
                    "the tool {name} is offered twice; a worker runs a tool in one way: remove one from --tools"
                ));
            }
            set.names.push(name.to_owned());
        }
        if set.names.is_empty() {
            let mut text = set.left_out.join("; ");
            if text.is_empty() {
                text.push_str("this worker offers no tools; name some: --tools command");
            } else {
                text.push_str(
                    "; nothing is left to offer: install a program, or name another tool, such as --tools command",
                );
            }
            return Err(text);
        }
        Ok(set)
    }

    /// The names to register, in the owner's order.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// The names whose work is only pretended.
    pub fn simulated(&self) -> Vec<String> {
        let simulated = |name: &&String| self.tools.get(*name).is_some_and(|tool| tool.is_simulated());
        self.names.iter().filter(simulated).cloned().collect()
    }

    /// Whether what the tool of this name makes is only pretended.
    pub fn is_simulated(&self, name: &str) -> bool {
        self.tools.get(name).is_some_and(|tool| tool.is_simulated())
    }

    /// Whether a tool of this name is offered.
    pub fn offers(&self, name: &str) -> bool {
        self.tools.contains_key(name)
    }

    /// Runs an attempt with the tool it names.
    ///
    /// # Errors
    /// [`Unable`] when that tool is not offered, and as [`Tool::run`].
    pub async fn run(&self, job: &Job, sink: &dyn Sink, stop: &Stop) -> Result<Outcome, Unable> {
        match self.tools.get(&job.assignment.assigned_tool) {
            Some(tool) => tool.run(job, sink, stop).await,
            None => Err(Unable(self.refusal(&job.assignment.assigned_tool))),
        }
    }

    /// Why a tool of this name is not run.
    pub fn refusal(&self, name: &str) -> String {
        format!("this worker does not offer {name}; its owner offers {}", self.names.join(", "))
    }
}

fn unknown(name: &str) -> String {
    format!(
        "the tool {name:?} is not known; offer command, simulate, simulate:NAME, claude_code, gemini_cli or ollama, or declare it in the config file: [tools.{}] with argv = [\"program\", \"{{{{prompt}}}}\"]",
        if name.is_empty() { "NAME" } else { name }
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn around(path: &str) -> Surroundings {
        Surroundings {
            supervisor: Supervisor::new(vec!["false".into()], "nobody"),
            worker: "w1".into(),
            outputs: std::env::temp_dir(),
            environment: vec![("PATH".into(), path.into())],
        }
    }

    fn offered(names: &[&str]) -> ToolOptions {
        ToolOptions { offered: names.iter().map(|&name| name.to_owned()).collect(), ..ToolOptions::default() }
    }

    fn build(options: &ToolOptions) -> Result<ToolSet, String> {
        ToolSet::build(options, &CommandOptions::default(), &around("/usr/bin:/bin"))
    }

    #[test]
    fn a_simulated_tool_stands_in_under_the_bare_name() {
        let set = build(&offered(&["simulate:claude_code", "simulate", "command"])).unwrap();
        assert_eq!(set.names(), ["claude_code", "simulate", "command"]);
        assert_eq!(set.simulated(), ["claude_code", "simulate"]);
        assert!(set.offers("claude_code") && !set.offers("gemini_cli"));
        assert!(set.starts_processes);
        assert!(!build(&offered(&["simulate:x"])).unwrap().starts_processes);
        assert!(set.refusal("gemini_cli").contains("does not offer gemini_cli"));
    }

    #[test]
    fn an_agent_that_is_not_installed_is_left_out_and_said_so() {
        let set =
            ToolSet::build(&offered(&["command", "claude_code"]), &CommandOptions::default(), &around("/nowhere"))
                .unwrap();
        assert_eq!(set.names(), ["command"]);
        assert_eq!(
            set.left_out,
            ["claude_code is not offered: program \"claude\" is not installed or not on the PATH of worker w1"]
        );
        let error =
            ToolSet::build(&offered(&["gemini_cli"]), &CommandOptions::default(), &around("/nowhere")).unwrap_err();
        assert!(error.contains("\"gemini\" is not installed"), "{error}");
        assert!(error.contains("nothing is left to offer"), "{error}");
    }

    #[test]
    fn what_cannot_be_offered_is_refused_with_advice() {
        for (names, word) in [
            (&["dance"][..], "[tools.dance]"),
            (&["simulate:"], "not known"),
            (&["simulate:command"], "not known"),
            (&["command", "command"], "twice"),
            (&["simulate:sh", "simulate:sh"], "twice"),
            (&[], "--tools command"),
        ] {
            let error = build(&offered(names)).unwrap_err();
            assert!(error.contains(word), "{error}");
        }
    }

    #[test]
    fn the_config_file_lists_tools_or_declares_them() {
        #[derive(Deserialize)]
        struct File {
            tools: ToolOptions,
        }
        let read = |text: &str| toml::from_str::<File>(text).map(|file| file.tools);
        assert_eq!(read("tools = [\"command\", \"simulate\"]").unwrap(), offered(&["command", "simulate"]));
        let tools = read("[tools.command]\n[tools.lister]\nargv = [\"ls\", \"{{input.path}}\"]\n").unwrap();
        assert_eq!(tools.offered, ["command", "lister"]);
        let set = build(&tools).unwrap();
        assert_eq!(set.names(), ["command", "lister"]);
        let error = read("[tools.lister]\nargs = [\"ls\"]\n").unwrap_err();
        assert!(error.to_string().contains("args"), "{error}");
    }
}
