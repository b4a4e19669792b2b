//! `null` in a defaulted field means absent: the serde helpers that make it so.
//!
//! `Option` fields need none of this, serde reads their `null` as `None` already.

use serde::{Deserialize, Deserializer};

/// Reads a value whose `null` stands for its type's default; use with `#[serde(default)]`.
pub(crate) fn null_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de> + Default,
{
    Ok(Option::<T>::deserialize(deserializer)?.unwrap_or_default())
}

/// Declares a module with a field's own default: `name::value` for `default`, `name::or_null` for `deserialize_with`.
macro_rules! field_default {
    ($name:ident: $type:ty = $value:expr) => {
        mod $name {
            // Empty for a primitive type, needed for the domain's words.
            #[allow(unused_imports)]
            use super::*;
            pub(super) fn value() -> $type {
                $value
            }
            pub(super) fn or_null<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<$type, D::Error> {
                Ok(<Option<$type> as serde::Deserialize>::deserialize(deserializer)?.unwrap_or_else(value))
            }
        }
    };
}
pub(crate) use field_default;
