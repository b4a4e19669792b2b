//! A task's plan drawn in place on a terminal, several times a second.

use std::io::{self, Write};
use std::time::Duration;

use regatta_client::Client;
use regatta_client::api::page::PageQuery;
use regatta_client::api::task::TaskDetail;
use regatta_client::api::{SubtaskStatus, Time};
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};

use super::dag::Dag;
use super::draw::Scene;
use super::names::Names;
use crate::exit::Failure;
use crate::feed::{Feed, Item};
use crate::ui;

/// A picture so often at most.
const FRAME: Duration = Duration::from_millis(100);
/// Why something waits is asked so often: it is worked out on reading and no event tells it.
const REASONS: Duration = Duration::from_secs(2);
/// So long the picture waits for what it asks.
const ANSWER: Duration = Duration::from_secs(1);

/// Draws until the task ends; answers with the task as it ended.
///
/// # Errors
/// When the server is lost, or the output cannot be written.
pub async fn show(client: &Client, task: TaskDetail, mut feed: Feed) -> Result<TaskDetail, Failure> {
    let id = task.task_id;
    let mut dag = Dag::new(task);
    let mut names = Names::new(client);
    let mut canvas = Canvas::new()?;
    let mut frames = interval(FRAME);
    frames.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut caught_up = false;
    let mut lost = None;
    let mut asked = Instant::now();
    loop {
        tokio::select! {
            item = feed.next() => match item? {
                Item::Event(event) => {
                    if !dag.apply(&event) {
                        dag.refresh(client.task(id).await?);
                    }
                }
                Item::CaughtUp => caught_up = true,
                Item::Lost => lost = Some(ui::time::now()),
                Item::Back => lost = None,
                Item::Ended(task) => {
                    dag.refresh((*task).clone());
                    names.learn(dag.workers()).await?;
                    canvas.draw(&dag, &names, None)?;
                    return Ok(*task);
                }
            },
            _ = frames.tick(), if caught_up => {
                if lost.is_none() {
                    let asking = async {
                        if asked.elapsed() >= REASONS {
                            asked = Instant::now();
                            reasons(client, &mut dag, id).await?;
                        }
                        names.learn(dag.workers()).await
                    };
                    // A server that goes away just now shall not stop the picture; what is missing is asked for again.
                    if let Ok(asked) = timeout(ANSWER, asking).await {
                        asked?;
                    }
                }
                canvas.draw(&dag, &names, lost)?;
            }
        }
    }
}

/// Asks why the first queued steps wait. A server that is away just now says nothing.
async fn reasons(client: &Client, dag: &mut Dag, id: uuid::Uuid) -> Result<(), regatta_client::Error> {
    if dag.count(SubtaskStatus::Queued) == 0 {
        return Ok(());
    }
    match client.ready_subtasks(id, &PageQuery { limit: Some(50), ..PageQuery::default() }).await {
        Ok(ready) => {
            for row in ready.ready_subtasks {
                dag.waits(row.subtask_id, row.waiting_for);
            }
            Ok(())
        }
        Err(error) if error.is_unreachable() => Ok(()),
        Err(error) => Err(error),
    }
}

/// A part of the terminal that is drawn over again and again. Dropping it leaves the last picture and the cursor below it.
struct Canvas {
    /// The lines of the last picture.
    lines: usize,
    tick: usize,
    colors: bool,
}

impl Canvas {
    fn new() -> io::Result<Self> {
        // Without colours the cursor still has to move, so escape codes are taken off here and not by the stream.
        let colors = anstream::AutoStream::choice(&io::stdout()) != anstream::ColorChoice::Never;
        let mut out = io::stdout().lock();
        out.write_all(b"\x1b[?25l")?;
        out.flush()?;
        Ok(Self { lines: 0, tick: 0, colors })
    }

    fn draw(&mut self, dag: &Dag, names: &Names, lost: Option<Time>) -> io::Result<()> {
        let (columns, rows) = ui::terminal().unwrap_or((80, 24));
        // The cursor rests on the line below: a picture as tall as the terminal would push its own head out each time.
        let rows = rows.saturating_sub(1).max(1);
        let worker = |id| names.of(id);
        let scene = Scene { dag, worker: &worker, now: ui::time::now(), tick: self.tick, columns, rows, lost };
        let picture = scene.lines();
        let mut text = String::new();
        if self.lines > 0 {
            text.push_str(&format!("\x1b[{}A\r", self.lines.min(rows)));
        }
        for line in &picture {
            if self.colors {
                text.push_str(line);
            } else {
                text.push_str(&anstream::adapter::strip_str(line).to_string());
            }
            text.push_str("\x1b[K\n");
        }
        text.push_str("\x1b[J");
        let mut out = io::stdout().lock();
        out.write_all(text.as_bytes())?;
        out.flush()?;
        self.lines = picture.len();
        self.tick += 1;
        Ok(())
    }
}

impl Drop for Canvas {
    fn drop(&mut self) {
        // The terminal may be gone.
        let _ = io::stdout().lock().write_all(b"\x1b[?25h");
        let _ = io::stdout().lock().flush();
    }
}
