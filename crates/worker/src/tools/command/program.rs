//! Which file a program's name means, and whether the worker's owner allows it.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use rustix::fs::Access;

/// Where programs are looked for, and which of them may run.
#[derive(Debug, Clone)]
pub struct Programs {
    /// The worker's name, for errors.
    worker: String,
    /// The worker's own PATH: a subtask's `env` does not change where programs are found.
    path: Option<std::ffi::OsString>,
    /// Names or paths; none: all.
    allow: Option<Vec<String>>,
}

impl Programs {
    /// All programs on this PATH, or only the allowed ones.
    pub fn new(worker: &str, path: Option<&OsStr>, allow: Option<Vec<String>>) -> Self {
        Self { worker: worker.to_owned(), path: path.map(OsStr::to_owned), allow }
    }

    /// Whether the owner allows only some programs.
    pub fn is_restricted(&self) -> bool {
        self.allow.is_some()
    }

    /// The file of a program. A name with a slash is a path, relative to `directory`.
    ///
    /// # Errors
    /// A sentence when there is no such program, it cannot be run, or it is not allowed.
    pub fn find(&self, name: &str, directory: &Path) -> Result<PathBuf, String> {
        let worker = &self.worker;
        if name.is_empty() {
            return Err("argv[0] is empty; it names the program".into());
        }
        let found = self.locate(name, directory);
        let allowed = match &self.allow {
            None => true,
            Some(allow) => allow
                .iter()
                .any(|allowed| allowed == name || (found.is_some() && self.locate(allowed, Path::new("/")) == found)),
        };
        if !allowed {
            return Err(format!(
                "the owner of worker {worker} does not allow the program {name:?}; add it to `command.allow` in the worker's config file"
            ));
        }
        match found {
            Some(path) if is_executable(&path) => Ok(path),
            Some(path) if path.is_dir() => Err(format!("{name:?} is a directory on worker {worker}, not a program")),
            Some(_) => Err(format!("the file {name:?} is not executable on worker {worker}; see its permissions")),
            None if name.contains('/') => Err(format!("the program {name:?} does not exist on worker {worker}")),
            None => Err(format!("program {name:?} is not installed or not on the PATH of worker {worker}")),
        }
    }

    /// Whether a program can be run here.
    pub fn is_installed(&self, name: &str) -> bool {
        self.locate(name, Path::new("/")).is_some_and(|path| is_executable(&path))
    }

    fn locate(&self, name: &str, directory: &Path) -> Option<PathBuf> {
        if name.contains('/') {
            let path = directory.join(name);
            return path.exists().then_some(path);
        }
        std::env::split_paths(self.path.as_deref()?)
            .filter(|folder| folder.is_absolute())
            .map(|folder| folder.join(name))
            .find(|path| is_executable(path))
    }
}

fn is_executable(path: &Path) -> bool {
    path.is_file() && rustix::fs::access(path, Access::EXEC_OK).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn programs(allow: Option<&[&str]>) -> Programs {
        let allow = allow.map(|list| list.iter().map(|&name| name.to_owned()).collect());
        Programs::new("w1", std::env::var_os("PATH").as_deref(), allow)
    }

    #[test]
    fn names_are_found_on_the_path_and_paths_beside_the_directory() {
        let found = programs(None).find("sh", Path::new("/nowhere")).unwrap();
        assert!(found.is_absolute() && found.ends_with("sh"));
        assert_eq!(programs(None).find("bin/sh", Path::new("/")).unwrap(), Path::new("/bin/sh"));
    }

    #[test]
    fn what_is_not_there_is_said_with_the_workers_name() {
        let error = |name| programs(None).find(name, Path::new("/")).unwrap_err();
        assert_eq!(
            error("gemini-that-nobody-has"),
            "program \"gemini-that-nobody-has\" is not installed or not on the PATH of worker w1"
        );
        assert!(error("/no/such").contains("does not exist"));
        assert!(error("/etc/passwd").contains("not executable"));
        assert!(error("/etc").contains("is a directory"));
        assert!(error("").contains("argv[0]"));
    }

    #[test]
    fn the_owner_may_allow_only_some() {
        let some = programs(Some(&["wc", "/bin/cat"]));
        assert!(some.is_restricted());
        let wc = some.find("wc", Path::new("/")).unwrap();
        assert!(some.find(wc.to_str().unwrap(), Path::new("/")).is_ok());
        assert!(some.find("/bin/cat", Path::new("/")).is_ok());
        for refused in ["sh", "/bin/sh", "./wc", "/tmp/wc", "no-such-program"] {
            let error = some.find(refused, Path::new("/tmp")).unwrap_err();
            assert!(error.contains("does not allow"), "{error}");
        }
    }
}
