//! A memory with a clock, and short words for what tests do with it.

use std::sync::Arc;

use regatta_model::command::{
    Assignment, CancelTask, Changed, Claim, Heartbeat, LaneOffer, Operation, Register, Reject, Report, Reported,
    RetryTask, Seat, Submit, Submitted, Sweep, TakeOver,
};
use regatta_model::ledger::Effects;
use regatta_model::memory::Memory;
use regatta_model::plan::{self, Brief, Step};
use regatta_model::routing::{self, Labels, Offer};
use regatta_model::subtask::SubtaskRow;
use regatta_model::task::{NewPlan, NewTask, Start, TaskRow, TaskText};
use regatta_model::worker::{Profile, Registration};
use regatta_model::{
    LaneKey, Lease, Priority, Privacy, Span, SubtaskId, TaskId, TaskType, Timestamp, WorkerId, WorkerStatus,
};
use uuid::Uuid;

pub const LEASE: Span = Span::seconds(90);

pub struct World {
    pub memory: Memory,
    pub now: Timestamp,
    tasks: u128,
}

/// A step that runs the agent tool `tool` after the steps `after`.
pub fn step(name: &str, tool: &str, after: &[&str]) -> Step {
    Step {
        name: name.into(),
        description: None,
        depends_on: after.iter().map(|&name| name.to_owned()).collect(),
        tool: Some(tool.into()),
        requires: Labels::new(),
        input: None,
        complexity: 1,
        priority: 0,
        timeout_seconds: 3_600,
        max_attempts: 1,
    }
}

impl World {
    pub fn new() -> Self {
        Self { memory: Memory::default(), now: Timestamp(1_700_000_000_000_000), tasks: 0 }
    }

    pub fn run<O: Operation>(&mut self, operation: O) -> O::Answer {
        self.run_with_effects(operation).0
    }

    pub fn run_with_effects<O: Operation>(&mut self, operation: O) -> (O::Answer, Effects) {
        let (answer, effects) = self.memory.apply(self.now, &operation.into_command());
        (O::from_answer(answer).expect("the answer to this command"), effects)
    }

    pub fn pass(&mut self, seconds: i64) {
        self.now = self.now + Span::seconds(seconds);
    }

    /// Submits a task; with only the first `written` of its steps when there are more.
    pub fn submit_part(&mut self, steps: &[Step], start: Start, written: usize) -> TaskId {
        self.tasks += 1;
        let id = TaskId::from_random(Uuid::from_u128(self.tasks << 64));
        let requires = Labels::new();
        let brief = Brief {
            description: "a task of the ledger's tests",
            task_type: TaskType::Custom,
            privacy: Privacy::Normal,
            priority: Priority::Normal,
            tool_preferences: &[],
            requires: &requires,
        };
        let plan = plan::plan(&brief, Some(steps)).expect("a plan");
        let total = plan.steps.len() as u32;
        let plan = (start == Start::Now)
            .then(|| NewPlan { steps: plan.chunks(written).into_iter().next().expect("a chunk"), total });
        let text = TaskText::plain(brief.description);
        let task = NewTask {
            id,
            user: "someone".into(),
            task_type: TaskType::Custom,
            priority: Priority::Normal,
            text,
            start,
            plan,
        };
        assert_eq!(self.run(Submit { tasks: vec![task], idempotency: None }), Submitted::Made);
        id
    }

    pub fn submit(&mut self, steps: &[Step]) -> TaskId {
        self.submit_part(steps, Start::Now, steps.len())
    }

    /// Registers a worker by number that shows leases.
    pub fn worker(&mut self, number: u128, tools: &[&str], slots: u32) -> WorkerId {
        let offer = Offer { tools: tools.iter().map(|&tool| tool.into()).collect(), ..Offer::default() };
        let profile = Profile {
            machine_id: format!("machine-{number}").into(),
            machine_name: "machine".into(),
            offer,
            slots,
            owner: None,
        };
        let registration = Registration {
            new_id: WorkerId(Uuid::from_u128(number)),
            profile: Arc::new(profile),
            system_info: "{}".into(),
        };
        self.run(Register { registration, take_over: TakeOver::Any, running: Some(Vec::new()), lease: LEASE })
            .unwrap()
            .worker
    }

    /// Offers every free slot of every worker to every lane it can serve.
    pub fn claim(&mut self) -> Vec<Assignment> {
        let workers: Vec<_> = self.memory.workers.values().map(|(row, _)| row.clone()).collect();
        let seats: Vec<Seat> =
            workers.iter().map(|row| Seat { worker: row.key, session: row.session, free: row.free_slots() }).collect();
        let lanes = self
            .memory
            .lanes
            .iter()
            .enumerate()
            .map(|(place, lane)| LaneOffer {
                lane: LaneKey(place as i64 + 1),
                takers: workers
                    .iter()
                    .enumerate()
                    .filter_map(|(seat, row)| {
                        Some((seat as u32, row.free_slots(), routing::serve(lane, &row.profile.offer)?))
                    })
                    .flat_map(|(seat, free, found)| (0..free).map(move |_| (seat, found.tool.clone())))
                    .collect(),
            })
            .filter(|offer| !offer.takers.is_empty())
            .collect();
        self.run(Claim { seats, lanes, limit: 256, lease: LEASE, nonce: 7 })
    }

    /// Reports for an assignment.
    pub fn report(&mut self, assignment: &Assignment, result: Result<(), &str>, output: &str) -> Reported {
        self.run(Report {
            subtask: assignment.lease.subtask,
            lease: Some(assignment.lease),
            by: Some(assignment.worker),
            bound: None,
            result: result.map_err(Into::into),
            output: output.into(),
            execution_time: 1.0,
            exit_code: None,
            simulated: false,
            jitter: 0,
        })
    }

    pub fn reject(&mut self, assignment: &Assignment, lease: Option<Lease>) -> bool {
        let reject =
            Reject { subtask: assignment.lease.subtask, lease, worker: assignment.worker, reason: "no disk".into() };
        self.run(reject)
    }

    pub fn heartbeat(&mut self, worker: WorkerId, running: &[Lease]) {
        self.run(Heartbeat {
            worker,
            said: WorkerStatus::Online,
            resources: None,
            figures: None,
            current_task: None,
            running: Some(running.to_vec()),
            lease: LEASE,
            late: false,
        });
    }

    pub fn cancel(&mut self, task: TaskId) -> Changed {
        self.run(CancelTask { task, reason: None })
    }

    pub fn retry(&mut self, task: TaskId) -> Changed {
        self.run(RetryTask { task })
    }

    pub fn sweep(&mut self) -> Vec<TaskId> {
        self.run(Sweep { limit: 1_000, jitter: 0 }).to_start
    }

    pub fn task(&self, id: TaskId) -> &TaskRow {
        self.memory.tasks.values().map(|(row, _)| row).find(|row| row.head.id == id).expect("the task")
    }

    pub fn subtask(&self, id: SubtaskId) -> &SubtaskRow {
        self.memory.subtasks.values().map(|(row, _)| row).find(|row| row.head.id == id).expect("the subtask")
    }
}
