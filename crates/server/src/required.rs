//! Which required fields a JSON body leaves out: all of them, where serde stops at the first. What is required is read
//! off the schema of the body's type, the one that the OpenAPI document shows.

use std::collections::HashMap;

use serde_json::{Map, Value};
use utoipa::ToSchema;
use utoipa::openapi::schema::{ArrayItems, Schema};
use utoipa::openapi::{Object, RefOr};

use crate::fields::Errors;

/// What is said of a required field that is not there.
pub(crate) const REQUIRED: &str = "is required";

/// Schemas refer to others no deeper than this; a bound for those that refer to themselves.
const DEEPEST: usize = 16;

/// Adds every required field that is missing.
pub(crate) fn name_missing<T: ToSchema>(value: &Value, errors: &mut Errors) {
    let mut named = Vec::new();
    T::schemas(&mut named);
    let walk = Walk { named: named.into_iter().collect() };
    walk.look(&T::schema(), value, String::new(), 0, errors);
}

struct Walk {
    /// The schemas that others refer to.
    named: HashMap<String, RefOr<Schema>>,
}

impl Walk {
    fn look(&self, schema: &RefOr<Schema>, value: &Value, path: String, depth: usize, errors: &mut Errors) {
        if depth > DEEPEST {
            return;
        }
        let schema = match schema {
            RefOr::T(schema) => schema,
            RefOr::Ref(reference) => {
                let name = reference.ref_location.rsplit('/').next().unwrap_or_default();
                if let Some(schema) = self.named.get(name) {
                    self.look(schema, value, path, depth + 1, errors);
                }
                return;
            }
        };
        match (schema, value) {
            (Schema::Object(object), Value::Object(entries)) => self.fields(object, entries, &path, depth, errors),
            (Schema::Array(array), Value::Array(elements)) => {
                let ArrayItems::RefOrSchema(items) = &array.items else { return };
                for (place, element) in elements.iter().enumerate() {
                    self.look(items, element, format!("{path}[{place}]"), depth + 1, errors);
                }
            }
            (Schema::AllOf(all), _) => {
                for part in &all.items {
                    self.look(part, value, path.clone(), depth + 1, errors);
                }
            }
            // Either a thing or null, or frames of several types.
            (Schema::OneOf(one), Value::Object(entries)) => {
                let mut fitting = one.items.iter().filter(|item| self.may_be(item, entries));
                if let (Some(only), None) = (fitting.next(), fitting.next()) {
                    self.look(only, value, path, depth + 1, errors);
                }
            }
            _ => {}
        }
    }

    fn fields(&self, object: &Object, entries: &Map<String, Value>, path: &str, depth: usize, errors: &mut Errors) {
        let at = |name: &str| if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
        for name in object.required.iter().filter(|name| !entries.contains_key(*name)) {
            errors.add(at(name), REQUIRED);
        }
        for (name, schema) in &object.properties {
            if let Some(value) = entries.get(name) {
                self.look(schema, value, at(name), depth + 1, errors);
            }
        }
    }

    /// Whether an object may be meant as this alternative: not when it is null, nor when a word that tells the
    /// alternatives apart, such as the `type` of a frame, is another one's.
    fn may_be(&self, schema: &RefOr<Schema>, entries: &Map<String, Value>) -> bool {
        match schema {
            RefOr::Ref(_) | RefOr::T(Schema::AllOf(_)) => true,
            RefOr::T(Schema::Object(object)) => {
                !object.properties.is_empty()
                    && object.properties.iter().all(|(name, property)| match property {
                        RefOr::T(Schema::Object(word)) => match (&word.enum_values, entries.get(name)) {
                            (Some(words), Some(given)) => words.contains(given),
                            _ => true,
                        },
                        _ => true,
                    })
            }
            RefOr::T(_) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use regatta_api::frames::worker::WorkerFrame;
    use regatta_api::task::CreateTasks;
    use regatta_api::worker::{Heartbeat, RegisterWorker};
    use serde_json::json;

    use super::*;

    #[track_caller]
    fn missing<T: ToSchema>(value: Value, expected: &[&str]) {
        let mut errors = Errors::default();
        name_missing::<T>(&value, &mut errors);
        let mut fields: Vec<&str> = errors.fields().collect();
        fields.sort_unstable();
        assert_eq!(fields, expected, "{value}");
    }

    #[test]
    fn all_that_is_missing_is_named_however_deep() {
        missing::<RegisterWorker>(json!({}), &["machine_id", "machine_name", "system_info"]);
        missing::<RegisterWorker>(
            json!({"machine_id": "m", "system_info": {}, "running": [{}]}),
            &["machine_name", "running[0].lease", "running[0].subtask_id"],
        );
        missing::<Heartbeat>(json!({"resources": {}, "running": null}), &["status"]);
        missing::<CreateTasks>(
            json!({"tasks": [{"description": "d"}, {"subtasks": [{"name": "a"}, {"tool": "x"}]}]}),
            &["tasks[1].description", "tasks[1].subtasks[1].name"],
        );
        missing::<WorkerFrame>(json!({"type": "ack"}), &["lease", "subtask_id"]);
        missing::<WorkerFrame>(json!({"type": "log", "data": {}}), &["data.level", "data.message", "data.subtask_id"]);
        missing::<WorkerFrame>(json!({"type": "dance"}), &[]);
    }
}
