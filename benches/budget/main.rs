//! `make bench`: what the platform keeps of what the machine could do.
//!
//! Every line is a ratio against its limit, measured in the same run on the same machine: a bare server that
//! answers the same bytes, a plain loop over the same rows, a plain trip over loopback. Absolute numbers
//! drift with the machine; the ratios hold. Nothing here asserts: it prints, and marks what misses its aim.
//!
//! The real `regatta` binary is started as a process of its own, with its own temp dir and port, for each
//! group. `cargo bench --bench budget -- NAME...` runs only the groups named.

mod bare;
mod fleet;
mod http;
mod latency;
mod memory;
mod platform;
mod read;
mod servers;
mod store_loop;
mod submit;
mod table;

use table::Table;

/// A group of lines: its name on the command line and what runs it.
type Group = (&'static str, fn(&mut Table) -> anyhow::Result<()>);

const GROUPS: &[Group] = &[
    ("read", read::run),
    ("submit", submit::run),
    ("fleet", fleet::run),
    ("latency", latency::run),
    ("memory", memory::run),
    ("servers", servers::run),
];

fn main() -> anyhow::Result<()> {
    let args: Vec<String> = std::env::args().skip(1).filter(|arg| arg != "--bench").collect();
    if args.first().is_some_and(|arg| arg == bare::ROLE) {
        return bare::serve();
    }
    let wanted = |name: &str| args.is_empty() || args.iter().any(|arg| name.contains(arg.as_str()));
    println!("regatta bench on {} cores; each line is measured against its limit in this run\n", cores());
    let mut table = Table::default();
    for (name, run) in GROUPS.iter().filter(|(name, _)| wanted(name)) {
        eprintln!("... {name}");
        run(&mut table)?;
    }
    println!("\n{table}");
    Ok(())
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// How long each line is measured, in seconds: `REGATTA_BENCH_SECONDS`, else 3.
fn seconds() -> u64 {
    std::env::var("REGATTA_BENCH_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(3)
}
