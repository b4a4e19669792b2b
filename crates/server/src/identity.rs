//! Who calls: the one place where a caller becomes an [`Identity`].
//!
//! A server that listens only on loopback asks for no credentials: whoever reaches it is the local user, who may do
//! everything. A server that listens elsewhere asks everyone for a token, those on its own machine too: the listening
//! address counts, never the caller's. What an identity may do is in [`crate::policy`]; routes only see who calls.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use axum::extract::FromRequestParts;
use http::header::{AUTHORIZATION, SEC_WEBSOCKET_PROTOCOL};
use http::request::Parts;
use http::{HeaderMap, Uri};
use regatta_engine::tokens::{LiveToken, Tokens};
use regatta_model::TokenId;
use regatta_model::words::TokenRole;
use uuid::Uuid;

use crate::metrics;
use crate::problem::{Failure, Kind};
use crate::request;
use crate::throttle::Throttle;

/// The `user_id` of tasks that were made without credentials.
pub const LOCAL_USER: Uuid = Uuid::from_u128(1);
/// The subprotocol that a WebSocket is spoken in where one is asked for.
pub(crate) const PROTOCOL: &str = "regatta";
/// What a token is behind, among the subprotocols that a page offers beside [`PROTOCOL`].
const TOKEN_PROTOCOL: &str = "regatta.token.";

/// Who calls, and as what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Identity {
    /// Stands in the tasks that it makes, and is the scope of its idempotency keys: the token's id.
    pub(crate) user: Arc<str>,
    /// The token it showed; none where none is asked for.
    pub(crate) token: Option<LiveToken>,
}

impl Identity {
    fn local() -> Self {
        Self { user: LOCAL_USER.to_string().into(), token: None }
    }

    fn of(token: LiveToken) -> Self {
        Self { user: token.id().to_string().into(), token: Some(token) }
    }

    /// What it may do; without credentials everything.
    pub(crate) fn role(&self) -> TokenRole {
        self.token.as_ref().map_or(TokenRole::User, LiveToken::role)
    }

    /// The worker's token that speaks, where one does: it may act only for the workers that it registered.
    pub(crate) fn bound(&self) -> Option<TokenId> {
        self.token.as_ref().filter(|token| token.role() == TokenRole::Worker).map(LiveToken::id)
    }
}

/// How callers are told apart.
#[derive(Debug)]
pub(crate) enum Access {
    /// Nobody beyond this machine can call: every caller is the local user with all roles, and web pages of other places
    /// are kept out.
    Loopback(Identity),
    /// Whoever reaches it may do everything (`--insecure-no-auth`).
    Open(Identity),
    /// Everyone shows a token.
    Tokens {
        /// Those that count.
        tokens: Tokens,
        /// Who failed too often.
        throttle: Throttle,
    },
}

/// What a caller shows.
pub(crate) struct Shown<'a> {
    pub(crate) headers: &'a HeaderMap,
    pub(crate) uri: &'a Uri,
    /// Whether it opens a WebSocket, to which browsers cannot give headers: then a subprotocol `regatta.token.TOKEN` or
    /// `?token=` counts too.
    pub(crate) socket: bool,
    pub(crate) peer: Option<IpAddr>,
}

impl Access {
    /// For a server that listens only on loopback addresses.
    pub(crate) fn loopback() -> Self {
        Self::Loopback(Identity::local())
    }

    /// For one that lets everyone in.
    pub(crate) fn open() -> Self {
        Self::Open(Identity::local())
    }

    /// For one that asks.
    pub(crate) fn tokens(tokens: Tokens) -> Self {
        Self::Tokens { tokens, throttle: Throttle::default() }
    }

    /// Whether a token, by its id, counts for nothing any more.
    ///
    /// # Errors
    /// Those of the store.
    pub(crate) async fn is_dead(&self, token: TokenId) -> Result<bool, Failure> {
        match self {
            Self::Tokens { tokens, .. } => Ok(tokens.is_dead(token).await?),
            // Everyone may do everything, so nobody asks.
            Self::Loopback(_) | Self::Open(_) => Ok(true),
        }
    }

    /// Who makes this request.
    ///
    /// # Errors
    /// 401 without a token that counts; 429 after too many of these; those of the store.
    pub(crate) async fn identify(&self, shown: Shown<'_>) -> Result<Identity, Failure> {
        let (tokens, throttle) = match self {
            Self::Loopback(identity) | Self::Open(identity) => return Ok(identity.clone()),
            Self::Tokens { tokens, throttle } => (tokens, throttle),
        };
        let secret = match secret(&shown) {
            Ok(Some(secret)) => secret,
            Ok(None) => {
                metrics::refused("missing");
                return Err(Failure::new(
                    Kind::Unauthorized,
                    "This server asks for a token: send the header Authorization: Bearer TOKEN. One who administers it \
                     makes tokens with: regatta token create.",
                ));
            }
            Err(failure) => {
                metrics::refused("malformed");
                return Err(failure);
            }
        };
        // A good token passes whatever others at the same address do: nobody can be locked out.
        if let Some(token) = tokens.known(secret) {
            return Ok(Identity::of(token));
        }
        if let Some(seconds) = throttle.blocked(shown.peer, Instant::now()) {
            metrics::refused("throttled");
            return Err(Failure::too_many(
                "Too many calls from this address came with a token that does not count; correct the token, then try \
                 again after the seconds in Retry-After.",
                seconds,
            ));
        }
        if let Some(token) = tokens.find(secret).await? {
            return Ok(Identity::of(token));
        }
        throttle.failed(shown.peer, Instant::now());
        metrics::refused("unknown");
        Err(Failure::new(
            Kind::Unauthorized,
            "This token does not count here: it is of another server, was revoked, or was not copied whole. One who \
             administers this server makes another with: regatta token create.",
        ))
    }
}

