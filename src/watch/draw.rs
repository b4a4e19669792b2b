//! One picture of a task's plan, as lines that fit the terminal: pure, so that it can be tested.

use anstyle::Style;
use regatta_client::api::{SubtaskStatus, Time};

use super::dag::{Dag, Step};
use crate::ui::style::{BAD, BOLD, DIM, LIVE, PLAIN, WARN, cut, one_line, paint, width};
use crate::ui::{time, word};

/// Deeper than this no step is indented: the name shall stay readable.
const DEEPEST: usize = 8;
/// What runs turns.
const SPINNER: [&str; 10] = ["⠋", "⠙", "⠹", "⠸", "⠼", "⠴", "⠦", "⠧", "⠇", "⠏"];

/// What a picture is drawn with.
pub struct Scene<'a> {
    pub dag: &'a Dag,
    pub worker: &'a dyn Fn(uuid::Uuid) -> String,
    pub now: Time,
    /// Counts the pictures: the spinner turns with it.
    pub tick: usize,
    pub columns: usize,
    pub rows: usize,
    /// Since when nothing is heard from the server: what is shown is what was so then.
    pub lost: Option<Time>,
}

impl Scene<'_> {
    /// The picture: a head with the progress, then a line a step. Never more than `rows` lines of `columns` columns.
    pub fn lines(&self) -> Vec<String> {
        let mut lines = vec![self.head(), self.bar()];
        let room = self.rows.saturating_sub(lines.len());
        // The line that says how many are hidden takes the place of a step.
        let shown = self.choose(if self.dag.steps.len() > room { room.saturating_sub(1) } else { room });
        let name = |step: &Step| 2 * step.depth.min(DEEPEST) + width(&step.row.name);
        let names = shown.iter().map(|step| name(step)).max().unwrap_or(0).min(self.columns / 2);
        let worker = |step: &Step| step.row.assigned_worker.map(self.worker).unwrap_or_default();
        let workers = shown.iter().map(|step| width(&worker(step))).max().unwrap_or(0).min(24);
        let tools = shown.iter().map(|step| width(&tool(step))).max().unwrap_or(0).min(24);
        for step in &shown {
            lines.push(self.step(step, names, workers, tools));
        }
        let hidden = self.dag.steps.len() - shown.len();
        if hidden > 0 {
            lines.push(paint(DIM, cut(&format!("  … and {hidden} more steps"), self.columns)));
        }
        lines.truncate(self.rows);
        lines
    }

    /// What the time is in the picture: it stands still while nothing is known.
    fn now(&self) -> Time {
        self.lost.unwrap_or(self.now)
    }

    fn head(&self) -> String {
        let status = self.dag.status.as_str();
        let room = self.columns.saturating_sub(width(status) + 2);
        let description = cut(&one_line(&self.dag.description), room);
        cut_styled(&[(BOLD, &description), (PLAIN, "  "), (word::task(self.dag.status), status)], self.columns)
    }

    fn bar(&self) -> String {
        let total = self.dag.steps.len();
        let done = self.dag.count(SubtaskStatus::Completed);
        let running = self.dag.count(SubtaskStatus::InProgress);
        let failed = self.dag.count(SubtaskStatus::Failed);
        let since = self.dag.started_at.unwrap_or(self.dag.created_at);
        let took = time::seconds(time::between(since, self.dag.ended_at.unwrap_or(self.now())));
        let failed = if failed > 0 { format!(", {failed} failed") } else { String::new() };
        let busy = if running > 0 { format!(", {running} running") } else { String::new() };
        let figures = match &self.dag.waiting_for {
            Some(why) if running == 0 && !self.dag.status.is_ended() => format!(" {done}/{total}, waiting: {why}"),
            _ => format!(" {done}/{total}{busy}{failed}, {took}"),
        };
        let (style, figures) = match self.lost {
            Some(lost) => {
                let away = time::seconds(time::between(lost, self.now));
                (WARN, format!(" {done}/{total}, no word from the server for {away}; trying again"))
            }
            None => (PLAIN, figures),
        };
        let room = 30.min(self.columns / 3);
        let filled = (room * done).checked_div(total).unwrap_or(0);
        let bar = "━".repeat(filled);
        let rest = "─".repeat(room - filled);
        cut_styled(&[(word::task(self.dag.status), &bar), (DIM, &rest), (style, &figures)], self.columns)
    }

    /// The steps that there is room for: what moves or went wrong first, then what comes next, then what is done; shown in
    /// the plan's order.
    fn choose(&self, room: usize) -> Vec<&Step> {
        let steps = &self.dag.steps;
        if steps.len() <= room {
            return steps.iter().collect();
        }
        let mut order: Vec<usize> = (0..steps.len()).collect();
        order.sort_by_key(|&at| match steps[at].row.status {
            SubtaskStatus::InProgress => (0, at),
            SubtaskStatus::Failed => (1, at),
            SubtaskStatus::Queued => (2, at),
            SubtaskStatus::Pending => (3, at),
            // The latest of what is done.
            SubtaskStatus::Completed | SubtaskStatus::Cancelled => (4, usize::MAX - at),
        });
        order.truncate(room);
        order.sort_unstable();
        order.into_iter().map(|at| &steps[at]).collect()
    }

    fn step(&self, step: &Step, names: usize, workers: usize, tools: usize) -> String {
        let row = &step.row;
        let (glyph, style) = word::subtask(row.status);
        let glyph = match row.status {
            SubtaskStatus::InProgress if self.lost.is_some() => "?",
            SubtaskStatus::InProgress => SPINNER[self.tick % SPINNER.len()],
            _ => glyph,
        };
        let indent = " ".repeat(2 * step.depth.min(DEEPEST));
        let pad = |text: &str, room: usize| {
            let text = cut(text, room);
            let fill = " ".repeat(room - width(&text));
            format!("{text}{fill}  ")
        };
        let ran = row.attempt > 0;
        let worker = if ran { row.assigned_worker.map(self.worker).unwrap_or_default() } else { String::new() };
        let took = row
            .started_at
            .filter(|_| ran && row.status != SubtaskStatus::Queued)
            .map(|from| time::seconds(time::between(from, row.completed_at.unwrap_or(self.now()))))
            .unwrap_or_default();
        let (note_style, note) = self.note(step);
        let parts = [
            (style, glyph.to_owned()),
            (PLAIN, " ".to_owned()),
            (
                if row.status == SubtaskStatus::Pending { DIM } else { PLAIN },
                pad(&format!("{indent}{}", row.name), names),
            ),
            (DIM, pad(&worker, workers)),
            (DIM, pad(&if ran { tool(step) } else { String::new() }, tools)),
            (PLAIN, format!("{took:>8}  ")),
            (note_style, note),
        ];
        let parts: Vec<_> = parts.iter().map(|(style, text)| (*style, text.as_str())).collect();
        cut_styled(&parts, self.columns)
    }

    /// What a step has to say: why it waits, what it last logged, what went wrong.
    fn note(&self, step: &Step) -> (Style, String) {
        let row = &step.row;
        let again =
            |text: &str| if row.attempt > 1 { format!("(attempt {}) {text}", row.attempt) } else { text.to_owned() };
        match row.status {
            SubtaskStatus::Pending => {
                let missing = self.dag.missing(step);
                let text = match missing.as_slice() {
                    [] => String::new(),
                    [one] => format!("after {one}"),
                    [one, two] => format!("after {one}, {two}"),
                    [one, rest @ ..] => format!("after {one} and {} more", rest.len()),
                };
                (DIM, text)
            }
            SubtaskStatus::Queued => match &row.waiting_for {
                Some(why) => (WARN, format!("waiting: {}", one_line(why))),
                None => (DIM, "queued".to_owned()),
            },
            SubtaskStatus::InProgress => {
                let line = step.last_line.as_deref().map(one_line).unwrap_or_default();
                let progress = if row.progress > 0 { format!("{} % ", row.progress) } else { String::new() };
                (LIVE, again(&format!("{progress}{line}")))
            }
            SubtaskStatus::Completed => (DIM, again(&step.last_line.as_deref().map(one_line).unwrap_or_default())),
            SubtaskStatus::Failed | SubtaskStatus::Cancelled => {
                let style = if row.status == SubtaskStatus::Failed { BAD } else { WARN };
                (style, again(&row.error.as_deref().map(one_line).unwrap_or_default()))
            }
        }
    }
}

