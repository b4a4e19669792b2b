//! `null` in the document: what a request may leave out it may also send as `null`, which means the same.
//!
//! The types say so only of what is an `Option`; that a field with a default reads `null` too is the work of serde.

use std::collections::BTreeSet;

use serde::Serialize;
use utoipa::openapi::schema::{ObjectBuilder, OneOfBuilder, SchemaType, Type};
use utoipa::openapi::{OpenApi, RefOr, Schema};

/// How a reference to a schema begins.
const COMPONENT: &str = "#/components/schemas/";

/// Lets every optional field of every body be `null`.
pub(crate) fn allow(document: &mut OpenApi) {
    let Some(components) = &mut document.components else { return };
    let posts = document.paths.paths.values().filter_map(|item| item.post.as_ref());
    let mut next: Vec<String> = posts.flat_map(|post| references(&post.request_body)).collect();
    let mut seen = BTreeSet::new();
    while let Some(name) = next.pop() {
        let Some(schema) = components.schemas.get_mut(&name) else { continue };
        if !seen.insert(name) {
            continue;
        }
        next.extend(references(schema));
        if let RefOr::T(Schema::Object(object)) = schema {
            for (field, property) in object.properties.iter_mut() {
                if !object.required.contains(field) {
                    or_null(property);
                }
            }
        }
    }
}

/// The schemas that a part of the document refers to.
fn references(part: &impl Serialize) -> Vec<String> {
    let text = serde_json::to_string(part).unwrap_or_default();
    text.split(COMPONENT).skip(1).filter_map(|rest| rest.split('"').next()).map(ToOwned::to_owned).collect()
}

fn or_null(property: &mut RefOr<Schema>) {
    match property {
        RefOr::T(Schema::Object(object)) => {
            allow_null(&mut object.schema_type);
            if let Some(words) = &mut object.enum_values
                && !words.contains(&serde_json::Value::Null)
            {
                words.push(serde_json::Value::Null);
            }
        }
        RefOr::T(Schema::Array(array)) => allow_null(&mut array.schema_type),
        RefOr::Ref(reference) => {
            let default = reference.default.take();
            let null = ObjectBuilder::new().schema_type(Type::Null);
            *property = OneOfBuilder::new().item(reference.clone()).item(null).default(default).into();
        }
        // Those of `Option`s are there already.
        RefOr::T(_) => {}
    }
}

fn allow_null(types: &mut SchemaType) {
    if let SchemaType::Type(one) = types {
        *types = SchemaType::Array(vec![one.clone(), Type::Null]);
    }
}
