//! The local bus against a model so simple that it is plainly right, under any sequence of calls.

use std::collections::{HashSet, VecDeque};

use proptest::collection::vec;
use proptest::prelude::*;
use regatta_bus::{Body, Bus, LocalBus, Subscriber, Topic};

use crate::make::{
    body_line, events, line, log_event, removed, subtask_event, task_event, task_topic, worker_row, worker_topic,
    workers,
};

#[derive(Debug, Clone)]
enum Call {
    Add(usize, Topic),
    Remove(usize, Topic),
    Publish(Vec<(u8, u64)>),
    Take(usize, usize),
    Reconnect(usize),
}

#[derive(Default)]
struct Watcher {
    capacity: usize,
    topics: HashSet<Topic>,
    missed: usize,
    queue: VecDeque<(Topic, Option<Topic>, String)>,
}

impl Watcher {
    fn wants(&self, about: &Topic, listed: &Option<Topic>) -> bool {
        self.topics.contains(about) || listed.as_ref().is_some_and(|topic| self.topics.contains(topic))
    }

    fn publish(&mut self, about: Topic, listed: Option<Topic>, line: String) {
        if self.wants(&about, &listed) {
            if self.queue.len() == self.capacity {
                self.missed += self.queue.len();
                self.queue.clear();
            }
            self.queue.push_back((about, listed, line));
        }
    }

    fn remove(&mut self, topic: Topic) {
        self.topics.remove(&topic);
        let kept = std::mem::take(&mut self.queue);
        self.queue = kept.into_iter().filter(|(about, listed, _)| self.wants(about, listed)).collect();
    }

    fn take(&mut self) -> Option<String> {
        if self.missed > 0 {
            return Some(format!("lagged {}", std::mem::take(&mut self.missed)));
        }
        self.queue.pop_front().map(|(_, _, line)| line)
    }
}

const WATCHERS: usize = 3;

fn topic() -> impl Strategy<Value = Topic> {
    prop_oneof![
        Just(Topic::Tasks),
        Just(Topic::Workers),
        (0..3u64).prop_map(task_topic),
        (0..3u64).prop_map(worker_topic)
    ]
}

fn call() -> impl Strategy<Value = Call> {
    prop_oneof![
        3 => (0..WATCHERS, topic()).prop_map(|(who, topic)| Call::Add(who, topic)),
        2 => (0..WATCHERS, topic()).prop_map(|(who, topic)| Call::Remove(who, topic)),
        6 => vec((0..5u8, 0..3u64), 1..6).prop_map(Call::Publish),
        4 => (0..WATCHERS, 0..8usize).prop_map(|(who, count)| Call::Take(who, count)),
        1 => (0..WATCHERS).prop_map(Call::Reconnect),
    ]
}

proptest! {
    #[test]
    fn the_local_bus_does_what_the_model_says(
        capacities in proptest::array::uniform3(1..6usize),
        calls in vec(call(), 1..120),
    ) {
        let bus = LocalBus::new();
        let new = |who: usize| Watcher { capacity: capacities[who], ..Watcher::default() };
        let mut model: Vec<Watcher> = (0..WATCHERS).map(new).collect();
        let mut real: Vec<Subscriber> = capacities.iter().map(|capacity| bus.subscribe(*capacity)).collect();
        let mut number = 0;
        for call in calls {
            match call {
                Call::Add(who, topic) => prop_assert_eq!(real[who].add(topic), model[who].topics.insert(topic)),
                Call::Remove(who, topic) => {
                    prop_assert_eq!(real[who].remove(topic), model[who].topics.contains(&topic));
                    model[who].remove(topic);
                }
                Call::Publish(things) => {
                    for (kind, id) in things {
                        number += 1;
                        let (effects, about, listed) = match kind {
                            0 => (events([task_event(id, number)]), task_topic(id), Some(Topic::Tasks)),
                            1 => (events([subtask_event(id, number)]), task_topic(id), None),
                            2 => (events([log_event(id, number)]), task_topic(id), None),
                            3 => (workers([worker_row(id, number as u32)]), worker_topic(id), Some(Topic::Workers)),
                            _ => (removed([id]), worker_topic(id), Some(Topic::Workers)),
                        };
                        let body = match (effects.events.first(), effects.workers.first()) {
                            (Some(event), _) => Body::Event(event.clone()),
                            (_, Some(row)) => Body::Worker(row.clone()),
                            _ => Body::WorkerRemoved(effects.removed_workers[0]),
                        };
                        bus.publish(effects);
                        model.iter_mut().for_each(|watcher| watcher.publish(about, listed, body_line(&body)));
                    }
                }
                Call::Take(who, count) => {
                    for _ in 0..count {
                        prop_assert_eq!(real[who].try_next().as_ref().map(line), model[who].take());
                    }
                }
                Call::Reconnect(who) => {
                    real[who] = bus.subscribe(capacities[who]);
                    model[who] = new(who);
                }
            }
            for id in 0..3 {
                let watching = model.iter().filter(|watcher| watcher.topics.contains(&task_topic(id))).count();
                prop_assert_eq!(bus.watchers(crate::make::task(id)), watching);
            }
        }
    }
}
