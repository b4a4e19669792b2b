use regatta_model::routing::Resources;
use regatta_model::worker::Profile;
use regatta_model::{Lease, Span, TaskId, WorkerStatus};
use uuid::Uuid;

use super::*;

const LANE: LaneKey = LaneKey(1);

fn worker(key: i64, slots: u32, tools: &[&str]) -> WorkerRow {
    let offer = Offer { tools: tools.iter().map(|&tool| tool.into()).collect(), ..Offer::default() };
    WorkerRow {
        key: WorkerKey(key),
        id: WorkerId(Uuid::from_u128(key as u128)),
        profile: Arc::new(Profile {
            machine_id: key.to_string().into(),
            machine_name: key.to_string().into(),
            offer,
            slots,
            owner: None,
        }),
        session: 1,
        used: 0,
        said: WorkerStatus::Online,
        draining: false,
        unregistered: false,
        uses_leases: true,
        resources: Resources::default(),
        figures: None,
        current_task: None,
        last_heartbeat: Timestamp(0),
        registered_at: Timestamp(0),
    }
}

fn fleet(rows: &[WorkerRow]) -> (Fleet, Vec<Receiver>) {
    let mut fleet = Fleet::new(Weights::default(), Changes::default());
    let lane = Lane { tool: None, prefer: vec!["claude_code".into()], sensitive: false, requires: Default::default() };
    fleet.add_lane(LANE, lane);
    let mut receivers = Vec::new();
    for (number, row) in rows.iter().enumerate() {
        fleet.update(row.clone());
        let (presence, receiver) = Presence::new(number as u64, 1, Timestamp(0), u32::MAX, 16);
        fleet.open_line(row.key, presence);
        receivers.push(receiver);
    }
    (fleet, receivers)
}

fn assignment(worker: &WorkerRow) -> Assignment {
    let subtask = TaskId::from_random(Uuid::from_u128(1 << 64)).subtask(0);
    Assignment {
        worker: worker.id,
        lease: Lease { subtask, epoch: 1 },
        name: "a".into(),
        description: "a".into(),
        tool: "claude_code".into(),
        input: None,
        context: "{}".into(),
        complexity: 1,
        priority: 0,
        attempt: 1,
        lease_length: Span::seconds(90),
        timeout_seconds: 60,
    }
}

#[test]
fn a_slot_is_counted_once_whether_news_or_answer_comes_first() {
    for news_first in [true, false] {
        let row = worker(1, 2, &["claude_code"]);
        let (mut fleet, mut receivers) = fleet(std::slice::from_ref(&row));
        let round = fleet.round(256).unwrap();
        assert_eq!(round.wanted, 2);
        let news = WorkerRow { used: 1, ..row.clone() };
        if news_first {
            fleet.update(news.clone());
        }
        fleet.hand(assignment(&row), 1, round.updates[0], Timestamp(1));
        if !news_first {
            fleet.update(news);
        }
        assert!(receivers[0].messages.try_recv().is_ok());
        fleet.wake(LANE);
        assert_eq!(fleet.round(256).unwrap().wanted, 1, "news first: {news_first}");
    }
}

#[test]
fn the_wish_for_a_tool_weighs_more_than_free_slots_and_equals_take_turns() {
    let rows = [worker(1, 2, &["gemini_cli"]), worker(2, 2, &["claude_code"]), worker(3, 2, &["claude_code"])];
    let (mut fleet, _receivers) = fleet(&rows);
    let round = fleet.round(256).unwrap();
    let takers = &round.lanes[0].takers;
    let workers: Vec<i64> = takers.iter().map(|&(seat, _)| round.seats[seat as usize].worker.0).collect();
    assert_eq!(workers.len(), 6);
    assert_eq!(workers[4..], [1, 1]);
    assert_ne!(workers[0], workers[1], "one slot of each before the second of either");
    assert_eq!(&*takers[5].1, "gemini_cli");
    assert!(fleet.round(256).is_none(), "what was offered counts as empty until it is woken");
}

