//! Lines and polls: who is connected, and what becomes of work when they are not any more.

use std::time::Duration;

use regatta_engine::{Error, LineEvent, LineMessage, Options};
use regatta_model::{TaskType, WorkerId};

use crate::rig::{Rig, assigned, closed, offer, soon, task};

#[tokio::test]
async fn the_newest_line_wins() {
    let rig = Rig::start(Options::default()).await;
    let mut old = rig.worker("one", &["claude_code"], 1).await;
    let mut new = rig.engine.open_line(old.worker().id).await.unwrap();
    assert_eq!(closed(&mut old).await, 4001);
    rig.submit(task(TaskType::Custom, None)).await;
    assigned(&mut new).await;
    let mut newest = rig.worker("one", &["claude_code"], 1).await;
    assert_eq!(closed(&mut new).await, 4001);
    // What the worker does not say it runs went back at its registration.
    assert_eq!(assigned(&mut newest).await.attempt, 2);
    rig.stop().await;
}

#[tokio::test]
async fn unregistering_closes_the_line_and_frees_the_work() {
    let rig = Rig::start(Options::default()).await;
    let mut one = rig.worker("one", &["claude_code"], 1).await;
    rig.submit(task(TaskType::Custom, None)).await;
    let given = assigned(&mut one).await;
    rig.engine.unregister(given.worker).await.unwrap();
    assert_eq!(closed(&mut one).await, 4002);
    assert!(matches!(rig.engine.open_line(given.worker).await, Err(Error::Conflict(_))));
    assert!(matches!(rig.engine.poll(given.worker, 1, Duration::ZERO).await, Err(Error::Conflict(_))));
    let mut two = rig.worker("two", &["claude_code"], 1).await;
    assert_eq!(assigned(&mut two).await.lease.subtask, given.lease.subtask);
    rig.stop().await;
}

#[tokio::test]
async fn without_a_line_nothing_is_leased() {
    let rig = Rig::start(Options { poll_milliseconds: 20, ..Options::default() }).await;
    let worker = rig.register("one", offer(&["claude_code"]), 4).await.worker;
    let id = rig.submit(task(TaskType::Custom, None)).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    let row = rig.engine.task(id).await.unwrap().subtasks[0].row.clone();
    assert_eq!(row.attempt, 0);
    assert!(rig.engine.waiting_for(&row).unwrap().contains("without an open line"));
    let line = rig.engine.open_line(worker).await.unwrap();
    drop(line);
    rig.stop().await;
}

#[tokio::test]
async fn a_poll_gets_what_is_there_or_waits_for_it() {
    let rig = Rig::start(Options::default()).await;
    let worker = rig.register("one", offer(&["claude_code"]), 4).await.worker;
    assert_eq!(rig.engine.poll(worker, 2, Duration::ZERO).await.unwrap(), []);
    for _ in 0..3 {
        rig.submit(task(TaskType::Custom, None)).await;
    }
    assert_eq!(rig.engine.poll(worker, 2, Duration::ZERO).await.unwrap().len(), 2);
    assert_eq!(rig.engine.poll(worker, 2, Duration::ZERO).await.unwrap().len(), 1);
    let waiting = {
        let engine = rig.engine.clone();
        tokio::spawn(async move { engine.poll(worker, 1, Duration::from_secs(60)).await })
    };
    rig.submit(task(TaskType::Custom, None)).await;
    assert_eq!(soon("the poll's end", waiting).await.unwrap().unwrap().len(), 1);
    let nobody = WorkerId(uuid::Uuid::now_v7());
    assert!(matches!(rig.engine.poll(nobody, 1, Duration::ZERO).await, Err(Error::NotFound { .. })));
    rig.stop().await;
}

#[tokio::test]
async fn a_poll_that_was_cut_off_gives_back() {
    let rig = Rig::start(Options::default()).await;
    let cut_off = rig.register("one", offer(&["claude_code"]), 1).await.worker;
    for _ in 0..20 {
        let engine = rig.engine.clone();
        let poll = tokio::spawn(async move { engine.poll(cut_off, 1, Duration::from_secs(60)).await });
        tokio::task::yield_now().await;
        let id = rig.submit(task(TaskType::Custom, None)).await;
        poll.abort();
        if let Ok(Ok(assignments)) = poll.await {
            // It was answered before it was cut off.
            for assignment in assignments {
                rig.complete(&assignment).await;
            }
        }
        let mut other = rig.worker("two", &["claude_code"], 1).await;
        if !rig.engine.progress(id).await.unwrap().status.is_ended() {
            rig.complete(&assigned(&mut other).await).await;
        }
        rig.ended(id).await;
    }
    rig.stop().await;
}

#[tokio::test]
async fn cancelling_tells_the_worker_to_stop() {
    let rig = Rig::start(Options::default()).await;
    let mut line = rig.worker("one", &["claude_code"], 1).await;
    let id = rig.submit(task(TaskType::Custom, None)).await;
    let given = assigned(&mut line).await;
    rig.engine.cancel(id, Some("no longer wanted".into())).await.unwrap();
    let LineEvent::Message(LineMessage::Stop(stop)) = soon("a stop", line.next()).await else { panic!() };
    assert_eq!(stop.lease, given.lease);
    assert!(stop.reason.contains("no longer wanted"));
    rig.engine.cancel(id, None).await.unwrap();
    rig.engine.retry(id).await.unwrap();
    assert_eq!(assigned(&mut line).await.attempt, 2);
    rig.stop().await;
}

#[tokio::test]
async fn what_is_rejected_goes_to_another() {
    let rig = Rig::start(Options::default()).await;
    let mut one = rig.worker("one", &["claude_code"], 1).await;
    rig.submit(task(TaskType::Custom, None)).await;
    let given = assigned(&mut one).await;
    let mut two = rig.worker("two", &["claude_code"], 1).await;
    assert!(one.handle().reject(given.lease.subtask, Some(given.lease), "no licence".into()).await.unwrap());
    assert!(!one.handle().reject(given.lease.subtask, Some(given.lease), "again".into()).await.unwrap());
    let again = assigned(&mut two).await;
    assert_eq!((again.lease.subtask, again.attempt), (given.lease.subtask, 2));
    rig.stop().await;
}
