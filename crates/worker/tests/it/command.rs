//! The tool `command` with real programs.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use regatta_api::LogLevel;
use regatta_api::subtask::ResultStatus;
use regatta_api::worker::Assignment;
use regatta_worker::supervisor::Supervisor;
use regatta_worker::tools::set::{CommandOptions, Surroundings, ToolOptions, ToolSet};
use regatta_worker::tools::{Event, Job, Outcome, Sink, StopReason, Stopper, Unable};
use serde_json::{Value, json};
use tokio::sync::Notify;
use uuid::Uuid;

#[derive(Default)]
struct Lines {
    kept: Mutex<Vec<(LogLevel, String)>>,
    more: Notify,
}

impl Sink for Lines {
    fn emit(&self, event: Event) {
        if let Event::Log { level, message } = event {
            self.kept.lock().push((level, message));
            self.more.notify_one();
        }
    }
}

impl Lines {
    fn of(&self, wanted: LogLevel) -> Vec<String> {
        let kept = self.kept.lock();
        let of_level = kept.iter().filter(|(level, _)| *level == wanted);
        of_level.map(|(_, message)| message.clone()).collect()
    }

    async fn until(&self, word: &str) {
        while !self.kept.lock().iter().any(|(_, line)| line.contains(word)) {
            self.more.notified().await;
        }
    }
}

struct Bench {
    tools: ToolSet,
    folder: tempfile::TempDir,
    lines: Arc<Lines>,
}

impl Bench {
    fn new() -> Self {
        Self::with(CommandOptions::default(), ToolOptions::default())
    }

