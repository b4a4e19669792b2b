//! Tokens.

use regatta_model::token::{TokenHash, TokenRow};

use super::Reader;
use crate::postgres::link::Result;
use crate::postgres::{codec, sql};

impl Reader<'_> {
    pub(in crate::postgres) async fn tokens(&self) -> Result<Vec<TokenRow>> {
        self.all(sql::LIST_TOKENS, &[]).await?.iter().map(codec::token_row).collect()
    }

    pub(in crate::postgres) async fn token(&self, hash: &TokenHash) -> Result<Option<TokenRow>> {
        self.first(sql::TOKEN_BY_HASH, &[&&hash.0[..]]).await?.as_ref().map(codec::token_row).transpose()
    }
}
