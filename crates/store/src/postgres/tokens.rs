//! Tokens of a database, changed and listed with or without a server that uses it.

use regatta_model::token::TokenRow;
use regatta_model::{Timestamp, TokenId};

use super::connect::Connector;
use super::error::DbError;
use super::{codec, sql};
use crate::StoreError;

/// The tokens of a database.
pub struct Tokens {
    pub(super) connector: Connector,
}

impl Tokens {
    /// Of the database at this URL, whose schema is brought up to date first.
    ///
    /// # Errors
    /// [`StoreError::Open`] with a sentence that says what to do.
    pub async fn open(url: &str) -> Result<Self, StoreError> {
        super::migrate(url).await?;
        Ok(Self { connector: Connector::new(url)? })
    }

    /// Keeps a new one.
    ///
    /// # Errors
    /// When the database fails, or it is there already.
    pub async fn add(&self, token: &TokenRow) -> Result<(), StoreError> {
        let client = self.connector.connect("tokens").await?;
        client
            .execute(
                sql::INSERT_TOKEN,
                &[
                    &token.id.0,
                    &&token.hash.0[..],
                    &i16::from(token.role.code()),
                    &token.name,
                    &token.created_at.0,
                    &token.revoked_at.map(|at| at.0),
                ],
            )
            .await
            .map_err(DbError::from)?;
        Ok(())
    }

    /// Revokes one; whether there was one that counted until now.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn revoke(&self, id: TokenId, now: Timestamp) -> Result<bool, StoreError> {
        let client = self.connector.connect("tokens").await?;
        let changed = client.execute(sql::REVOKE_TOKEN, &[&id.0, &now.0]).await.map_err(DbError::from)?;
        Ok(changed > 0)
    }

    /// All, the oldest first, revoked ones too.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn list(&self) -> Result<Vec<TokenRow>, StoreError> {
        let client = self.connector.connect("tokens").await?;
        let rows = client.query(sql::LIST_TOKENS, &[]).await.map_err(DbError::from)?;
        Ok(rows.iter().map(codec::token_row).collect::<Result<_, DbError>>()?)
    }
}
