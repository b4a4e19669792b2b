//! Free JSON on the wire: payloads that Regatta stores and passes on without looking inside.
//!
//! Not here: limits on their size (the server's), and their meaning (the tools').

use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de, ser};
use serde_json::value::RawValue;
use utoipa::openapi::schema::{AdditionalProperties, ObjectBuilder, SchemaType, Type};
use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

/// A JSON object as a request brings it, in the caller's order of keys.
pub type JsonObject = serde_json::Map<String, serde_json::Value>;

/// A JSON value that is kept as text: an answer passes on what the store holds without building it in memory.
///
/// Shared, so that a clone costs nothing. Its text is checked only when it is serialised: text that is no JSON
/// is then an error instead of a broken document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JsonText(Arc<str>);

impl JsonText {
    /// Takes text that is already valid JSON (as a store or a serializer made it), without parsing it.
    pub fn from_valid(text: impl Into<Arc<str>>) -> Self {
        Self(text.into())
    }

    /// The empty object.
    pub fn empty() -> Self {
        Self(Arc::from("{}"))
    }

    /// The text of a value.
    pub fn from_value(value: &serde_json::Value) -> Self {
        Self(Arc::from(value.to_string()))
    }

    /// The text of an object.
    pub fn from_object(object: &JsonObject) -> Self {
        // A map of strings to values cannot fail to serialise.
        Self(serde_json::to_string(object).map_or_else(|_| Arc::from("{}"), Arc::from))
    }

    /// The JSON text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The value in memory.
    ///
    /// # Errors
    /// When the text given to [`JsonText::from_valid`] was no JSON.
    pub fn to_value(&self) -> Result<serde_json::Value, serde_json::Error> {
        serde_json::from_str(&self.0)
    }

    /// The value in memory, as any type.
    ///
    /// # Errors
    /// When the text does not fit the type.
    pub fn parse<T: de::DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        serde_json::from_str(&self.0)
    }
}

impl Default for JsonText {
    fn default() -> Self {
        Self::empty()
    }
}

impl From<serde_json::Value> for JsonText {
    fn from(value: serde_json::Value) -> Self {
        Self::from_value(&value)
    }
}

impl From<JsonObject> for JsonText {
    fn from(object: JsonObject) -> Self {
        Self::from_object(&object)
    }
}

impl Serialize for JsonText {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        // Borrowed: one scan over the text, no allocation.
        let raw: &RawValue = serde_json::from_str(&self.0)
            .map_err(|error| ser::Error::custom(format_args!("stored JSON is broken: {error}")))?;
        raw.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for JsonText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // By way of a value: RawValue cannot be read inside tagged enums and flattened structs, which buffer.
        serde_json::Value::deserialize(deserializer).map(|value| Self::from_value(&value))
    }
}

impl PartialSchema for JsonText {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new()
            .schema_type(SchemaType::new(Type::Object))
            .additional_properties(Some(AdditionalProperties::FreeForm(true)))
            .description(Some("Any JSON object; the order of its keys is kept."))
            .into()
    }
}

impl ToSchema for JsonText {}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[derive(Serialize, Deserialize, Debug, PartialEq)]
    #[serde(tag = "type", rename_all = "snake_case")]
    enum Tagged {
        Data { data: JsonText },
    }

    #[test]
    fn stored_text_passes_through_as_it_is() {
        let text = r#"{"z":1, "a":[1.0,12345678901234567890123]}"#;
        let frame = Tagged::Data { data: JsonText::from_valid(text) };
        assert_eq!(serde_json::to_string(&frame).unwrap(), format!(r#"{{"type":"data","data":{text}}}"#));
    }

    #[test]
    fn it_is_read_inside_a_tagged_enum_in_order() {
        let read: Tagged = serde_json::from_str(r#"{"data":{"z":1,"a":2},"type":"data"}"#).unwrap();
        assert_eq!(read, Tagged::Data { data: JsonText::from_valid(r#"{"z":1,"a":2}"#) });
        assert_eq!(JsonText::from(json!({"a": 1})).to_value().unwrap()["a"], 1);
    }

    #[test]
    fn broken_text_is_an_error_and_never_a_broken_document() {
        let error = serde_json::to_string(&JsonText::from_valid("{\"a\":")).unwrap_err();
        assert!(error.to_string().contains("stored JSON is broken"), "{error}");
    }
}
