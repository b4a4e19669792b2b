//! JSON objects where a structure is wanted: serde's derived reading also takes an array, as the fields in their order,
//! which in a request is a mistake and not a spelling.
//!
//! Not here: bodies as a whole, of which the server looks at the first character.

use std::fmt;
use std::marker::PhantomData;

use serde::de::value::MapAccessDeserializer;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

/// A `T` that was read from an object.
struct Object<T>(T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for Reader<T> {
            type Value = T;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON object")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<T, A::Error> {
                T::deserialize(MapAccessDeserializer::new(map))
            }
        }

        deserializer.deserialize_map(Reader(PhantomData)).map(Self)
    }
}

/// Reads an object.
pub(crate) fn one<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<T, D::Error> {
    Object::deserialize(deserializer).map(|Object(value)| value)
}

/// Reads a list of objects.
pub(crate) fn list<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Vec<T>, D::Error> {
    let objects = Vec::<Object<T>>::deserialize(deserializer)?;
    Ok(objects.into_iter().map(|Object(value)| value).collect())
}

/// Reads a list of objects, or nothing from `null`; use with `#[serde(default)]`.
pub(crate) fn optional_list<'de, D, T>(deserializer: D) -> Result<Option<Vec<T>>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    let objects = Option::<Vec<Object<T>>>::deserialize(deserializer)?;
    Ok(objects.map(|objects| objects.into_iter().map(|Object(value)| value).collect()))
}

/// Reads a list of objects, or an empty one from `null`; use with `#[serde(default)]`.
pub(crate) fn list_or_null<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
) -> Result<Vec<T>, D::Error> {
    optional_list(deserializer).map(Option::unwrap_or_default)
}

#[cfg(test)]
mod tests {
    use serde::de::DeserializeOwned;
    use serde_json::{Value, json};

    use crate::frames::worker::WorkerFrame;
    use crate::task::{CreateTask, CreateTasks};
    use crate::worker::{Heartbeat, RegisterWorker};

    #[track_caller]
    fn refused<T: DeserializeOwned>(value: Value) {
        match serde_json::from_value::<T>(value.clone()) {
            Ok(_) => panic!("{value} was read"),
            Err(error) => assert!(error.to_string().contains("expected a JSON object"), "{value}: {error}"),
        }
    }

    #[test]
    fn an_array_is_no_object() {
        let id = "0193e3c8-7c00-7000-8000-000000000001";
        refused::<CreateTask>(json!({"description": "Count the words", "subtasks": [["Count"]]}));
        refused::<CreateTasks>(json!({"tasks": [["Count the words"]]}));
        refused::<RegisterWorker>(
            json!({"machine_id": "m", "machine_name": "n", "system_info": {}, "running": [[id, "l"]]}),
        );
        refused::<Heartbeat>(json!({"status": "idle", "resources": {}, "running": [[id, "l"]]}));
        refused::<WorkerFrame>(json!({"type": "resume", "running": [[id, "l"]]}));
        refused::<WorkerFrame>(json!({"type": "status", "data": ["idle"]}));
        refused::<WorkerFrame>(json!({"type": "status", "data": {"status": "idle", "running": [[id, "l"]]}}));
        for kind in ["log", "progress", "result"] {
            let frame = json!({"type": kind, "data": [id, 1]});
            assert!(serde_json::from_value::<WorkerFrame>(frame.clone()).is_err(), "{frame}");
            assert!(WorkerFrame::parse(&frame.to_string()).is_err(), "{frame}");
        }
    }
}
