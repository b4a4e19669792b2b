//! Whole files in, tasks or errors out.

use regatta_api::{FieldError, Priority, TaskType};
use serde_json::json;

use super::*;

fn read(text: &str, overrides: &[(&str, &str)]) -> Result<CreateTask, PlanFileError> {
    let overrides: Vec<_> = overrides.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect();
    let mut vars = Vars::default();
    vars.built_in("here", "/home/me");
    parse("plan.toml", text, vars, &overrides)
}

fn wrong(text: &str) -> (Option<(usize, usize)>, String) {
    let error = read(text, &[]).unwrap_err();
    (error.place(), error.to_string())
}

const WHOLE: &str = r#"
description = "Count the words of ${folder}"
priority = "high"
requires = { os = "linux" }
start_at = 2026-03-04T05:06:07Z
metadata = { by = "a test", when = 2026-01-01 }

[vars]
folder = "my texts"
parts = 4

[[subtasks]]
name = "Split"
tool = "command"
[subtasks.input]
argv = ["sh", "-c", "echo ${folder} ${parts} $${HOME} ${x%.txt} $$ ${", "in ${here}"]
env = { FOLDER = "${folder}" }
deep = [{ a = ["${parts}", 1, true, 1.5] }]

[[subtasks]]
name = "Count"
depends_on = ["Split"]
complexity = 2
priority = 90
timeout_seconds = 60
max_attempts = 1
"#;

#[test]
fn a_whole_plan_is_read() {
    let task = read(WHOLE, &[]).unwrap();
    assert_eq!(task.description, "Count the words of my texts");
    assert_eq!((task.task_type, task.priority, task.start), (TaskType::Custom, Priority::High, true));
    assert_eq!(task.requires.unwrap()["os"], "linux");
    assert_eq!(serde_json::to_value(task.start_at).unwrap(), json!("2026-03-04T05:06:07.000000Z"));
    assert_eq!(serde_json::Value::from(task.metadata.unwrap()), json!({"by": "a test", "when": "2026-01-01"}));
    let steps = task.subtasks.unwrap();
    assert_eq!(
        serde_json::Value::from(steps[0].input.clone().unwrap()),
        json!({
            "argv": ["sh", "-c", "echo my texts 4 ${HOME} ${x%.txt} $$ ${", "in /home/me"],
            "env": {"FOLDER": "my texts"},
            "deep": [{"a": ["4", 1, true, 1.5]}],
        })
    );
    let count = &steps[1];
    assert_eq!((count.complexity, count.priority, count.timeout_seconds, count.max_attempts), (2, 90, 60, 1));
    assert_eq!((count.depends_on.as_slice(), count.tool.as_deref()), (["Split".to_owned()].as_slice(), None));
}

#[test]
fn the_command_line_replaces_variables() {
    let task = read(WHOLE, &[("folder", "first"), ("folder", "a \"b\" $${c}"), ("here", "/there")]).unwrap();
    assert_eq!(task.description, "Count the words of a \"b\" $${c}");
    assert_eq!(task.subtasks.unwrap()[0].input.as_ref().unwrap()["argv"][3], "in /there");
    let error = read(WHOLE, &[("floder", "x")]).unwrap_err().to_string();
    assert_eq!(error, "plan.toml: the plan has no variable `floder`; did you mean `folder`?");
}

#[test]
fn the_type_may_be_said_and_the_steps_left_out() {
    let task = read("description = 'Fix the bug in the parser'\ntask_type = 'bug_fix'", &[]).unwrap();
    assert_eq!((task.task_type, task.subtasks), (TaskType::BugFix, None));
}

#[test]
fn unknown_keys_are_found_with_place_and_hint() {
    let (place, text) = wrong("description = 'ten letters'\n[[subtasks]]\nname = 'a'\n\n  depend_on = ['b']\n");
    assert_eq!(place, Some((5, 3)));
    assert_eq!(
        text,
        "plan.toml:5:3: a step has no key `depend_on`; did you mean `depends_on`?\n   |\n 5 |   depend_on = ['b']\n   |   ^^^^^^^^^"
    );
    let (place, text) = wrong("descripton = 'ten letters'");
    assert_eq!(place, Some((1, 1)));
    assert!(text.contains("did you mean `description`?"), "{text}");
    let (_, text) = wrong("description = 'ten letters'\nmax_attempts = 3");
    assert!(text.contains("belongs to a step"), "{text}");
    let (_, text) = wrong("description = 'ten letters'\n[[subtasks]]\nname = 'a'\nmetadata = {}");
    assert!(text.contains("belongs to the task"), "{text}");
}

