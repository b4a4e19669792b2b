//! Tokens: making them, knowing them again, and noticing when they are revoked.
//!
//! The tokens that count are kept in memory, by hash, so that a call with a good token costs a hash and a lookup. They are
//! read again every [`REFRESH_EVERY`], because another process may revoke one, and one that is not known is looked for in
//! the store at once, because another process may have just made it. Which call needs which role is the server's business.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::RwLock;
use regatta_model::token::{Secret, TokenHash, TokenRow};
use regatta_model::words::TokenRole;
use regatta_model::{Timestamp, TokenId};
use regatta_store::Store;
use ring::digest::{SHA256, digest};
use ring::rand::{SecureRandom, SystemRandom};
use subtle::ConstantTimeEq;
use tokio::sync::watch;
use uuid::Uuid;

use crate::{Error, Result};

/// How often the tokens are read again: a revocation by another process counts after this long at most.
pub const REFRESH_EVERY: Duration = Duration::from_millis(500);
/// Bytes of chance in a secret: 256 bits.
const SECRET_BYTES: usize = 32;
/// Characters of a secret: a prefix of four, and two for each byte.
const SECRET_LENGTH: usize = 4 + 2 * SECRET_BYTES;

/// Makes a token: its row, to be kept, and its secret, to be shown once.
///
/// # Errors
/// [`Error::Internal`] when the system gives no chance.
pub fn mint(role: TokenRole, name: &str, now: Timestamp) -> Result<(TokenRow, Secret)> {
    let secret = chance(role.prefix())?;
    let row = TokenRow {
        id: TokenId(Uuid::now_v7()),
        hash: hash(secret.expose()),
        role,
        name: name.to_owned(),
        created_at: now,
        revoked_at: None,
    };
    Ok((row, secret))
}

/// A secret of 256 random bits behind a prefix.
///
/// # Errors
/// [`Error::Internal`] when the system gives no chance.
pub fn chance(prefix: &str) -> Result<Secret> {
    let mut bytes = [0; SECRET_BYTES];
    SystemRandom::new()
        .fill(&mut bytes)
        .map_err(|_| Error::Internal("the system gave no random numbers for a token; try again".into()))?;
    let mut text = String::with_capacity(prefix.len() + 2 * SECRET_BYTES);
    text.push_str(prefix);
    for byte in bytes {
        for half in [byte >> 4, byte & 15] {
            text.push(char::from_digit(half.into(), 16).unwrap_or('0'));
        }
    }
    Ok(Secret::new(text))
}

/// Whether a text is the one of this hash; the time that it takes tells nothing.
pub fn is_of(text: &str, known: &TokenHash) -> bool {
    bool::from(known.0.ct_eq(&hash(text).0))
}

/// A secret is 256 random bits: a fast hash is as hard to turn back as a slow one.
pub fn hash(secret: &str) -> TokenHash {
    let mut bytes = [0; 32];
    bytes.copy_from_slice(digest(&SHA256, secret.as_bytes()).as_ref());
    TokenHash(bytes)
}

/// Whether a text has the form of a secret.
fn is_secret(text: &str) -> bool {
    text.len() == SECRET_LENGTH
        && TokenRole::ALL.iter().any(|role| text.starts_with(role.prefix()))
        && text.bytes().skip(4).all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// A token that counts.
#[derive(Clone)]
pub struct LiveToken {
    inner: Arc<Inner>,
}

struct Inner {
    id: TokenId,
    role: TokenRole,
    hash: TokenHash,
    revoked: watch::Sender<bool>,
}

impl fmt::Debug for LiveToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LiveToken").field("id", &self.inner.id).field("role", &self.inner.role).finish_non_exhaustive()
    }
}

impl PartialEq for LiveToken {
    fn eq(&self, other: &Self) -> bool {
        self.inner.id == other.inner.id
    }
}

impl Eq for LiveToken {}

impl LiveToken {
    fn new(row: &TokenRow) -> Self {
        let inner = Inner { id: row.id, role: row.role, hash: row.hash, revoked: watch::channel(false).0 };
        Self { inner: Arc::new(inner) }
    }

    /// Its id.
    pub fn id(&self) -> TokenId {
        self.inner.id
    }

    /// What it may do.
    pub fn role(&self) -> TokenRole {
        self.inner.role
    }

    /// Returns when it is revoked: what was opened with it must end.
    pub async fn revoked(&self) {
        let mut revoked = self.inner.revoked.subscribe();
        // The sender lives in this very token.
        let _ = revoked.wait_for(|revoked| *revoked).await;
    }
}

/// The tokens that count.
pub struct Tokens {
    store: Arc<dyn Store>,
    live: RwLock<HashMap<TokenHash, LiveToken>>,
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tokens").field("live", &self.live.read().len()).finish_non_exhaustive()
    }
}

impl Tokens {
    /// None yet; [`Tokens::refresh`] reads them.
    pub fn new(store: Arc<dyn Store>) -> Self {
        Self { store, live: RwLock::default() }
    }

