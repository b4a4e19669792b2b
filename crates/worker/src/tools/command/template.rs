//! Templates in a command's arguments, stdin, working directory and environment: `{{input.x}}`, `{{context["Step name"].field}}`.
//!
//! The language is that of minijinja (Jinja2). What is not defined is an error that names it, never an empty text.

use std::fmt::Write as _;
use std::ops::Range;
use std::sync::LazyLock;

use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Serde, ValueKind};
use minijinja::{Environment, ErrorKind, UndefinedBehavior, Value};
use regatta_api::JsonObject;
use regatta_api::worker::Assignment;

/// One language for all: making it costs more than rendering.
static LANGUAGE: LazyLock<Environment<'static>> = LazyLock::new(|| {
    let mut language = Environment::new();
    // `{% if input.x %}` may ask for what is not there; printing it is an error.
    language.set_undefined_behavior(UndefinedBehavior::SemiStrict);
    // Errors then know the expression that failed.
    language.set_debug(true);
    if let Ok(syntax) = SyntaxConfig::builder().keep_trailing_newline(true).build() {
        language.set_syntax(syntax);
    }
    language.add_filter("quote", quote);
    language.set_formatter(|out, state, value| match value.kind() {
        // Programs read JSON, not a debugging form.
        ValueKind::Map | ValueKind::Seq | ValueKind::Iterable => {
            let text = serde_json::to_string(value)
                .map_err(|error| minijinja::Error::new(ErrorKind::InvalidOperation, "no JSON").with_source(error))?;
            out.write_str(&text).map_err(minijinja::Error::from)
        }
        // As JSON and shells write it, not as Python does.
        ValueKind::Bool => write!(out, "{}", value.is_true()).map_err(minijinja::Error::from),
        ValueKind::None => out.write_str("null").map_err(minijinja::Error::from),
        _ => minijinja::escape_formatter(out, state, value),
    });
    language
});

