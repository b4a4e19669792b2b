//! What the schemas of all stores have in common: numbered changes with checksums, forward only.
//!
//! What was applied is kept with a checksum; a file that was changed afterwards is refused. A file names in its first line
//! the oldest binary that can work on a database it was applied to (`-- min_binary: 0.1.0`); a binary refuses a database
//! only when it is older than that, so that additive changes do not shut it out.

use xxhash_rust::xxh3::xxh3_64;

/// A numbered change of the schema.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SchemaChange {
    /// Its number.
    pub version: i64,
    /// What it is called.
    pub name: String,
    /// When it was applied to this database, RFC 3339 in UTC; `None` when it was not.
    pub applied_at: Option<String>,
}

/// A file of this binary.
#[derive(Debug, Clone, Copy)]
pub(crate) struct File {
    pub(crate) version: i64,
    pub(crate) name: &'static str,
    pub(crate) sql: &'static str,
}

/// A change that a database says was applied to it.
#[derive(Debug, Clone)]
pub(crate) struct Applied {
    pub(crate) version: i64,
    pub(crate) checksum: String,
    pub(crate) min_binary: String,
}

/// `1.2.3` as numbers; what is no number counts as 0.
fn version(text: &str) -> [u64; 3] {
    let mut parts = [0; 3];
    for (part, digits) in parts.iter_mut().zip(text.trim().split('.')) {
        *part = digits.trim_end_matches(|c: char| !c.is_ascii_digit()).parse().unwrap_or(0);
    }
    parts
}

/// The oldest binary that may work on a database with this change.
pub(crate) fn min_binary(sql: &str) -> &str {
    sql.lines().next().and_then(|line| line.strip_prefix("-- min_binary:")).map_or("0.0.0", str::trim)
}

pub(crate) fn checksum(sql: &str) -> String {
    format!("{:016x}", xxh3_64(sql.as_bytes()))
}

/// The numbers of the changes that were applied, when this binary can work with them; else why it cannot.
pub(crate) fn check(
    applied: &[Applied],
    files: impl Iterator<Item = File> + Clone,
    binary: &str,
) -> Result<Vec<i64>, String> {
    for change in applied {
        if version(&change.min_binary) > version(binary) {
            return Err(format!(
                "the database was written by a newer regatta and needs at least version {} (this is {binary}); \
                 install a newer regatta",
                change.min_binary
            ));
        }
        let known = files.clone().find(|file| file.version == change.version);
        if let Some(known) = known
            && checksum(known.sql) != change.checksum
        {
            return Err(format!(
                "schema change {} ({}) is not the one that was applied to this database; \
                 use the regatta that wrote it",
                change.version, known.name
            ));
        }
    }
    Ok(applied.iter().map(|change| change.version).collect())
}

/// Every change that this binary or the database knows, in order.
pub(crate) fn list(files: impl Iterator<Item = File>, applied: Vec<SchemaChange>) -> Vec<SchemaChange> {
    let mut changes: Vec<SchemaChange> = files
        .map(|file| SchemaChange { version: file.version, name: file.name.to_owned(), applied_at: None })
        .collect();
    for change in applied {
        match changes.iter_mut().find(|known| known.version == change.version) {
            Some(known) => known.applied_at = change.applied_at,
            // By a newer binary.
            None => changes.push(change),
        }
    }
    changes.sort_by_key(|change| change.version);
    changes
}
