//! What a run is asked to be: by the command line first, by the page's form after that.

use std::collections::BTreeMap;
use std::time::Duration;

use regatta_load::engine::arrivals::Profile;
use regatta_load::scenario::duration;
use regatta_load::{Options, Plan};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::super::args::{Load, stages_of};
use super::super::words;
use crate::exit::Failure;

/// A run's settings, as the page shows them.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Settings {
    pub host: String,
    pub users: u64,
    pub spawn_rate: f64,
    /// Seconds.
    pub run_time: Option<f64>,
    pub arrival_rate: Option<f64>,
    pub stages: Option<String>,
    /// The classes that run, with their weights.
    pub classes: BTreeMap<String, f64>,
    pub tags: Vec<String>,
    pub exclude_tags: Vec<String>,
}

/// What a form may say; what it leaves out stays.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Asked {
    pub host: Option<String>,
    pub users: Option<u64>,
    pub spawn_rate: Option<f64>,
    /// Seconds, or a text like `1m30s`; nothing: until somebody stops it.
    #[serde(deserialize_with = "said")]
    pub run_time: Option<Value>,
    #[serde(deserialize_with = "said")]
    pub arrival_rate: Option<Value>,
    #[serde(deserialize_with = "said")]
    pub stages: Option<Value>,
    pub classes: Option<BTreeMap<String, f64>>,
    pub tags: Option<Vec<String>>,
    pub exclude_tags: Option<Vec<String>>,
}

/// `null` is something that was said, and other than nothing.
fn said<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(from).map(Some)
}

fn number(value: &Value, what: &str) -> Result<Option<f64>, String> {
    match value {
        Value::Null => Ok(None),
        Value::String(text) if text.trim().is_empty() => Ok(None),
        value => {
            let number = value.as_f64().or_else(|| value.as_str().and_then(|text| text.trim().parse().ok()));
            number.map(Some).ok_or_else(|| format!("{what} is a number, not {value}"))
        }
    }
}

/// Seconds, or a text as `--run-time` takes it.
fn seconds(value: &Value) -> Result<Option<f64>, String> {
    match value {
        Value::String(text) if !text.trim().is_empty() => {
            duration::parse(text.trim()).map(|time| Some(time.as_secs_f64())).map_err(|why| format!("run time: {why}"))
        }
        value => number(value, "the run time"),
    }
}

impl Settings {
    /// As the command line has them.
    pub fn of(load: &Load, plan: &Plan) -> Result<Self, Failure> {
        let options = load.options()?;
        Ok(Self {
            host: plan.host.to_string(),
            users: options.users,
            spawn_rate: options.spawn_rate,
            run_time: options.run_time.map(|time| time.as_secs_f64()),
            arrival_rate: load.arrival_rate,
            stages: load.stages.clone(),
            classes: plan.classes.iter().map(|class| (class.name.clone(), class.weight)).collect(),
            tags: words(&load.tags),
            exclude_tags: words(&load.exclude_tags),
        })
    }

    /// The same with what a form says.
    ///
    /// # Errors
    /// A sentence that says what cannot be.
    pub fn with(mut self, asked: Asked) -> Result<Self, String> {
        if let Some(host) = asked.host.filter(|host| !host.trim().is_empty()) {
            host.trim().trim_end_matches('/').clone_into(&mut self.host);
        }
        self.users = asked.users.unwrap_or(self.users);
        self.spawn_rate = asked.spawn_rate.unwrap_or(self.spawn_rate);
        if let Some(time) = &asked.run_time {
            self.run_time = seconds(time)?;
        }
        if let Some(rate) = &asked.arrival_rate {
            self.arrival_rate = number(rate, "the arrival rate")?;
        }
        if let Some(stages) = &asked.stages {
            self.stages = stages.as_str().map(str::trim).filter(|text| !text.is_empty()).map(str::to_owned);
        }
        if let Some(classes) = asked.classes.filter(|classes| !classes.is_empty()) {
            self.classes = classes;
        }
        self.tags = asked.tags.unwrap_or(self.tags);
        self.exclude_tags = asked.exclude_tags.unwrap_or(self.exclude_tags);
        self.check()?;
        Ok(self)
    }

    fn check(&self) -> Result<(), String> {
        if self.users == 0 {
            return Err("a run needs at least one user".into());
        }
        if !(self.spawn_rate.is_finite() && self.spawn_rate > 0.0) {
            return Err("the spawn rate is a number of users a second above 0".into());
        }
        if self.run_time.is_some_and(|time| Duration::try_from_secs_f64(time).is_err()) {
            return Err("the run time is a number of seconds".into());
        }
        if let Some(bad) = self.classes.values().find(|weight| !(weight.is_finite() && **weight >= 0.0)) {
            return Err(format!("a weight is a number of 0 or more, not {bad}"));
        }
        self.arrivals().map(drop)
    }

    /// The open model, where one is wanted.
    fn arrivals(&self) -> Result<Option<Profile>, String> {
        match (self.arrival_rate, &self.stages) {
            (None, None) => Ok(None),
            (Some(rate), None) => Profile::constant(rate).map(Some),
            (start, Some(stages)) => Profile::stages(start.unwrap_or(0.0), stages_of(stages)?).map(Some),
        }
    }

    /// What the engine is told.
    ///
    /// # Errors
    /// A sentence that says what cannot be.
    pub fn options(&self, load: &Load) -> Result<Options, String> {
        let options = load.options().map_err(|failure| failure.what)?;
        Ok(Options {
            users: self.users,
            spawn_rate: self.spawn_rate,
            run_time: self.run_time.and_then(|time| Duration::try_from_secs_f64(time).ok()),
            arrivals: self.arrivals()?,
            open_ended: true,
            ..options
        })
    }

    /// Whether tasks arrive however long they take.
    pub fn is_open(&self) -> bool {
        self.arrival_rate.is_some() || self.stages.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> Settings {
        Settings {
            host: "http://a".into(),
            users: 1,
            spawn_rate: 1.0,
            run_time: Some(5.0),
            arrival_rate: None,
            stages: None,
            classes: [("A".to_owned(), 1.0)].into(),
            tags: vec!["read".into()],
            exclude_tags: vec![],
        }
    }

    fn with(json: &str) -> Result<Settings, String> {
        settings().with(serde_json::from_str(json).unwrap())
    }

    #[test]
    fn what_a_form_leaves_out_stays_and_null_is_said() {
        assert_eq!(with("{}").unwrap(), settings());
        let other = with(r#"{"users":7,"run_time":null,"host":"http://b/","classes":{"B":2}}"#).unwrap();
        let classes = [("B".to_owned(), 2.0)].into();
        assert_eq!(other, Settings { users: 7, run_time: None, host: "http://b".into(), classes, ..settings() });
        assert_eq!(with(r#"{"run_time":"1m30s"}"#).unwrap().run_time, Some(90.0));
        assert!(with(r#"{"arrival_rate":20}"#).unwrap().is_open());
    }

    #[test]
    fn what_cannot_be_is_said_in_a_sentence() {
        for (json, says) in [
            (r#"{"users":0}"#, "at least one user"),
            (r#"{"spawn_rate":0}"#, "spawn rate"),
            (r#"{"run_time":"soon"}"#, "run time"),
            (r#"{"run_time":-1}"#, "run time"),
            (r#"{"stages":"x"}"#, "stage"),
            (r#"{"classes":{"A":-1}}"#, "weight"),
        ] {
            let why = with(json).unwrap_err();
            assert!(why.contains(says), "{json}: {why}");
        }
    }
}
