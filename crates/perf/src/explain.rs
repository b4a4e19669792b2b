//! What a figure means, in words.

/// A word and what it means.
#[derive(Debug, Clone, Copy)]
pub struct Word {
    /// As it is shown, and what else it is asked by.
    pub names: &'static [&'static str],
    /// What it means.
    pub means: &'static str,
}

/// All there are.
pub static WORDS: &[Word] = &[
    Word {
        names: &["average", "avg", "mean"],
        means: "The sum of all times divided by their number. A few slow calls raise it, many fast ones hide them: look at p95 beside it.",
    },
    Word { names: &["min"], means: "The fastest call. What the system can do when nothing is in the way." },
    Word {
        names: &["max"],
        means: "The slowest call. The requirements of `Any call` are held against it, so a single slow call fails a check.",
    },
    Word {
        names: &["median", "p50"],
        means: "Half of the calls were faster, half slower. What a typical call takes; a few slow ones do not move it.",
    },
    Word {
        names: &["std dev", "stddev", "std_dev", "deviation"],
        means: "The standard deviation of the sample: how far apart the times are. Small beside the average: steady. As large as the average: something is slow only sometimes, such as a first connection or another process.",
    },
    Word {
        names: &["p95", "percentile"],
        means: "The 95th percentile: 95 % of the calls took at most so long, one in twenty took longer. It is the time of rank ceil(0.95 x N), exact up to 10,000 calls and within 0.1 % above. With fewer than 20 calls it is their slowest, and shown as what it is: (max of 10).",
    },
    Word {
        names: &["p99"],
        means: "The 99th percentile: 99 % of the calls took at most so long, one in a hundred longer. With fewer than 100 calls it is their slowest, and shown as what it is: (max of 50).",
    },
    Word {
        names: &["limit", "threshold", "requirement"],
        means: "What a check is held to. Every limit is `below`: a call that takes exactly so long has missed it. `regatta perf thresholds` prints them all, --thresholds changes them.",
    },
    Word {
        names: &["success", "min_success"],
        means: "The share of calls that must succeed: all, and 95 % in stress checks. A call has succeeded when its status is 2xx and its answer is what it should be.",
    },
    Word {
        names: &["invalid", "generator", "saturated"],
        means: "The generator is this program, which makes the calls. When it had no time left, the times say more of it than of the platform. That can only make them look worse, so a check that passed has passed; one that did not is invalid, and the exit code is 4. Close other programs, or use another machine.",
    },
    Word {
        names: &["error"],
        means: "The check could not be made, or took longer than --timeout: nothing is said of the requirement. Exit code 1, as when one failed.",
    },
    Word {
        names: &["network"],
        means: "The time of a call that neither the server (Server-Timing) nor the generator accounts for: the way there and back, making the connection, and waiting until the server begins to read.",
    },
    Word {
        names: &["queue"],
        means: "Waiting for the one thread that writes the database. Long: others write much, or each commit takes long.",
    },
    Word { names: &["pool"], means: "Waiting for a connection to the database for reading." },
    Word {
        names: &["database", "db"],
        means: "Running statements. Long: many rows, or a processor that is busy with something else.",
    },
    Word {
        names: &["commit"],
        means: "Making a change durable: the wait for the disk. Long: a slow disk, or one that others use.",
    },
    Word { names: &["cache"], means: "Looking into the progress cache. Long only when the cache is a remote one." },
    Word {
        names: &["serialisation", "ser"],
        means: "Writing the answer as JSON. Long: a large answer; ask for fewer rows.",
    },
    Word {
        names: &["server", "app"],
        means: "The rest of the server's work on a call: checking who calls, parsing, planning, waiting for its turn on a thread.",
    },
    Word {
        names: &["scale"],
        means: "Multiplies what the concurrent checks do at once: 10 workers are 10,000 at --scale 1000. Calls one after the other stay as many, and limits stay as they are. Above 20, workers are connections of a few processes.",
    },
    Word {
        names: &["overlap", "parallel"],
        means: "How many tasks ran at the same moment. Each notes when it began and waits for the others; from when to when it ran it says itself, and the most of them at one moment are counted.",
    },
];

/// The word of this name.
pub fn find(name: &str) -> Option<&'static Word> {
    let name = name.trim().to_lowercase();
    WORDS.iter().find(|word| word.names.contains(&name.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::blame::Place;

    /// Whatever a report shows can be asked for.
    #[test]
    fn every_figure_and_place_is_explained() {
        for name in ["Average", "Min", "Max", "Median", "Std Dev", "P95", "P99", "limit", "invalid"] {
            assert!(find(name).is_some(), "{name}");
        }
        assert!(Place::ALL.iter().all(|place| find(place.name()).is_some()));
        assert!(find("nonsense").is_none());
    }
}
