//! Checks of one's own, from a file: what they call is written in the load engine's scenario language, what they are held to in
//! the words of the thresholds.
//!
//! ```toml
//! [[checks]]
//! name = "shop::search"
//! users = 5                       # at once [default: 1]
//! runs = 10                       # each [default: 10]
//! p95_ms = 200
//! get = "/search?q={{ random(1, 9) }}"
//! expect = { status = 200 }
//! ```
//!
//! Beside `[[checks]]` a file may say what every scenario may: `host`, `timeout`, `max_answer`, `redirects`, `headers`, `data`.

use std::path::{Path, PathBuf};

use regatta_load::engine::{Engine, Handle, Observer, Options, Outcome};
use regatta_load::scenario::compile::{Choices, Source};
use regatta_load::{Plan, Totals, scenario};
use toml::{Table, Value};

use crate::thresholds::Limits;
use crate::trial::{RUNS, Trouble};

/// A check from a file.
#[derive(Debug, Clone)]
pub struct OwnCheck {
    /// Its name.
    pub name: String,
    /// What it does, in the file's words.
    pub about: String,
    /// Users at once.
    pub users: u64,
    /// So often each.
    pub runs: u32,
    /// What it is held to.
    pub limits: Limits,
    /// Whether it submits tasks, which agents may take.
    pub submits: bool,
    /// The scenario, with what the whole file says.
    scenario: Table,
    has_host: bool,
    folder: PathBuf,
    place: String,
}

/// Keys of a check that are none of the scenario language.
const OURS: [&str; 9] = ["name", "about", "users", "runs", "max_ms", "p95_ms", "p99_ms", "avg_ms", "min_success"];
/// Keys that are those of a class of users.
const OF_USERS: [&str; 3] = ["vars", "on_start", "on_stop"];
/// Keys of the whole file.
const OF_FILE: [&str; 6] = ["host", "timeout", "max_answer", "redirects", "headers", "data"];

/// The checks of a file.
///
/// # Errors
/// What is wrong with it, and where.
pub fn read(path: &Path) -> Result<Vec<OwnCheck>, String> {
    let text = std::fs::read_to_string(path).map_err(|error| format!("{} cannot be read: {error}", path.display()))?;
    parse(&text, path)
}

fn parse(text: &str, path: &Path) -> Result<Vec<OwnCheck>, String> {
    let file = path.display();
    let mut whole: Table = toml::from_str(text).map_err(|error| format!("{file}: {error}"))?;
    let Some(Value::Array(checks)) = whole.remove("checks") else {
        return Err(format!("{file} has no checks: begin one with a line [[checks]]"));
    };
    if let Some(unknown) = whole.keys().find(|key| !OF_FILE.contains(&key.as_str())) {
        return Err(format!("{file}: there is no key `{unknown}` beside [[checks]]; known are {}", OF_FILE.join(", ")));
    }
    let mut lines = text.lines().enumerate().filter(|(_, line)| line.trim_start().starts_with("[[checks]]"));
    let mut found: Vec<OwnCheck> = Vec::new();
    for check in checks {
        let line = lines.next().map_or(String::new(), |(line, _)| format!(":{}", line + 1));
        let place = format!("{file}{line}");
        let Value::Table(check) = check else { return Err(format!("{place}: a check is a table")) };
        let check = one(check, &whole, path, &place)?;
        if found.iter().any(|known| known.name == check.name) {
            return Err(format!("{place}: there are two checks called `{}`", check.name));
        }
        // Now, and not when it is its turn: a mistake must not cost the run.
        check.plan("http://localhost", "", None).map_err(|trouble| trouble.0)?;
        found.push(check);
    }
    Ok(found)
}

fn one(mut check: Table, whole: &Table, path: &Path, place: &str) -> Result<OwnCheck, String> {
    let mut ours = Table::new();
    for key in OURS {
        if let Some(value) = check.remove(key) {
            ours.insert(key.to_owned(), value);
        }
    }
    let wrong = |what: &str| format!("{place}: {what}");
    let Some(Value::String(name)) = ours.remove("name") else {
        return Err(wrong("a check needs a name, like name = \"shop::search\""));
    };
    let text = |value: Option<Value>| match value {
        None => Ok(String::new()),
        Some(Value::String(text)) => Ok(text),
        Some(_) => Err(wrong("`about` is a text")),
    };
    let about = text(ours.remove("about"))?;
    let number = |value: Option<Value>, key: &str, default: i64| match value {
        None => Ok(default),
        Some(Value::Integer(number)) if (1..=10_000).contains(&number) => Ok(number),
        Some(_) => Err(wrong(&format!("`{key}` is a number from 1 to 10000"))),
    };
    let users = number(ours.remove("users"), "users", 1)?;
    let runs = number(ours.remove("runs"), "runs", RUNS as i64)?;
    let limits: Limits = ours.try_into().map_err(|error: toml::de::Error| wrong(error.message()))?;
    if let Some(what) = limits.wrong() {
        return Err(wrong(what));
    }
    let submits = submits(&Value::Table(check.clone()));
    let mut class = Table::new();
    for key in OF_USERS {
        if let Some(value) = check.remove(key) {
            class.insert(key.to_owned(), value);
        }
    }
    class.insert("name".to_owned(), Value::String(name.clone()));
    class.insert("tasks".to_owned(), Value::Array(vec![Value::Table(check)]));
    let mut scenario = whole.clone();
    scenario.insert("users".to_owned(), Value::Array(vec![Value::Table(class)]));
    Ok(OwnCheck {
        name,
        about,
        users: users.unsigned_abs(),
        runs: u32::try_from(runs).unwrap_or(1),
        limits,
        submits,
        has_host: whole.contains_key("host"),
        scenario,
        folder: path.parent().map(Path::to_owned).unwrap_or_default(),
        place: place.to_owned(),
    })
}