    fn with(mut commands: CommandOptions, mut tools: ToolOptions) -> Self {
        let folder = tempfile::tempdir().unwrap();
        commands.directory = Some(folder.path().to_owned());
        tools.offered.push("command".into());
        let supervisor = vec![env!("CARGO_BIN_EXE_regatta-worker-agent").into()];
        let mut environment: Vec<_> = std::env::vars_os().collect();
        environment.push(("REGATTA_TOKEN".into(), "rgw_secret".into()));
        environment.push(("OTHER_SECRET".into(), "other".into()));
        let around = Surroundings {
            supervisor: Supervisor::new(supervisor, &Uuid::now_v7().to_string()),
            worker: "w1".into(),
            outputs: folder.path().to_owned(),
            environment,
        };
        Self { tools: ToolSet::build(&tools, &commands, &around).unwrap(), folder, lines: Arc::default() }
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    async fn run(&self, input: Value) -> Outcome {
        self.attempt(job("command", input, json!({}))).await.unwrap()
    }

    async fn attempt(&self, job: Job) -> Result<Outcome, Unable> {
        let (_stopper, stop) = Stopper::new();
        self.tools.run(&job, &*self.lines, &stop).await
    }
}

fn job(tool: &str, input: Value, context: Value) -> Job {
    Job {
        assignment: Arc::new(Assignment {
            subtask_id: Uuid::now_v7(),
            task_id: Uuid::now_v7(),
            name: "Step".into(),
            description: "Count the words".into(),
            assigned_tool: tool.into(),
            input: input.into(),
            context: context.into(),
            complexity: 1,
            priority: 0,
            attempt: 3,
            lease: Uuid::now_v7().to_string(),
            lease_seconds: 90,
            timeout_seconds: 60,
        }),
        deadline_ms: None,
    }
}

fn sh(script: &str) -> Value {
    json!({"argv": ["sh", "-c", script]})
}

#[tokio::test]
async fn a_real_program_with_templates_counts_a_real_file() {
    let bench = Bench::new();
    std::fs::create_dir(bench.path().join("part one")).unwrap();
    std::fs::write(bench.path().join("part one/text.txt"), "four words are here").unwrap();
    let input = json!({
        "argv": ["wc", "-w", "{{input.file}}"], "file": "text.txt",
        "cwd": "{{context[\"Split it\"].folder}}",
    });
    let context = json!({"Split it": {"folder": "part one"}});
    let outcome = bench.attempt(job("command", input, context)).await.unwrap();
    assert_eq!(outcome.error, None);
    assert_eq!(outcome.status, ResultStatus::Completed);
    assert_eq!(outcome.exit_code, Some(0));
    assert_eq!(outcome.result["stdout"], "4 text.txt\n");
    assert!(outcome.execution_time > 0.0 && !outcome.simulated);
    assert_eq!(bench.lines.of(LogLevel::Info), ["4 text.txt"]);
}

#[tokio::test]
async fn stdin_is_the_task_as_json_or_what_the_step_says() {
    let bench = Bench::new();
    let context = json!({"Before": {"z": 1, "a": 2}});
    let outcome = bench.attempt(job("command", json!({"argv": ["cat"], "n": 1}), context)).await.unwrap();
    // What cat printed is one line that is an object, and so the result itself.
    assert_eq!(
        serde_json::to_string(&outcome.result).unwrap(),
        r#"{"description":"Count the words","input":{"argv":["cat"],"n":1},"context":{"Before":{"z":1,"a":2}}}"#
    );
    let said = bench.run(json!({"argv": ["cat"], "stdin": "it is {{input.n}}", "n": 7})).await;
    assert_eq!(said.result["stdout"], "it is 7");
}

#[tokio::test]
async fn the_environment_is_an_allow_list_and_never_holds_the_token() {
    let commands =
        CommandOptions { pass_env: vec!["OTHER_*".into(), "REGATTA_TOKEN".into()], ..CommandOptions::default() };
    let bench = Bench::with(commands, ToolOptions::default());
    let input = json!({"argv": ["env"], "env": {"MINE": "{{input.n}}"}, "n": 5});
    let job = job("command", input, json!({}));
    let outcome = bench.attempt(job.clone()).await.unwrap();
    let text = outcome.result["stdout"].as_str().unwrap();
    let names: Vec<&str> = text.lines().filter_map(|line| Some(line.split_once('=')?.0)).collect();
    assert!(text.contains("MINE=5\n") && text.contains("OTHER_SECRET=other\n"));
    assert!(text.contains(&format!("REGATTA_TASK_ID={}\n", job.assignment.task_id)));
    assert!(text.contains(&format!("REGATTA_SUBTASK_ID={}\n", job.assignment.subtask_id)));
    assert!(text.contains("REGATTA_ATTEMPT=3\n"));
    assert!(!names.contains(&"REGATTA_TOKEN") && !text.contains("rgw_secret"));
    assert!(!names.iter().any(|name| name.starts_with("CARGO")), "{names:?}");
}

#[tokio::test]
async fn the_output_file_wins_over_stdout() {
    let bench = Bench::new();
    let outcome = bench.run(sh("echo '{\"from\":\"stdout\"}'; echo '{\"from\":\"file\"}' > \"$REGATTA_OUTPUT\"")).await;
    assert_eq!(outcome.result["from"], "file");
    let named =
        bench.run(json!({"argv": ["sh", "-c", "echo '{\"to\":1}' > report.json"], "output_file": "report.json"})).await;
    assert_eq!(named.result["to"], 1);
    let left: Vec<_> = std::fs::read_dir(bench.path()).unwrap().flatten().collect();
    assert_eq!(left.len(), 1, "only the named file stays: {left:?}");
}

#[tokio::test]
async fn failures_say_code_signal_and_the_last_complaint() {
    let bench = Bench::new();
    let outcome = bench.run(sh("echo first >&2; echo 'disk on fire' >&2; echo >&2; exit 3")).await;
    assert_eq!(outcome.status, ResultStatus::Failed);
    assert_eq!(outcome.exit_code, Some(3));
    assert_eq!(outcome.error.as_deref(), Some("exit code 3: disk on fire"));
    assert_eq!(bench.lines.of(LogLevel::Warning), ["first", "disk on fire", ""]);
    let killed = bench.run(sh("kill -SEGV $$")).await;
    assert_eq!(killed.error.as_deref(), Some("killed by signal 11 (SIGSEGV)"));
    assert_eq!(killed.exit_code, None);
}

#[tokio::test]
async fn what_cannot_be_started_says_why() {
    let bench = Bench::new();
    std::fs::write(bench.path().join("script"), "#!/no/such/interpreter\n").unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(bench.path().join("script"), mode).unwrap();
    for (input, words) in [
        (
            json!({"argv": ["gemini-that-nobody-has"]}),
            "program \"gemini-that-nobody-has\" is not installed or not on the PATH of worker w1",
        ),
        (json!({"argv": ["./script"]}), "the interpreter that its first line names is not"),
        (json!({"argv": ["ls"], "cwd": "nowhere"}), "nowhere does not exist on worker w1"),
        (json!({"argv": ["echo", "{{context.Cuont.words}}"]}), "argv[1]: \"context.Cuont"),
        (json!({"argv": ["echo", "a\u{0}b"]}), "argv[1] holds U+0000"),
        (json!({"argv": ["echo", "x".repeat(200_000)]}), "give long texts by stdin"),
        (json!({"argv": ["ls"], "env": {"REGATTA_TOKEN": "x"}}), "REGATTA_TOKEN"),
        (json!({}), "names no program"),
    ] {
        let outcome = bench.run(input).await;
        assert_eq!(outcome.status, ResultStatus::Failed);
        let error = outcome.error.unwrap();
        assert!(error.contains(words), "{error}");
    }
}

#[tokio::test]
async fn a_shell_is_used_only_when_the_step_says_so() {
    let bench = Bench::new();
    let plain = bench.run(json!({"argv": ["echo", "$(id); *"]})).await;
    assert_eq!(plain.result["stdout"], "$(id); *\n");
    let line = "printf '%s' {{input.text|quote}} | tr a-z A-Z";
    let shell = bench.run(json!({"shell": true, "command": line, "text": "it's; $(id)"})).await;
    assert_eq!(shell.result["stdout"], "IT'S; $(ID)");
}

#[tokio::test]
async fn the_owner_may_allow_only_some_programs() {
    let commands = CommandOptions { allow: Some(vec!["echo".into()]), ..CommandOptions::default() };
    let bench = Bench::with(commands, ToolOptions::default());
    assert_eq!(bench.run(json!({"argv": ["echo", "hi"]})).await.error, None);
    for refused in [
        json!({"argv": ["cat"]}),
        json!({"shell": true, "command": "echo hi"}),
        json!({"argv": ["echo"], "env": {"LD_PRELOAD": "x.so"}}),
    ] {
        let error = bench.run(refused).await.error.unwrap();
        assert!(error.contains("allow"), "{error}");
    }
}

#[tokio::test]
async fn a_tool_of_the_owners_own_takes_the_text_of_the_step() {
    let tools: ToolOptions = toml::from_str(
        "[reviewer]\nargv = [\"printf\", \"%s|%s\", \"{{prompt}}\", \"{{input.model|default('m')}}\"]\nstdin = \"\"\n",
    )
    .unwrap();
    let bench = Bench::with(CommandOptions::default(), tools);
    let context = json!({"Before": {"stdout": "done\n"}});
    let outcome = bench.attempt(job("reviewer", json!({"argv": ["rm", "-rf", "."]}), context)).await.unwrap();
    assert_eq!(outcome.result["stdout"], "Count the words\n\n## Result of the step \"Before\"\n\ndone|m");
    let unable = bench.attempt(job("ollama", json!({}), json!({}))).await;
    assert!(unable.unwrap_err().0.contains("does not offer ollama"));
}

#[tokio::test]
async fn strange_bytes_and_long_lines_become_text_within_the_limits() {
    let bench = Bench::new();
    let script = "printf 'a\\000b\\377c\\n'; head -c 100000 /dev/zero | tr '\\0' x; echo; printf 'no break'";
    let outcome = bench.run(sh(script)).await;
    let lines = bench.lines.of(LogLevel::Info);
    assert_eq!(lines[0], "a\u{FFFD}b\u{FFFD}c");
    assert!(lines[1].ends_with("[cut, the line has 100000 bytes]"));
    assert_eq!(lines[1].len(), regatta_api::limits::LOG_LINE_BYTES);
    assert_eq!(lines[2], "no break");
    assert!(outcome.result["stdout"].as_str().unwrap().ends_with("x\nno break"));
}

#[tokio::test]
async fn a_result_over_a_mebibyte_is_a_clear_failure() {
    let bench = Bench::new();
    let script = "printf '{\"x\":\"'; head -c 1100000 /dev/zero | tr '\\0' y; echo '\"}'";
    let outcome = bench.run(sh(script)).await;
    assert_eq!(outcome.status, ResultStatus::Failed);
    assert!(outcome.error.unwrap().contains("1 MiB"));
    assert!(outcome.result.is_empty());
}

#[tokio::test]
async fn an_order_to_stop_ends_the_program_and_its_children() {
    let bench = Bench::new();
    let (stopper, stop) = Stopper::new();
    let job = job("command", sh("sleep 600 & trap '' TERM; echo up $!; while :; do sleep 1; done"), json!({}));
    let lines = bench.lines.clone();
    let run = async { bench.tools.run(&job, &*bench.lines, &stop).await.unwrap() };
    let order = async {
        lines.until("up").await;
        stopper.stop(StopReason::Draining, Duration::from_millis(50));
    };
    let (outcome, ()) = tokio::join!(run, order);
    assert_eq!(outcome.error.as_deref(), Some("killed by signal 9 (SIGKILL)"));
    let child = lines.of(LogLevel::Info)[0].replace("up ", "");
    assert!(!Path::new(&format!("/proc/{child}")).exists());
}

#[tokio::test]
async fn a_program_that_does_not_read_a_large_stdin_ends_all_the_same() {
    let bench = Bench::new();
    let input = json!({"argv": ["true"], "stdin": "x".repeat(3_000_000)});
    let outcome = bench.run(input).await;
    assert_eq!(outcome.status, ResultStatus::Completed);
    let input = json!({"argv": ["wc", "-c"], "stdin": "x".repeat(3_000_000)});
    assert_eq!(bench.run(input).await.result["stdout"], "3000000\n");
}
