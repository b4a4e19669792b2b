//! Instructions a request, counted by valgrind's callgrind: the same on a full machine as on an idle one.
//!
//! A process of its own does some requests, then another one more of them: the difference is without start and end.
//! The kernel's part is not in it, nor in `wrk`'s beside it.

use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;

use regatta_load::engine::{Handle, Observer};
use regatta_load::{Engine, Options, Totals};

use crate::{CONNECTIONS, Outcome, STATIC, TEMPLATED, plan};

/// Requests of each user, in the run that is subtracted and in the other one.
const FEW: u64 = 10;
const MANY: u64 = 110;

/// Prints the lines; without valgrind it says so.
pub fn run(address: SocketAddr) -> Outcome<()> {
    let wrk = wrk(address)?;
    for (what, scenario) in [("static GET", "static"), ("templated POST with JSON extraction", "templated")] {
        let what = format!("instructions of a {what}");
        let (Some(few), Some(many)) = (counted(address, scenario, FEW)?, counted(address, scenario, MANY)?) else {
            println!("{what:50} (not counted: valgrind is not here, or failed)");
            return Ok(());
        };
        let each = many.0.saturating_sub(few.0) / many.1.saturating_sub(few.1).max(1);
        let beside = wrk.map_or("(wrk was not counted)".to_owned(), |wrk| format!("wrk's static GET: {wrk}"));
        println!("{what:50} {each:>10}      {beside}");
    }
    Ok(())
}

/// Instructions and requests of a process of its own under callgrind; `None` without it.
fn counted(address: SocketAddr, scenario: &str, each: u64) -> Outcome<Option<(u64, u64)>> {
    let binary = std::env::current_exe()?;
    let arguments = ["requests", &address.to_string(), scenario, &each.to_string()].map(Into::into);
    let Some((instructions, said)) = callgrind([binary.into()].into_iter().chain(arguments))? else { return Ok(None) };
    Ok(Some((instructions, said.trim().parse()?)))
}

/// What `wrk` spends on a request, start and end included; `None` without it.
fn wrk(address: SocketAddr) -> Outcome<Option<u64>> {
    let url = format!("http://{address}/static");
    let arguments = ["wrk", "-t1", &format!("-c{CONNECTIONS}"), "-d3s", &url].map(Into::into);
    let Some((instructions, said)) = callgrind(arguments)? else { return Ok(None) };
    let requests = said.lines().find_map(|line| line.split_once(" requests in ")?.0.trim().parse::<u64>().ok());
    Ok(requests.filter(|&requests| requests > 0).map(|requests| instructions / requests))
}

/// Runs a command under callgrind: its instructions and what it printed. `None` where one of them is not here.
fn callgrind(command: impl IntoIterator<Item = std::ffi::OsString>) -> Outcome<Option<(u64, String)>> {
    let output =
        Command::new("valgrind").args(["--tool=callgrind", "--callgrind-out-file=/dev/null"]).args(command).output();
    let Ok(output) = output else { return Ok(None) };
    let told = String::from_utf8_lossy(&output.stderr);
    // "==123== Collected : 456"
    let collected = told.lines().find_map(|line| line.split_once("Collected :")?.1.trim().parse().ok());
    Ok(collected
        .filter(|_| output.status.success())
        .map(|count| (count, String::from_utf8_lossy(&output.stdout).into())))
}

/// In the process that is counted: every user does so many requests; prints how many were done.
pub fn requests(address: SocketAddr, scenario: &str, each: u64) -> Outcome<()> {
    struct Until {
        handle: Handle,
        tasks: u64,
    }
    impl Observer for Until {
        fn second(&mut self, totals: &Totals) {
            if totals.iterations >= self.tasks {
                self.handle.stop();
            }
        }
    }
    let mut plan = plan(address, if scenario == "static" { STATIC } else { TEMPLATED })?;
    plan.limits.iterations = Some(each);
    let options = Options {
        users: CONNECTIONS,
        spawn_rate: 1e6,
        threads: 1,
        run_time: Some(Duration::from_secs(120)),
        ..Options::default()
    };
    let engine = Engine::new(plan, options)?;
    let mut until = Until { handle: engine.handle(), tasks: CONNECTIONS * each };
    let ran = engine.run(&mut until)?;
    if ran.totals.all.failures > 0 {
        return Err(format!("{:?}", ran.totals.errors).into());
    }
    println!("{}", ran.totals.all.requests);
    Ok(())
}
