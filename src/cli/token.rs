//! `regatta token`: who may call a server that others can reach.

use std::io::Write;

use clap::{Args, Subcommand, ValueEnum};
use regatta_client::api::Time;
use regatta_engine::tokens::mint;
use regatta_model::token::TokenRow;
use regatta_model::words::TokenRole;
use regatta_model::{Timestamp, TokenId};
use regatta_store::postgres;
use regatta_store::sqlite::TokenFile;
use serde_json::{Value, json};

use super::database::{Database, DatabaseArgs};
use crate::context::Context;
use crate::exit::{Exit, Failure, Outcome};
use crate::node::store_failure;
use crate::ui;
use crate::ui::style::{DIM, GOOD, WARN};
use crate::ui::table::{Cell, Table};

/// Names longer than this are refused, in characters.
const NAME: usize = 100;

/// What there is to do with tokens.
#[derive(Debug, Subcommand)]
pub enum Command {
    Create(Create),
    List(List),
    Revoke(Revoke),
}

/// The tokens of a database, whichever it is.
enum Tokens {
    File(TokenFile),
    Postgres(postgres::Tokens),
}

/// Opens the tokens; a database that is not there is made only for who makes a token.
async fn open(database: &DatabaseArgs, context: &Context, make: bool) -> Result<Tokens, Failure> {
    match database.database(context)? {
        Database::Sqlite(path) if !make && !path.exists() => {
            Err(Failure::failed(format!("there is no database {}, so there are no tokens", path.display()))
                .hint("name the server's with --database or --data-dir, or make a token: regatta token create"))
        }
        Database::Sqlite(path) => TokenFile::open(&path).map(Tokens::File).map_err(store_failure),
        Database::Postgres(url) => postgres::Tokens::open(&url).await.map(Tokens::Postgres).map_err(store_failure),
    }
}

impl Tokens {
    async fn add(&self, row: &TokenRow) -> Result<(), Failure> {
        match self {
            Self::File(tokens) => tokens.add(row),
            Self::Postgres(tokens) => tokens.add(row).await,
        }
        .map_err(store_failure)
    }

    async fn list(&self) -> Result<Vec<TokenRow>, Failure> {
        match self {
            Self::File(tokens) => tokens.list(),
            Self::Postgres(tokens) => tokens.list().await,
        }
        .map_err(store_failure)
    }

    async fn revoke(&self, id: TokenId, now: Timestamp) -> Result<bool, Failure> {
        match self {
            Self::File(tokens) => tokens.revoke(id, now),
            Self::Postgres(tokens) => tokens.revoke(id, now).await,
        }
        .map_err(store_failure)
    }
}

/// What a token may do.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Role {
    /// Everything
    User,
    /// Register workers, and act for those that it registered
    Worker,
    /// Read
    Viewer,
}

impl From<Role> for TokenRole {
    fn from(role: Role) -> Self {
        match role {
            Role::User => Self::User,
            Role::Worker => Self::Worker,
            Role::Viewer => Self::Viewer,
        }
    }
}

/// Make a token; it is shown this once
///
/// Makes a token and prints it, this once: of it only a hash is kept. Works on the server's database, whether the server
/// runs or not; one that runs takes the token at once.
#[derive(Debug, Args)]
#[command(after_help = "\
The token alone goes to standard output, so that it can be put into a file or a secret store.

Examples:
  regatta token create --role worker --name gpu-1
  regatta token create --role viewer --name grafana > viewer.token
  REGATTA_TOKEN=$(regatta token create --name me) regatta status --server http://farm:8000")]
pub struct Create {
    /// What it may do
    #[arg(long, value_enum, default_value_t = Role::User)]
    role: Role,

    /// What to call it, so that it is known again when it is to be revoked
    #[arg(long, value_name = "NAME", default_value = "")]
    name: String,

    /// Print JSON
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    database: DatabaseArgs,
}

/// See which tokens there are
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  regatta token list
  regatta token list --all --json")]
pub struct List {
    /// Those that were revoked too
    #[arg(long)]
    all: bool,

    /// Print JSON
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    database: DatabaseArgs,
}

/// Make tokens count for nothing
///
/// Makes tokens count for nothing. A server that runs notices within a second, refuses their calls, and closes what was
/// opened with them. What was made with them stays; a worker that was registered with one may come back with another.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  regatta token revoke 019a
  regatta token revoke gpu-1 grafana")]
pub struct Revoke {
    /// Their ids, the beginnings or ends of these, or their names
    #[arg(required = true, value_name = "TOKEN")]
    tokens: Vec<String>,

    #[command(flatten)]
    database: DatabaseArgs,
}

