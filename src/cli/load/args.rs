//! The flags of `regatta load`, with the names, meanings and environment variables that Locust gives them.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use clap::builder::FalseyValueParser;
use regatta_load::Options;
use regatta_load::engine::arrivals::Profile;
use regatta_load::scenario::duration;
use regatta_load::threshold::Threshold;

use crate::exit::Failure;

const EXAMPLES: &str = "\
Examples:
  regatta load --users 10 --spawn-rate 2 --run-time 60s --only-summary WorkerUser
                                              the platform at http://localhost:8000, by users that register workers
  regatta load -f shop.toml -H http://localhost:9000
                                              the web page at http://localhost:8089: start, watch, change and stop it there
  regatta load -f shop.toml -H http://localhost:9000 --web-host 0.0.0.0
                                              the same for other machines, with a sign-in by the token that it prints
  regatta load -f shop.toml -H http://localhost:9000 -u 100 -r 10 -t 5m --headless --csv results/shop
                                              a scenario of your own, with CSV files
  regatta load -f shop.toml --headless --arrival-rate 200 -t 1m --threshold 'http_req_duration: p(95)<200'
                                              200 tasks a second, however long they take; fails when they are slow
  regatta load -f shop.toml --headless --stages 30s:100,1m:500 --max-fail-ratio 0.01
                                              from 0 to 100 tasks a second in 30 s, to 500 in another minute
  regatta load --worker --master-host 10.0.0.5 -f shop.toml
                                              a worker of `locust -f locustfile.py --master` there
  regatta load --list                         the user classes there are
  regatta load --schema                       the JSON schema of scenario files, for your editor

Exit codes: 0; 1 with failed requests (--exit-code-on-error changes it), or when a threshold does not hold: with \
thresholds, these alone decide; 4 when one does not hold and the generator itself was the bottleneck.";

/// Load a server with users, as Locust does
///
/// Users come from the scenario file, or are the built-in ones that know the platform: WorkerUser, TaskUser, MixedUser.
/// Without --headless it waits for a web page to start the run (--autostart begins at once). What these create carries a label of the run, so that no other worker takes it, and is removed afterwards.
#[derive(Debug, Clone, Args)]
#[command(after_help = EXAMPLES)]
pub struct Load {
    /// The user classes to run [default: all of the file]
    #[arg(value_name = "CLASS", env = "LOCUST_USER_CLASSES", hide_env_values = true, value_delimiter = ' ')]
    pub classes: Vec<String>,

