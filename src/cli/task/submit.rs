//! `regatta task submit`.

use std::io::{Read, Write};
use std::path::PathBuf;

use clap::Args;
use regatta_client::Client;
use regatta_client::api::task::{CreateTask, Step, TaskCreated};
use regatta_client::api::{FieldError, JsonObject, Priority, Privacy, TaskStatus, TaskType, Time};
use regatta_worker::tools::command;
use serde_json::json;

use super::args::{key_value, words};
use crate::context::Context;
use crate::exit::{Exit, Failure, Outcome};
use crate::plan_file::{self, PlanFile};
use crate::signals;
use crate::ui;
use crate::watch::{self, Form};

/// Give the fleet something to do
///
/// Gives the fleet something to do: a task in words with a built-in plan, a plan from a file, or one program.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  regatta task submit --plan examples/word-count.toml --watch
  regatta task submit --plan plan.toml --var folder=books --priority urgent
  regatta task submit --watch -- date -u
                                 one program, run on a worker
  regatta task submit \"Add a login page to the shop\"
                                 a built-in plan (develop_feature), run by AI tools
  regatta task submit --type bug_fix --priority high \"Totals are off by one cent\"
  regatta task submit \"Summarise the contracts\" --sensitive --tool ollama --wait
                                 one step, local tools only
  regatta task submit --file request.json --json
                                 the body of POST /api/v1/tasks, from a program")]
pub struct Submit {
    /// What is to be done, in words (10 to 10000 characters); or else --plan FILE, or a program after `--`
    #[arg(value_name = "DESCRIPTION", required_unless_present_any = ["plan", "file", "program"])]
    description: Option<String>,

    /// A plan: a task and its steps in TOML, see examples/
    #[arg(long, value_name = "FILE", conflicts_with_all = ["description", "program", "file", "tool", "input", "task_type"])]
    plan: Option<PathBuf>,

    /// A text for the plan's `${NAME}` (may be given several times)
    #[arg(long, value_name = "NAME=TEXT", requires = "plan", value_parser = key_value)]
    var: Vec<(String, String)>,

    /// A program and its arguments: one step, run by a worker that offers `command`
    #[arg(last = true, value_name = "PROGRAM", conflicts_with_all = ["tool", "input", "file", "task_type"])]
    program: Vec<String>,

    /// A request as JSON, as POST /api/v1/tasks takes it (`-`: standard input)
    #[arg(short, long, value_name = "FILE", conflicts_with_all = ["tool", "input", "task_type"])]
    file: Option<PathBuf>,

    /// The kind of work; it chooses the built-in plan [default: develop_feature]
    #[arg(long = "type", value_name = "TYPE", value_parser = words!(TaskType))]
    task_type: Option<TaskType>,

    /// One step, run by this tool, instead of a built-in plan
    #[arg(long, value_name = "TOOL", conflicts_with = "task_type")]
    tool: Option<String>,

    /// What the tool of that step gets, as a JSON object
    #[arg(long, value_name = "JSON", requires = "tool", value_parser = object)]
    input: Option<JsonObject>,

    /// A head start in the queue [default: normal]
    #[arg(long, value_name = "PRIORITY", value_parser = words!(Priority))]
    priority: Option<Priority>,

    /// Local tools only: nothing of it leaves the house
    #[arg(long)]
    sensitive: bool,

    /// Only workers that carry this label (may be given several times)
    #[arg(long, value_name = "NAME=VALUE", value_parser = key_value)]
    requires: Vec<(String, String)>,

    /// The tool to take for steps that name none; several times: the best first
    #[arg(long, value_name = "TOOL")]
    prefer: Vec<String>,

    /// Leave it waiting until someone starts it (POST /api/v1/tasks/{id}/decompose)
    #[arg(long)]
    no_start: bool,

    /// Start it at this time, such as 2026-11-24T06:00:00Z
    #[arg(long, value_name = "TIME", conflicts_with = "no_start")]
    start_at: Option<Time>,

    /// Submitting again with this key gives the first answer again and makes nothing twice (kept 24 h)
    #[arg(long, value_name = "KEY")]
    idempotency_key: Option<String>,

    /// See it move until it ends, as `regatta task watch`
    #[arg(long)]
    watch: bool,

    /// Wait until it ends and print its results; exit code 1 when it fails
    #[arg(long, conflicts_with = "watch")]
    wait: bool,

    /// Print JSON: the answer; with --wait the task as it ended; with --watch its events
    #[arg(long)]
    json: bool,
}

