//! The walls of the house: which crate may use which. ARCHITECTURE.md says why.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

/// Every arrow there may be between our crates. The root binary may use all.
const ARROWS: &[(&str, &[&str])] = &[
    ("regatta-model", &[]),
    ("regatta-api", &["regatta-model"]),
    ("regatta-store", &["regatta-model"]),
    ("regatta-bus", &["regatta-model"]),
    ("regatta-engine", &["regatta-model", "regatta-store", "regatta-bus"]),
    ("regatta-server", &["regatta-model", "regatta-api", "regatta-engine"]),
    ("regatta-client", &["regatta-model", "regatta-api"]),
    ("regatta-worker", &["regatta-model", "regatta-api", "regatta-client"]),
    ("regatta-stats", &[]),
    ("regatta-services", &[]),
    ("regatta-load", &["regatta-stats"]),
    ("regatta-perf", &["regatta-load", "regatta-client", "regatta-stats"]),
];

#[test]
fn no_arrow_points_where_none_may() {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--no-deps", "--format-version", "1", "--offline"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let mut found: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for package in metadata["packages"].as_array().unwrap() {
        let ours = package["dependencies"]
            .as_array()
            .unwrap()
            .iter()
            // What only tests use points nowhere in the house.
            .filter(|dependency| dependency["kind"].is_null())
            .filter_map(|dependency| dependency["name"].as_str())
            .filter(|name| name.starts_with("regatta-"))
            .map(ToOwned::to_owned)
            .collect();
        found.insert(package["name"].as_str().unwrap().to_owned(), ours);
    }
    found.remove("regatta");
    let allowed: BTreeMap<&str, &[&str]> = ARROWS.iter().copied().collect();
    for (name, uses) in &found {
        let allowed = allowed.get(name.as_str()).unwrap_or_else(|| panic!("{name} is in no row of ARROWS"));
        for used in uses {
            assert!(allowed.contains(&used.as_str()), "{name} uses {used}, and may use only {allowed:?}");
        }
    }
    assert_eq!(found.len(), ARROWS.len(), "a crate is missing: {:?}", found.keys());
}