    /// A scenario in TOML [default: the built-in user classes]
    #[arg(
        short,
        long = "file",
        visible_alias = "locustfile",
        value_name = "FILE",
        env = "LOCUST_LOCUSTFILE",
        hide_env_values = true
    )]
    pub file: Option<PathBuf>,

    /// The server [default: the scenario's, else http://localhost:8000]
    #[arg(short = 'H', long, value_name = "URL", env = "LOCUST_HOST", hide_env_values = true)]
    pub host: Option<String>,

    /// Users at once [default: 1]; with an arrival rate the most there may be [default: 1000]
    #[arg(short, long, value_name = "N", env = "LOCUST_USERS", hide_env_values = true)]
    pub users: Option<u64>,

    /// Users a second until they are all there
    #[arg(
        short = 'r',
        long,
        value_name = "N",
        default_value_t = 1.0,
        env = "LOCUST_SPAWN_RATE",
        hide_env_values = true
    )]
    pub spawn_rate: f64,

    /// Stop after so long, like 300s, 20m or 1h30m [default: run until Ctrl-C]
    #[arg(short = 't', long, value_name = "TIME", value_parser = duration::parse, env = "LOCUST_RUN_TIME", hide_env_values = true)]
    pub run_time: Option<Duration>,

    /// No web page and no terminal view: begin at once, with log lines and a table every two seconds
    #[arg(long, value_parser = FalseyValueParser::new(), env = "LOCUST_HEADLESS", hide_env_values = true)]
    pub headless: bool,

    /// No web page: begin at once, in the terminal view where there is a terminal
    #[arg(long)]
    pub no_web: bool,

    /// With the web page: begin at once
    #[arg(long, value_parser = FalseyValueParser::new(), env = "LOCUST_AUTOSTART", hide_env_values = true)]
    pub autostart: bool,

    /// With the web page: quit so many seconds after the run
    #[arg(long, value_name = "SECONDS", env = "LOCUST_AUTOQUIT", hide_env_values = true)]
    pub autoquit: Option<f64>,

    /// Where the web page listens; beyond this machine it asks for a sign-in
    #[arg(long, value_name = "HOST", default_value = "localhost", env = "LOCUST_WEB_HOST", hide_env_values = true)]
    pub web_host: String,

    /// Ask for a sign-in on this machine too; the token is that of REGATTA_LOAD_TOKEN, else a new one, printed at the start
    #[arg(long, value_parser = FalseyValueParser::new(), env = "LOCUST_WEB_LOGIN", hide_env_values = true)]
    pub web_login: bool,

    /// Read the sign-in's token from this file
    #[arg(long, value_name = "FILE", env = "REGATTA_LOAD_TOKEN_FILE", hide_env_values = true)]
    pub web_token_file: Option<PathBuf>,

    /// The web page's port; 0: any that is free
    #[arg(
        short = 'P',
        long,
        value_name = "PORT",
        default_value_t = 8089,
        env = "LOCUST_WEB_PORT",
        hide_env_values = true
    )]
    pub web_port: u16,

    /// Threads; -1: the cores [default: the cores]
    #[arg(long, visible_alias = "processes", value_name = "N", allow_negative_numbers = true)]
    pub threads: Option<i64>,

    /// So long users may finish what they do when the run ends, like 10 or 10s
    #[arg(short = 's', long, value_name = "TIME", value_parser = duration::parse, default_value = "0", env = "LOCUST_STOP_TIMEOUT", hide_env_values = true)]
    pub stop_timeout: Duration,

    /// Speak HTTP/2: over https:// as the server agrees, over http:// at once; each user has a connection of its own
    #[arg(long)]
    pub http2: bool,

    /// Trust the certificates of this PEM file too
    #[arg(long, value_name = "FILE")]
    pub trust: Option<PathBuf>,

    /// Join a Locust master, which says who runs, how many, where and how long; this scenario says what they do
    #[arg(long, value_parser = FalseyValueParser::new(), env = "LOCUST_MODE_WORKER", hide_env_values = true, help_heading = "Past one machine", conflicts_with_all = ["arrival_rate", "stages", "threshold", "max_fail_ratio"])]
    pub worker: bool,

    /// The master
    #[arg(
        long,
        value_name = "HOST",
        default_value = "127.0.0.1",
        env = "LOCUST_MASTER_NODE_HOST",
        hide_env_values = true,
        help_heading = "Past one machine"
    )]
    pub master_host: String,

    /// Its port
    #[arg(
        long,
        value_name = "PORT",
        default_value_t = 5557,
        env = "LOCUST_MASTER_NODE_PORT",
        hide_env_values = true,
        help_heading = "Past one machine"
    )]
    pub master_port: u16,

    /// A master that is silent for so long is lost: the users are stopped, and this worker ends
    #[arg(long, value_name = "TIME", value_parser = duration::parse, default_value = "60s", help_heading = "Past one machine")]
    pub master_timeout: Duration,

    /// Only tasks with one of these tags
    #[arg(short = 'T', long, value_name = "TAG", num_args = 1.., env = "LOCUST_TAGS", hide_env_values = true, help_heading = "What runs")]
    pub tags: Vec<String>,

    /// No tasks with one of these tags
    #[arg(short = 'E', long, value_name = "TAG", num_args = 1.., env = "LOCUST_EXCLUDE_TAGS", hide_env_values = true, help_heading = "What runs")]
    pub exclude_tags: Vec<String>,

    /// As many users of each class, whatever their weights
    #[arg(long, value_parser = FalseyValueParser::new(), env = "LOCUST_EQUAL_WEIGHTS", hide_env_values = true, help_heading = "What runs")]
    pub equal_weights: bool,

    /// The open model: begin so many tasks a second, however long they take
    #[arg(long, value_name = "RATE", help_heading = "What runs")]
    pub arrival_rate: Option<f64>,

    /// The open model in stages: how long, and up or down to how many tasks a second
    #[arg(long, value_name = "TIME:RATE,...", help_heading = "What runs")]
    pub stages: Option<String>,

    /// What is measured before does not count
    #[arg(long, value_name = "TIME", value_parser = duration::parse, default_value = "0", help_heading = "What counts")]
    pub warm_up: Duration,

    /// Nor what is measured before all users are there
    #[arg(long, value_parser = FalseyValueParser::new(), env = "LOCUST_RESET_STATS", hide_env_values = true, help_heading = "What counts")]
    pub reset_stats: bool,

    /// What must hold, like 'http_req_duration{name:/items}: p(95)<200'; ` abort` or ` abort after 10s` at its end stops the run
    #[arg(long, value_name = "THRESHOLD", value_parser = Threshold::parse, help_heading = "What counts")]
    pub threshold: Vec<Threshold>,

    /// At most this share of the requests may fail, from 0 to 1
    #[arg(long, value_name = "RATIO", help_heading = "What counts")]
    pub max_fail_ratio: Option<f64>,

    /// The exit code when requests failed
    #[arg(
        long,
        value_name = "CODE",
        default_value_t = 1,
        env = "LOCUST_EXIT_CODE_ON_ERROR",
        hide_env_values = true,
        help_heading = "What counts"
    )]
    pub exit_code_on_error: u8,

    /// Write PREFIX_stats.csv, _stats_history.csv, _failures.csv and _exceptions.csv
    #[arg(long, value_name = "PREFIX", env = "LOCUST_CSV", hide_env_values = true, help_heading = "Reports")]
    pub csv: Option<PathBuf>,

    /// The history of every request, not only of all together
    #[arg(long, value_parser = FalseyValueParser::new(), env = "LOCUST_CSV_FULL_HISTORY", hide_env_values = true, help_heading = "Reports")]
    pub csv_full_history: bool,

    /// Print the figures as JSON at the end
    #[arg(long, value_parser = FalseyValueParser::new(), env = "LOCUST_JSON", hide_env_values = true, help_heading = "Reports")]
    pub json: bool,

    /// Write them to FILE.json
    #[arg(long, value_name = "FILE", env = "LOCUST_JSON_FILE", hide_env_values = true, help_heading = "Reports")]
    pub json_file: Option<PathBuf>,

    /// Write a report with charts as one HTML file; {u}, {r} and {t} in its name become users, spawn rate and run time
    #[arg(long, value_name = "FILE", env = "LOCUST_HTML", hide_env_values = true, help_heading = "Reports")]
    pub html: Option<String>,

    /// Print a table every two seconds
    #[arg(long, value_parser = FalseyValueParser::new(), env = "LOCUST_PRINT_STATS", hide_env_values = true, help_heading = "Reports")]
    pub print_stats: bool,

    /// Print tables only at the end
    #[arg(long, value_parser = FalseyValueParser::new(), env = "LOCUST_ONLY_SUMMARY", hide_env_values = true, help_heading = "Reports")]
    pub only_summary: bool,

    /// How much the log says
    #[arg(short = 'L', long, value_name = "LEVEL", ignore_case = true, default_value = "info", value_parser = ["debug", "info", "warning", "error", "critical"], env = "LOCUST_LOGLEVEL", hide_env_values = true, help_heading = "Reports")]
    pub loglevel: String,

    /// Name the user classes and do nothing
    #[arg(short, long, help_heading = "Look, and do nothing")]
    pub list: bool,

    /// Print how often each task is chosen and do nothing
    #[arg(long, help_heading = "Look, and do nothing")]
    pub show_task_ratio: bool,

    /// Print the JSON schema of scenario files and do nothing
    #[arg(long, help_heading = "Look, and do nothing")]
    pub schema: bool,
}