impl Submit {
    pub async fn run(self, context: &Context, client: &Client) -> Outcome {
        let plan = self.plan_file()?;
        let task = self.request(plan.as_ref())?;
        check_programs(&task).map_err(|errors| unusable(plan.as_ref(), &errors))?;
        let created = match &self.idempotency_key {
            Some(key) => client.submit_with_key(&task, key).await,
            None => client.submit(&task).await,
        };
        let created = created.map_err(|error| match (&plan, error.problem()) {
            (Some(_), Some(problem)) if !problem.errors.is_empty() => unusable(plan.as_ref(), &problem.errors),
            _ => error.into(),
        })?;
        let id = created.task_id;
        if self.watch {
            self.say(context, &created)?;
            return watch::task(context, client, id, Form::of(self.json)).await;
        }
        if !self.wait {
            if self.json {
                ui::json::print(&created)?;
            } else if context.globals.quiet {
                writeln!(anstream::stdout().lock(), "{id}")?;
            } else {
                let mut out = anstream::stdout().lock();
                writeln!(out, "task {id} submitted\n  see it move: regatta task watch {}", ui::id(id))?;
            }
            return Ok(Exit::Done);
        }
        self.say(context, &created)?;
        let client = &context.patient_client()?;
        let task = tokio::select! {
            task = watch::until_end(client, id) => task?,
            () = signals::interrupted() => return Err(watch::left_running(context, id)),
        };
        if self.json {
            ui::json::print(&task)?;
        } else {
            watch::results::print_end(&task)?;
            watch::results::print(client, &task).await?;
        }
        Ok(if task.status == TaskStatus::Completed { Exit::Done } else { Exit::Failed })
    }

    /// Which task it is, before what it does; not among JSON.
    fn say(&self, context: &Context, created: &TaskCreated) -> Result<(), Failure> {
        if !self.json && !context.globals.quiet {
            let mut out = anstream::stdout().lock();
            writeln!(out, "task {} submitted", created.task_id)?;
            out.flush()?;
        }
        Ok(())
    }

    /// The plan, if one was named.
    fn plan_file(&self) -> Result<Option<PlanFile>, Failure> {
        let Some(path) = &self.plan else { return Ok(None) };
        plan_file::load(path, &self.var).map(Some).map_err(|error| Failure::usage(error.to_string()))
    }

    /// What to ask the server for.
    fn request(&self, plan: Option<&PlanFile>) -> Result<CreateTask, Failure> {
        let mut task = match (plan, &self.file) {
            (Some(plan), _) => plan.task.clone(),
            (None, Some(path)) => read(path)?,
            (None, None) => CreateTask::new(""),
        };
        if let Some(description) = &self.description {
            task.description.clone_from(description);
        }
        if let Some(name) = self.program.first() {
            if self.description.is_none() {
                task.description = format!("Run the program {}", self.program.join(" ")).chars().take(10_000).collect();
            }
            single(&mut task, command::NAME, step_name(name), Some(command_input(&self.program)));
        } else if let Some(tool) = &self.tool {
            single(&mut task, tool, tool.clone(), self.input.clone());
        }
        if let Some(task_type) = self.task_type {
            task.task_type = task_type;
        }
        if let Some(priority) = self.priority {
            task.priority = priority;
        }
        if self.sensitive {
            task.privacy_level = Privacy::Sensitive;
        }
        if !self.requires.is_empty() {
            task.requires.get_or_insert_default().extend(self.requires.iter().cloned());
        }
        if !self.prefer.is_empty() {
            task.tool_preferences = Some(self.prefer.clone());
        }
        if self.no_start {
            task.start = false;
        }
        task.start_at = self.start_at.or(task.start_at);
        Ok(task)
    }
}

/// Looks at the inputs of steps for `command` as a worker would: a worker finds out only when their turn comes, and tries them
/// again in vain.
fn check_programs(task: &CreateTask) -> Result<(), Vec<FieldError>> {
    let mut errors = Vec::new();
    for (at, step) in task.subtasks.iter().flatten().enumerate() {
        if step.tool.as_deref() == Some(command::NAME)
            && let Some(input) = &step.input
            && let Err(FieldError { field, message }) = command::check(input)
        {
            let dot = if field.is_empty() { "" } else { "." };
            errors.push(FieldError { field: format!("subtasks[{at}].input{dot}{field}"), message });
        }
        // A page of them, not a book.
        if errors.len() >= 20 {
            break;
        }
    }
    if errors.is_empty() { Ok(()) } else { Err(errors) }
}