/// A word that a shell takes as one argument, whatever is in it.
fn quote(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// What templates of one attempt may speak of.
pub struct Scope {
    values: Value,
    inputs: Vec<String>,
    steps: Vec<String>,
}

impl Scope {
    /// The scope of an attempt: `description`, `input`, `context`, `prompt`, and `task_id`, `subtask_id`, `name`, `attempt`.
    ///
    /// # Errors
    /// When input or context is no JSON object.
    pub fn new(assignment: &Assignment) -> Result<Self, String> {
        let object = |what: &str, text: &regatta_api::JsonText| -> Result<JsonObject, String> {
            match text.as_str() {
                "null" => Ok(JsonObject::new()),
                _ => text.parse().map_err(|error| format!("the {what} is no JSON object: {error}")),
            }
        };
        let input = object("input", &assignment.input)?;
        let context = object("context", &assignment.context)?;
        let names = |object: &JsonObject| object.keys().cloned().collect();
        Ok(Self {
            inputs: names(&input),
            steps: names(&context),
            values: minijinja::context! {
                description => assignment.description.as_str(),
                prompt => prompt(&assignment.description, &context),
                name => assignment.name.as_str(),
                task_id => assignment.task_id.to_string(),
                subtask_id => assignment.subtask_id.to_string(),
                attempt => assignment.attempt,
                input => Value::from(Serde(&input)),
                context => Value::from(Serde(&context)),
            },
        })
    }

    /// Fills in a template; `place` is where it stands, for the error.
    ///
    /// # Errors
    /// A sentence that names the place and what is wrong there.
    pub fn render(&self, place: &str, template: &str) -> Result<String, String> {
        if !template.contains("{{") && !template.contains("{%") && !template.contains("{#") {
            return Ok(template.to_owned());
        }
        LANGUAGE.render_str(template, &self.values).map_err(|error| self.explain(place, template, &error))
    }

    fn explain(&self, place: &str, template: &str, error: &minijinja::Error) -> String {
        let expression = error.range().and_then(|range| expression(template, range));
        if error.kind() == ErrorKind::UndefinedError {
            let mut text = format!("{place}: {:?} is not defined", expression.unwrap_or(template));
            let _ =
                write!(text, "; the step's input has {}, its context has {}", list(&self.inputs), list(&self.steps));
            return text;
        }
        let mut text = format!("{place}: the template does not work: {error}");
        if let Some(expression) = expression
            && !text.contains(expression)
        {
            let _ = write!(text, " (at {expression:?})");
        }
        text
    }
}

/// Whether a template can be read; what it speaks of is known only when it is filled in.
///
/// # Errors
/// A sentence about what is wrong.
pub fn check(template: &str) -> Result<(), String> {
    match LANGUAGE.template_from_str(template) {
        Ok(_) => Ok(()),
        Err(error) => Err(format!("the template does not work: {error}")),
    }
}

/// The expression around what failed: an error knows `.field` only, and a reader looks for `input.field`.
fn expression(template: &str, range: Range<usize>) -> Option<&str> {
    let part = |byte: &u8| byte.is_ascii_alphanumeric() || b"_.[]\"'".contains(byte);
    let before = template.as_bytes().get(..range.start)?;
    let owner = before.iter().rev().take_while(|byte| part(byte)).count();
    let text = template.get(range.start - owner..range.end)?;
    let text = text.trim().trim_matches(['{', '}', ' ']);
    (!text.is_empty()).then_some(text)
}

fn list(names: &[String]) -> String {
    if names.is_empty() {
        return "nothing".into();
    }
    let mut text = String::new();
    for (index, name) in names.iter().take(20).enumerate() {
        let comma = if index > 0 { ", " } else { "" };
        let _ = write!(text, "{comma}{name:?}");
    }
    if names.len() > 20 {
        let _ = write!(text, " and {} more", names.len() - 20);
    }
    text
}

/// The description, and after it what the steps before made: what an agent is asked.
fn prompt(description: &str, context: &JsonObject) -> String {
    let mut text = description.to_owned();
    for (step, output) in context {
        let _ = write!(text, "\n\n## Result of the step {step:?}\n\n");
        match output.get("stdout").and_then(|stdout| stdout.as_str()) {
            // A program that printed no JSON: its text says more than the JSON around it.
            Some(stdout) if output.as_object().is_some_and(|all| all.len() == 1) => {
                text.push_str(stdout.trim_end());
            }
            _ => {
                let _ = write!(text, "{output:#}");
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::super::super::test_support::job;
    use super::*;
    use serde_json::json;

    fn scope() -> Scope {
        let input = json!({"file": "a b.txt", "deep": {"list": [1, 2.5, "x"]}, "none": null, "yes": true});
        let context = json!({"Count": {"words": 7}, "Count part 1": {"words": 8}, "Text": {"stdout": "hello\n"}});
        Scope::new(&job("command", input, context).assignment).unwrap()
    }

    fn render(template: &str) -> Result<String, String> {
        scope().render("argv[1]", template)
    }

    #[test]
    fn values_of_description_input_and_context_are_filled_in() {
        for (template, text) in [
            ("plain } { text", "plain } { text"),
            ("{{description}}", "Count the words"),
            ("{{input.file}}", "a b.txt"),
            ("{{ input.file|quote }}", "'a b.txt'"),
            ("{{context.Count.words}}", "7"),
            ("{{context[\"Count part 1\"].words}}", "8"),
            ("{{context.Count.words + 1}}\n", "8\n"),
            ("{{input.deep}}", r#"{"list":[1,2.5,"x"]}"#),
            ("{{input.deep.list}}", r#"[1,2.5,"x"]"#),
            ("{{input.none}} {{input.yes}} {{attempt}}", "null true 2"),
            ("{{input.missing|default('none')}}", "none"),
            ("{% if input.missing %}a{% else %}b{% endif %}", "b"),
            ("{% for step, output in context|items %}{{output.words|default(0)}} {% endfor %}", "7 8 0 "),
        ] {
            assert_eq!(render(template).as_deref(), Ok(text), "{template}");
        }
    }

    #[test]
    fn what_is_filled_in_is_not_a_template_itself() {
        let job = job("command", json!({"x": "{{input.secret}}"}), json!({}));
        let scope = Scope::new(&job.assignment).unwrap();
        assert_eq!(scope.render("stdin", "{{input.x}}").as_deref(), Ok("{{input.secret}}"));
    }

    #[test]
    fn what_is_not_defined_is_named_with_its_place() {
        for (template, name) in [
            ("a {{input.missing}} b", "input.missing"),
            ("{{ context.Cuont.words }}", "context.Cuont"),
            ("{{context[\"Count part 2\"].words}}", "Count part 2"),
            ("{{context.Count.lines}}", "context.Count.lines"),
            ("{{nothing}}", "nothing"),
        ] {
            let error = render(template).unwrap_err();
            assert!(error.starts_with("argv[1]: \""), "{error}");
            assert!(error.contains(&name.replace('"', "\\\"")), "{error}");
            assert!(error.contains("is not defined"), "{error}");
            assert!(error.contains("\"file\"") && error.contains("\"Count\""), "{error}");
        }
    }

    #[test]
    fn a_broken_template_says_where() {
        let error = render("{{ input.file").unwrap_err();
        assert!(error.starts_with("argv[1]: the template does not work: syntax error"), "{error}");
        let error = render("{{ input.file|shout }}").unwrap_err();
        assert!(error.contains("shout"), "{error}");
    }

    #[test]
    fn a_prompt_carries_what_the_steps_before_made() {
        let text = render("{{prompt}}").unwrap();
        assert!(text.starts_with("Count the words\n\n## Result of the step \"Count\"\n\n{"));
        assert!(text.ends_with("## Result of the step \"Text\"\n\nhello"), "{text}");
    }
}