impl Command {
    pub async fn run(self, context: &Context) -> Outcome {
        match self {
            Self::Create(command) => command.run(context).await,
            Self::List(command) => command.run(context).await,
            Self::Revoke(command) => command.run(context).await,
        }
    }
}

fn now() -> Timestamp {
    Timestamp(ui::time::now().as_micros())
}

impl Create {
    async fn run(self, context: &Context) -> Outcome {
        if self.name.chars().count() > NAME || self.name.chars().any(char::is_control) {
            return Err(Failure::usage(format!("the name of a token is a line of at most {NAME} characters"))
                .hint("give a shorter one with --name"));
        }
        let tokens = open(&self.database, context, true).await?;
        let (row, secret) = mint(self.role.into(), &self.name, now())
            .map_err(|error| Failure::failed(format!("no token could be made: {error}")))?;
        tokens.add(&row).await?;
        if self.json {
            let mut shown = as_json(&row);
            if let Some(fields) = shown.as_object_mut() {
                fields.insert("token".to_owned(), secret.expose().into());
            }
            ui::json::print(&shown)?;
        } else {
            writeln!(std::io::stdout().lock(), "{}", secret.expose())?;
            if !context.globals.quiet {
                let named = if row.name.is_empty() { String::new() } else { format!(" {:?}", row.name) };
                let mut err = anstream::stderr().lock();
                // Who does not see it still has the token.
                let _ = writeln!(
                    err,
                    "A {} token{named}, shown this once. It is used as REGATTA_TOKEN; it ends with: regatta token revoke {}",
                    row.role, row.id
                );
            }
        }
        Ok(Exit::Done)
    }
}

impl List {
    async fn run(self, context: &Context) -> Outcome {
        let mut rows = open(&self.database, context, false).await?.list().await?;
        rows.retain(|row| self.all || row.revoked_at.is_none());
        if self.json {
            ui::json::print(&rows.iter().map(as_json).collect::<Vec<_>>())?;
            return Ok(Exit::Done);
        }
        let mut out = anstream::stdout().lock();
        if rows.is_empty() {
            writeln!(out, "no tokens; make one with: regatta token create")?;
            return Ok(Exit::Done);
        }
        let mut table = Table::new(["ID", "ROLE", "NAME", "MADE", "STATE"], "NAME");
        for row in &rows {
            let state = match row.revoked_at {
                None => Cell::new(GOOD, "counts"),
                Some(at) => Cell::new(WARN, format!("revoked {}", Time::from_micros(at.0))),
            };
            let made = Cell::new(DIM, Time::from_micros(row.created_at.0));
            table.row([Cell::from(row.id), Cell::from(row.role), Cell::from(&row.name), made, state]);
        }
        write!(out, "{}", table.render(ui::terminal().map(|(width, _)| width)))?;
        Ok(Exit::Done)
    }
}

impl Revoke {
    async fn run(self, context: &Context) -> Outcome {
        let tokens = open(&self.database, context, false).await?;
        let rows = tokens.list().await?;
        // All are found before the first is revoked.
        let ids = self.tokens.iter().map(|named| find(&rows, named)).collect::<Result<Vec<_>, _>>()?;
        for id in ids {
            tokens.revoke(id, now()).await?;
            if !context.globals.quiet {
                writeln!(anstream::stdout().lock(), "token {id} is revoked")?;
            }
        }
        Ok(Exit::Done)
    }
}

/// The token that somebody names; revoked ones too, so that revoking twice is no error.
fn find(rows: &[TokenRow], named: &str) -> Result<TokenId, Failure> {
    let by_name = rows.iter().filter(|row| !row.name.is_empty() && row.name == named && row.revoked_at.is_none());
    let by_id = rows.iter().filter(|row| {
        let id = row.id.to_string();
        id.starts_with(named) || (named.len() >= 4 && id.ends_with(named))
    });
    let mut found: Vec<TokenId> = by_name.chain(by_id).map(|row| row.id).collect();
    found.sort_unstable();
    found.dedup();
    match found.as_slice() {
        [one] => Ok(*one),
        // The secret itself must not be repeated on a screen.
        [] => Err(Failure::failed("one of the tokens that were named does not exist")
            .hint("give ids or names as regatta token list --all shows them, not the tokens themselves")),
        many => Err(Failure::failed(format!("{named:?} names {} tokens", many.len())).hint("give the whole id")),
    }
}

fn as_json(row: &TokenRow) -> Value {
    json!({
        "token_id": row.id,
        "role": row.role,
        "name": row.name,
        "created_at": Time::from_micros(row.created_at.0),
        "revoked_at": row.revoked_at.map(|at| Time::from_micros(at.0)),
    })
}
