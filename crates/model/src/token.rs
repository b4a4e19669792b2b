//! Tokens: who may call a server that others can reach, and as what.
//!
//! A token is a secret that its holder shows with every call. Kept of it is a hash; what it may do is its role's. Making and
//! checking secrets needs chance and a hash function, which are not here.

use std::fmt;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::time::Timestamp;
use crate::words::TokenRole;

/// The id of a token, which is no secret: it stands in lists, in the tasks that were made with the token, and at the
/// workers that were registered with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TokenId(pub Uuid);

impl fmt::Display for TokenId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// SHA-256 of a token's secret.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct TokenHash(pub [u8; 32]);

impl fmt::Debug for TokenHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Enough to tell two apart.
        write!(f, "TokenHash({:02x}{:02x}…)", self.0[0], self.0[1])
    }
}

/// A token as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenRow {
    /// Its id.
    pub id: TokenId,
    /// The hash of its secret.
    pub hash: TokenHash,
    /// What it may do.
    pub role: TokenRole,
    /// What people call it; several may have the same name.
    pub name: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was revoked; it counts for nothing since.
    pub revoked_at: Option<Timestamp>,
}

/// A text that must not be seen: it shows only to who asks for it by [`Secret::expose`].
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// Wraps a text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("…")
    }
}

impl TokenRole {
    /// How the secrets of this role's tokens begin.
    pub const fn prefix(self) -> &'static str {
        match self {
            Self::User => "rgu_",
            Self::Worker => "rgw_",
            Self::Viewer => "rgv_",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_shows_only_when_asked() {
        let secret = Secret::new("rgu_abc");
        assert_eq!(format!("{secret:?} {:?}", Some(&secret)), "… Some(…)");
        assert_eq!(secret.expose(), "rgu_abc");
    }
}
