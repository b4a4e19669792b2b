//! The keys of a scenario file. These types read it, and its JSON schema is made from them.

use std::collections::BTreeMap;
use std::ops::Range;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use toml::Spanned;

use super::duration::Span;
use super::expect::{Expect, Frame};
use super::extract::Extract;
use super::template::{Expression, Template};
use super::wait::Wait;

/// A text with `{{ ... }}` in it, and where it stands.
#[derive(Debug, Clone)]
pub struct Text {
    /// The template.
    pub template: Template<Expression>,
    /// As it was written.
    pub source: String,
    /// Its bytes in the file.
    pub span: Range<usize>,
}

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Spanned::<String>::deserialize(deserializer)?;
        let span = text.span();
        let source = text.into_inner();
        let template = Template::parse(&source).map_err(|(_, message)| serde::de::Error::custom(message))?;
        Ok(Self { template, source, span })
    }
}

impl JsonSchema for Text {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Text".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A text; {{ name }} is replaced by a variable, {{ data.column }} by a cell of a data file, {{ uuid }}, {{ random(1, 100) }}, {{ user }}, {{ iteration }}, {{ run }}, {{ now }} and {{ env.NAME }} by what they say",
            "type": "string",
        })
    }
}

/// A scenario for `regatta load`: who does what, how often.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "Scenario")]
pub struct File {
    /// The server, like http://localhost:8000; --host wins over it.
    pub host: Option<String>,
    /// A request that has no answer by then has failed. [default: 60s]
    pub timeout: Option<Span>,
    /// So many bytes one answer may hold. [default: 67108864]
    pub max_answer: Option<u64>,
    /// So many redirects are followed; 0 follows none. [default: 10]
    pub redirects: Option<u32>,
    /// Headers of every request.
    #[serde(default)]
    pub headers: BTreeMap<String, Text>,
    /// What must hold, in k6's grammar, like "http_req_duration: p(95)<200".
    #[serde(default)]
    #[schemars(with = "Vec<String>")]
    pub thresholds: Vec<Spanned<String>>,
    /// Files with rows for templates.
    #[serde(default)]
    #[schemars(with = "Vec<Data>")]
    pub data: Vec<Spanned<Data>>,
    /// Classes of users.
    #[serde(default)]
    #[schemars(with = "Vec<Users>")]
    pub users: Vec<Spanned<Users>>,
}

/// A file with rows.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Data {
    /// What templates call it.
    pub name: String,
    /// A .csv file whose first line names the columns, or a .json file with a list of objects; relative to the scenario.
    pub file: String,
    /// Which row a task gets.
    #[serde(default)]
    pub order: Order,
}

/// Which row a task gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Order {
    /// One after the other over all users, then from the beginning again.
    #[default]
    Sequential,
    /// Any.
    Random,
}

/// A class of users.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Users {
    /// Its name, as the command line and the reports use it.
    pub name: String,
    /// How many of the users are of this class, compared with the others. [default: 1]
    pub weight: Option<f64>,
    /// How long a user waits between two tasks. [default: "none"]
    #[serde(default)]
    #[schemars(with = "Option<Wait>")]
    pub wait: Option<Spanned<Wait>>,
    /// Variables, made once for each user.
    #[serde(default)]
    pub vars: BTreeMap<String, Text>,
    /// Headers of every request of these users.
    #[serde(default)]
    pub headers: BTreeMap<String, Text>,
    /// What a user does first.
    #[serde(default)]
    #[schemars(with = "Vec<Step>")]
    pub on_start: Vec<Spanned<Step>>,
    /// What a user does last, also when the run is stopped.
    #[serde(default)]
    #[schemars(with = "Vec<Step>")]
    pub on_stop: Vec<Spanned<Step>>,
    /// What it does in between, one after the other, by chance and weight.
    #[serde(default)]
    #[schemars(with = "Vec<Step>")]
    pub tasks: Vec<Spanned<Step>>,
}

/// A task or a step of one: a request, a pause, something with a WebSocket, or several steps.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Step {
    /// How often a task is chosen, compared with the other tasks. [default: 1]
    pub weight: Option<f64>,
    /// Words for --tags and --exclude-tags; of tasks.
    pub tags: Vec<String>,
    /// GET this path.
    pub get: Option<Text>,
    /// POST to this path.
    pub post: Option<Text>,
    /// PUT to this path.
    pub put: Option<Text>,
    /// PATCH this path.
    pub patch: Option<Text>,
    /// DELETE this path.
    pub delete: Option<Text>,
    /// HEAD of this path.
    pub head: Option<Text>,
    /// OPTIONS of this path.
    pub options: Option<Text>,
    /// Open a WebSocket at this path; one that is open is dropped.
    pub ws: Option<Text>,
    /// Send over it: a text as it is, or anything else as JSON, with templates in its texts.
    #[schemars(with = "Option<Value>")]
    pub send: Option<Spanned<Value>>,
    /// Wait for a message over it that is like this; others are passed over.
    #[schemars(with = "Option<Frame>")]
    pub receive: Option<Spanned<Frame>>,
    /// Close it.
    #[schemars(with = "Option<bool>")]
    pub close: Option<Spanned<bool>>,
    /// The name in the reports. [default: the path as it is written]
    pub name: Option<String>,
    /// A body of JSON, with templates in its texts.
    #[schemars(with = "Option<Value>")]
    pub json: Option<Spanned<Value>>,
    /// A body as it is.
    pub body: Option<Text>,
    /// A body of form fields.
    pub form: BTreeMap<String, Text>,
    /// Headers.
    pub headers: BTreeMap<String, Text>,
    /// What a successful answer is like.
    pub expect: Option<Expect>,
    /// Variables to take from the answer.
    pub extract: BTreeMap<String, Extract>,
    /// Only when this variable is set.
    #[schemars(with = "Option<String>")]
    pub when: Option<Spanned<String>>,
    /// Forget this variable afterwards.
    #[schemars(with = "Option<String>")]
    pub unset: Option<Spanned<String>>,
    /// Whether it counts in the reports. [default: true]
    pub record: Option<bool>,
    /// Has failed without an answer by then; instead of the scenario's.
    pub timeout: Option<Span>,
    /// A pause.
    #[schemars(with = "Option<Wait>")]
    pub wait: Option<Spanned<Wait>>,
    /// Do `steps` so often.
    pub repeat: Option<u32>,
    /// Several steps, one after the other; a request that fails ends them.
    #[schemars(with = "Option<Vec<Step>>")]
    pub steps: Option<Vec<Spanned<Step>>>,
}

/// The JSON schema of scenario files (draft 2020-12), for editors.
pub fn schema() -> Value {
    schemars::schema_for!(File).to_value()
}