/// The tool of a step, and whether it only pretends.
fn tool(step: &Step) -> String {
    let tool = step.row.assigned_tool.as_ref().or(step.row.tool.as_ref()).cloned().unwrap_or_default();
    if step.row.simulated { format!("{tool} (simulated)") } else { tool }
}

/// Texts in their styles, at most so many columns together.
fn cut_styled(parts: &[(Style, &str)], columns: usize) -> String {
    let mut left = columns;
    let mut line = String::new();
    for (style, text) in parts {
        let text = cut(text, left);
        left -= width(&text);
        line.push_str(&if *style == PLAIN { text } else { paint(*style, text) });
    }
    line
}

#[cfg(test)]
mod tests {
    use super::super::dag::tests::task;
    use super::*;

    fn picture(dag: &Dag, columns: usize, rows: usize) -> Vec<String> {
        let now = Time::from_micros(dag.created_at.as_micros() + 2_500_000);
        scene(dag, now, None, columns, rows)
    }

    fn scene(dag: &Dag, now: Time, lost: Option<Time>, columns: usize, rows: usize) -> Vec<String> {
        let scene = Scene { dag, worker: &|_| "worker-1".to_owned(), now, tick: 0, columns, rows, lost };
        scene.lines().iter().map(|line| anstream::adapter::strip_str(line).to_string().trim_end().to_owned()).collect()
    }

