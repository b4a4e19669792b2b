//! The terminal view: the table of requests drawn in place every second, and keys that add and remove users.

use std::io::{IsTerminal, Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use regatta_load::Totals;
use regatta_load::engine::Handle;
use regatta_load::report::tables;
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};

use crate::ui;

/// The view. Dropping it gives the terminal back, the last picture left on it.
pub struct View {
    lines: usize,
    before: Option<Termios>,
    over: Arc<AtomicBool>,
    thresholds: usize,
}

impl View {
    /// Takes the terminal; `None` when it cannot draw.
    pub fn new(thresholds: usize) -> Option<Self> {
        ui::terminal()?;
        Some(Self { lines: 0, before: None, over: Arc::new(AtomicBool::new(false)), thresholds })
    }

    /// Hears keys without waiting for lines: w and W bring one and ten users more, s and S one and ten fewer.
    pub fn listen(&mut self, handle: Handle) {
        let stdin = std::io::stdin();
        if !stdin.is_terminal() {
            return;
        }
        let Ok(before) = tcgetattr(&stdin) else { return };
        let mut raw = before.clone();
        // Keys come as they are typed and are not shown; Ctrl-C stays a signal.
        raw.local_modes.remove(LocalModes::ICANON | LocalModes::ECHO);
        if tcsetattr(&stdin, OptionalActions::Now, &raw).is_err() {
            return;
        }
        self.before = Some(before);
        let over = Arc::clone(&self.over);
        // It ends with the process: a read that waits for a key cannot be called off.
        let _ = std::thread::Builder::new().name("keys".to_owned()).spawn(move || {
            for key in std::io::stdin().lock().bytes().map_while(Result::ok) {
                if over.load(Ordering::Relaxed) {
                    return;
                }
                match key {
                    b'w' => handle.add_users(1),
                    b'W' => handle.add_users(10),
                    b's' => handle.add_users(-1),
                    b'S' => handle.add_users(-10),
                    b'r' => handle.reset_stats(),
                    b'q' => handle.stop(),
                    _ => {}
                }
            }
        });
    }

    /// Draws how it stands.
    pub fn draw(&mut self, totals: &Totals) {
        let (columns, rows) = ui::terminal().unwrap_or((80, 24));
        let now = totals.now();
        let (rate, failing) = totals.all.current_rates(now);
        let mut picture = format!(
            "{} users   {rate:.1} requests/s   {failing:.1} failures/s ({:.2} %)   {now} s   {}\n\
             w W +1 +10 users   s S -1 -10 users   r reset   q or Ctrl-C end\n\n",
            totals.user_count(),
            totals.all.fail_ratio() * 100.0,
            if self.thresholds > 0 { format!("{} thresholds", self.thresholds) } else { String::new() },
        );
        picture.push_str(&tables::requests(totals, columns, true));
        for (id, text, occurrences) in totals.errors_by_count().into_iter().take(5) {
            picture.push_str(&format!("{:>8} x {} {}: {text}\n", occurrences.count, id.method, id.name));
        }
        let mut text = String::new();
        if self.lines > 0 {
            text.push_str(&format!("\x1b[{}A\r", self.lines));
        }
        let mut lines = 0;
        for line in picture.lines().take(rows.saturating_sub(1)) {
            let line: String = line.chars().take(columns.saturating_sub(1)).collect();
            text.push_str(&line);
            text.push_str("\x1b[K\n");
            lines += 1;
        }
        text.push_str("\x1b[J");
        self.lines = lines;
        let mut out = std::io::stderr().lock();
        // The terminal may be gone.
        let _ = out.write_all(text.as_bytes());
        let _ = out.flush();
    }
}

impl Drop for View {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        if let Some(before) = &self.before {
            let _ = tcsetattr(std::io::stdin(), OptionalActions::Now, before);
        }
    }
}
