//! A pseudo terminal for what is drawn in place: a command runs on it, and its screen can be read.
//!
//! It knows the escape codes that `regatta` prints and panics at any other, so that none creeps in unseen.

use std::collections::VecDeque;
use std::fs::File;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::process::{Child, Command, ExitStatus};
use std::sync::Arc;

use parking_lot::Mutex;
use rustix::process::{Pid, Signal, kill_process};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

use crate::rig::until;

/// A command on a terminal of its own.
pub struct Terminal {
    child: Child,
    screen: Arc<Mutex<Screen>>,
    reader: Option<std::thread::JoinHandle<()>>,
    keys: OwnedFd,
}

impl Terminal {
    /// Starts a command on a terminal of this size.
    pub fn start(mut command: Command, columns: u16, rows: u16) -> Self {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        tcsetwinsize(&master, Winsize { ws_col: columns, ws_row: rows, ws_xpixel: 0, ws_ypixel: 0 }).unwrap();
        let path = ptsname(&master, Vec::new()).unwrap().into_string().unwrap();
        let slave = File::options().read(true).write(true).open(path).unwrap();
        command.env("TERM", "xterm").env_remove("NO_COLOR");
        command.stdin(slave.try_clone().unwrap()).stdout(slave.try_clone().unwrap()).stderr(slave);
        let child = command.spawn().unwrap();
        // It holds our ends of the terminal: without them the master ends when the child does.
        drop(command);
        let keys = master.try_clone().unwrap();
        let screen = Arc::new(Mutex::new(Screen::new(usize::from(columns), usize::from(rows))));
        let reader = std::thread::spawn({
            let screen = Arc::clone(&screen);
            move || read(master, &screen)
        });
        Self { child, screen, reader: Some(reader), keys }
    }

    /// The lines that scrolled out above, and those on the screen, without blanks at their ends.
    pub fn lines(&self) -> Vec<String> {
        self.screen.lock().lines()
    }

    /// Types these keys.
    pub fn press(&self, keys: &str) {
        rustix::io::write(&self.keys, keys.as_bytes()).unwrap();
    }

    /// Whether the cursor shows.
    pub fn cursor_shows(&self) -> bool {
        self.screen.lock().cursor_shows
    }

    /// Waits until a line contains this.
    pub fn until_it_shows(&self, text: &str) {
        until(text, || self.lines().iter().any(|line| line.contains(text)).then_some(()));
    }

    pub fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(i32::try_from(self.child.id()).unwrap()).unwrap();
        kill_process(pid, signal).unwrap();
    }

    /// Waits for its end; then everything it printed is on the screen.
    pub fn wait(&mut self) -> ExitStatus {
        let status = until("a command on a terminal to end", || self.child.try_wait().unwrap());
        if let Some(reader) = self.reader.take() {
            reader.join().unwrap();
        }
        status
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Reads until the child's end is closed, which a terminal tells as an error.
fn read(master: OwnedFd, screen: &Mutex<Screen>) {
    let mut master = File::from(master);
    let mut open = Vec::new();
    let mut buffer = [0; 4096];
    while let Ok(count @ 1..) = master.read(&mut buffer) {
        open.extend_from_slice(&buffer[..count]);
        // A character may come in two reads.
        let whole = match std::str::from_utf8(&open) {
            Ok(text) => text.len(),
            Err(error) => error.valid_up_to(),
        };
        let rest = open.split_off(whole);
        screen.lock().print(&String::from_utf8(std::mem::replace(&mut open, rest)).unwrap());
    }
}

/// What a terminal shows.
struct Screen {
    columns: usize,
    rows: usize,
    /// What scrolled out.
    above: Vec<String>,
    /// What is on the screen.
    lines: VecDeque<Vec<char>>,
    row: usize,
    column: usize,
    cursor_shows: bool,
    /// An escape code that has begun.
    escape: Option<String>,
}

impl Screen {
    fn new(columns: usize, rows: usize) -> Self {
        let lines = (0..rows).map(|_| Vec::new()).collect();
        Self { columns, rows, above: Vec::new(), lines, row: 0, column: 0, cursor_shows: true, escape: None }
    }

    fn lines(&self) -> Vec<String> {
        let shown = self.lines.iter().map(|line| line.iter().collect::<String>().trim_end().to_owned());
        self.above.iter().cloned().chain(shown).collect()
    }

    fn print(&mut self, text: &str) {
        for c in text.chars() {
            match (&mut self.escape, c) {
                (Some(code), c) => {
                    code.push(c);
                    if c.is_ascii_alphabetic() {
                        let code = self.escape.take().unwrap();
                        self.obey(&code);
                    }
                }
                (None, '\u{1b}') => self.escape = Some(String::new()),
                (None, '\r') => self.column = 0,
                (None, '\n') => self.down(),
                (None, c) => {
                    assert!(!c.is_control(), "{c:?}");
                    self.put(c);
                }
            }
        }
    }

    fn put(&mut self, c: char) {
        if self.column == self.columns {
            self.column = 0;
            self.down();
        }
        let line = &mut self.lines[self.row];
        line.resize(line.len().max(self.column + 1), ' ');
        line[self.column] = c;
        self.column += 1;
    }

    fn down(&mut self) {
        if self.row + 1 < self.rows {
            self.row += 1;
            return;
        }
        let line = self.lines.pop_front().unwrap();
        self.above.push(line.iter().collect::<String>().trim_end().to_owned());
        self.lines.push_back(Vec::new());
    }

    fn obey(&mut self, code: &str) {
        let (number, kind) = code.strip_prefix('[').unwrap().split_at(code.len() - 2);
        match (number, kind) {
            ("?25", "l") => self.cursor_shows = false,
            ("?25", "h") => self.cursor_shows = true,
            (up, "A") => self.row = self.row.saturating_sub(up.parse().unwrap()),
            ("", "K") => self.lines[self.row].truncate(self.column),
            ("", "J") => {
                self.lines[self.row].truncate(self.column);
                self.lines.iter_mut().skip(self.row + 1).for_each(Vec::clear);
            }
            // A style.
            (_, "m") => {}
            _ => panic!("an escape code that is not known: {code:?}"),
        }
    }
}
