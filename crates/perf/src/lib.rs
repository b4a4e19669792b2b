//! Checks that the platform keeps its non-functional requirements, and the fixtures they are built with, for checks of
//! one's own.
//!
//! - [`fixtures`]: timing, analysing, running at once, data to send; usable without anything else here
//! - [`checks`]: the checks, a function each, in a file named like its group; [`own`]: checks from a file
//! - [`trial`]: what a check is given: measured calls, and where its figures go; [`world`]: what all checks of a run share
//! - [`caller`]: a call that is measured; [`blame`]: where its time went
//! - [`platform`]: a server and workers of one's own
//! - [`thresholds`]: the limits; [`explain`]: what a figure means; [`runner`]: running what was selected; [`report`]: what came of it
//!
//! It knows the platform's API and nothing of its inside. Parsing a command line and drawing on a terminal are in the binary.

pub mod blame;
pub mod caller;
pub mod checks;
pub mod explain;
pub mod fixtures;
pub mod own;
pub mod platform;
pub mod report;
pub mod runner;
pub mod thresholds;
pub mod trial;
pub mod world;
