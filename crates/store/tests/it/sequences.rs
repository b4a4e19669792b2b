//! Sequences of commands in any order: twice, late, under stale leases, from other workers, with time passing.
//!
//! A [`Move`] says what to do in terms of what there is by then (the third task, the last lease), so that any
//! sequence makes sense and a failing one shrinks. [`World`] keeps what there is and makes commands of moves.

use std::collections::BTreeMap;

use proptest::prelude::*;
use regatta_model::command::*;
use regatta_model::plan::NewSteps;
use regatta_model::routing::{Labels, Lane, Offer};
use regatta_model::task::{NewPlan, NewTask, Start};
use regatta_model::worker::{Profile, Registration};
use regatta_model::*;
use uuid::Uuid;

use crate::support::{BEGIN, LEASE, heartbeat, new_task, planned, report};

/// Something that may happen; numbers choose among what there is, modulo how many there are.
#[derive(Debug, Clone)]
pub enum Move {
    Submit { shape: u8, start: u8, urgent: bool, key: Option<u8>, max_attempts: u8 },
    AddSteps { task: u8, chunk: u8 },
    Plan { task: u8, cut: bool },
    Claim { worker: u8, free: u8, limit: u8, old_session: bool, both: bool },
    Report { lease: u8, ok: bool, how: u8, bytes: u16 },
    Progress { lease: u8, progress: u8, message: bool, naked: bool },
    Log { lease: u8, naked: bool },
    Register { machine: u8, slots: u8, running: Option<u8> },
    Heartbeat { worker: u8, running: Option<u8>, said: u8 },
    Touch { worker: u8 },
    Resume { worker: u8, running: u8, late: bool },
    Acknowledge { worker: u8 },
    Unregister { worker: u8 },
    Drain { worker: u8, draining: bool },
    Remove { worker: u8 },
    Reject { lease: u8, naked: bool, drain: bool, other: bool },
    Cancel { task: u8 },
    Retry { task: u8 },
    Delete { task: u8 },
    Forget { age: u16, excess: u8, after: u8, look: u8, rows: u8, all_ages: bool },
    Sweep { limit: u8 },
    Extend { seconds: u8 },
    Pass { seconds: u16 },
}

/// One move, the ordinary ones more often.
pub fn any_move() -> impl Strategy<Value = Move> {
    use Move::*;
    prop_oneof![
        4 => (0..8u8, 0..6u8, any::<bool>(), proptest::option::weighted(0.2, 0..3u8), 1..4u8).prop_map(
            |(shape, start, urgent, key, max_attempts)| Submit { shape, start, urgent, key, max_attempts }),
        1 => (any::<u8>(), any::<u8>()).prop_map(|(task, chunk)| AddSteps { task, chunk }),
        1 => (any::<u8>(), any::<bool>()).prop_map(|(task, cut)| Plan { task, cut }),
        8 => (any::<u8>(), 0..4u8, 0..6u8, proptest::bool::weighted(0.1), any::<bool>()).prop_map(
            |(worker, free, limit, old_session, both)| Claim { worker, free, limit, old_session, both }),
        8 => (any::<u8>(), proptest::bool::weighted(0.7), any::<u8>(), any::<u16>()).prop_map(
            |(lease, ok, how, bytes)| Report { lease, ok, how, bytes: bytes % 1_500 }),
        2 => (any::<u8>(), 0..=100u8, any::<bool>(), any::<bool>()).prop_map(
            |(lease, progress, message, naked)| Progress { lease, progress, message, naked }),
        2 => (any::<u8>(), any::<bool>()).prop_map(|(lease, naked)| Log { lease, naked }),
        3 => (0..4u8, 0..4u8, proptest::option::of(any::<u8>())).prop_map(
            |(machine, slots, running)| Register { machine, slots, running }),
        3 => (any::<u8>(), proptest::option::of(any::<u8>()), 0..8u8).prop_map(
            |(worker, running, said)| Heartbeat { worker, running, said }),
        1 => any::<u8>().prop_map(|worker| Touch { worker }),
        2 => (any::<u8>(), any::<u8>(), any::<bool>()).prop_map(
            |(worker, running, late)| Resume { worker, running, late }),
        1 => any::<u8>().prop_map(|worker| Acknowledge { worker }),
        1 => any::<u8>().prop_map(|worker| Unregister { worker }),
        1 => (any::<u8>(), any::<bool>()).prop_map(|(worker, draining)| Drain { worker, draining }),
        1 => any::<u8>().prop_map(|worker| Remove { worker }),
        2 => (any::<u8>(), any::<bool>(), any::<bool>(), any::<bool>()).prop_map(
            |(lease, naked, drain, other)| Reject { lease, naked, drain, other }),
        1 => any::<u8>().prop_map(|task| Cancel { task }),
        2 => any::<u8>().prop_map(|task| Retry { task }),
        1 => any::<u8>().prop_map(|task| Delete { task }),
        1 => (0..600u16, 0..3u8, 0..4u8, 1..6u8, any::<u8>(), any::<bool>()).prop_map(
            |(age, excess, after, look, rows, all_ages)| Forget { age, excess, after, look, rows, all_ages }),
        4 => (0..6u8).prop_map(|limit| Sweep { limit }),
        1 => any::<u8>().prop_map(|seconds| Extend { seconds }),
        4 => (0..200u16).prop_map(|seconds| Pass { seconds }),
        1 => (0..9_000u16).prop_map(|seconds| Pass { seconds }),
    ]
}