#[test]
fn unknown_variables_are_found_inside_long_strings() {
    let text = "description = 'ten letters'\n[vars]\nfolder = 'x'\n[[subtasks]]\nname = 'a'\n\
                input = { argv = ['sh', '''\n  echo é ${foldr}\n'''] }";
    let (place, message) = wrong(text);
    assert_eq!(place, Some((7, 10)));
    assert!(message.contains("no variable `foldr`; did you mean `folder`?"), "{message}");
    assert!(message.contains("write $${foldr}"), "{message}");
    assert!(message.ends_with("^^^^^^^^"), "{message}");
}

#[test]
fn values_that_do_not_fit_are_found_with_their_place() {
    for (text, place, words) in [
        ("description = 'ten letters'\npriority = 'hi'", (2, 12), "unknown variant `hi`"),
        ("description = 12", (1, 15), "expected a string"),
        ("description = 'ten letters'\n[[subtasks]]\nname = 'a'\ntimeout_seconds = -1", (4, 19), "-1"),
        ("description = 'ten letters'\n[[subtasks]]\nname = 'a'\ndepends_on = 'b'", (4, 14), "expected a list"),
        ("description = 'ten letters'\n[[subtasks]]\ntool = 'command'", (2, 1), "missing field `name`"),
        ("description = 'ten letters'\nsubtasks = 3", (2, 12), "[[subtasks]]"),
        ("description = 'ten letters'\nsubtasks = [3]", (2, 13), "[[subtasks]]"),
        ("description = 'ten letters'\nvars = 3", (2, 8), "[vars]"),
        ("description = 'ten letters'\n[vars]\nx = [1]", (3, 5), "`x` must be a text"),
        ("description = 'ten letters'\n[vars]\n'a b' = '1'", (3, 1), "no name for a variable"),
        ("description = 'ten letters'\n[vars]\nhere = '1'", (3, 1), "set by Regatta"),
        ("description = 'ten letters'\ndescription = 'again'", (2, 1), "duplicate key"),
        ("description = 'ten letters", (1, 27), "string"),
        ("description = 'ten letters'\n[[subtasks]\nname='x'", (2, 12), ""),
    ] {
        let (found, message) = wrong(text);
        assert_eq!(found, Some(place), "{message}");
        assert!(message.contains(words), "{message}");
    }
    let (place, message) = wrong("");
    assert_eq!(
        (place, message.as_str()),
        (None, "plan.toml: the plan has no `description`: say in it what is to be done")
    );
}

#[test]
fn a_file_that_is_not_there_says_so() {
    let error = load(Path::new("no/such/plan.toml"), &[]).unwrap_err().to_string();
    assert!(error.starts_with("no/such/plan.toml: the plan cannot be read: "), "{error}");
}

#[test]
fn bytes_that_are_no_text_are_found_with_their_place() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("plan.toml");
    std::fs::write(&path, b"description = \"ten letters\"\n# caf\xe9\n").unwrap();
    let error = load(&path, &[]).unwrap_err();
    assert_eq!(error.place(), Some((2, 6)), "{error}");
    assert!(error.to_string().contains("save the file as UTF-8"), "{error}");
}

#[test]
fn what_others_find_wrong_is_told_at_its_place() {
    let text = "description = 'ten letters'\n[[subtasks]]\nname = 'a'\ndepends_on = ['b']\n[[subtasks]]\nname = 'b'\n\
                [subtasks.input]\nargv = ['x',\n  '{{ y']\n";
    let file = PlanFile { task: read(text, &[]).unwrap(), file: "plan.toml".to_owned(), text: text.to_owned() };
    let told = |field: &str, message: &str| {
        file.explain(&[FieldError { field: field.to_owned(), message: message.to_owned() }])
    };
    for (field, message, starts) in [
        ("description", "must be shorter", "plan.toml:1:15: description: must be shorter\n"),
        ("subtasks[0].depends_on", "no", "plan.toml:4:14: depends_on: no\n"),
        ("subtasks[1].input.argv[1]", "no", "plan.toml:9:3: argv[1]: no\n"),
        ("subtasks[1].input.stdin", "no", "plan.toml:7:1: stdin: no\n"),
        // Not in the file: the step it is about.
        ("subtasks[1].complexity", "no", "plan.toml:5:1: complexity: no\n"),
        ("subtasks", "these steps wait for one another in a cycle: a -> b -> a", "plan.toml:4:14: depends_on: these"),
        ("metadata", "is too large", "plan.toml: metadata: is too large"),
    ] {
        let told = told(field, message);
        assert!(told.starts_with(starts), "{told}");
    }
    assert_eq!(file.explain(&[]), "");
}