/// What the header `Authorization` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bearer<'a> {
    /// There is none.
    Nothing,
    /// `Bearer TOKEN`.
    Token(&'a str),
    /// Something else, or more than one.
    Malformed,
}

/// Reads the header `Authorization`.
pub fn bearer(headers: &HeaderMap) -> Bearer<'_> {
    let mut headers = headers.get_all(AUTHORIZATION).iter();
    let Some(header) = headers.next() else { return Bearer::Nothing };
    let token = header.to_str().ok().and_then(|text| {
        let (scheme, secret) = text.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then_some(secret.trim())
    });
    match (token, headers.next()) {
        (Some(token), None) => Bearer::Token(token),
        _ => Bearer::Malformed,
    }
}

/// The secret that is shown, if one is.
fn secret<'a>(shown: &Shown<'a>) -> Result<Option<&'a str>, Failure> {
    match bearer(shown.headers) {
        Bearer::Token(secret) => return Ok(Some(secret)),
        Bearer::Malformed => {
            return Err(Failure::new(
                Kind::Unauthorized,
                "The header Authorization is not of the form: Bearer TOKEN. Send it so, and once.",
            ));
        }
        Bearer::Nothing => {}
    }
    if !shown.socket {
        return Ok(None);
    }
    if let Some(secret) = offered(shown.headers) {
        return Ok(Some(secret));
    }
    let query = shown.uri.query().unwrap_or_default();
    Ok(query.split('&').find_map(|pair| pair.strip_prefix("token=")))
}

/// The secret among the subprotocols that a WebSocket offers: so the token of a page stays out of URLs.
fn offered(headers: &HeaderMap) -> Option<&str> {
    let lists = headers.get_all(SEC_WEBSOCKET_PROTOCOL).iter().filter_map(|list| list.to_str().ok());
    lists.flat_map(|list| list.split(',')).find_map(|protocol| protocol.trim().strip_prefix(TOKEN_PROTOCOL))
}

impl<S: Sync> FromRequestParts<S> for Identity {
    type Rejection = Failure;

    async fn from_request_parts(_parts: &mut Parts, _state: &S) -> Result<Self, Failure> {
        request::identity().ok_or_else(|| Failure::internal(&"a route asked who calls, and nobody had looked"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn shown(headers: &HeaderMap, uri: &'static str, socket: bool) -> Result<Option<String>, Failure> {
        let uri = Uri::from_static(uri);
        secret(&Shown { headers, uri: &uri, socket, peer: None }).map(|secret| secret.map(ToOwned::to_owned))
    }

    fn authorization(values: &[&'static str]) -> HeaderMap {
        values.iter().map(|value| (AUTHORIZATION, HeaderValue::from_static(value))).collect()
    }

    #[test]
    fn a_page_offers_its_token_as_a_subprotocol() {
        let offers = |text| HeaderMap::from_iter([(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(text))]);
        let offer = offers("regatta, regatta.token.rgu_1");
        assert_eq!(shown(&offer, "/x?token=a", true).unwrap().as_deref(), Some("rgu_1"));
        assert_eq!(shown(&offer, "/x", false).unwrap(), None);
        assert_eq!(shown(&offers("regatta, chat"), "/x?token=a", true).unwrap().as_deref(), Some("a"));
    }

    #[test]
    fn a_token_is_shown_in_the_header_or_by_a_socket_in_the_query() {
        let none = HeaderMap::new();
        assert_eq!(shown(&none, "/x?token=a", false).unwrap(), None);
        assert_eq!(shown(&none, "/x?from_seq=1&token=a", true).unwrap().as_deref(), Some("a"));
        assert_eq!(shown(&none, "/x?mytoken=a", true).unwrap(), None);
        for good in ["Bearer b", "bearer b", "BEARER  b "] {
            assert_eq!(shown(&authorization(&[good]), "/x?token=a", true).unwrap().as_deref(), Some("b"), "{good}");
        }
        for bad in [&["Basic b"][..], &["b"], &["Bearer b", "Bearer c"]] {
            assert_eq!(shown(&authorization(bad), "/x?token=a", true).unwrap_err().kind(), Kind::Unauthorized);
        }
    }
}
