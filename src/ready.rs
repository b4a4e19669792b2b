//! The file that says where a server listens, for scripts that start it on any free port.

use std::io::Write;
use std::path::Path;

use serde::Serialize;

use crate::exit::Failure;

/// What the file says.
#[derive(Debug, Serialize)]
pub struct Ready {
    /// The server's address.
    pub url: String,
    /// This process.
    pub pid: u32,
    /// The workers of `up`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub workers: Vec<Child>,
}

/// A worker that this process started.
#[derive(Debug, Clone, Serialize)]
pub struct Child {
    /// Its name.
    pub name: String,
    /// Its process.
    pub pid: u32,
}

impl Ready {
    /// Writes the file in one step, so that whoever sees it sees all of it.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&self, file: &Path) -> Result<(), Failure> {
        let write = || -> std::io::Result<()> {
            let mut name = file.as_os_str().to_owned();
            name.push(format!(".{}", std::process::id()));
            let mut new = std::fs::File::create(&name)?;
            new.write_all(&serde_json::to_vec(self)?)?;
            new.write_all(b"\n")?;
            drop(new);
            std::fs::rename(&name, file)
        };
        write().map_err(|error| {
            Failure::failed(format!("the ready file {} cannot be written: {error}", file.display()))
                .hint("name another with --ready-file")
        })
    }
}