#[test]
fn the_examples_are_plans_without_cycles() {
    use regatta_model::plan::{self, Brief, Step};
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    let mut seen = 0;
    for entry in std::fs::read_dir(examples).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "toml") {
            continue;
        }
        seen += 1;
        let task = load(&path, &[]).unwrap_or_else(|error| panic!("{error}")).task;
        let steps: Vec<Step> = task
            .subtasks
            .unwrap()
            .into_iter()
            .map(|step| Step {
                name: step.name,
                description: step.description,
                depends_on: step.depends_on,
                tool: step.tool,
                requires: step.requires.unwrap_or_default(),
                input: step.input.map(|input| serde_json::Value::from(input).to_string().into()),
                complexity: step.complexity as u8,
                priority: step.priority,
                timeout_seconds: step.timeout_seconds,
                max_attempts: step.max_attempts,
            })
            .collect();
        let brief = Brief {
            description: &task.description,
            task_type: task.task_type,
            privacy: task.privacy_level,
            priority: task.priority,
            tool_preferences: &[],
            requires: &Default::default(),
        };
        let plan = plan::plan(&brief, Some(&steps)).unwrap_or_else(|error| panic!("{}: {error:?}", path.display()));
        assert!(plan.steps.len() >= 2);
    }
    assert_eq!(seen, 3, "word-count, checks and agents");
}

#[path = "../../crates/server/tests/it/fuzz/mutate.rs"]
mod mutate;

/// Spoiled plans: a task, or a sentence with a place that is in the file. `REGATTA_FUZZ_CASES`, `REGATTA_FUZZ_SEED`.
#[test]
fn no_text_breaks_the_reader_of_plans() {
    let (mut good, mut told) = (0_u64, 0_u64);
    for seed in mutate::seeds() {
        let text = mutate::Mutator::new(seed).text(WHOLE);
        match read(&text, &[("folder", "theirs"), ("parts", "${folder}")]) {
            Ok(task) => {
                assert!(serde_json::to_value(&task).is_ok(), "seed {seed}");
                good += 1;
            }
            Err(error) => {
                assert!(error.to_string().contains("plan.toml"), "seed {seed}: {error}");
                if let Some((line, column)) = error.place() {
                    let last = text.split('\n').count();
                    assert!((1..=last).contains(&line) && column >= 1, "seed {seed}: {line}:{column} of {last} lines");
                }
                told += 1;
            }
        }
    }
    println!("{good} plans, {told} told what is wrong");
    assert!(good > 0 && told > 0);
}

/// The same in a file, and the settings in theirs.
#[test]
fn no_bytes_break_a_file_of_plans_or_settings() {
    const SETTINGS: &str = r#"
server = "localhost:8000"
token = "rgu_0000"
[serve]
listen = "localhost:8000"
lease_seconds = 90
retain_days = 3
log_format = "json"
[worker]
name = "w"
tools = ["command"]
slots = 2
labels = { os = "linux" }
[up]
workers = 2
"#;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("spoiled.toml");
    for seed in mutate::seeds() {
        let mut mutator = mutate::Mutator::new(seed);
        let plans = mutator.one_in(2);
        let mut bytes = mutator.text(if plans { WHOLE } else { SETTINGS }).into_bytes();
        if mutator.one_in(2) {
            mutator.spoil_bytes(&mut bytes);
        }
        std::fs::write(&path, &bytes).unwrap();
        if plans {
            if let Err(error) = load(&path, &[]) {
                assert!(error.to_string().contains("spoiled.toml"), "seed {seed}: {error}");
            }
        } else if let Err(failure) = crate::config::read(Some(&path)) {
            let told = format!("{failure:?}");
            assert!(told.contains("spoiled.toml"), "seed {seed}: {told}");
        }
    }
}
