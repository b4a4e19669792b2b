//! A shim over SQLite's own VFS that writes down, in order, what is done to the files below one folder: every write,
//! truncation, sync and deletion. What is on a disk after its power was cut follows from that.
//!
//! It replaces four methods of the files that SQLite opens and passes everything on. Files elsewhere are left alone,
//! so that it can be the default of a process in which other tests run.

use std::collections::HashMap;
use std::ffi::{CStr, c_char, c_int, c_void};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use parking_lot::Mutex;
use regatta_model::{SubtaskId, TaskId};
use rusqlite::ffi::{SQLITE_OK, sqlite3_file, sqlite3_filename, sqlite3_io_methods, sqlite3_vfs};
use rusqlite::ffi::{sqlite3_vfs_find, sqlite3_vfs_register};

/// What a caller was told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kept {
    Task(TaskId),
    Result(SubtaskId),
}

/// What happened, in order.
#[derive(Debug, Clone)]
pub enum Op {
    Write {
        file: PathBuf,
        offset: usize,
        data: Vec<u8>,
    },
    Truncate {
        file: PathBuf,
        size: usize,
    },
    /// Everything done to the file before the entry with this number is on the disk.
    Sync {
        file: PathBuf,
        upto: usize,
    },
    Delete {
        file: PathBuf,
        synced: bool,
    },
    /// Someone was told that something is kept.
    Acknowledged(Kept),
}

/// Which folder is watched, and what was seen.
struct Watch {
    folder: PathBuf,
    log: Vec<Op>,
}

static WATCH: Mutex<Option<Watch>> = Mutex::new(None);
static SHIM: OnceLock<Shim> = OnceLock::new();

struct Shim {
    real: *mut sqlite3_vfs,
    /// Open files below the folder: their names and SQLite's own methods.
    files: Mutex<HashMap<usize, (PathBuf, &'static sqlite3_io_methods)>>,
}

// SAFETY: `real` is SQLite's default VFS, which lives as long as the process and may be used by any thread.
unsafe impl Send for Shim {}
// SAFETY: see above.
unsafe impl Sync for Shim {}

/// Watches a folder from now on; one at a time.
pub fn watch(folder: &Path) {
    SHIM.get_or_init(install);
    let before = WATCH.lock().replace(Watch { folder: folder.to_owned(), log: Vec::new() });
    assert!(before.is_none(), "one folder is watched at a time");
}

/// Ends watching; what happened.
pub fn unwatch() -> Vec<Op> {
    WATCH.lock().take().map(|watch| watch.log).unwrap_or_default()
}

/// Someone was told that this is kept.
pub fn acknowledged(kept: Kept) {
    note(Op::Acknowledged(kept));
}

fn note(op: Op) {
    if let Some(watch) = &mut *WATCH.lock() {
        watch.log.push(op);
    }
}

fn install() -> Shim {
    // SAFETY: asking for the default VFS; SQLite initialises itself.
    let real = unsafe { sqlite3_vfs_find(std::ptr::null()) };
    assert!(!real.is_null());
    // SAFETY: `real` points to a VFS that is never freed. The copy is plain data, and is leaked, so that it is never
    // freed either. Its methods take any VFS of this family, and ours pass on the real one.
    let shim = unsafe {
        let real = &*real;
        Box::leak(Box::new(sqlite3_vfs {
            zName: c"power-cut".as_ptr(),
            pNext: std::ptr::null_mut(),
            xOpen: Some(open),
            xDelete: Some(delete),
            ..std::ptr::read(real)
        }))
    };
    // SAFETY: `shim` lives as long as the process.
    assert_eq!(unsafe { sqlite3_vfs_register(shim, 1) }, SQLITE_OK);
    Shim { real, files: Mutex::default() }
}

/// The name of a file if it is watched.
fn watched(name: *const c_char) -> Option<PathBuf> {
    if name.is_null() {
        return None;
    }
    // SAFETY: SQLite gives names that end with a zero byte.
    let path = PathBuf::from(unsafe { CStr::from_ptr(name) }.to_str().ok()?);
    WATCH.lock().as_ref().is_some_and(|watch| path.starts_with(&watch.folder)).then_some(path)
}

fn shim() -> &'static Shim {
    SHIM.get().expect("it is installed before SQLite can call it")
}

