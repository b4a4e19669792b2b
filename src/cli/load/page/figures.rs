//! What the page shows of a run, and what Locust's web API says of it: worked out once a second however many look.

use regatta_load::threshold::Threshold;
use regatta_load::totals::{Entry, Totals};
use serde_json::{Value, json};

/// A second's figures.
#[derive(Debug, Clone)]
pub struct Figures {
    pub users: u64,
    pub classes: Value,
    pub elapsed: f64,
    pub health: Value,
    pub thresholds: Value,
    pub total: Value,
    pub requests: Value,
    pub failures: Value,
    pub exceptions: Value,
}

fn ms(micros: u64) -> f64 {
    micros as f64 / 1e3
}

fn row(id: &Value, entry: &Entry, now: u64) -> Value {
    let (rps, fails) = entry.current_rates(now);
    let times = &entry.response;
    let [p50, p95, p99, p999] = times.quantiles([0.5, 0.95, 0.99, 0.999]).map(ms);
    let some = |value: f64| if entry.requests > 0 { json!(value) } else { Value::Null };
    let service = entry.service.as_ref().filter(|_| entry.requests > 0).map(|times| {
        let [p50, p95, p99] = times.quantiles([0.5, 0.95, 0.99]).map(ms);
        json!({ "p50": p50, "p95": p95, "p99": p99 })
    });
    let stages: Vec<Value> = entry
        .stages
        .iter()
        .map(|(name, stage)| {
            let average = if stage.count > 0 { stage.sum / stage.count as f64 } else { 0.0 };
            json!({ "name": name, "count": stage.count, "avg": average, "max": stage.most })
        })
        .collect();
    json!({
        "id": id, "method": entry.id.method, "name": entry.id.name, "requests": entry.requests, "failures": entry.failures,
        "avg": some(times.mean() / 1e3), "min": some(ms(times.min())), "max": some(ms(times.max())), "p50": some(p50),
        "p95": some(p95), "p99": some(p99), "p999": some(p999), "bytes": some(entry.average_bytes()), "rps": rps,
        "fails_per_second": fails, "service": service, "stages": stages,
    })
}

/// As `/stats/requests` of Locust has it; whole milliseconds where it has them.
fn locust_row(entry: &Entry, totals: &Totals) -> Value {
    let (rps, fails) = entry.current_rates(totals.now());
    let seconds = totals.seconds().max(1e-3);
    let times = &entry.response;
    let [p50, p90, p95, p99] = times.quantiles([0.5, 0.9, 0.95, 0.99]).map(|micros| (micros + 500) / 1_000);
    json!({
        "method": entry.id.method, "name": entry.id.name, "safe_name": escaped(&entry.id.name),
        "num_requests": entry.requests, "num_failures": entry.failures, "min_response_time": ms(times.min()),
        "max_response_time": ms(times.max()), "avg_response_time": times.mean() / 1e3, "median_response_time": p50,
        "ninetieth_response_time": p90, "ninety_ninth_response_time": p99, "response_time_percentile_0.95": p95,
        "response_time_percentile_0.99": p99, "current_rps": rps, "current_fail_per_sec": fails,
        "total_rps": entry.requests as f64 / seconds, "total_fail_per_sec": entry.failures as f64 / seconds,
        "avg_content_length": entry.average_bytes(),
    })
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;").replace('\'', "&#x27;")
}

/// As many rows as Locust shows.
const LOCUST_ROWS: usize = 500;

impl Figures {
    /// Of a run so far.
    pub fn of(totals: &Totals, thresholds: &[Threshold]) -> Self {
        let now = totals.now();
        let slow = totals.all.response.quantile(0.99);
        let reasons = totals.health.complaints(slow, totals.iterations, totals.dropped);
        let lag = totals.health.lag.quantile(0.99);
        let classes: serde_json::Map<String, Value> =
            totals.users.iter().map(|(class, count)| (class.clone(), json!(count))).collect();
        let judged: Vec<Value> = thresholds
            .iter()
            .map(|threshold| {
                let (verdict, parts) = (threshold.judge(totals), threshold.parts());
                json!({
                    "source": threshold.source, "holds": verdict.holds || verdict.value.is_none(), "value": verdict.value,
                    "name": parts.name, "method": parts.method, "metric": parts.metric, "aggregate": parts.aggregate,
                    "limit": threshold.limit,
                })
            })
            .collect();
        let measured = || totals.entries.iter().enumerate().filter(|(_, entry)| entry.requests > 0);
        let requests: Vec<Value> = measured().map(|(id, entry)| row(&json!(id), entry, now)).collect();
        let failures: Vec<Value> = totals
            .errors_by_count()
            .iter()
            .map(|(id, error, times)| {
                json!({ "method": id.method, "name": id.name, "error": error, "count": times.count, "first": times.first,
                    "last": times.last })
            })
            .collect();
        let exceptions: Vec<Value> = totals
            .exceptions
            .iter()
            .map(|((message, place), count)| json!({ "count": count, "message": message, "place": place }))
            .collect();
        Self {
            users: totals.user_count(),
            classes: classes.into(),
            elapsed: totals.seconds(),
            health: json!({
                "valid": reasons.is_empty(), "reasons": reasons, "cpu": totals.health.cpu,
                "lag_ms": ms(lag), "dropped": totals.dropped,
            }),
            thresholds: judged.into(),
            total: row(&json!(""), &totals.all, now),
            requests: requests.into(),
            failures: failures.into(),
            exceptions: exceptions.into(),
        }
    }
}

/// A run so far as `/stats/requests` of Locust has it.
pub fn locust(totals: &Totals) -> Value {
    let (rps, fails) = totals.all.current_rates(totals.now());
    let mut rows: Vec<Value> =
        totals.sorted().into_iter().take(LOCUST_ROWS).map(|entry| locust_row(entry, totals)).collect();
    let all = locust_row(&totals.all, totals);
    rows.push(all.clone());
    let errors: Vec<Value> = totals
        .errors_by_count()
        .iter()
        .map(|(id, error, times)| {
            json!({ "method": id.method, "name": id.name, "error": error, "occurrences": times.count,
                "first_seen": times.first, "last_seen": times.last })
        })
        .collect();
    let percentiles = json!({
        "response_time_percentile_0.5": all["median_response_time"],
        "response_time_percentile_0.95": all["response_time_percentile_0.95"],
    });
    json!({
        "stats": rows, "errors": errors, "total_rps": all["total_rps"], "total_fail_per_sec": all["total_fail_per_sec"],
        "current_rps": rps, "current_fail_per_sec": fails, "total_avg_response_time": all["avg_response_time"],
        "fail_ratio": totals.all.fail_ratio(), "current_response_time_percentiles": percentiles,
        "user_count": totals.user_count(), "workers": [], "worker_count": 0,
    })
}
