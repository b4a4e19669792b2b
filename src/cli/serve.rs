//! `regatta serve`: a server node.

use std::io::Write;
use std::path::PathBuf;

use clap::Args;
use regatta_server::{Access, Tls};

use super::database::{Database, DatabaseArgs};
use crate::context::Context;
use crate::exit::{Exit, Failure, Outcome};
use crate::logging::{self, LogArgs};
use crate::node::{Node, NodeOptions, Retain};
use crate::ready::Ready;
use crate::signals::{self, Signals};
use crate::ui::style::{BAD, paint};

/// Where a server listens when nobody says.
pub const LISTEN: &str = "localhost:8000";

/// A server
///
/// Runs a server: the API, the engine that hands out work, and an embedded store. Workers come by themselves.
#[derive(Debug, Args)]
#[command(after_help = "\
SIGTERM or Ctrl-C drains it: what is under way finishes, workers and watchers are told to come back. The \
second ends it at once; nothing that was acknowledged is lost either way.

Examples:
  regatta serve
  regatta serve --listen localhost:9000 --database sqlite:/var/lib/regatta/regatta.db
  regatta serve --database postgres://regatta@db/regatta         many servers on one PostgreSQL
  regatta serve --database postgres://regatta@db/regatta --redis redis://redis     and news between them by Redis
  regatta serve --retain-days 30 --retain-tasks 1000000         what ended is kept that long, and no more of it
  regatta serve --log-format json --log-level info,regatta_engine=debug
  regatta serve --listen 0.0.0.0:8000                           others may call it, with tokens
  regatta serve --listen 0.0.0.0:8443 --tls-cert farm.pem --tls-key farm.key
  regatta serve --listen localhost:0 --ready-file ready.json    any free port")]
pub struct Serve {
    /// Host and port to listen on; `localhost` is IPv4 and IPv6, port 0 any free one [default: localhost:8000]
    #[arg(long, value_name = "HOST:PORT", value_delimiter = ',')]
    listen: Vec<String>,

    #[command(flatten)]
    database: DatabaseArgs,

    /// What many servers on one PostgreSQL tell each other their news by: redis://, or rediss:// for TLS [default: PostgreSQL]
    #[arg(long, value_name = "URL", env = "REGATTA_REDIS", hide_env_values = true)]
    redis: Option<String>,

    /// Most connections to PostgreSQL that read; 0 makes one for each use [default: 60]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16))]
    pool_size: Option<u16>,

    /// How long a worker may be silent before its work goes to another [default: 90]
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(1..=86_400))]
    lease_seconds: Option<u32>,

    /// Speak TLS with this certificate, a PEM file (the authorities between it and the root behind it)
    #[arg(long, value_name = "FILE")]
    tls_cert: Option<PathBuf>,

    /// The key of the certificate, a PEM file
    #[arg(long, value_name = "FILE")]
    tls_key: Option<PathBuf>,

    /// Let everyone who reaches it do everything, without tokens: for agents that know none, in a trusted network only
    #[arg(long)]
    insecure_no_auth: bool,

    #[command(flatten)]
    retain: Retain,

    /// Write url and pid to FILE as JSON once it serves
    #[arg(long, value_name = "FILE")]
    ready_file: Option<PathBuf>,

    /// Drain when standard input ends: the process that started this one holds it open while it lives
    #[arg(long, hide = true)]
    exit_with_parent: bool,

    #[command(flatten)]
    log: LogArgs,
}

impl Serve {
    pub async fn run(self, context: &Context) -> Outcome {
        let file = &context.file.serve;
        logging::start(&self.log, file.log_format, file.log_level.as_deref(), &context.globals, "info")?;
        let mut signals = Signals::take()?;
        let database = self.database.database(context)?;
        let node = NodeOptions {
            listen: listen(self.listen, file.listen.as_deref()),
            database: database.clone(),
            redis: redis(self.redis.or(file.redis.clone()), &database)?,
            pool_size: self.pool_size.or(file.pool_size).map(usize::from),
            lease_seconds: self.lease_seconds.or(file.lease_seconds),
            tls: tls(self.tls_cert.or(file.tls_cert.clone()), self.tls_key.or(file.tls_key.clone()))?,
            insecure_no_auth: self.insecure_no_auth || file.insecure_no_auth.unwrap_or(false),
            retain: self.retain.or(file),
        };
        let mut node = node.build().await?;
        let url = node.url();
        tracing::info!(%url, %database, "serving");
        if !context.globals.quiet {
            let mut out = anstream::stdout().lock();
            writeln!(out, "Regatta serves at {url}\n  console {url}\n  API     {url}/docs\n  data    {}", database)?;
            writeln!(out, "  try     regatta worker --server {url} --tools command\nCtrl-C stops it.")?;
            out.flush()?;
        }
        tell_who_may_call(&mut node)?;
        if let Some(file) = &self.ready_file {
            Ready { url, pid: std::process::id(), workers: Vec::new() }.write(file)?;
        }
        let (drain, drained) = tokio::sync::oneshot::channel::<()>();
        let running = node.run(async {
            // Dropped or sent: both mean drain.
            let _ = drained.await;
        });
        let mut running = std::pin::pin!(running);
        tokio::select! {
            ended = running.as_mut() => {
                ended?;
                return Ok(Exit::Done);
            }
            () = signals.next() => tracing::info!("draining; once more to stop at once"),
            () = signals::parent_gone(), if self.exit_with_parent => tracing::info!("the process that started this one is gone"),
        }
        drop(drain);
        tokio::select! {
            ended = running => ended.map(|()| Exit::Done),
            () = signals.next() => Err(Failure::quiet(Exit::Interrupted)),
        }
    }
}

