//! Answers and frames as text for snapshots: ids, leases and times by name, so that two runs agree.

use std::collections::HashMap;

use serde_json::Value;
use uuid::Uuid;

use crate::rig::Answer;

/// Names what differs from run to run; the same thing keeps its name.
#[derive(Default)]
pub struct Show {
    names: HashMap<String, String>,
}

impl Show {
    /// Status, the headers that matter, and the body.
    pub fn answer(&mut self, answer: &Answer) -> String {
        let mut text = format!("{}\n", answer.status);
        for header in ["content-type", "allow", "retry-after", "location", "vary", "cache-control"] {
            if let Some(value) = answer.header(header) {
                text.push_str(&format!("{header}: {value}\n"));
            }
        }
        if answer.header("etag").is_some() {
            text.push_str("etag: yes\n");
        }
        if !answer.bytes.is_empty() {
            text.push_str(&self.json(&answer.json()));
        }
        text
    }

    /// A value, in lines.
    pub fn json(&mut self, value: &Value) -> String {
        let mut value = value.clone();
        self.tidy("", &mut value);
        serde_json::to_string_pretty(&value).unwrap()
    }

    fn tidy(&mut self, key: &str, value: &mut Value) {
        match value {
            Value::String(text) => *text = self.text(key, text),
            Value::Array(elements) => elements.iter_mut().for_each(|element| self.tidy(key, element)),
            Value::Object(entries) => entries.iter_mut().for_each(|(key, entry)| self.tidy(key, entry)),
            Value::Number(_) if key.ends_with("_ms") || matches!(key, "uptime_seconds" | "subtasks_per_second") => {
                *value = "[number]".into();
            }
            _ => {}
        }
    }

    fn text(&mut self, key: &str, text: &str) -> String {
        if key == "request_id" {
            return "[request]".to_owned();
        }
        if text.len() == 27 && text.ends_with('Z') && text.as_bytes()[19] == b'.' {
            return "[time]".to_owned();
        }
        if matches!(text.split_once('.'), Some((id, epoch)) if id.len() == 32 && Uuid::try_parse(id).is_ok() && !epoch.is_empty())
        {
            return self.name(text, "lease");
        }
        let mut shown = text.to_owned();
        for (start, _) in text.char_indices() {
            if let Some(part) = text.get(start..start + 36)
                && Uuid::try_parse(part).is_ok()
            {
                let name = self.name(part, "id");
                shown = shown.replace(part, &name);
            }
        }
        shown
    }

    fn name(&mut self, text: &str, kind: &str) -> String {
        let number = self.names.len() + 1;
        self.names.entry(text.to_owned()).or_insert_with(|| format!("[{kind} {number}]")).clone()
    }
}