/// What was given cannot be used: told with its place in the file where there is one.
fn unusable(plan: Option<&PlanFile>, errors: &[FieldError]) -> Failure {
    Failure::usage(match plan {
        Some(plan) => plan.explain(errors),
        None => errors.iter().map(|error| format!("{}: {}", error.field, error.message)).collect::<Vec<_>>().join("\n"),
    })
}

/// Makes the task one step for this tool.
fn single(task: &mut CreateTask, tool: &str, name: String, input: Option<JsonObject>) {
    task.task_type = TaskType::Custom;
    task.subtasks = Some(vec![Step {
        description: Some(task.description.clone()),
        tool: Some(tool.to_owned()),
        input,
        ..Step::new(name)
    }]);
}

/// A program's name as the name of a step: without the folders.
fn step_name(program: &str) -> String {
    let name = program.rsplit('/').next().unwrap_or(program);
    if name.is_empty() { program.to_owned() } else { name.to_owned() }
}

/// The input of the `command` tool for a program and its arguments, letter for letter: one that looks like a template is
/// handed over as a value.
fn command_input(program: &[String]) -> JsonObject {
    let is_template = |argument: &&String| ["{{", "{%", "{#"].iter().any(|mark| argument.contains(mark));
    let values: Vec<_> = program.iter().filter(is_template).collect();
    let mut number = 0;
    let mut input = JsonObject::new();
    let argv: Vec<_> = program
        .iter()
        .map(|argument| {
            if !is_template(&argument) {
                return argument.clone();
            }
            number += 1;
            format!("{{{{input.literals[{}]}}}}", number - 1)
        })
        .collect();
    input.insert("argv".to_owned(), json!(argv));
    if !values.is_empty() {
        input.insert("literals".to_owned(), json!(values));
    }
    input
}

/// A request from a file.
fn read(path: &PathBuf) -> Result<CreateTask, Failure> {
    let name = if path.as_os_str() == "-" { "standard input".to_owned() } else { path.display().to_string() };
    let mut text = String::new();
    let read = if path.as_os_str() == "-" {
        std::io::stdin().lock().read_to_string(&mut text).map(|_| ())
    } else {
        std::fs::read_to_string(path).map(|content| text = content)
    };
    read.map_err(|error| Failure::usage(format!("{name} cannot be read: {error}")))?;
    serde_json::from_str(&text).map_err(|error| {
        Failure::usage(format!("{name} is no request: {error}"))
            .hint("write it as POST /api/v1/tasks takes it, see /docs of the server; only `description` must be there")
    })
}

/// A JSON object.
fn object(text: &str) -> Result<JsonObject, String> {
    serde_json::from_str(text).map_err(|error| format!("it is no JSON object: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Only {
        #[command(flatten)]
        submit: Submit,
    }

    fn request(words: &[&str]) -> CreateTask {
        Only::try_parse_from([&["submit"], words].concat()).unwrap().submit.request(None).unwrap()
    }

    #[test]
    fn a_program_becomes_one_step_for_command() {
        let task = request(&["--priority", "high", "--requires", "gpu=a100", "--", "/bin/echo", "{{x}}", "-n"]);
        assert_eq!(task.description, "Run the program /bin/echo {{x}} -n");
        let step = &task.subtasks.unwrap()[0];
        assert_eq!((step.name.as_str(), step.tool.as_deref()), ("echo", Some("command")));
        let input = json!(step.input.as_ref().unwrap());
        assert_eq!(input, json!({"argv": ["/bin/echo", "{{input.literals[0]}}", "-n"], "literals": ["{{x}}"]}));
        assert_eq!((task.priority, task.requires.unwrap()["gpu"].as_str()), (Priority::High, "a100"));
    }

    #[test]
    fn words_alone_are_a_task_with_a_built_in_plan() {
        let task = request(&["Totals are off by one", "--type", "bug_fix", "--sensitive", "--prefer", "ollama"]);
        assert_eq!((task.task_type, task.subtasks, task.privacy_level), (TaskType::BugFix, None, Privacy::Sensitive));
        assert_eq!(task.tool_preferences, Some(vec!["ollama".to_owned()]));
    }

    #[test]
    fn what_contradicts_itself_is_refused() {
        for words in [
            &["--no-start"][..],
            &["x", "--input", "{}"],
            &["x", "--tool", "a", "--type", "testing"],
            &["x", "--watch", "--wait"],
            &["x", "--tool", "a", "--input", "[1]"],
        ] {
            assert!(Only::try_parse_from([&["submit"], words].concat()).is_err(), "{words:?}");
        }
    }
}
