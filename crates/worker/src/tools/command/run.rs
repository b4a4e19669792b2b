//! One run of a program: fill in the templates, start it, pass on what it prints, and make an outcome of how it ended.

use std::path::{Path, PathBuf};
use std::time::Duration;

use regatta_api::subtask::ResultStatus;
use regatta_api::{JsonObject, JsonText, LogLevel};
use serde::Serialize;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::unix::pipe;
use tokio::time::Instant;

use super::input::Step;
use super::lines::{self, Splitter};
use super::output::{self, OutputFile, Printed};
use super::{Commands, Scope};
use crate::supervisor::{Exit, Process, Program, SpawnError};
use crate::tools::{Event, Job, Outcome, Sink, Stop, Unable};

/// How long output is still read after the program and all it started are over: what holds the pipe then has escaped.
const LAST_WORDS: Duration = Duration::from_secs(2);
/// How much of the last line of stderr stands in an error, in bytes.
const ERROR_LINE: usize = 2000;

/// A step with its templates filled in.
struct Ready {
    program: Program,
    stdin: Vec<u8>,
    output: OutputFile,
}

/// What a program reads when its step says nothing else.
#[derive(Serialize)]
struct Stdin<'a> {
    description: &'a str,
    input: &'a JsonText,
    context: &'a JsonText,
}

impl Commands {
    /// Runs a program until it ends or is stopped.
    ///
    /// # Errors
    /// [`Unable`] when there is no supervisor to start it, or it was lost on the way.
    pub async fn run(&self, step: &Step, job: &Job, sink: &dyn Sink, stop: &Stop) -> Result<Outcome, Unable> {
        let ready = match self.prepare(step, job) {
            Ok(ready) => ready,
            Err(error) => return Ok(Outcome::failed(error)),
        };
        let name = ready.program.argv.first().cloned().unwrap_or_default();
        let started = Instant::now();
        let process = match self.supervisor.spawn(ready.program).await {
            Ok(process) => process,
            Err(SpawnError::Refused(error)) => {
                return Ok(Outcome::failed(format!(
                    "program {name:?} could not be started on worker {}: {error}{}",
                    self.worker,
                    advice(&error)
                )));
            }
            Err(error) => return Err(Unable(error.to_string())),
        };
        let mut run = Run::default();
        let exit = run.follow(process, &ready.stdin, sink, stop).await;
        let mut outcome = run.outcome(exit, &ready.output, sink)?;
        outcome.execution_time = started.elapsed().as_secs_f64();
        Ok(outcome)
    }

    fn prepare(&self, step: &Step, job: &Job) -> Result<Ready, String> {
        let assignment = &job.assignment;
        let scope = Scope::new(assignment)?;
        let mut argv = Vec::with_capacity(step.argv.len());
        if let Some(line) = &step.command {
            argv.extend(["/bin/sh".to_owned(), "-c".to_owned()]);
            argv.push(scope.render("command", line)?);
        }
        for (index, argument) in step.argv.iter().enumerate() {
            argv.push(scope.render(&format!("argv[{index}]"), &argument.0)?);
        }
        if let Some(index) = argv.iter().position(|argument| argument.contains('\0')) {
            return Err(format!("argv[{index}] holds U+0000, which no program can be given"));
        }

        let directory = match &step.cwd {
            Some(cwd) => self.directory.join(scope.render("cwd", cwd)?),
            None => self.directory.clone(),
        };
        if !directory.is_dir() {
            return Err(format!(
                "the working directory {} does not exist on worker {}",
                directory.display(),
                self.worker
            ));
        }
        let path = self.programs.find(argv.first().map_or("", String::as_str), &directory)?;

        let mut set = std::collections::BTreeMap::new();
        for (name, value) in &step.env {
            set.insert(name.clone(), scope.render(&format!("env.{name}"), &value.0)?);
        }
        let mut env = self.inherited.with(set, self.programs.is_restricted())?;
        let output = match &step.output_file {
            Some(file) => OutputFile::named(directory.join(scope.render("output_file", file)?)),
            None => OutputFile::temporary(&self.outputs, &format!("{}.json", uuid::Uuid::now_v7())),
        };
        env.extend([
            ("REGATTA_TASK_ID".to_owned(), assignment.task_id.to_string()),
            ("REGATTA_SUBTASK_ID".to_owned(), assignment.subtask_id.to_string()),
            ("REGATTA_ATTEMPT".to_owned(), assignment.attempt.to_string()),
            ("REGATTA_OUTPUT".to_owned(), utf8(output.path())?),
        ]);

        let stdin = match &step.stdin {
            Some(text) => scope.render("stdin", text)?.into_bytes(),
            None => serde_json::to_vec(&Stdin {
                description: &assignment.description,
                input: &assignment.input,
                context: &assignment.context,
            })
            .map_err(|error| format!("input and context cannot be written as JSON: {error}"))?,
        };
        Ok(Ready {
            program: Program {
                path: utf8(&path)?,
                argv,
                env,
                cwd: Some(utf8(&directory)?),
                marker: job.marker(),
                deadline_ms: job.deadline_ms,
            },
            stdin,
            output,
        })
    }
}

fn utf8(path: &Path) -> Result<String, String> {
    path.to_str()
        .map(str::to_owned)
        .ok_or_else(|| format!("the path {} is not UTF-8; rename it", PathBuf::from(path).display()))
}