#[test]
fn news_of_a_free_slot_wakes_the_lanes_it_could_serve() {
    let row = worker(1, 1, &["claude_code"]);
    let (mut fleet, _receivers) = fleet(std::slice::from_ref(&row));
    assert!(fleet.round(256).is_some());
    // The store gave nothing: the slot was taken, of which the news comes only now.
    fleet.update(WorkerRow { used: 1, ..row.clone() });
    fleet.wake_free(&[row.key]);
    assert!(fleet.round(256).is_none());
    fleet.update(row.clone());
    fleet.wake_free(&[row.key]);
    assert!(fleet.round(256).is_some());
}

#[test]
fn a_result_on_its_way_offers_its_slot_until_it_is_known_what_became_of_it() {
    let row = WorkerRow { used: 1, ..worker(1, 1, &["claude_code"]) };
    let (mut fleet, _receivers) = fleet(std::slice::from_ref(&row));
    assert!(fleet.round(256).is_none());
    assert!(!fleet.expect_work(), "nobody is free");
    assert!(fleet.expect_slot(row.id));
    assert_eq!(fleet.round(256).unwrap().wanted, 1);
    assert!(fleet.round(256).is_none(), "offered once");
    assert!(fleet.expect_work());
    assert!(fleet.round(256).is_some());
    fleet.wake(LANE);
    fleet.expect_slot_no_more(row.id);
    assert!(fleet.round(256).is_none(), "the row says that it is full");
    fleet.update(WorkerRow { draining: true, ..row.clone() });
    fleet.expect_slot(row.id);
    fleet.wake(LANE);
    assert!(fleet.round(256).is_none(), "who drains is given nothing for it");
}

#[test]
fn what_is_explained_changes_with_the_fleet_and_with_time_alone() {
    let row = WorkerRow { used: 1, ..worker(1, 1, &["claude_code"]) };
    let (mut fleet, _receivers) = fleet(std::slice::from_ref(&row));
    let (generation, until) = fleet.settle(Timestamp(1));
    assert!(fleet.explain(LANE, Timestamp(1)).contains("busy"));
    // A heartbeat that tells nothing new.
    fleet.update(WorkerRow { last_heartbeat: Timestamp(1), ..row.clone() });
    assert_eq!(fleet.settle(Timestamp(2)), (generation, until));
    let until = until + Span(1);
    assert!(fleet.explain(LANE, until).starts_with("no online worker"));
    let (silent, _) = fleet.settle(until);
    assert!(silent > generation, "silence is a change");
    // News of a heartbeat from before that, which come only now.
    fleet.update(WorkerRow { last_heartbeat: Timestamp(2), ..row.clone() });
    assert!(fleet.explain(LANE, until).contains("busy"));
    assert!(fleet.settle(until).0 > silent);
    fleet.update(WorkerRow { last_heartbeat: Timestamp(2), draining: true, ..row });
    assert!(fleet.explain(LANE, until).contains("draining"));
}

#[test]
fn who_connects_wakes_the_lanes_that_the_others_were_too_busy_for() {
    for polls in [false, true] {
        let row = worker(1, 1, &["claude_code"]);
        let (mut fleet, _receivers) = fleet(std::slice::from_ref(&row));
        let round = fleet.round(256).unwrap();
        fleet.hand(assignment(&row), 1, round.updates[0], Timestamp(1));
        let other = worker(2, 1, &["claude_code"]);
        fleet.update(other.clone());
        assert!(fleet.round(256).is_none());
        let (presence, _receiver) = Presence::new(9, 1, Timestamp(0), 1, 16);
        if polls {
            fleet.open_poll(other.key, presence);
        } else {
            fleet.open_line(other.key, presence);
        }
        assert!(fleet.round(256).is_some(), "polls: {polls}");
    }
}

#[test]
fn whoever_drains_is_away_or_full_is_not_offered() {
    let drains = WorkerRow { draining: true, ..worker(1, 2, &["claude_code"]) };
    let full = WorkerRow { used: 2, ..worker(2, 2, &["claude_code"]) };
    let away = WorkerRow { said: WorkerStatus::Offline, ..worker(3, 2, &["claude_code"]) };
    let (mut fleet, _receivers) = fleet(&[drains, full, away]);
    assert!(fleet.round(256).is_none());
}