/// Whether somewhere in it a task is submitted.
fn submits(value: &Value) -> bool {
    match value {
        Value::Table(table) => {
            let posts = table.get("post").and_then(Value::as_str).is_some_and(|path| {
                let path = path.split('?').next().unwrap_or_default().trim_end_matches('/');
                path.ends_with("/tasks") || path.ends_with("/tasks/batch")
            });
            posts || table.values().any(submits)
        }
        Value::Array(list) => list.iter().any(submits),
        _ => false,
    }
}

/// Stops the run when all users have done what they had to.
struct Done {
    tasks: u64,
    handle: Handle,
}

impl Observer for Done {
    fn second(&mut self, totals: &Totals) {
        if totals.iterations >= self.tasks {
            self.handle.stop();
        }
    }
}

impl OwnCheck {
    fn plan(&self, url: &str, run: &str, token: Option<&str>) -> Result<Plan, Trouble> {
        let mut scenario = self.scenario.clone();
        if let Some(token) = token.filter(|_| !self.has_host) {
            let headers = scenario.entry("headers").or_insert_with(|| Value::Table(Table::new()));
            if let Value::Table(headers) = headers
                && !headers.keys().any(|name| name.eq_ignore_ascii_case("authorization"))
            {
                headers.insert("Authorization".to_owned(), Value::String(format!("Bearer {token}")));
            }
        }
        let text = toml::to_string(&scenario).map_err(|error| Trouble(format!("{}: {error}", self.place)))?;
        let source = Source { name: self.place.clone(), text, folder: self.folder.clone() };
        let host = (!self.has_host).then(|| url.to_owned());
        let choices = Choices { host, run: run.to_owned(), ..Choices::default() };
        // The place is that of the check: the scenario was made from it, and has lines of its own.
        scenario::load(&source, &choices)
            .map_err(|error| Trouble(format!("{}: in the check `{}`: {}", self.place, self.name, error.message)))
    }

    /// Runs it to its end, on threads of its own.
    ///
    /// # Errors
    /// When it cannot be run.
    pub async fn run(&self, url: &str, run: &str, token: Option<&str>) -> Result<Outcome, Trouble> {
        let mut plan = self.plan(url, run, token)?;
        plan.limits.iterations = Some(u64::from(self.runs));
        let (users, tasks) = (self.users, self.users * u64::from(self.runs));
        let options = Options { users, spawn_rate: 1e6, ..Options::default() };
        let engine = Engine::new(plan, options).map_err(|error| Trouble(error.to_string()))?;
        let handle = engine.handle();
        let mut stop = StopWhenDropped(Some(engine.handle()));
        let running = tokio::task::spawn_blocking(move || engine.run(&mut Done { tasks, handle }));
        let ran = running.await.map_err(|error| Trouble(error.to_string()))?;
        stop.0 = None;
        ran.map_err(|error| Trouble(error.to_string()))
    }
}

/// A check that is cut off does not leave its users behind.
struct StopWhenDropped(Option<Handle>);

impl Drop for StopWhenDropped {
    fn drop(&mut self) {
        if let Some(handle) = &self.0 {
            // The third time nobody even cleans up.
            (0..3).for_each(|_| handle.stop());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Vec<OwnCheck>, String> {
        parse(text, Path::new("my.toml"))
    }

    #[test]
    fn a_check_is_a_task_with_limits() {
        let checks = read(
            "headers = { X = \"1\" }\n[[checks]]\nname = \"shop::search\"\nusers = 5\nruns = 3\np95_ms = 200\n\
             get = \"/search\"\n[[checks]]\nname = \"shop::buy\"\nsteps = [{ post = \"/api/v1/tasks\", json = {} }]",
        )
        .unwrap();
        let found: Vec<(&str, u64, u32, bool)> =
            checks.iter().map(|check| (check.name.as_str(), check.users, check.runs, check.submits)).collect();
        assert_eq!(found, [("shop::search", 5, 3, false), ("shop::buy", 1, 10, true)]);
        assert_eq!(checks[0].limits.p95_ms, Some(200.0));
    }

    #[test]
    fn mistakes_are_told_with_their_place() {
        for (text, why) in [
            ("a = 1", "has no checks"),
            ("hots = 1\n[[checks]]\nname = \"a\"\nget = \"/\"", "no key `hots`"),
            ("\n[[checks]]\nget = \"/\"", "my.toml:2: a check needs a name"),
            ("[[checks]]\nname = \"a\"\nusers = 0\nget = \"/\"", "from 1 to 10000"),
            ("[[checks]]\nname = \"a\"\nmax_ms = \"fast\"\nget = \"/\"", "my.toml:1"),
            ("[[checks]]\nname = \"a\"\ngte = \"/\"", "did you mean `get`"),
            (
                "[[checks]]\nname = \"a\"\nget = \"/\"\n[[checks]]\nname = \"a\"\nget = \"/\"",
                "my.toml:4: there are two",
            ),
            ("[[checks", "my.toml"),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.contains(why), "{error}");
        }
    }
}
