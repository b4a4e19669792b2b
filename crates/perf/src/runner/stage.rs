//! What a run stands on: the server, the workers, and the end of both.

use std::path::PathBuf;
use std::rc::Rc;

use regatta_client::Client;
use regatta_client::api::WorkerStatus;
use regatta_client::api::task::TasksQuery;
use regatta_client::api::worker::WorkersQuery;

use super::{Item, Observer, Options, RunError};
use crate::blame::Pulse;
use crate::caller::Caller;
use crate::platform::fleet::{FleetOptions, SLOTS};
use crate::platform::{Fleet, Server};
use crate::report::Report;
use crate::trial::{Needs, Trouble};
use crate::world::{World, all_workers, scaled};

/// Two tasks run at once on each worker: ten workers run the twenty of the requirement.
const WORKERS: usize = 10;

/// What a run stands on.
pub(super) struct Stage<'a> {
    pub options: &'a Options,
    pub run: String,
    pub folder: PathBuf,
    pub servers: Vec<Server>,
    pub world: Option<Rc<World>>,
}

impl Stage<'_> {
    /// Sets up what is needed, and runs the checks.
    pub async fn work(&mut self, observer: &mut dyn Observer, report: &mut Report) -> Result<(), RunError> {
        let world = self.set(observer, report).await?;
        let checks = &self.options.checks;
        for (index, check) in checks.iter().enumerate() {
            observer.begins(check.name(), index, checks.len());
            let mut ended = match check {
                Item::BuiltIn(check) => self.check(check, &world).await,
                Item::Own(check) => self.own_check(check, &world, &report.target).await,
            };
            if !ended.passed() {
                self.servers.iter().for_each(|server| ended.add_log_lines(server.log()));
            }
            observer.ended(&ended);
            let passed = ended.passed();
            report.checks.push(ended);
            if self.options.fail_fast && !passed {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Starts or finds the server, and the workers if a check needs some.
    async fn set(&mut self, observer: &mut dyn Observer, report: &mut Report) -> Result<Rc<World>, RunError> {
        let Options { target, token, tls_ca, binary, scale, checks, .. } = self.options;
        let (url, of_workers) = match target {
            Some(url) => (url.clone(), url.clone()),
            None => self.serve(observer).await?,
        };
        report.target = url.clone();
        let token = token.as_deref().filter(|_| target.is_some());
        let caller = Caller::new(&url, token, tls_ca.as_deref()).await?;
        let client = World::client(&url, token, tls_ca.as_deref())?;
        let world = Rc::new(World::new(caller, client.clone(), self.run.clone(), *scale, Pulse::start()));
        self.world = Some(Rc::clone(&world));
        report.health = Some(world.client.health().await?);
        if self.options.services.is_some() {
            self.is_empty(&client).await?;
        }
        // The health is told to anybody; whether we may do more shows here, before it costs a check.
        world.client.workers(&WorkersQuery { limit: Some(1), ..WorkersQuery::default() }).await?;
        let needs = |item: &Item| matches!(item, Item::BuiltIn(check) if check.needs == Needs::Workers);
        let submits = |item: &Item| matches!(item, Item::Own(check) if check.submits);
        if target.is_some() && checks.iter().any(submits) && !self.options.run_real_agents {
            others_are_away(&client).await?;
        }
        if checks.iter().any(needs) {
            let count = scaled(WORKERS, *scale);
            observer.preparing(&format!("{count} workers with {SLOTS} slots each"));
            let options = FleetOptions {
                binary,
                folder: &self.folder,
                url: &of_workers,
                token,
                tls_ca: tls_ca.as_deref(),
                run: &self.run,
                count,
            };
            let fleet = Fleet::start(&options, &client).await?;
            // It was empty until here.
            let _ = world.fleet.set(fleet);
        }
        Ok(world)
    }

    /// Starts our own servers, and says where to call and where workers belong. Where they share services these are two, so that
    /// what travels between servers is measured too.
    async fn serve(&mut self, observer: &mut dyn Observer) -> Result<(String, String), RunError> {
        let Options { binary, services, .. } = self.options;
        let names: &[&str] = match services {
            Some(_) => &["one", "two"],
            None => &["."],
        };
        observer.preparing(if services.is_some() {
            "two servers on the given services"
        } else {
            "a server with an empty store"
        });
        for name in names {
            let folder = self.folder.join(name);
            std::fs::create_dir_all(&folder)
                .map_err(|error| Trouble(format!("{} cannot be made: {error}", folder.display())))?;
            self.servers.push(Server::start(binary, &folder, services.as_ref()).await?);
        }
        let url = |server: Option<&Server>| server.map(|server| server.url.clone()).unwrap_or_default();
        Ok((url(self.servers.first()), url(self.servers.last())))
    }

    /// What is in a database that was given is not ours to measure with, nor to remove.
    async fn is_empty(&mut self, client: &Client) -> Result<(), RunError> {
        let tasks = client.tasks(&TasksQuery { limit: Some(1), ..TasksQuery::default() }).await?.tasks.len();
        let workers = client.workers(&WorkersQuery { limit: Some(1), ..WorkersQuery::default() }).await?.workers.len();
        if tasks + workers > 0 {
            // Nothing was made that would have to be removed.
            self.world = None;
            return Err(RunError::Options(
                "the database is not empty; give one in which nothing is (createdb makes one), or check a deployment with --target".into(),
            ));
        }
        Ok(())
    }

    /// Ends the workers, removes what the run made on a server that is not our own, and ends our own.
    pub async fn close(&mut self) -> Result<(), Trouble> {
        let mut left = Ok(());
        if let Some(world) = self.world.take() {
            if let Some(fleet) = world.fleet.get() {
                fleet.stop().await;
            }
            if self.servers.is_empty() || self.options.services.is_some() {
                left = world.sweep().await;
            }
        }
        for server in self.servers.drain(..) {
            server.stop().await;
        }
        left
    }
}

/// Whether nobody's agents would take a task that a check of one's own submits.
async fn others_are_away(client: &Client) -> Result<(), RunError> {
    let rows = match all_workers(client, WorkersQuery::default()).await {
        Ok(rows) => rows,
        // It is none of our platforms, and has no agents.
        Err(error) if error.status() == Some(404) => return Ok(()),
        Err(error) => return Err(error.into()),
    };
    match rows.iter().find(|row| row.status != WorkerStatus::Offline && !row.reserved) {
        None => Ok(()),
        Some(row) => Err(RunError::Options(format!(
            "a check of yours submits tasks, and the worker {} is online and would run them; give --run-real-agents if it shall",
            row.machine_name
        ))),
    }
}
