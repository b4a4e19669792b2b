//! What is only ever added or removed: attempts, samples, callers' keys, profiles; kept until the rows are written.

use std::sync::Arc;

use regatta_model::ledger::Remembered;
use regatta_model::subtask::Attempt;
use regatta_model::worker::{SAMPLE_EVERY, SAMPLES_KEPT, Sample};
use regatta_model::{SubtaskKey, TaskKey, WorkerKey};
use uuid::Uuid;

use crate::postgres::codec;
use crate::postgres::link::Batch;
use crate::postgres::sql;

/// See the module.
#[derive(Default)]
pub(super) struct Changes {
    pub(super) attempts: Vec<(SubtaskKey, Attempt)>,
    pub(super) samples: Vec<(WorkerKey, Sample)>,
    pub(super) remembered: Vec<(Arc<str>, Arc<str>, Remembered)>,
    /// Profile and system information, as JSON.
    pub(super) profiles: Vec<(WorkerKey, String, Arc<str>)>,
    pub(super) removed_workers: Vec<WorkerKey>,
    /// Tasks whose callers' steps are not needed any more.
    pub(super) planned: Vec<TaskKey>,
}

impl Changes {
    /// Hands everything over to be written.
    pub(super) fn write(&mut self, batch: &mut Batch) {
        let Self { attempts, samples, remembered, profiles, removed_workers, planned } = std::mem::take(self);
        if !attempts.is_empty() {
            let of = |value: fn(&Attempt) -> i64| -> Vec<i64> { attempts.iter().map(|(_, a)| value(a)).collect() };
            batch.add(
                sql::INSERT_ATTEMPTS,
                vec![
                    Box::new(attempts.iter().map(|(key, _)| key.0).collect::<Vec<i64>>()),
                    Box::new(of(|a| a.attempt.into())),
                    Box::new(attempts.iter().map(|(_, a)| a.worker.uuid()).collect::<Vec<Uuid>>()),
                    Box::new(attempts.iter().map(|(_, a)| codec::kept(&a.tool)).collect::<Vec<String>>()),
                    Box::new(of(|a| a.started_at.0)),
                    Box::new(attempts.iter().map(|(_, a)| a.ended_at.map(|at| at.0)).collect::<Vec<Option<i64>>>()),
                    Box::new(attempts.iter().map(|(_, a)| a.outcome.code().into()).collect::<Vec<i16>>()),
                    Box::new(
                        attempts
                            .iter()
                            .map(|(_, a)| a.error.as_ref().map(|error| codec::kept(error)))
                            .collect::<Vec<Option<String>>>(),
                    ),
                    Box::new(attempts.iter().map(|(_, a)| a.exit_code.map(i64::from)).collect::<Vec<Option<i64>>>()),
                ],
            );
        }
        write_samples(&samples, batch);
        if !remembered.is_empty() {
            // The newest of a key alone: one statement may not write a row twice.
            let mut newest: Vec<&(Arc<str>, Arc<str>, Remembered)> = Vec::new();
            for entry in &remembered {
                newest.retain(|kept| (&kept.0, &kept.1) != (&entry.0, &entry.1));
                newest.push(entry);
            }
            for (scope, name, made) in newest {
                let tasks: Vec<Uuid> = made.tasks.iter().map(|id| id.uuid()).collect();
                batch.add(
                    sql::REMEMBER,
                    vec![
                        Box::new(codec::kept(scope)),
                        Box::new(codec::kept(name)),
                        Box::new(made.body as i64),
                        Box::new(tasks),
                        Box::new(made.at.0),
                    ],
                );
            }
        }
        for (key, profile, system_info) in profiles {
            batch.add(sql::SAVE_PROFILE, vec![Box::new(key.0), Box::new(profile), Box::new(codec::kept(&system_info))]);
        }
        if !removed_workers.is_empty() {
            let keys: Vec<i64> = removed_workers.iter().map(|key| key.0).collect();
            for statement in [sql::DELETE_SAMPLES, sql::DELETE_PROFILES, sql::DELETE_WORKERS] {
                batch.add(statement, vec![Box::new(keys.clone())]);
            }
        }
        if !planned.is_empty() {
            let keys: Vec<i64> = planned.iter().map(|key| key.0).collect();
            batch.add(sql::DROP_DEFERRED_STEPS, vec![Box::new(keys)]);
        }
    }
}

/// The first of each worker: others of the same transaction are younger than is kept.
fn write_samples(samples: &[(WorkerKey, Sample)], batch: &mut Batch) {
    let mut kept: Vec<&(WorkerKey, Sample)> = Vec::new();
    for sample in samples {
        if !kept.iter().any(|(worker, first)| *worker == sample.0 && sample.1.at - first.at < SAMPLE_EVERY) {
            kept.push(sample);
        }
    }
    let Some(newest) = kept.iter().map(|(_, sample)| sample.at).max() else { return };
    let workers: Vec<i64> = kept.iter().map(|(worker, _)| worker.0).collect();
    batch.add(
        sql::INSERT_SAMPLES,
        vec![
            Box::new(workers.clone()),
            Box::new(kept.iter().map(|(_, sample)| sample.at.0).collect::<Vec<i64>>()),
            Box::new(kept.iter().map(|(_, sample)| sample.resources.cpu_percent).collect::<Vec<Option<f64>>>()),
            Box::new(kept.iter().map(|(_, sample)| sample.resources.memory_percent).collect::<Vec<Option<f64>>>()),
            Box::new(kept.iter().map(|(_, sample)| sample.resources.disk_percent).collect::<Vec<Option<f64>>>()),
            Box::new(SAMPLE_EVERY.0),
        ],
    );
    batch.add(sql::DELETE_OLD_SAMPLES, vec![Box::new(workers), Box::new((newest - SAMPLES_KEPT).0)]);
}
