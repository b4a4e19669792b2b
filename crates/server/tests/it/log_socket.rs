//! `/ws/tasks/{id}/logs`: each line exactly once, kept and live.

use http::StatusCode;
use insta::assert_snapshot;
use serde_json::{Value, json};

use crate::rig::{Rig, Socket, soon, step};
use crate::show::Show;

/// A task with one subtask, which is the last thing returned.
async fn task(rig: &Rig) -> (String, String) {
    let task = rig.task(json!([step("One", &[])])).await;
    let subtask = rig.get(&format!("/api/v1/tasks/{task}")).await.json()["subtasks"][0]["subtask_id"]
        .as_str()
        .unwrap()
        .to_owned();
    (task, subtask)
}

async fn log(rig: &Rig, subtask: &str, message: &str) -> u64 {
    let body = json!({"level": "info", "message": message});
    let answer = rig.post(&format!("/api/v1/subtasks/{subtask}/log"), body).await;
    answer.is(StatusCode::CREATED).json()["broadcasted"].as_u64().unwrap()
}

#[tokio::test]
async fn who_waits_for_the_end_is_no_watcher() {
    let rig = Rig::start().await;
    let (task, subtask) = task(&rig).await;
    let path = format!("/api/v1/tasks/{task}?wait_seconds=60");
    let logging = async {
        soon("a waiting call", async {
            while !rig.get("/metrics").await.contains("regatta_http_requests_waiting 1") {
                tokio::task::yield_now().await;
            }
        })
        .await;
        // It is counted before it subscribes, so it is given time for that.
        for _ in 0..20 {
            assert_eq!(log(&rig, &subtask, "unseen").await, 0);
        }
        rig.post(&format!("/api/v1/tasks/{task}/cancel"), json!({})).await.is(StatusCode::OK);
    };
    let (waited, ()) = tokio::join!(rig.get(&path), logging);
    assert_eq!(waited.json()["status"], "cancelled");
}

/// The messages of the lines up to a frame of this type, which comes last.
async fn lines_until(socket: &mut Socket, kind: &str) -> (Vec<String>, Value) {
    let mut lines = Vec::new();
    loop {
        let frame = socket.next().await;
        if frame["type"] == kind {
            return (lines, frame);
        }
        if frame["type"] == "log" {
            lines.push(frame["data"]["message"].as_str().unwrap().to_owned());
        }
    }
}

#[tokio::test]
async fn every_frame_of_a_log() {
    let rig = Rig::start().await;
    let (task, subtask) = task(&rig).await;
    assert_eq!(log(&rig, &subtask, "kept").await, 0);
    let mut show = Show::default();
    let mut socket = rig.socket(&format!("/api/v1/ws/tasks/{task}/logs")).await;
    let mut shown = Vec::new();
    for _ in 0..4 {
        shown.push(show.json(&socket.next().await));
    }
    assert_eq!(log(&rig, &subtask, "live").await, 1);
    shown.push(show.json(&socket.next().await));
    for action in [
        json!({"action": "ping"}),
        json!({"action": "unsubscribe", "task_id": task}),
        json!({"action": "dance"}),
        json!({"action": "subscribe"}),
        json!({"action": "subscribe", "task_id": subtask}),
        json!({"action": "subscribe", "task_id": "0193e3c8-7c00-7000-8000-000000000000"}),
        json!({"action": "replay", "task_id": task, "limit": 0}),
    ] {
        socket.send(action.clone()).await;
        shown.push(format!("{}\n{}", show.json(&action), show.json(&socket.next().await)));
    }
    assert_snapshot!("log_frames", shown.join("\n\n"));
    // Unsubscribed: nothing live comes, a replay still does.
    assert_eq!(log(&rig, &subtask, "unseen").await, 0);
    socket.send(json!({"action": "replay", "task_id": task, "from_seq": 0, "limit": 2})).await;
    let start = socket.next().await;
    assert_eq!((&start["type"], &start["count"]), (&json!("history_start"), &json!(2)));
    let (lines, _) = lines_until(&mut socket, "history_end").await;
    assert_eq!(lines, ["kept", "live"]);
}

#[tokio::test]
async fn the_kept_lines_begin_where_they_are_asked_to() {
    let rig = Rig::start().await;
    let (task, subtask) = task(&rig).await;
    for n in 0..60 {
        log(&rig, &subtask, &n.to_string()).await;
    }
    let path = format!("/api/v1/ws/tasks/{task}/logs");
    let numbers = |range: std::ops::Range<u32>| range.map(|n| n.to_string()).collect::<Vec<_>>();
    let (last, _) = lines_until(&mut rig.socket(&path).await, "history_end").await;
    assert_eq!(last, numbers(10..60));
    let (all, end) = lines_until(&mut rig.socket(&format!("{path}?from_seq=0")).await, "history_end").await;
    assert_eq!(all, numbers(0..60));
    let last_seq = end["last_seq"].as_u64().unwrap();
    let (one, _) = lines_until(&mut rig.socket(&format!("{path}?from_seq={last_seq}")).await, "history_end").await;
    assert_eq!(one, ["59"]);
    let (none, _) =
        lines_until(&mut rig.socket(&format!("{path}?from_seq={}", last_seq + 1)).await, "history_end").await;
    assert!(none.is_empty());
}

#[tokio::test]
async fn no_line_is_lost_or_doubled_across_the_seam() {
    let rig = Rig::start().await;
    let (_, mut line) = rig.line("w", 1).await;
    let task = rig.task(json!([step("One", &[])])).await;
    let assignment = line.assignment().await;
    // Lines are written all the while; sockets come in the middle, the first with more history than one page.
    const LINES: u32 = 3_000;
    let writing = async {
        for n in 0..LINES {
            let frame = json!({"type": "log", "data": {"subtask_id": assignment["subtask_id"], "lease": assignment["lease"],
                "level": "info", "message": n.to_string()}});
            line.send(frame).await;
        }
    };
    let rig = &rig;
    let path = format!("/api/v1/ws/tasks/{task}/logs?from_seq=0");
    let watching = async |wait_for: u32| {
        while rig.get(&format!("/api/v1/tasks/{task}/logs?limit=1&after_seq={wait_for}")).await.json()["logs"]
            .as_array()
            .unwrap()
            .is_empty()
        {
            tokio::task::yield_now().await;
        }
        let mut socket = rig.socket(&path).await;
        let mut seen = Vec::new();
        let (mut counted, mut kept) = (0, None);
        while seen.len() < LINES as usize || kept.is_none() {
            let frame = socket.next().await;
            match frame["type"].as_str().unwrap() {
                "history_start" => counted = frame["count"].as_u64().unwrap(),
                "history_end" => kept = Some(seen.len() as u64),
                "log" => seen.push(frame["data"]["message"].as_str().unwrap().to_owned()),
                "subscribed" => {}
                other => panic!("{other}"),
            }
        }
        (seen, counted, kept)
    };
    let ((), one, two, three) = tokio::join!(writing, watching(0), watching(500), watching(2_000));
    let all: Vec<String> = (0..LINES).map(|n| n.to_string()).collect();
    for (seen, counted, kept) in [one, two, three] {
        assert_eq!(Some(counted), kept);
        assert!(seen == all, "{} lines, and not each once in its order", seen.len());
    }
}
