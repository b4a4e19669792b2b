//! Configuration file < environment < flags.

use crate::rig::{Home, Platform};

#[test]
fn flags_win_over_the_environment_and_that_over_the_file() {
    let platform = Platform::serve();
    let home = Home::new();
    let folder = home.path(".config/regatta");
    std::fs::create_dir_all(&folder).unwrap();
    let write = |server: &str| std::fs::write(folder.join("config.toml"), format!("server = \"{server}\"\n")).unwrap();
    let dead = "http://localhost:1";

    write(&platform.url);
    home.run(["task", "list"]).ok();
    let code = |server: &str, flag: Option<&str>| {
        let mut command = home.regatta(["task", "list"]);
        command.env("REGATTA_SERVER", server).args(flag.map(|flag| ["--server", flag]).into_iter().flatten());
        command.output().unwrap().status.code()
    };
    assert_eq!(code(dead, None), Some(3), "the environment wins over the file");
    assert_eq!(code("", None), Some(0), "an empty variable is none");
    assert_eq!(code(dead, Some(&platform.url)), Some(0), "a flag wins over the environment");
    write(dead);
    assert_eq!(code(&platform.url, None), Some(0));

    // Another file by variable or flag.
    let other = home.path("other.toml");
    std::fs::write(&other, format!("server = \"{}\"\ncolor = \"always\"\n", platform.url)).unwrap();
    let ran = home.regatta(["task", "list", "--config"]).arg(&other).output().unwrap();
    assert_eq!(ran.status.code(), Some(0));
    let ran = home.regatta(["workers", "list"]).env("REGATTA_CONFIG", &other).output().unwrap();
    assert_eq!(ran.status.code(), Some(0));
}

#[test]
fn a_worker_and_up_take_their_settings_from_the_file() {
    let home = Home::new();
    let config = home.path("config.toml");
    std::fs::write(
        &config,
        "[up]\nworkers = 1\nslots = 3\n[worker]\nlabels = { gpu = \"a100\" }\n[worker.command]\nallow = [\"echo\"]\n",
    )
    .unwrap();
    let config = config.to_str().unwrap().to_owned();
    let platform = Platform::start(home, &["up", "--port", "0", "--config", &config]);
    let workers = platform.run(&["workers", "list", "--label", "gpu=a100", "--json"]).ok().json();
    assert_eq!(workers["workers"].as_array().unwrap().len(), 1, "{workers:#}");
    assert_eq!(workers["workers"][0]["slots"], 3);
    // The owner of the worker decides what it runs.
    let id = platform.submit(&["--requires", "gpu=a100", "--", "echo", "allowed"]);
    assert_eq!(platform.ended(&id)["status"], "completed");
    let id = platform.submit(&["--", "cat", "/etc/hostname"]);
    let task = platform.ended(&id);
    assert_eq!(task["status"], "failed");
    assert!(task["error"].as_str().unwrap().contains("does not allow"), "{task:#}");
}

#[test]
fn a_token_is_never_shown() {
    let home = Home::new();
    for arguments in [&["--help"][..], &["task", "list", "--help"], &["-vv", "task", "list", "--server", "localhost:1"]]
    {
        let output = home.regatta(arguments).env("REGATTA_TOKEN", "rgu_secret").output().unwrap();
        let all = [output.stdout, output.stderr].concat();
        assert!(!String::from_utf8_lossy(&all).contains("rgu_secret"), "{arguments:?}");
    }
}