/// Plans: `(name, dependencies)`.
const SHAPES: [&[(&str, &[&str])]; 8] = [
    &[("a", &[])],
    &[("a", &[]), ("bb", &["a"]), ("c", &["bb"])],
    &[("a", &[]), ("bb", &["a"]), ("c", &["a"]), ("dd", &["bb", "c"])],
    &[("a", &[]), ("bb", &[]), ("c", &["a", "bb"])],
    &[("a", &[]), ("bb", &[]), ("c", &["a"]), ("dd", &["bb"])],
    &[("join", &["a", "bb", "c"]), ("a", &[]), ("bb", &[]), ("c", &[])],
    &[("a", &[]), ("bb", &["a"]), ("c", &["a"]), ("dd", &["bb", "c"]), ("e", &["dd"]), ("ff", &["a"])],
    &[("a", &[]), ("bb", &[])],
];

/// What there is by now, as far as the callers know.
pub struct World {
    pub now: Timestamp,
    pub tasks: Vec<(TaskId, u8)>,
    pub leases: Vec<Lease>,
    pub workers: Vec<Registered>,
    nonce: u32,
    ids: u128,
}

fn pick<T: Copy>(from: &[T], which: u8) -> Option<T> {
    (!from.is_empty()).then(|| from[usize::from(which) % from.len()])
}

/// The whole plan of a shape: even positions are for the tool `t`, odd ones for `u` on workers labelled so.
fn plan_of(shape: u8, max_attempts: u8) -> plan::Plan {
    let mut plan = planned(SHAPES[usize::from(shape) % SHAPES.len()]);
    for (position, step) in plan.steps.iter_mut().enumerate() {
        step.max_attempts = u32::from(max_attempts);
        step.timeout_seconds = 600;
        if position % 2 == 1 {
            step.lane = Lane {
                tool: Some("u".into()),
                prefer: Vec::new(),
                sensitive: position == 3,
                requires: Labels::from([("room".to_owned(), "\"é\"".to_owned())]),
            };
        }
    }
    plan
}

/// Chunks of two steps.
fn chunks(shape: u8) -> Vec<NewSteps> {
    plan_of(shape, 2).chunks(2)
}

impl World {
    pub fn new() -> Self {
        Self { now: BEGIN, tasks: Vec::new(), leases: Vec::new(), workers: Vec::new(), nonce: 0, ids: 0 }
    }

    fn id(&mut self) -> Uuid {
        self.ids += 1;
        Uuid::from_u128(self.ids << 40)
    }

    fn new_plan(shape: u8, max_attempts: u8, cut: bool) -> NewPlan {
        let plan = plan_of(shape, max_attempts);
        let total = plan.steps.len() as u32;
        if cut {
            return NewPlan { steps: plan.chunks(2).remove(0), total };
        }
        NewPlan { steps: NewSteps { first: 0, steps: plan.steps }, total }
    }

    /// Some of the leases there were, chosen by the bits of a number.
    fn some_leases(&self, bits: u8) -> Vec<Lease> {
        let last = self.leases.iter().rev().take(8).enumerate();
        last.filter(|(place, _)| bits & (1 << place) != 0).map(|(_, &lease)| lease).collect()
    }

    fn holder_of_nothing(&self) -> WorkerId {
        WorkerId(Uuid::from_u128(1))
    }