/// What to do about an error of the operating system, where it does not say itself.
fn advice(error: &str) -> &'static str {
    if error.contains("os error 2)") {
        "; the file is there, but the interpreter that its first line names is not"
    } else if error.contains("os error 7)") {
        "; give long texts by stdin instead of an argument"
    } else if error.contains("os error 8)") {
        "; it is no program for this machine, or a script without a first line such as #!/bin/sh"
    } else {
        ""
    }
}

/// What is gathered while a program runs.
#[derive(Default)]
struct Run {
    printed: Printed,
    last_complaint: String,
}

impl Run {
    /// Feeds the program, passes on what it prints, and ends it when told to.
    async fn follow(&mut self, process: Process, input: &[u8], sink: &dyn Sink, stop: &Stop) -> Exit {
        let Process { stdin, stdout, stderr, stopper, mut exit } = process;
        let Self { printed, last_complaint } = self;
        let output =
            async { tokio::join!(read_stdout(stdout, printed, sink), read_stderr(stderr, last_complaint, sink)) };
        let feeding = feed(stdin, input);
        tokio::pin!(output, feeding);
        let (mut read, mut fed, mut stopping) = (false, false, false);
        let mut ended: Option<(Exit, Instant)> = None;
        loop {
            if let Some((exit, _)) = ended
                && read
            {
                stopper.done();
                return exit;
            }
            let last_words = ended.map_or_else(Instant::now, |(_, until)| until);
            tokio::select! {
                _ = &mut output, if !read => read = true,
                () = &mut feeding, if !fed => fed = true,
                how = exit.wait(), if ended.is_none() => ended = Some((how, Instant::now() + LAST_WORDS)),
                order = stop.stopped(), if !stopping => {
                    stopping = true;
                    stopper.stop(order.grace);
                }
                () = tokio::time::sleep_until(last_words), if ended.is_some() => read = true,
            }
        }
    }

    fn outcome(self, exit: Exit, file: &OutputFile, sink: &dyn Sink) -> Result<Outcome, Unable> {
        let (error, exit_code) = match exit {
            Exit::Code(0) => (None, Some(0)),
            Exit::Code(code) => (Some(format!("exit code {code}")), Some(code)),
            Exit::Signal(signal) => (Some(format!("killed by signal {signal}{}", signal_name(signal))), None),
            Exit::Unknown => {
                return Err(Unable("the worker's process supervisor was killed, and the program was ended".into()));
            }
        };
        let error = error.map(|what| match self.last_complaint.as_str() {
            "" => what,
            line => format!("{what}: {line}"),
        });
        let (result, too_large) = match self.printed.result(file) {
            Ok((result, complaint)) => {
                // Not an error: the step may be content with what it printed. But who wonders finds it in the log.
                if let Some(complaint) = complaint {
                    log(sink, LogLevel::Warning, complaint);
                }
                (result, None)
            }
            Err(error) => (JsonObject::new(), Some(error)),
        };
        let error = error.or(too_large);
        Ok(Outcome {
            status: match &error {
                None => ResultStatus::Completed,
                Some(_) => ResultStatus::Failed,
            },
            result,
            error,
            exit_code,
            execution_time: 0.0,
            simulated: false,
        })
    }
}

fn signal_name(signal: i32) -> String {
    let name = match signal {
        1 => "SIGHUP",
        2 => "SIGINT",
        3 => "SIGQUIT",
        4 => "SIGILL",
        6 => "SIGABRT",
        7 => "SIGBUS",
        8 => "SIGFPE",
        9 => "SIGKILL",
        11 => "SIGSEGV",
        13 => "SIGPIPE",
        15 => "SIGTERM",
        24 => "SIGXCPU",
        _ => return String::new(),
    };
    format!(" ({name})")
}

/// Writes what the program reads; a program that does not read it is its own master.
async fn feed(stdin: Option<pipe::Sender>, input: &[u8]) {
    if let Some(mut stdin) = stdin {
        let _ = stdin.write_all(input).await;
    }
}

async fn read_stdout(stdout: pipe::Receiver, printed: &mut Printed, sink: &dyn Sink) {
    // The line's parser and the tail both need what was read: bytes first, lines after.
    let mut splitter = Splitter::new(output::LINE_KEPT);
    read(stdout, |bytes| {
        printed.bytes(bytes);
        splitter.push(bytes, |line| {
            printed.line(&line);
            log(sink, LogLevel::Info, line.message());
        });
    })
    .await;
    splitter.finish(|line| {
        printed.line(&line);
        log(sink, LogLevel::Info, line.message());
    });
}

async fn read_stderr(stderr: pipe::Receiver, last: &mut String, sink: &dyn Sink) {
    let mut splitter = Splitter::new(regatta_api::limits::LOG_LINE_BYTES);
    let mut take = |line: lines::Line<'_>| {
        let message = line.message();
        if !message.trim().is_empty() {
            let text = message.trim();
            last.clear();
            last.push_str(lines::beginning(text, ERROR_LINE));
        }
        log(sink, LogLevel::Warning, message);
    };
    read(stderr, |bytes| splitter.push(bytes, &mut take)).await;
    splitter.finish(take);
}

fn log(sink: &dyn Sink, level: LogLevel, message: String) {
    sink.emit(Event::Log { level, message });
}

async fn read(mut pipe: pipe::Receiver, mut take: impl FnMut(&[u8])) {
    // On the heap: many programs run at once, most of them silent, and a future holds its locals for ever.
    let mut buffer = vec![0; 8 << 10];
    loop {
        match pipe.read(&mut buffer).await {
            Ok(0) | Err(_) => return,
            Ok(count) => take(&buffer[..count]),
        }
    }
}
