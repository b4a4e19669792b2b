//! Log lines: always kept, marked when their lease is over, and never put in another's mouth.

use regatta_model::command::{AppendLog, Logged};
use regatta_model::event::What;
use regatta_model::{LogLevel, WorkerId};

use crate::world::{World, step};

#[test]
fn a_line_under_an_earlier_lease_is_stale_and_not_the_new_holders() {
    let mut world = World::new();
    world.submit(&[step("a", "claude_code", &[])]);
    world.worker(1, &["claude_code"], 1);
    let first = world.claim().remove(0);
    world.worker(2, &["claude_code"], 1);
    world.reject(&first, None);
    let second = world.claim().remove(0);
    assert_ne!(first.worker, second.worker);

    let mut log = |lease, worker| -> (bool, Option<WorkerId>) {
        let append = AppendLog {
            subtask: first.lease.subtask,
            lease,
            worker,
            bound: None,
            level: LogLevel::Info,
            message: "a line".into(),
            metadata: None,
        };
        let (answer, effects) = world.run_with_effects(append);
        let Logged::Kept { seq, stale } = answer else { panic!("it is kept") };
        let [event] = effects.events.as_slice() else { panic!("one event") };
        let What::Log(record) = &event.what else { panic!("a log line") };
        assert_eq!((event.seq, record.stale), (seq, stale));
        (stale, record.worker)
    };
    assert_eq!(log(Some(first.lease), None), (true, None));
    assert_eq!(log(Some(first.lease), Some(first.worker)), (true, Some(first.worker)));
    assert_eq!(log(Some(second.lease), None), (false, Some(second.worker)));
    assert_eq!(log(None, None), (false, Some(second.worker)));
}
