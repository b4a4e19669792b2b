//! Who a worker is: kept per data directory and name, and held by one process at a time.
//!
//! `<data>/workers/<name>/`: `identity.json` (the machine id), `lock`, `journal`, `outputs/`.

use std::fs::{self, File, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Why an identity cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// Another process holds it.
    #[error(
        "worker {name} is already run by {holder} with the data directory {}; stop that process, or start this one with another --name or another --data-dir",
        data_dir.display()
    )]
    Held {
        /// The worker's name.
        name: String,
        /// "process 123".
        holder: String,
        /// The data directory.
        data_dir: PathBuf,
    },
    /// The files cannot be read or written.
    #[error("the worker's folder {} cannot be used ({source}); see its permissions and free space, or give another --data-dir", folder.display())]
    Unusable {
        /// The folder.
        folder: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// The identity file is broken.
    #[error(
        "{} holds no identity ({reason}); restore it, or delete it to make a new one: the server then sees a new worker",
        file.display()
    )]
    Broken {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The name cannot be the name of a folder.
    #[error("the name {0:?} is too long for a folder; give a shorter --name")]
    NameTooLong(String),
}

#[derive(Serialize, Deserialize)]
struct IdentityFile {
    machine_id: Uuid,
}

/// An identity that this process holds; dropping it lets it go.
#[derive(Debug)]
pub struct Identity {
    machine_id: Uuid,
    folder: PathBuf,
    /// Locked as long as it is open.
    _lock: File,
}

impl Identity {
    /// Takes the identity of this name, made if there is none yet.
    ///
    /// # Errors
    /// When another process holds it, or its files cannot be used.
    pub fn claim(data_dir: &Path, name: &str) -> Result<Self, IdentityError> {
        let folder_name = folder_name(name);
        if folder_name.len() > 255 {
            return Err(IdentityError::NameTooLong(name.to_owned()));
        }
        let folder = data_dir.join("workers").join(folder_name);
        let unusable = |source| IdentityError::Unusable { folder: folder.clone(), source };
        fs::create_dir_all(&folder).map_err(unusable)?;
        let lock = lock(&folder).map_err(|error| match error {
            Locked::Held(holder) => {
                IdentityError::Held { name: name.to_owned(), holder, data_dir: data_dir.to_owned() }
            }
            Locked::Failed(source) => unusable(source),
        })?;
        let outputs = folder.join("outputs");
        // What a killed worker left there is of no use to anyone.
        let _ = fs::remove_dir_all(&outputs);
        fs::create_dir_all(&outputs).map_err(unusable)?;

        let file = folder.join("identity.json");
        let machine_id = match fs::read(&file) {
            Ok(text) => {
                serde_json::from_slice::<IdentityFile>(&text)
                    .map_err(|error| IdentityError::Broken { file, reason: error.to_string() })?
                    .machine_id
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                let machine_id = Uuid::now_v7();
                write_durably(&folder, &file, &IdentityFile { machine_id }).map_err(unusable)?;
                machine_id
            }
            Err(error) => return Err(unusable(error)),
        };
        Ok(Self { machine_id, folder, _lock: lock })
    }

    /// What stays the same when the worker restarts.
    pub fn machine_id(&self) -> String {
        self.machine_id.to_string()
    }

    /// The worker's folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Where short-lived files of tools are made.
    pub fn outputs(&self) -> PathBuf {
        self.folder.join("outputs")
    }
}

enum Locked {
    Held(String),
    Failed(std::io::Error),
}

impl From<std::io::Error> for Locked {
    fn from(error: std::io::Error) -> Self {
        Self::Failed(error)
    }
}

/// Locks the folder for this process; the system lets go when the process ends, however it ends.
fn lock(folder: &Path) -> Result<File, Locked> {
    let mut file = File::options().read(true).write(true).create(true).truncate(false).open(folder.join("lock"))?;
    match file.try_lock() {
        Ok(()) => {
            file.set_len(0)?;
            write!(file, "{}", std::process::id())?;
            Ok(file)
        }
        Err(TryLockError::WouldBlock) => {
            let mut pid = String::new();
            // The holder writes its number just after it has the lock.
            let _ = file.rewind().and_then(|()| file.read_to_string(&mut pid));
            Err(Locked::Held(match pid.trim() {
                "" => "another process".to_owned(),
                pid => format!("process {pid}"),
            }))
        }
        Err(TryLockError::Error(error)) => Err(Locked::Failed(error)),
    }
}

/// Writes the file so that it is either there whole or not at all, also after a power cut.
fn write_durably(folder: &Path, file: &Path, identity: &IdentityFile) -> std::io::Result<()> {
    let mut temporary = tempfile::NamedTempFile::new_in(folder)?;
    serde_json::to_writer(&mut temporary, identity)?;
    temporary.as_file().sync_all()?;
    temporary.persist(file).map_err(|error| error.error)?;
    File::open(folder)?.sync_all()
}

/// A folder's name for any worker's name: letters, digits, `-`, `_` and inner dots stay, other bytes become `%XX`.
fn folder_name(name: &str) -> String {
    let mut text = String::new();
    for (index, character) in name.chars().enumerate() {
        if character.is_alphanumeric() || "-_".contains(character) || (character == '.' && index > 0) {
            text.push(character);
        } else {
            let mut bytes = [0; 4];
            for byte in character.encode_utf8(&mut bytes).bytes() {
                text.push_str(&format!("%{byte:02X}"));
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identity_outlives_the_process_and_differs_by_name() {
        let data = tempfile::tempdir().unwrap();
        let first = Identity::claim(data.path(), "a").unwrap();
        let other = Identity::claim(data.path(), "b").unwrap();
        let id = first.machine_id();
        assert_ne!(id, other.machine_id());
        fs::write(first.outputs().join("left"), "x").unwrap();
        drop(first);
        let again = Identity::claim(data.path(), "a").unwrap();
        assert_eq!(again.machine_id(), id);
        assert!(!again.outputs().join("left").exists());
    }

    #[test]
    fn a_second_holder_is_refused_with_the_firsts_number() {
        let data = tempfile::tempdir().unwrap();
        let _first = Identity::claim(data.path(), "a").unwrap();
        let text = Identity::claim(data.path(), "a").unwrap_err().to_string();
        assert!(text.contains(&format!("process {}", std::process::id())), "{text}");
        assert!(text.contains("--name") && text.contains("--data-dir"), "{text}");
    }

    #[test]
    fn a_broken_file_is_said_and_not_replaced() {
        let data = tempfile::tempdir().unwrap();
        drop(Identity::claim(data.path(), "a").unwrap());
        let file = data.path().join("workers/a/identity.json");
        fs::write(&file, "{}").unwrap();
        assert!(matches!(Identity::claim(data.path(), "a"), Err(IdentityError::Broken { .. })));
        assert_eq!(fs::read_to_string(file).unwrap(), "{}");
    }

    #[test]
    fn any_name_makes_a_folder_of_its_own() {
        assert_eq!(folder_name("build-1.lan_x"), "build-1.lan_x");
        assert_eq!(folder_name("../../etc"), "%2E.%2F..%2Fetc");
        assert_eq!(folder_name("Zoë 1"), "Zoë%201");
        assert_ne!(folder_name("a b"), folder_name("a%20b"));
        let data = tempfile::tempdir().unwrap();
        let long = "%".repeat(100);
        assert!(matches!(Identity::claim(data.path(), &long), Err(IdentityError::NameTooLong(_))));
    }
}
