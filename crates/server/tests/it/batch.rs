//! `/tasks/batch`, `/tasks/cancel`, `/tasks/retry`.

use http::StatusCode;
use insta::assert_snapshot;
use serde_json::json;

use crate::rig::{Rig, step};
use crate::show::Show;

#[tokio::test]
async fn a_batch_is_made_whole_or_not_at_all() {
    let rig = Rig::start().await;
    let good = json!({"description": "Count the words", "subtasks": [step("One", &[])]});
    let cyclic = json!({"description": "Count the words", "subtasks": [step("One", &["Two"]), step("Two", &["One"])]});
    let refused = rig.post("/api/v1/tasks/batch", json!({"tasks": [good, cyclic]})).await;
    assert_eq!(refused.fields(), ["tasks[1].subtasks"]);
    let refused = rig.post("/api/v1/tasks/batch", json!({"tasks": [good, {"description": "short"}]})).await;
    assert_eq!(refused.fields(), ["tasks[1].description"]);
    for tasks in [json!([]), json!(vec![good.clone(); 1001])] {
        assert_eq!(rig.post("/api/v1/tasks/batch", json!({"tasks": tasks})).await.fields(), ["tasks"]);
    }
    assert_eq!(rig.get("/api/v1/tasks").await.json()["total"], 0);
    let made = rig.post("/api/v1/tasks/batch", json!({"tasks": [good, good]})).await;
    assert_snapshot!("batch", Show::default().answer(&made));
    assert_eq!(rig.get("/api/v1/tasks").await.json()["total"], 2);
}

#[tokio::test]
async fn bulk_calls_say_what_became_of_each() {
    let rig = Rig::start().await;
    let mut show = Show::default();
    let task = rig.task(json!([step("One", &[])])).await;
    let ids = json!({"task_ids": [task, "0193e3c8-7c00-7000-8000-000000000000", "0193e3c8-7c00-7000-8000-000000000001", task]});
    let cancelled = rig.post("/api/v1/tasks/cancel", ids.clone()).await;
    let retried = rig.post("/api/v1/tasks/retry", ids).await;
    let shown = format!("# cancel\n{}\n\n# retry\n{}", show.answer(&cancelled), show.answer(&retried));
    assert_snapshot!("bulk", shown);
    assert_eq!(rig.post("/api/v1/tasks/cancel", json!({"task_ids": []})).await.fields(), ["task_ids"]);
    assert_eq!(rig.post("/api/v1/tasks/cancel", json!({"task_ids": ["x"]})).await.fields(), ["task_ids[0]"]);
    rig.post("/api/v1/tasks/cancel", json!({"task_ids": [task]})).await.is(StatusCode::OK);
}
