//! Where programs are, as whom they run, and small things that servers need.

use std::ffi::OsString;
use std::fs::File;
use std::io::Read;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::process::getuid;

/// The user as whom services run when we are root: some refuse to run as root.
const NOBODY: &str = "nobody";

/// A port that nobody has at the moment.
pub(crate) fn free_port() -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port on the loopback device");
    listener.local_addr().expect("its address").port()
}

/// The first of these programs that is there: in the named folders, then on the path.
pub(crate) fn find(names: &[&str], folders: &[PathBuf]) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = folders.iter().cloned().chain(std::env::split_paths(&path)).collect::<Vec<_>>();
    names.iter().find_map(|name| folders.iter().map(|folder| folder.join(name)).find(|file| file.is_file()))
}

/// Text that nobody guesses.
pub(crate) fn secret() -> String {
    let mut bytes = [0; 16];
    File::open("/dev/urandom").and_then(|mut file| file.read_exact(&mut bytes)).expect("chance");
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The numbers of that user and its group.
fn nobody() -> (String, String) {
    let users = std::fs::read_to_string("/etc/passwd").expect("/etc/passwd");
    let line = users.lines().find(|line| line.split(':').next() == Some(NOBODY));
    let fields: Vec<&str> = line.expect("a user nobody").split(':').collect();
    (fields[2].to_owned(), fields[3].to_owned())
}

/// Whether programs can be run as a user without rights.
pub(crate) fn can_step_down() -> bool {
    !getuid().is_root() || find(&["setpriv"], &[]).is_some()
}

/// The start of a command as a user without rights, told by `signal` when its parent is gone.
pub(crate) fn unprivileged(signal: &str) -> Vec<OsString> {
    let mut command: Vec<OsString> = Vec::new();
    if find(&["setpriv"], &[]).is_some() {
        command.extend(["setpriv".into(), format!("--pdeathsig={signal}").into()]);
        if getuid().is_root() {
            let (user, group) = nobody();
            command.extend(["--reuid".into(), user.into(), "--regid".into(), group.into(), "--clear-groups".into()]);
        }
        command.push("--".into());
    }
    command
}

/// Gives a folder to that user.
pub(crate) fn give(folder: &Path) {
    if getuid().is_root() {
        let (user, group) = nobody();
        let given = Command::new("chown").arg("-R").arg(format!("{user}:{group}")).arg(folder).status().expect("chown");
        assert!(given.success(), "{} cannot be given away", folder.display());
    }
}

/// A folder of its own for a service, which its [keeper](crate::keeper) removes, with these files in it.
pub(crate) fn folder(files: &[(&str, &[u8])]) -> PathBuf {
    let folder = tempfile::Builder::new().prefix("regatta-service-").tempdir().expect("a folder").keep();
    for (name, content) in files {
        let path = folder.join(name);
        std::fs::write(&path, content).expect("a file of a service");
        // Keys that others may read are refused.
        let private = std::os::unix::fs::PermissionsExt::from_mode(0o600);
        std::fs::set_permissions(&path, private).expect("a private file");
    }
    folder
}

/// Arguments in which `{folder}` stands for the service's folder.
pub(crate) fn placed(arguments: &[&str], folder: &Path) -> Vec<String> {
    arguments.iter().map(|argument| argument.replace("{folder}", &folder.display().to_string())).collect()
}