    fn dag() -> Dag {
        Dag::new(task(&[
            ("Split", "completed", &[]),
            ("Count A", "in_progress", &[0]),
            ("Count B", "queued", &[0]),
            ("Merge", "pending", &[1, 2]),
        ]))
    }

    #[test]
    fn the_plan_moves_line_by_line() {
        let mut dag = dag();
        dag.steps[1].last_line = Some("17 words\u{1b}[2J".to_owned());
        dag.waits(dag.steps[2].row.subtask_id, Some("a free slot".to_owned()));
        assert_eq!(
            picture(&dag, 100, 20),
            [
                "Count the words of a book  in_progress",
                "━━━━━━━─────────────────────── 1/4, 1 running, 2.50 s",
                "✓ Split      worker-1  command    2.50 s",
                "⠋   Count A  worker-1  command    2.50 s  17 words",
                "…   Count B  worker-1  command            waiting: a free slot",
                "·     Merge                               after Count A, Count B",
            ]
        );
    }

    #[test]
    fn it_never_leaves_the_terminal() {
        let dag = dag();
        for columns in 1..120 {
            for rows in 1..10 {
                let picture = picture(&dag, columns, rows);
                assert!(picture.iter().all(|line| width(line) <= columns), "{columns}: {picture:?}");
                assert!(picture.len() <= rows, "{rows}: {picture:?}");
            }
        }
    }

    #[test]
    fn without_a_server_nothing_seems_to_move() {
        let dag = dag();
        let at = |seconds: i64| Time::from_micros(dag.created_at.as_micros() + seconds * 1_000_000);
        let picture = scene(&dag, at(60), Some(at(2)), 100, 20);
        assert!(picture[1].ends_with(" 1/4, no word from the server for 58.0 s; trying again"), "{picture:?}");
        assert!(picture[3].starts_with("?   Count A") && picture[3].contains("2.00 s"), "{picture:?}");
    }

    #[test]
    fn what_runs_is_shown_before_what_is_done() {
        let mut steps: Vec<(String, &str)> = (0..50).map(|at| (format!("Done {at}"), "completed")).collect();
        steps.push(("Runs".to_owned(), "in_progress"));
        let steps: Vec<_> = steps.iter().map(|(name, status)| (&name[..], *status, &[][..])).collect();
        let picture = picture(&Dag::new(task(&steps)), 80, 8);
        assert!(picture.iter().any(|line| line.contains("Runs")), "{picture:?}");
        assert_eq!(picture.last().unwrap(), "  … and 46 more steps");
    }
}
