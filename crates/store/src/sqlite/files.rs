//! Database files as wholes, for those who make and read them beside the store.

use std::fs::File;
use std::path::Path;

use rusqlite::Connection;

use super::backup::{private_file, remove_if_there, sync_folder};
use super::open::{self, Options};
use crate::StoreError;

pub(crate) use super::backup::{beside, immutable, refuse_existing};
pub(crate) use super::open::cannot_open;

/// An empty database of its own in a file that only its owner reads; what was there is gone.
pub(crate) fn new_database(file: &Path) -> Result<Connection, StoreError> {
    let failed = |error: std::io::Error| {
        StoreError::Open(format!(
            "{} cannot be written: {error}; choose another place, or let this user write there",
            file.display()
        ))
    };
    forget(file);
    private_file(file).map_err(failed)?;
    open::writer(&Options::new(file))
}

/// Gives a finished file its name.
pub(crate) fn put_in_place(part: &Path, target: &Path) -> Result<(), StoreError> {
    let rename =
        || File::open(part)?.sync_all().and_then(|()| std::fs::rename(part, target)).and_then(|()| sync_folder(target));
    rename().map_err(|error| {
        StoreError::Open(format!("{} cannot be written: {error}; choose another place", target.display()))
    })
}

/// Removes what is left of a file that did not come to be.
pub(crate) fn forget(part: &Path) {
    for ending in ["", "-wal", "-shm", "-journal"] {
        // It helps nobody; the error that is told is the first one.
        let _ = remove_if_there(&beside(part, ending));
    }
}
