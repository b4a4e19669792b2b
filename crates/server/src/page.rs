//! Paging: `limit`, `offset` and `cursor` in, `next_cursor` out.
//!
//! A cursor is the key of the last row of a page in hexadecimal, with a checksum, so that a text of another kind, of
//! another list or with a slip in it is refused instead of answered with some page.

use regatta_api::limits::{LIST_LIMIT, LIST_LIMIT_DEFAULT, LOG_LIMIT, LOG_LIMIT_DEFAULT};
use regatta_api::page::PageInfo;
use regatta_engine::store::{SEARCH_COUNT_CAP, Start, Total};
use xxhash_rust::xxh3::xxh3_64;

use crate::params::Params;

/// Of which list a cursor is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum List {
    Tasks = b't',
    Workers = b'w',
    Subtasks = b's',
}

/// The page that is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Page {
    pub(crate) limit: u32,
    pub(crate) start: Start<i64>,
}

impl Page {
    /// Reads `limit`, `offset` and `cursor`.
    pub(crate) fn read(params: &mut Params, list: List) -> Self {
        let limit = params.number("limit", &LIST_LIMIT).unwrap_or(LIST_LIMIT_DEFAULT);
        let offset = params.number("offset", &(0..=i64::MAX as u64));
        let start = match params.text("cursor") {
            None => Start::Offset(offset.unwrap_or(0)),
            Some(cursor) => {
                if params.has("offset") {
                    params.error("cursor", "goes not together with offset; give one of them");
                }
                match decode(list, &cursor) {
                    Some(key) => Start::After(key),
                    None => {
                        params.error("cursor", "is none of this list; take it from next_cursor of the page before");
                        Start::Offset(0)
                    }
                }
            }
        };
        Self { limit, start }
    }

    /// What the page says of itself.
    pub(crate) fn info(&self, list: List, total: Option<Total>, next: Option<i64>) -> PageInfo {
        let offset = match self.start {
            Start::Offset(offset) => Some(offset),
            Start::After(_) => None,
        };
        PageInfo {
            total: total
                .filter(|_| offset.is_some())
                .map(|total| if total.capped { total.count.min(SEARCH_COUNT_CAP) } else { total.count }),
            total_capped: total.filter(|total| total.capped && offset.is_some()).map(|_| true),
            limit: self.limit,
            offset,
            next_cursor: next.map(|key| encode(list, key)),
        }
    }
}

/// The page of logs or events that is asked for: `after_seq` and `limit`.
pub(crate) fn read_seq(params: &mut Params) -> (u64, u32) {
    let after = params.number("after_seq", &(0..=i64::MAX as u64)).unwrap_or(0);
    let limit = params.number("limit", &LOG_LIMIT).unwrap_or(LOG_LIMIT_DEFAULT);
    (after, limit)
}

fn checksum(list: List, key: i64) -> u32 {
    let mut bytes = [list as u8; 9];
    bytes[1..].copy_from_slice(&key.to_be_bytes());
    xxh3_64(&bytes) as u32
}

fn encode(list: List, key: i64) -> String {
    format!("{key:x}-{:08x}", checksum(list, key))
}

fn decode(list: List, text: &str) -> Option<i64> {
    let (key, sum) = text.split_once('-')?;
    let key = i64::from_str_radix(key, 16).ok()?;
    // Only the one way in which it was written.
    (encode(list, key) == text && sum.len() == 8).then_some(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_good_for_its_list_alone() {
        for key in [0, 1, 77, i64::MAX] {
            let cursor = encode(List::Tasks, key);
            assert_eq!(decode(List::Tasks, &cursor), Some(key));
            assert_eq!(decode(List::Workers, &cursor), None);
        }
        for text in ["", "-", "1", "1-", "1-00000000", "x-y", "+1-0"] {
            assert_eq!(decode(List::Tasks, text), None, "{text}");
        }
    }
}