fn methods(file: *mut sqlite3_file) -> (PathBuf, &'static sqlite3_io_methods) {
    shim().files.lock()[&(file as usize)].clone()
}

unsafe extern "C" fn open(
    _: *mut sqlite3_vfs,
    name: sqlite3_filename,
    file: *mut sqlite3_file,
    flags: c_int,
    out: *mut c_int,
) -> c_int {
    let real = shim().real;
    // SAFETY: SQLite's arguments are passed on to its own VFS, which has this method.
    let code = unsafe { (*real).xOpen.expect("every VFS opens")(real, name, file, flags, out) };
    if code == SQLITE_OK
        && let Some(path) = watched(name)
    {
        // SAFETY: the real VFS has opened the file and set its methods, which are static.
        let own: &'static sqlite3_io_methods = unsafe { &*(*file).pMethods };
        shim().files.lock().insert(file as usize, (path, own));
        // SAFETY: a copy of plain data; leaked, since the file may use it until it is closed.
        let ours = unsafe {
            Box::leak(Box::new(sqlite3_io_methods {
                xClose: Some(close),
                xWrite: Some(write),
                xTruncate: Some(truncate),
                xSync: Some(sync),
                ..std::ptr::read(own)
            }))
        };
        // SAFETY: `file` is open and ours to change until it is closed.
        unsafe { (*file).pMethods = ours };
    }
    code
}

unsafe extern "C" fn delete(_: *mut sqlite3_vfs, name: *const c_char, sync_folder: c_int) -> c_int {
    let real = shim().real;
    // SAFETY: as in `open`.
    let code = unsafe { (*real).xDelete.expect("every VFS deletes")(real, name, sync_folder) };
    if code == SQLITE_OK
        && let Some(file) = watched(name)
    {
        note(Op::Delete { file, synced: sync_folder != 0 });
    }
    code
}

unsafe extern "C" fn close(file: *mut sqlite3_file) -> c_int {
    let (_, own) = methods(file);
    shim().files.lock().remove(&(file as usize));
    // SAFETY: passed on to the file's own method.
    unsafe { own.xClose.expect("every file closes")(file) }
}

unsafe extern "C" fn write(file: *mut sqlite3_file, data: *const c_void, length: c_int, offset: i64) -> c_int {
    let (path, own) = methods(file);
    // SAFETY: passed on to the file's own method.
    let code = unsafe { own.xWrite.expect("every file is written")(file, data, length, offset) };
    if code == SQLITE_OK {
        // SAFETY: SQLite gives `length` bytes to write.
        let data = unsafe { std::slice::from_raw_parts(data.cast::<u8>(), length as usize) }.to_vec();
        note(Op::Write { file: path, offset: offset as usize, data });
    }
    code
}

unsafe extern "C" fn truncate(file: *mut sqlite3_file, size: i64) -> c_int {
    let (path, own) = methods(file);
    // SAFETY: passed on to the file's own method.
    let code = unsafe { own.xTruncate.expect("every file is truncated")(file, size) };
    if code == SQLITE_OK {
        note(Op::Truncate { file: path, size: size as usize });
    }
    code
}

unsafe extern "C" fn sync(file: *mut sqlite3_file, flags: c_int) -> c_int {
    let (path, own) = methods(file);
    // What others write while it syncs may not be on the disk after it.
    let upto = WATCH.lock().as_ref().map_or(0, |watch| watch.log.len());
    // SAFETY: passed on to the file's own method.
    let code = unsafe { own.xSync.expect("every file is synced")(file, flags) };
    if code == SQLITE_OK {
        note(Op::Sync { file: path, upto });
    }
    code
}
