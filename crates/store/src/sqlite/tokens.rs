//! Tokens. They are not the ledger's: a few rows that people change and that the writer knows nothing of.
//!
//! They are written over a connection of their own, in the server's process as in any other, so that they can be made
//! and revoked while a server has the database open: SQLite lets one writer in after the other.

use std::path::Path;

use regatta_model::token::{TokenHash, TokenRow};
use regatta_model::words::TokenRole;
use regatta_model::{Timestamp, TokenId};
use rusqlite::{Connection, Row, params};
use uuid::Uuid;

use super::error::DbError;
use super::open::{self, Options};
use super::{schema, sql};
use crate::StoreError;

/// The tokens of a database, for who stands beside its server or has none.
pub struct TokenFile {
    conn: Connection,
}

impl TokenFile {
    /// Opens the tokens of a database, which is made, or brought up to date, where no server has done so.
    ///
    /// # Errors
    /// As [`super::SqliteStore::open`].
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        if schema::schema(path)?.iter().any(|change| change.applied_at.is_none()) {
            schema::migrate(path)?;
        }
        Self::beside(&Options::new(path))
    }

    /// Opens the tokens of a database that is up to date.
    pub(super) fn beside(options: &Options) -> Result<Self, StoreError> {
        let conn = open::beside(options).map_err(|error| open::cannot_open(&options.path, &error))?;
        Ok(Self { conn })
    }

    /// Keeps a new token, durably.
    ///
    /// # Errors
    /// When the database fails.
    pub fn add(&self, token: &TokenRow) -> Result<(), StoreError> {
        let row = params![
            token.id.0.as_bytes(),
            token.hash.0,
            token.role.code(),
            token.name,
            token.created_at.0,
            token.revoked_at.map(|at| at.0)
        ];
        self.conn.execute(sql::INSERT_TOKEN, row).map_err(DbError::from)?;
        Ok(())
    }

    /// Revokes a token, durably; whether there was one that counted until now.
    ///
    /// # Errors
    /// When the database fails.
    pub fn revoke(&self, id: TokenId, now: Timestamp) -> Result<bool, StoreError> {
        let changed = self.conn.execute(sql::REVOKE_TOKEN, params![id.0.as_bytes(), now.0]).map_err(DbError::from)?;
        Ok(changed > 0)
    }

    /// All tokens, the oldest first, revoked ones too.
    ///
    /// # Errors
    /// When the database fails.
    pub fn list(&self) -> Result<Vec<TokenRow>, StoreError> {
        let read = || -> Result<Vec<TokenRow>, DbError> {
            let mut statement = self.conn.prepare(sql::LIST_TOKENS)?;
            let mut rows = statement.query([])?;
            let mut found = Vec::new();
            while let Some(row) = rows.next()? {
                found.push(token_row(row)?);
            }
            Ok(found)
        };
        Ok(read()?)
    }
}

/// A row of the statements that read tokens.
pub(super) fn token_row(row: &Row<'_>) -> Result<TokenRow, DbError> {
    let role = TokenRole::from_code(row.get(2)?).ok_or_else(|| DbError::Corrupt("a token's role".into()))?;
    Ok(TokenRow {
        id: TokenId(Uuid::from_bytes(row.get(0)?)),
        hash: TokenHash(row.get(1)?),
        role,
        name: row.get(3)?,
        created_at: Timestamp(row.get(4)?),
        revoked_at: row.get::<_, Option<i64>>(5)?.map(Timestamp),
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{Committed, Sink, Store};

    struct Nobody;

    impl Sink for Nobody {
        fn progressed(&self, _: &[regatta_model::ledger::ProgressChange]) {}
        fn committed(&self, _: Committed) {}
    }

    fn token(number: u128) -> TokenRow {
        TokenRow {
            id: TokenId(Uuid::from_u128(number)),
            hash: TokenHash([number as u8; 32]),
            role: TokenRole::Worker,
            name: "a".into(),
            created_at: Timestamp(1),
            revoked_at: None,
        }
    }

    #[tokio::test]
    async fn tokens_are_changed_while_a_server_has_the_database_and_while_none_has() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("regatta.db");
        TokenFile::open(&path).unwrap().add(&token(1)).unwrap();
        let store = super::super::SqliteStore::open(Options::new(&path), Arc::new(Nobody)).unwrap();
        assert_eq!(store.tokens().await.unwrap(), [token(1)]);
        let beside = TokenFile::open(&path).unwrap();
        beside.add(&token(2)).unwrap();
        assert!(beside.revoke(token(1).id, Timestamp(5)).unwrap());
        let revoked = TokenRow { revoked_at: Some(Timestamp(5)), ..token(1) };
        assert_eq!(store.tokens().await.unwrap(), [revoked.clone(), token(2)]);
        store.add_token(token(3)).await.unwrap();
        assert_eq!(beside.list().unwrap(), [revoked, token(2), token(3)]);
        store.close().await;
        assert!(TokenFile::open(&path).unwrap().revoke(token(3).id, Timestamp(6)).unwrap());
    }
}
