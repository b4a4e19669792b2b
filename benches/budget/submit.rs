//! Durable submissions over HTTP against a bare server without a store.

use std::time::Duration;

use anyhow::ensure;

use crate::bare::Bare;
use crate::http;
use crate::platform::Platform;
use crate::table::Table;

/// A task of four subtasks, as most are.
pub const BODY: &str = r#"{"description":"Add a rate limiter to the public API","task_type":"develop_feature"}"#;

/// Measures at 1, 16 and 64 connections.
pub fn run(table: &mut Table) -> anyhow::Result<()> {
    let request = http::post("/api/v1/tasks", BODY);
    let time = Duration::from_secs(crate::seconds());
    for connections in [1, 16, 64] {
        let platform = Platform::start()?;
        let (status, answer) = http::once(platform.address, &request)?;
        ensure!(status == 201, "submit answered {status}");
        let bare = Bare::start(&answer)?;
        let limit = http::load(&[bare.address], &request, 201, connections, time)?;
        let ours = http::load(&[platform.address], &request, 201, connections, time)?;
        // One caller waits for one commit at a time: there the limit is the disk, and the ratio says nothing.
        let aim = (connections == 64).then_some(0.5);
        let name = format!("POST /tasks, durable, {connections} connections");
        table.ratio(&name, ours.rate, "bare server", limit.rate, aim);
        let p99 = ours.ms(99.0);
        let (aim, met) = if connections == 64 { ("p99 < 4 ms", Some(p99 < 4.0)) } else { ("", None) };
        table.figure(
            &format!("  its latency, {connections} connections"),
            format!("p50 {:.2} ms, p99 {p99:.2} ms", ours.ms(50.0)),
            aim,
            met,
        );
    }
    Ok(())
}
