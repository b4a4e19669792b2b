//! regatta

#[allow(dead_code, reason = "`task submit --plan` reads them")]
mod plan_file;

fn main() {}