    /// The command of a move; `None` when it is about something there is none of, or only lets time pass.
    pub fn command(&mut self, step: &Move) -> Option<Command> {
        Some(match *step {
            Move::Submit { shape, start, urgent, key, max_attempts } => {
                let id = TaskId::from_random(self.id());
                let mut task: NewTask = NewTask { id, ..new_task(&[]) };
                if urgent {
                    task.priority = Priority::Urgent;
                    task.task_type = TaskType::Testing;
                }
                task.text.description = format!("task {} 100%_sure", self.ids).into();
                match start {
                    0 => task.text.deferred_steps = Some("[1]".into()),
                    1 => task.start = Start::At(self.now + Span::seconds(60)),
                    start => {
                        task.start = Start::Now;
                        task.plan = Some(Self::new_plan(shape, max_attempts, start == 2));
                    }
                }
                let idempotency = key.map(|key| Idempotency {
                    scope: "local".into(),
                    key: format!("k{key}").into(),
                    body: u64::MAX - u64::from(urgent),
                });
                self.tasks.push((id, shape));
                Command::Submit(Submit { tasks: vec![task], idempotency })
            }
            Move::AddSteps { task, chunk } => {
                let (task, shape) = pick(&self.tasks, task)?;
                let mut chunks = chunks(shape);
                let chunk = usize::from(chunk) % chunks.len();
                let last = chunk + 1 == chunks.len();
                Command::AddSteps(AddSteps { task, steps: chunks.swap_remove(chunk), last })
            }
            Move::Plan { task, cut } => {
                let (task, shape) = pick(&self.tasks, task)?;
                Command::PlanTask(PlanTask { task, plan: Self::new_plan(shape, 2, cut) })
            }
            Move::Claim { worker, free, limit, old_session, both } => {
                let worker = pick(&self.workers, worker)?;
                self.nonce = self.nonce.wrapping_add(0x9E37_79B9);
                let session = worker.session - i64::from(old_session);
                let seat = Seat { worker: worker.key, session, free: free.into() };
                let mut seats = vec![seat];
                if both && let Some(other) = self.workers.iter().find(|other| other.key != worker.key) {
                    seats.push(Seat { worker: other.key, session: other.session, free: 2 });
                }
                // More lanes than there are: an unknown one is empty.
                let lanes = (1..=4).map(|lane| {
                    let places = (0..seats.len() as u32).cycle().take(4);
                    LaneOffer { lane: LaneKey(lane), takers: places.map(|place| (place, "t".into())).collect() }
                });
                let lanes = lanes.collect();
                Command::Claim(Claim { seats, lanes, limit: limit.into(), lease: LEASE, nonce: self.nonce })
            }
            Move::Report { lease, ok, how, bytes } => {
                let lease = pick(&self.leases, lease)?;
                let output = format!("{{\"x\":\"{}\"}}", "y".repeat(bytes.into()));
                let mut command = report(lease, if ok { Ok(()) } else { Err("broke".into()) }, &output);
                match how % 8 {
                    0 => command.lease = None,
                    1 => command.lease = Some(Lease { epoch: lease.epoch ^ 1, ..lease }),
                    2 => command.by = Some(self.holder_of_nothing()),
                    _ => {}
                }
                command.simulated = bytes % 2 == 0;
                command.jitter = bytes * 40;
                Command::Report(command)
            }
            Move::Progress { lease, progress, message, naked } => {
                let lease = pick(&self.leases, lease)?;
                Command::SetProgress(SetProgress {
                    subtask: lease.subtask,
                    lease: (!naked).then_some(lease),
                    by: None,
                    bound: None,
                    progress,
                    message: message.then(|| "on the way".into()),
                })
            }
            Move::Log { lease, naked } => {
                let lease = pick(&self.leases, lease)?;
                Command::AppendLog(AppendLog {
                    subtask: lease.subtask,
                    lease: (!naked).then_some(lease),
                    worker: naked.then(|| self.holder_of_nothing()),
                    bound: None,
                    level: LogLevel::Warning,
                    message: "a line\nof two".into(),
                    metadata: naked.then(|| "{}".into()),
                })
            }
            Move::Register { machine, slots, running } => {
                let offer = Offer {
                    tools: vec!["t".into(), "u".into()],
                    labels: Labels::from([("room".to_owned(), "\"é\"".to_owned())]),
                    ..Offer::default()
                };
                let machine_id: std::sync::Arc<str> = format!("machine {machine}").into();
                let profile = Profile {
                    machine_id: machine_id.clone(),
                    machine_name: machine_id,
                    offer,
                    slots: u32::from(slots) + 1,
                    owner: None,
                };
                let registration = Registration {
                    new_id: WorkerId(self.id()),
                    profile: profile.into(),
                    system_info: format!("{{\"slots\":{slots}}}").into(),
                };
                let running = running.map(|bits| self.some_leases(bits));
                Command::Register(Register { registration, take_over: TakeOver::Any, running, lease: LEASE })
            }
            Move::Heartbeat { worker, running, said } => {
                let worker = pick(&self.workers, worker)?.worker;
                let mut command = heartbeat(worker, running.map(|bits| self.some_leases(bits)));
                command.said = match said {
                    0 => WorkerStatus::Offline,
                    1 => WorkerStatus::Busy,
                    2 => WorkerStatus::Idle,
                    _ => WorkerStatus::Online,
                };
                command.late = said > 5;
                if said == 3 {
                    command.resources = None;
                    command.current_task = Some("something".into());
                }
                Command::Heartbeat(command)
            }
            Move::Touch { worker } => {
                let worker = pick(&self.workers, worker)?.worker;
                Command::Touch(Touch { heard: vec![(worker, self.now), (self.holder_of_nothing(), self.now)] })
            }
            Move::Resume { worker, running, late } => {
                let worker = pick(&self.workers, worker)?;
                Command::Resume(Resume {
                    worker: worker.worker,
                    session: worker.session,
                    connected_at: if late { self.now - Span::seconds(30) } else { self.now },
                    running: self.some_leases(running),
                    lease: LEASE,
                })
            }
            Move::Acknowledge { worker } => {
                Command::Acknowledge(Acknowledge { worker: pick(&self.workers, worker)?.worker })
            }
            Move::Unregister { worker } => {
                Command::Unregister(Unregister { worker: pick(&self.workers, worker)?.worker })
            }
            Move::Drain { worker, draining } => {
                Command::SetDraining(SetDraining { worker: pick(&self.workers, worker)?.worker, draining })
            }
            Move::Remove { worker } => {
                Command::RemoveWorker(RemoveWorker { worker: pick(&self.workers, worker)?.worker })
            }
            Move::Reject { lease, naked, drain, other } => {
                let lease = pick(&self.leases, lease)?;
                let worker = pick(&self.workers, u8::from(other))?.worker;
                Command::Reject(Reject {
                    subtask: lease.subtask,
                    lease: (!naked).then_some(lease),
                    worker,
                    reason: if drain { "draining".into() } else { "no".into() },
                })
            }
            Move::Cancel { task } => {
                let (task, shape) = pick(&self.tasks, task)?;
                Command::CancelTask(CancelTask { task, reason: (shape % 2 == 0).then(|| "enough".into()) })
            }
            Move::Retry { task } => Command::RetryTask(RetryTask { task: pick(&self.tasks, task)?.0 }),
            Move::Delete { task } => Command::DeleteTask(DeleteTask { task: pick(&self.tasks, task)?.0 }),
            Move::Forget { age, excess, after, look, rows, all_ages } => Command::Forget(Forget {
                ended_before: (!all_ages).then(|| self.now - Span::seconds(age.into())),
                excess: excess.into(),
                after: TaskKey(after.into()),
                look: look.into(),
                rows: rows.into(),
            }),
            Move::Sweep { limit } => Command::Sweep(Sweep { limit: limit.into(), jitter: 1_000 }),
            Move::Extend { seconds } => Command::ExtendLeases(ExtendLeases { by: Span::seconds(seconds.into()) }),
            Move::Pass { seconds } => {
                self.now = self.now + Span::seconds(seconds.into());
                return None;
            }
        })
    }