/// The Redis that was named. `REDIS_URL`, which other programs read too, counts where nothing of ours says anything and
/// there can be other servers.
fn redis(named: Option<String>, database: &Database) -> Result<Option<String>, Failure> {
    let shared = matches!(database, Database::Postgres(_));
    let url = match named {
        Some(_) if !shared => {
            return Err(Failure::usage("Redis carries news between servers, and a database in a file has only one")
                .hint("leave --redis away, or name a PostgreSQL: --database postgres://USER:PASSWORD@HOST/NAME"));
        }
        Some(url) => url,
        None => match std::env::var("REDIS_URL") {
            Ok(url) if shared && !url.is_empty() => url,
            _ => return Ok(None),
        },
    };
    // Its words never quote the URL, which may hold a password.
    regatta_bus::redis::check(&url).map_err(|error| {
        Failure::usage(format!("this is no Redis: {error}"))
            .hint("write it as redis://:PASSWORD@HOST:6379, or rediss:// for TLS")
    })?;
    Ok(Some(url))
}

/// The certificate and its key: both or none.
fn tls(certificate: Option<PathBuf>, key: Option<PathBuf>) -> Result<Option<Tls>, Failure> {
    match (certificate, key) {
        (Some(certificate), Some(key)) => Ok(Some(Tls { certificate, key })),
        (None, None) => Ok(None),
        _ => Err(Failure::usage("a certificate and its key belong together")
            .hint("give both --tls-cert and --tls-key, or neither")),
    }
}

/// Says what must be known of a server that others can reach; the first token is shown here and nowhere else.
///
/// # Errors
/// When the token cannot be written: then nobody would ever know it.
pub fn tell_who_may_call(node: &mut Node) -> Result<(), Failure> {
    if let Some(secret) = node.take_first_token() {
        let mut out = anstream::stdout().lock();
        writeln!(out, "\nThis server is reachable from other machines, so everyone who calls it shows a token.")?;
        writeln!(out, "The first one, for you, shown this once (export it as REGATTA_TOKEN):\n")?;
        writeln!(out, "  {}\n", secret.expose())?;
        writeln!(out, "Workers get tokens of their own: regatta token create --role worker --name NAME")?;
        out.flush()?;
    }
    if node.access() == Access::Tokens && node.url().starts_with("http:") {
        tracing::warn!(
            "without TLS tokens can be read on the way; use --tls-cert and --tls-key, or a proxy that speaks TLS"
        );
    }
    if node.access() == Access::Open {
        let text = "WARNING: --insecure-no-auth: everyone who reaches this server's addresses may read every task, run \
                    programs on its workers, and take work and results. No token is asked for.";
        tracing::warn!("{text}");
        // Standard error may be closed; the log has it too.
        let _ = writeln!(anstream::stderr().lock(), "{}", paint(BAD.bold(), text));
    }
    Ok(())
}

/// Where to listen: the flags over the configuration file over the default.
pub fn listen(flags: Vec<String>, file: Option<&str>) -> Vec<String> {
    match (flags.is_empty(), file) {
        (false, _) => flags,
        (true, Some(listen)) => listen.split(',').map(|one| one.trim().to_owned()).collect(),
        (true, None) => vec![LISTEN.to_owned()],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_come_before_the_file() {
        assert_eq!(listen(vec![], None), ["localhost:8000"]);
        assert_eq!(listen(vec![], Some("localhost:1, [::1]:2")), ["localhost:1", "[::1]:2"]);
        assert_eq!(listen(vec!["localhost:3".to_owned()], Some("localhost:1")), ["localhost:3"]);
    }
}
