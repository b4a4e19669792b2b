//! A server with its own database, and its workers: killed, stopped beyond leases, and all at once.

use std::time::Duration;

use rustix::process::Signal;

use super::{Chance, LEASE_SECONDS, rounds, storm, workshop};
use crate::rig::{Home, Platform, Process};

const WORKERS: usize = 3;

struct Fleet {
    platform: Option<Platform>,
    address: String,
    workers: Vec<Option<Process>>,
}

impl Fleet {
    fn serve(home: Home, address: &str) -> Platform {
        let lease = LEASE_SECONDS.to_string();
        Platform::start(home, &["serve", "--listen", address, "--lease-seconds", &lease])
    }

    fn start_worker(&mut self, number: usize) {
        let platform = self.platform.as_ref().unwrap();
        self.workers[number] = Some(platform.worker(&format!("w{number}")));
    }

    /// Kills something, or stops it for longer than its lease.
    fn strike(&mut self, chance: &mut Chance) -> String {
        match chance.below(10) {
            0..=3 => {
                let Platform { mut process, home, .. } = self.platform.take().unwrap();
                process.kill();
                // Sometimes for longer than a lease lasts.
                let longest = if chance.below(4) == 0 { 9_000 } else { 700 };
                let rest = chance.below(longest);
                std::thread::sleep(Duration::from_millis(rest));
                self.platform = Some(Self::serve(home, &self.address));
                format!("the server, for {rest} ms")
            }
            4..=7 => {
                let number = chance.below(WORKERS as u64) as usize;
                self.workers[number].take().unwrap().kill();
                chance.pause(0, 500);
                self.start_worker(number);
                format!("worker {number}")
            }
            8 => {
                let number = chance.below(WORKERS as u64) as usize;
                let worker = self.workers[number].as_ref().unwrap();
                worker.signal(Signal::STOP);
                let rest = 500 + chance.below(u64::from(LEASE_SECONDS) * 1_500);
                std::thread::sleep(Duration::from_millis(rest));
                worker.signal(Signal::CONT);
                format!("worker {number}, stopped for {rest} ms")
            }
            _ => {
                // Everything at once, as when a machine loses its power.
                let Platform { mut process, home, .. } = self.platform.take().unwrap();
                process.kill();
                self.workers.iter_mut().for_each(|worker| worker.take().unwrap().kill());
                self.platform = Some(Self::serve(home, &self.address));
                (0..WORKERS).for_each(|number| self.start_worker(number));
                "everything".to_owned()
            }
        }
    }
}

#[test]
fn killed_over_and_over_it_loses_nothing_and_does_nothing_twice() {
    let home = Home::new();
    let dir = home.path("work");
    workshop(&dir);
    let platform = Fleet::serve(home, "127.0.0.1:0");
    let address = platform.address();
    let workers = (0..WORKERS).map(|_| None).collect();
    let mut fleet = Fleet { platform: Some(platform), address: address.clone(), workers };
    (0..WORKERS).for_each(|number| fleet.start_worker(number));
    storm(&[address], &dir, rounds("one"), |chance| fleet.strike(chance));
}
