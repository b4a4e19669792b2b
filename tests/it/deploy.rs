//! The files of `deploy`: what cannot be run here is read, and every command line in them is one that this binary takes.

use std::path::PathBuf;

use crate::rig::{Home, Platform};

fn read(name: &str) -> String {
    std::fs::read_to_string(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("deploy").join(name)).unwrap()
}

/// The words of a list in a line such as `command: ["serve", "--listen"]`.
fn words(line: &str) -> Vec<String> {
    serde_json::from_str(&line[line.find('[').unwrap()..]).unwrap_or_else(|error| panic!("{error}: {line}"))
}

#[test]
fn every_command_line_is_one() {
    let mut lines: Vec<Vec<String>> = Vec::new();
    let dockerfile = read("Dockerfile");
    lines.extend(dockerfile.lines().filter(|line| line.starts_with("CMD [")).map(words));
    let compose = read("docker-compose.yml");
    let commands = compose.lines().map(str::trim).filter(|line| line.starts_with("command: [")).map(words);
    lines.extend(commands.filter(|words| words[0] != "valkey-server"));
    for shell in compose.lines().filter_map(|line| line.split_once("run -T --rm node1 ")) {
        let words = shell.1.split(['#', ')']).next().unwrap().split_whitespace().map(str::to_owned).collect();
        lines.push(words);
    }
    for unit in ["systemd/regatta.service", "systemd/regatta-worker@.service"] {
        let unit = read(unit);
        let started = unit.lines().find_map(|line| line.strip_prefix("ExecStart=/usr/local/bin/regatta ")).unwrap();
        lines.push(started.replace("%i", "build-1").split_whitespace().map(str::to_owned).collect());
    }
    assert_eq!(lines.len(), 7, "{lines:?}");
    let home = Home::new();
    for mut line in lines {
        line.push("--help".into());
        let ran = home.run(&line);
        assert_eq!(ran.code, Some(0), "{line:?}: {}", ran.stderr);
    }
    // The services are called as people expect, and the proxy knows the servers that there are.
    for name in ["postgres:", "redis:", "node1:", "node2:", "proxy:", "worker:"] {
        assert!(compose.lines().any(|line| line.trim_start().starts_with(name)), "{name}");
    }
    let proxy = read("nginx.conf");
    assert!(proxy.contains("server node1:8000") && proxy.contains("server node2:8000"));
}

#[test]
fn the_images_look_at_a_server_tells_whether_it_serves() {
    let dockerfile = read("Dockerfile");
    let look = dockerfile.lines().map(str::trim).find(|line| line.starts_with("CMD [\"bash\"")).unwrap();
    let words = words(look);
    let platform = Platform::serve();
    let port = platform.address().rsplit(':').next().unwrap().to_owned();
    let looks = |port: &str| {
        let script = words[2].replace("/8000", &format!("/{port}"));
        let mut shell = platform.home.program(&words[0]);
        shell.args([&words[1], &script]).output().unwrap().status.success()
    };
    assert!(looks(&port));
    assert!(!looks("1"), "nobody is there");
}
