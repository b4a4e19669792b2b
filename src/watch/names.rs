//! The names of workers, asked for once each.

use std::collections::HashMap;

use regatta_client::Client;
use regatta_client::api::worker::WorkersQuery;
use uuid::Uuid;

/// What is known of workers' names.
pub struct Names<'a> {
    client: &'a Client,
    known: HashMap<Uuid, String>,
}

impl<'a> Names<'a> {
    /// Nothing is known yet.
    pub fn new(client: &'a Client) -> Self {
        Self { client, known: HashMap::new() }
    }

    /// Asks for those of these workers that are not known.
    ///
    /// # Errors
    /// The client's; a worker that was forgotten is none.
    pub async fn learn(&mut self, workers: impl IntoIterator<Item = Uuid>) -> Result<(), regatta_client::Error> {
        for id in workers {
            if self.known.contains_key(&id) {
                continue;
            }
            // The newest hundred at once first: it is mostly one of them.
            if self.known.is_empty() {
                let page = self.client.workers(&WorkersQuery { limit: Some(100), ..WorkersQuery::default() }).await?;
                self.known.extend(page.workers.into_iter().map(|worker| (worker.worker_id, worker.machine_name)));
            }
            if !self.known.contains_key(&id) {
                let name = match self.client.worker(id).await {
                    Ok(worker) => worker.summary.machine_name,
                    Err(error) if error.status() == Some(404) => short(id),
                    Err(error) => return Err(error),
                };
                self.known.insert(id, name);
            }
        }
        Ok(())
    }

    /// A worker's name, or the end of its id.
    pub fn of(&self, id: Uuid) -> String {
        self.known.get(&id).cloned().unwrap_or_else(|| short(id))
    }
}

fn short(id: Uuid) -> String {
    let text = id.to_string();
    text.get(28..).unwrap_or(&text).to_owned()
}