    /// The token of this secret, if it is known here to count. Costs no look at the store.
    pub fn known(&self, secret: &str) -> Option<LiveToken> {
        if !is_secret(secret) {
            return None;
        }
        let hash = hash(secret);
        let found = self.live.read().get(&hash).cloned()?;
        // What the map's comparison may tell by its time is about the hash, of which nobody can choose the bits; this one
        // tells nothing at all.
        bool::from(found.inner.hash.0.ct_eq(&hash.0)).then_some(found)
    }

    /// As [`Tokens::known`], and looks into the store for one that was made a moment ago.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn find(&self, secret: &str) -> Result<Option<LiveToken>> {
        if !is_secret(secret) {
            return Ok(None);
        }
        if let Some(known) = self.known(secret) {
            return Ok(Some(known));
        }
        let hash = hash(secret);
        let Some(row) = self.store.token(hash).await?.filter(|row| row.revoked_at.is_none()) else {
            return Ok(None);
        };
        Ok(Some(self.live.write().entry(hash).or_insert_with(|| LiveToken::new(&row)).clone()))
    }

    /// Whether a token, by its id, counts for nothing any more.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn is_dead(&self, id: TokenId) -> Result<bool> {
        let rows = self.store.tokens().await?;
        Ok(!rows.iter().any(|row| row.id == id && row.revoked_at.is_none()))
    }

    /// Reads the tokens again, and tells those who hold a revoked one.
    ///
    /// # Errors
    /// Those of the store; then what was known before counts on.
    pub async fn refresh(&self) -> Result<()> {
        let rows = self.store.tokens().await?;
        let mut live = self.live.write();
        // Only what the list says is revoked goes: one that was found a moment after the list was read stays.
        for row in &rows {
            match row.revoked_at {
                None => drop(live.entry(row.hash).or_insert_with(|| LiveToken::new(row))),
                Some(_) => {
                    if let Some(revoked) = live.remove(&row.hash) {
                        revoked.inner.revoked.send_replace(true);
                    }
                }
            }
        }
        Ok(())
    }

    /// Reads the tokens again and again.
    pub async fn keep_fresh(&self) {
        let mut ticks = tokio::time::interval(REFRESH_EVERY);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            if let Err(error) = self.refresh().await {
                tracing::warn!(%error, "the tokens could not be read again; those known before count on");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use regatta_store::memory::MemoryStore;
    use regatta_store::{Committed, Sink};

    struct Nobody;

    impl Sink for Nobody {
        fn progressed(&self, _: &[regatta_model::ledger::ProgressChange]) {}
        fn committed(&self, _: Committed) {}
    }

    #[test]
    fn a_secret_has_its_roles_prefix_and_256_random_bits() {
        let mut seen = std::collections::HashSet::new();
        for role in TokenRole::ALL {
            let (row, secret) = mint(*role, "n", Timestamp(0)).unwrap();
            assert!(secret.expose().starts_with(role.prefix()) && is_secret(secret.expose()));
            assert_eq!((row.role, row.hash), (*role, hash(secret.expose())));
            let hidden = secret.expose().get(8..).unwrap();
            assert!(!format!("{row:?} {secret:?}").contains(hidden));
            assert!(seen.insert(secret.expose().to_owned()));
        }
        for text in ["", "rgu_", "rgx_00", &format!("rgu_{}", "G".repeat(64)), &format!("rgu_{}", "é".repeat(32))] {
            assert!(!is_secret(text), "{text}");
        }
    }

    #[test]
    fn the_hash_is_sha_256() {
        let expected = [0xba, 0x78, 0x16, 0xbf, 0x8f, 0x01, 0xcf, 0xea];
        assert_eq!(hash("abc").0.first_chunk(), Some(&expected));
    }

    #[tokio::test]
    async fn a_token_is_known_at_once_and_a_revocation_is_told() {
        let store = Arc::new(MemoryStore::new(Arc::new(Nobody)));
        let tokens = Tokens::new(store.clone());
        tokens.refresh().await.unwrap();
        let (row, secret) = mint(TokenRole::Worker, "w", Timestamp(1)).unwrap();
        assert_eq!(tokens.find(secret.expose()).await.unwrap(), None);
        store.add_token(row.clone()).await.unwrap();
        assert_eq!(tokens.known(secret.expose()), None);
        let live = tokens.find(secret.expose()).await.unwrap().unwrap();
        assert_eq!((live.id(), live.role()), (row.id, TokenRole::Worker));
        assert!(tokens.known(secret.expose()).is_some() && !tokens.is_dead(row.id).await.unwrap());

        assert!(store.revoke_token(row.id, Timestamp(2)).await.unwrap());
        tokens.refresh().await.unwrap();
        live.revoked().await;
        assert_eq!(tokens.find(secret.expose()).await.unwrap(), None);
        assert!(tokens.is_dead(row.id).await.unwrap());
        let almost = secret.expose().replace("rgw_", "rgu_");
        assert_eq!(tokens.find(&almost).await.unwrap(), None);
    }
}
