//! Paging of lists: what a caller may ask and what every page says of itself.
//!
//! What a cursor holds is the server's secret. Logs and events are paged by sequence number instead, see [`SeqQuery`].

use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

/// What every page of a list says beside its rows.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PageInfo {
    /// How many rows there are in all; left out when paging by cursor.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total: Option<u64>,
    /// True when `search` stopped counting at 10,000: there are at least `total` rows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total_capped: Option<bool>,
    /// The most rows the page may have.
    #[schema(minimum = 1, maximum = 100)]
    pub limit: u32,
    /// How many rows were skipped; left out when paging by cursor.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offset: Option<u64>,
    /// Ask for the next page with this as `cursor`; absent on the last page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_cursor: Option<String>,
}

/// Declares the query of a list: its own filters, and the paging that all lists have. A macro, because a flattened
/// structure is none of the parameters that the OpenAPI document shows.
macro_rules! paged_query {
    (
        $(#[$meta:meta])*
        pub struct $name:ident { $($(#[$filter_meta:meta])* pub $filter:ident: $type:ty,)* }
    ) => {
        $(#[$meta])*
        pub struct $name {
            $($(#[$filter_meta])* pub $filter: $type,)*
            /// The most rows to answer.
            #[serde(skip_serializing_if = "Option::is_none")]
            #[param(minimum = 1, maximum = 100, default = 50)]
            pub limit: Option<u32>,
            /// How many rows to skip; not together with `cursor`.
            #[serde(skip_serializing_if = "Option::is_none")]
            #[param(minimum = 0, default = 0)]
            pub offset: Option<u64>,
            /// The `next_cursor` of the page before: costs the same on every page; not together with `offset`.
            #[serde(skip_serializing_if = "Option::is_none")]
            pub cursor: Option<String>,
        }
    };
}
pub(crate) use paged_query;

paged_query! {
    /// Paging of a list.
    #[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
    #[into_params(parameter_in = Query)]
    pub struct PageQuery {}
}

/// Paging of logs and events, by sequence number.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct SeqQuery {
    /// Only what comes after this sequence number (exclusive).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[param(minimum = 0, default = 0)]
    pub after_seq: Option<u64>,
    /// The most entries to answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[param(minimum = 1, maximum = 1000, default = 50)]
    pub limit: Option<u32>,
}

/// Waiting for a task to end.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct WaitQuery {
    /// Answer when the task has ended, or after this many seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[param(minimum = 0, maximum = 60, default = 0)]
    pub wait_seconds: Option<u32>,
}

/// Where a log stream starts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct FromSeqQuery {
    /// The first sequence number wanted (inclusive); 0 for everything kept; left out for the last 50 lines.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[param(minimum = 0)]
    pub from_seq: Option<u64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_page_has_neither_total_nor_offset() {
        let page = PageInfo { limit: 50, next_cursor: Some("abc".to_owned()), ..PageInfo::default() };
        assert_eq!(serde_json::to_string(&page).unwrap(), r#"{"limit":50,"next_cursor":"abc"}"#);
    }
}