    /// Learns from an answer.
    pub fn learn(&mut self, answer: &Answer) {
        match answer {
            Answer::Claim(assignments) => self.leases.extend(assignments.iter().map(|given| given.lease)),
            Answer::Register(Ok(registered)) => match self.workers.iter_mut().find(|known| known.key == registered.key)
            {
                Some(known) => *known = *registered,
                None => self.workers.push(*registered),
            },
            _ => {}
        }
    }

    /// A task that waits for ever and that nothing is about.
    pub fn bystander(&mut self) -> NewTask {
        NewTask { id: TaskId::from_random(self.id()), ..new_task(&[]) }
    }

    /// All chunks of every task's plan, to end what was begun.
    pub fn rest_of_plans(&self) -> Vec<Command> {
        let mut commands = Vec::new();
        for &(task, shape) in &self.tasks {
            let chunks = chunks(shape);
            let count = chunks.len();
            for (place, steps) in chunks.into_iter().enumerate() {
                commands.push(Command::AddSteps(AddSteps { task, steps, last: place + 1 == count }));
            }
        }
        commands
    }

    /// The newest epoch given for each subtask.
    pub fn epochs(&self) -> BTreeMap<SubtaskId, i64> {
        let mut newest = BTreeMap::new();
        for lease in &self.leases {
            let epoch = newest.entry(lease.subtask).or_insert(lease.epoch);
            *epoch = lease.epoch.max(*epoch);
        }
        newest
    }
}
