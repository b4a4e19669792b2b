//! Answers that are kept: whatever happens, what is kept is what would be worked out.

use std::time::Duration;

use http::StatusCode;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::http::header::IF_NONE_MATCH;

use crate::rig::{Rig, Socket, soon, step};

/// Two servers over one engine: one that keeps answers, and one that does not.
struct Pair {
    keeps: Rig,
    url: String,
    task: String,
}

impl Pair {
    async fn start() -> Self {
        let keeps = Rig::start().await;
        let limits = regatta_server::Limits { kept_answer_bytes: 0, ..regatta_server::Limits::default() };
        let listen = vec!["localhost:0".to_owned()];
        let forgets = regatta_server::Options { listen, limits, ..regatta_server::Options::default() };
        let (service, handle) = forgets.build(keeps.engine.clone()).unwrap();
        // It ends with the test's runtime.
        tokio::spawn(service.run(std::future::pending()));
        let task = keeps.task(json!([step("One", &[]), step("Two", &["One"])])).await;
        Self { keeps, url: handle.url(), task }
    }

    fn questions(&self) -> Vec<String> {
        let lists =
            ["tasks", "tasks?limit=1", "tasks?status=in_progress", "workers", "workers?status=offline", "stats"];
        let mut questions: Vec<String> = lists.iter().map(|list| format!("/api/v1/{list}")).collect();
        questions.push(format!("/api/v1/tasks/{}", self.task));
        questions
    }

    /// Asks both the same. What an answer says of the fleet follows the commit by a moment, for both servers, so
    /// they may differ for as long; what is kept wrongly differs for ever.
    async fn agree(&self, after: &str) {
        for path in self.questions() {
            let same = async {
                loop {
                    let kept = self.keeps.get(&path).await;
                    let fresh = self.keeps.send(self.keeps.http.get(format!("{}{path}", self.url))).await;
                    // A problem names its request.
                    let gone = [&kept, &fresh].iter().all(|answer| answer.status == StatusCode::NOT_FOUND);
                    if gone || kept.bytes == fresh.bytes && kept.header("etag") == fresh.header("etag") {
                        return;
                    }
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            };
            soon(&format!("{path} as it is after {after}"), same).await;
        }
    }

    async fn post(&self, path: &str, body: Value) {
        let answer = self.keeps.post(&format!("/api/v1/{path}"), body).await;
        assert!(answer.status.is_success(), "{path}: {answer:?}");
    }
}

/// The next assignment's subtask and lease.
async fn given(line: &mut Socket) -> (String, Value) {
    let assignment = line.assignment().await;
    (assignment["subtask_id"].as_str().unwrap().to_owned(), assignment)
}

#[tokio::test]
async fn what_is_kept_is_what_would_be_worked_out() {
    let pair = Pair::start().await;
    pair.agree("the beginning").await;
    let worker = pair.keeps.worker("one", 1).await;
    pair.agree("a worker without a line").await;
    pair.post(&format!("workers/{worker}/drain"), json!({})).await;
    pair.agree("a drain").await;
    let mut line = pair.keeps.socket(&format!("/api/v1/workers/{worker}/ws")).await;
    pair.agree("a line that drains").await;
    pair.post(&format!("workers/{worker}/undrain"), json!({})).await;
    let (subtask, assignment) = given(&mut line).await;
    pair.agree("a claim").await;
    pair.post(&format!("subtasks/{subtask}/log"), json!({"level": "info", "message": "at it"})).await;
    pair.agree("a line of log").await;
    let progress = json!({"progress": 40, "lease": assignment["lease"]});
    pair.post(&format!("subtasks/{subtask}/progress"), progress).await;
    pair.agree("a progress").await;
    let beat = json!({"status": "busy", "resources": {"cpu_percent": 12.5}});
    pair.post(&format!("workers/{worker}/heartbeat"), beat).await;
    pair.agree("a heartbeat").await;
    let failed = json!({"status": "failed", "error": "no", "lease": assignment["lease"]});
    pair.post(&format!("subtasks/{subtask}/result"), failed).await;
    pair.agree("a failure").await;
    let (_, assignment) = given(&mut line).await;
    pair.agree("a second attempt").await;
    line.complete(&assignment, json!({"ok": true})).await;
    pair.agree("a completion").await;
    let (subtask, _) = given(&mut line).await;
    line.send(json!({"type": "task_rejected", "subtask_id": subtask, "reason": "not now"})).await;
    pair.agree("a rejection").await;
    drop(line);
    pair.agree("a line that closed").await;
    pair.post(&format!("tasks/{}/cancel", pair.task), json!({})).await;
    pair.agree("a cancel").await;
    pair.post(&format!("tasks/{}/retry", pair.task), json!({})).await;
    pair.agree("a retry").await;
    pair.post(&format!("workers/{worker}/unregister"), json!({})).await;
    pair.agree("an unregistration").await;
    pair.keeps.delete(&format!("/api/v1/workers/{worker}")).await.is(StatusCode::NO_CONTENT);
    pair.agree("a removal").await;
    pair.post(&format!("tasks/{}/cancel", pair.task), json!({})).await;
    pair.keeps.delete(&format!("/api/v1/tasks/{}", pair.task)).await.is(StatusCode::NO_CONTENT);
    pair.keeps.get(&format!("/api/v1/tasks/{}", pair.task)).await.is(StatusCode::NOT_FOUND);
    pair.agree("a deletion").await;
}

#[tokio::test]
async fn a_read_after_an_acknowledged_change_shows_it() {
    let rig = Rig::start().await;
    let (_, mut line) = rig.line("one", 1).await;
    for _ in 0..20 {
        let task = rig.task(json!([step("One", &[])])).await;
        let path = format!("/api/v1/tasks/{task}");
        let newest = rig.get("/api/v1/tasks?limit=1").await;
        assert_eq!(newest.json()["tasks"][0]["task_id"], task.as_str());
        let assignment = line.assignment().await;
        let before = rig.get(&path).await;
        let tag = before.header("etag").unwrap().to_owned();
        rig.send(rig.http.get(rig.url(&path)).header(IF_NONE_MATCH, &tag)).await.is(StatusCode::NOT_MODIFIED);
        line.complete(&assignment, json!({})).await;
        let after = rig.send(rig.http.get(rig.url(&path)).header(IF_NONE_MATCH, &tag)).await;
        assert_eq!(after.is(StatusCode::OK).json()["status"], "completed");
        let listed = rig.get("/api/v1/tasks?limit=1").await;
        assert_eq!(listed.json()["tasks"][0]["status"], "completed");
        let subtasks = rig.get("/api/v1/stats").await.json()["subtasks"].clone();
        assert_eq!(subtasks["completed"], subtasks["total"]);
    }
}