/// Users of the open model when nobody says how many.
const OPEN_USERS: u64 = 1_000;

impl Load {
    /// What the engine is told.
    pub fn options(&self) -> Result<Options, Failure> {
        let arrivals = match (self.arrival_rate, &self.stages) {
            (None, None) => None,
            (Some(rate), None) => Some(Profile::constant(rate)),
            (start, Some(stages)) => {
                Some(stages_of(stages).and_then(|stages| Profile::stages(start.unwrap_or(0.0), stages)))
            }
        };
        let arrivals = arrivals.transpose().map_err(Failure::usage)?;
        let mut thresholds = self.threshold.clone();
        if let Some(ratio) = self.max_fail_ratio {
            if !(0.0..=1.0).contains(&ratio) {
                return Err(Failure::usage(format!("--max-fail-ratio is a share from 0 to 1, not {ratio}")));
            }
            let threshold = Threshold::parse(&format!("http_req_failed: rate<={ratio}"));
            thresholds.push(threshold.map_err(Failure::usage)?);
        }
        let threads = self.threads()?;
        Ok(Options {
            users: self.users.unwrap_or(if arrivals.is_some() { OPEN_USERS } else { 1 }),
            spawn_rate: self.spawn_rate,
            run_time: self.run_time,
            threads,
            stop_timeout: self.stop_timeout,
            warm_up: self.warm_up,
            reset_stats: self.reset_stats,
            arrivals,
            thresholds,
            trust: self.trust.clone(),
            http2: self.http2,
            open_ended: false,
            led: false,
        })
    }

    /// Threads of the engine.
    pub fn threads(&self) -> Result<usize, Failure> {
        match self.threads {
            None | Some(-1) => Ok(Options::default().threads),
            Some(threads) => usize::try_from(threads)
                .ok()
                .filter(|threads| *threads > 0)
                .ok_or_else(|| Failure::usage("--threads is at least 1, or -1 for one a core")),
        }
    }
}

/// `30s:100,1m:500`
pub fn stages_of(text: &str) -> Result<Vec<(Duration, f64)>, String> {
    let stage = |part: &str| {
        let bad = || format!("`{part}` is no stage; write --stages like 30s:100,1m:500");
        let (length, rate) = part.split_once(':').ok_or_else(bad)?;
        let rate: f64 = rate.trim().parse().map_err(|_| bad())?;
        let length = duration::parse(length)?;
        if length.is_zero() { Err(bad()) } else { Ok((length, rate)) }
    };
    text.split(',').map(stage).collect()
}
