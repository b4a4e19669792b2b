//! Log lines to those who watch.

pub mod connections;
pub mod delivery;

use regatta_client::LogFollower;
use regatta_client::api::frames::logs::LogsFrame;
use regatta_client::api::worker::Assignment;
use uuid::Uuid;

use crate::platform::agent::Agent;
use crate::trial::Trouble;
use crate::world::World;

/// A worker that runs a task, whose log lines are watched.
pub(crate) struct Stage {
    pub(crate) agent: Agent,
    pub(crate) assignment: Box<Assignment>,
    pub(crate) task: Uuid,
}

impl Stage {
    /// A worker with a task.
    pub(crate) async fn set(world: &World) -> Result<Self, Trouble> {
        let part = world.fresh("lines");
        let mut agent = Agent::join(&world.client, &world.worker_for(&part)).await?;
        let task = world.submit([world.task_for(&part, "none")]).await?[0];
        let assignment = agent.assignment().await?;
        Ok(Self { agent, assignment, task })
    }

    /// Says a line.
    pub(crate) async fn say(&mut self, line: String) -> Result<(), Trouble> {
        self.agent.log(&self.assignment, line).await
    }

    /// The task is done.
    pub(crate) async fn strike(mut self) -> Result<(), Trouble> {
        self.agent.complete(&self.assignment, regatta_client::api::JsonObject::new()).await?;
        self.agent.leave().await;
        Ok(())
    }
}

/// A client that watches the log from now on.
pub(crate) async fn watch(world: &World, task: Uuid) -> Result<LogFollower, regatta_client::Error> {
    let mut follower = world.client.follow_logs(task, None).await?;
    while !matches!(follower.next().await?, LogsFrame::Subscribed { .. }) {}
    Ok(follower)
}

/// The next line that comes.
pub(crate) async fn line(follower: &mut LogFollower) -> Result<String, String> {
    loop {
        match follower.next().await {
            Ok(LogsFrame::Log { data, .. }) => return Ok(data.message),
            Ok(LogsFrame::Lagged { missed }) => return Err(format!("a client missed {missed} frames")),
            Ok(LogsFrame::Gap { from, to }) => return Err(format!("events {from} to {to} are lost")),
            Ok(_) => {}
            Err(error) => return Err(error.to_string()),
        }
    }
}
