//! Tokens.

use regatta_model::token::{TokenHash, TokenRow};
use rusqlite::params;

use super::{Reader, Result};
use crate::sqlite::{sql, tokens};

impl Reader<'_> {
    pub(in crate::sqlite) fn tokens(&self) -> Result<Vec<TokenRow>> {
        self.all(sql::LIST_TOKENS, [], tokens::token_row)
    }

    pub(in crate::sqlite) fn token(&self, hash: &TokenHash) -> Result<Option<TokenRow>> {
        self.first(sql::TOKEN_BY_HASH, params![hash.0], tokens::token_row)
    }
}
