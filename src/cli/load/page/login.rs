//! Who may ask, where others reach the page: whoever has the token. A browser signs in with it once and keeps a session in a
//! cookie that no script can read; a program sends it with each call.

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::{ConnectInfo, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Extension, Json, Router};
use http::header::{COOKIE, RETRY_AFTER, SET_COOKIE, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderValue, StatusCode};
use parking_lot::Mutex;
use regatta_engine::tokens;
use regatta_model::token::{Secret, TokenHash};
use regatta_server::{Bearer, Throttle, bearer};
use serde::Deserialize;
use serde_json::json;

use super::super::args::Load;
use crate::exit::Failure;

/// What holds the token, where its owner chooses it: never a flag, which every user of the machine sees.
const VARIABLE: &str = "REGATTA_LOAD_TOKEN";
/// Characters of a token that somebody chose.
const SHORTEST: usize = 12;
/// Sessions at once; the one that was silent longest ends first.
const SESSIONS: usize = 64;
/// A session that is not used for so long has ended: longer than a long run lies unwatched over night.
const IDLE: Duration = Duration::from_secs(24 * 3_600);

/// See the module.
pub struct Login {
    token: TokenHash,
    /// The token, where nobody chose one.
    made: Option<Secret>,
    /// Cookies know hosts and no ports, and a machine may have several pages.
    cookie: String,
    throttle: Throttle,
    /// Hashes of session ids, the one that was used last at the end.
    sessions: Mutex<VecDeque<(TokenHash, Instant)>>,
}

impl Login {
    /// The one for this address; none where only this machine reaches it and nobody wants one.
    ///
    /// # Errors
    /// When the token that was chosen cannot be read or is too short to be one.
    pub fn of(load: &Load, address: &SocketAddr) -> Result<Option<Self>, Failure> {
        if address.ip().is_loopback() && !load.web_login {
            return Ok(None);
        }
        let chosen = chosen(load)?;
        let made = match &chosen {
            Some(_) => None,
            None => Some(tokens::chance("rgl_").map_err(|error| Failure::failed(error.to_string()))?),
        };
        let token = chosen.as_ref().or(made.as_ref()).map_or("", Secret::expose);
        Ok(Some(Self {
            token: tokens::hash(token),
            cookie: format!("regatta-load-{}", address.port()),
            made,
            throttle: Throttle::default(),
            sessions: Mutex::default(),
        }))
    }

    /// The token, where nobody chose one: to be shown this once.
    pub fn made(&self) -> Option<&Secret> {
        self.made.as_ref()
    }

    /// These routes for those who signed in, and the two that open and end a session.
    pub fn before(self: Arc<Self>, routes: Router) -> Router {
        let own = Router::new().route("/api/load/sign-in", post(sign_in)).route("/api/load/sign-out", post(sign_out));
        let routes = own.layer(Extension(self.clone())).merge(routes);
        routes.layer(axum::middleware::from_fn_with_state(self, check))
    }

    /// Whether this is the token. Whoever was wrong too often is not heard for a while, right or not: a token that somebody
    /// chose may be guessed.
    fn takes(&self, token: &str, peer: IpAddr) -> Result<(), Refused> {
        if let Some(seconds) = self.throttle.blocked(Some(peer), Instant::now()) {
            return Err(Refused::Often(seconds));
        }
        if tokens::is_of(token, &self.token) {
            return Ok(());
        }
        self.throttle.failed(Some(peer), Instant::now());
        Err(Refused::Wrong)
    }

    /// Begins a session; what its cookie says.
    fn begin(&self) -> Result<Secret, Failure> {
        let id = tokens::chance("").map_err(|error| Failure::failed(error.to_string()))?;
        let mut sessions = self.sessions.lock();
        if sessions.len() == SESSIONS {
            sessions.pop_front();
        }
        sessions.push_back((tokens::hash(id.expose()), Instant::now()));
        Ok(id)
    }

    /// Whether the cookie is that of a session. It goes on by that, or `ends`. Under one lock: a page asks several things at once.
    fn session(&self, headers: &HeaderMap, now: Instant, ends: bool) -> bool {
        let Some(id) = self.cookie_of(headers) else { return false };
        let mut sessions = self.sessions.lock();
        sessions.retain(|(_, used)| now.saturating_duration_since(*used) < IDLE);
        let Some(at) = sessions.iter().position(|(known, _)| tokens::is_of(id, known)) else { return false };
        let session = sessions.remove(at);
        if let Some((hash, _)) = session
            && !ends
        {
            sessions.push_back((hash, now));
        }
        true
    }

    /// Whether the cookie is that of a session, which goes on by that.
    fn goes_on(&self, headers: &HeaderMap, now: Instant) -> bool {
        self.session(headers, now, false)
    }

    /// Whether the cookie was that of a session, which has ended.
    fn ended(&self, headers: &HeaderMap, now: Instant) -> bool {
        self.session(headers, now, true)
    }

    fn cookie_of<'a>(&self, headers: &'a HeaderMap) -> Option<&'a str> {
        let lists = headers.get_all(COOKIE).iter().filter_map(|list| list.to_str().ok());
        let mut pairs = lists.flat_map(|list| list.split(';')).filter_map(|pair| pair.trim().split_once('='));
        pairs.find(|(name, _)| *name == self.cookie).map(|(_, id)| id)
    }

    /// Sets the cookie: for this host alone, for no script, and with no call that another site's page makes.
    fn set(&self, id: &str, more: &str) -> [(http::HeaderName, String); 1] {
        [(SET_COOKIE, format!("{}={id}; Path=/; HttpOnly; SameSite=Strict{more}", self.cookie))]
    }
}

/// The token that somebody chose.
fn chosen(load: &Load) -> Result<Option<Secret>, Failure> {
    let (text, place) = match &load.web_token_file {
        Some(file) => {
            let text = std::fs::read_to_string(file)
                .map_err(|error| Failure::usage(format!("{} cannot be read: {error}", file.display())))?;
            (text, file.display().to_string())
        }
        None => match std::env::var(VARIABLE) {
            Ok(text) if !text.trim().is_empty() => (text, VARIABLE.to_owned()),
            Ok(_) | Err(std::env::VarError::NotPresent) => return Ok(None),
            Err(std::env::VarError::NotUnicode(_)) => {
                return Err(Failure::usage(format!("{VARIABLE} is no text in UTF-8")));
            }
        },
    };
    let token = text.trim();
    // A header carries it.
    if token.len() < SHORTEST || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(Failure::usage(format!(
            "the token of {place} has {SHORTEST} or more ASCII characters and no blanks; `openssl rand -hex 32` makes a good one"
        )));
    }
    Ok(Some(Secret::new(token)))
}

/// Why somebody is not let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Refused {
    Missing,
    Wrong,
    /// For so many seconds.
    Often(u64),
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let (status, detail) = match self {
            Self::Missing => (
                StatusCode::UNAUTHORIZED,
                "This page asks for a token: sign in, or send the header Authorization: Bearer TOKEN. The terminal in which \
                 regatta load runs shows it, or who started it chose it.",
            ),
            Self::Wrong => (
                StatusCode::UNAUTHORIZED,
                "That token does not count here: it is of another start, or was not copied whole.",
            ),
            Self::Often(_) => (
                StatusCode::TOO_MANY_REQUESTS,
                "Too many tokens from this address did not count; wait a minute, then try the right one.",
            ),
        };
        let mut response = (status, Json(json!({ "detail": detail }))).into_response();
        match self {
            Self::Often(seconds) => drop(response.headers_mut().insert(RETRY_AFTER, seconds.into())),
            _ => drop(response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"))),
        }
        response
    }
}

/// What tells nothing: the page before anybody signed in, and its files.
fn is_open(path: &str) -> bool {
    path == "/" || path == "/api/load/sign-in" || path.starts_with("/assets/")
}

async fn check(
    State(login): State<Arc<Login>>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    request: Request,
    next: Next,
) -> Response {
    if is_open(request.uri().path()) {
        return next.run(request).await;
    }
    let shown = match bearer(request.headers()) {
        Bearer::Token(token) => login.takes(token, peer.ip()),
        Bearer::Malformed => Err(Refused::Wrong),
        Bearer::Nothing if login.goes_on(request.headers(), Instant::now()) => Ok(()),
        Bearer::Nothing => Err(Refused::Missing),
    };
    match shown {
        Ok(()) => next.run(request).await,
        Err(refused) => refused.into_response(),
    }
}

#[derive(Deserialize)]
struct Shown {
    token: String,
}

type Known = Extension<Arc<Login>>;

async fn sign_in(
    Extension(login): Known,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    Json(shown): Json<Shown>,
) -> Response {
    if let Err(refused) = login.takes(shown.token.trim(), peer.ip()) {
        return refused.into_response();
    }
    match login.begin() {
        Ok(id) => (login.set(id.expose(), ""), Json(json!({ "message": "signed in" }))).into_response(),
        Err(failure) => (StatusCode::INTERNAL_SERVER_ERROR, Json(json!({ "detail": failure.what }))).into_response(),
    }
}

async fn sign_out(Extension(login): Known, headers: HeaderMap) -> Response {
    login.ended(&headers, Instant::now());
    (login.set("", "; Max-Age=0"), Json(json!({ "message": "signed out" }))).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    fn login() -> Login {
        Login {
            token: tokens::hash("the right one"),
            made: None,
            cookie: "regatta-load-8089".into(),
            throttle: Throttle::default(),
            sessions: Mutex::default(),
        }
    }

    fn with(id: &str) -> HeaderMap {
        let text = format!("other=1; regatta-load-8090={id}x; regatta-load-8089={id}");
        HeaderMap::from_iter([(COOKIE, HeaderValue::from_str(&text).unwrap())])
    }

    #[test]
    fn a_session_lasts_while_it_is_used_and_the_oldest_make_room() {
        let (login, now) = (login(), Instant::now());
        let first = with(login.begin().unwrap().expose());
        assert!(login.goes_on(&first, now));
        assert!(!login.goes_on(&with("0"), now) && !login.goes_on(&HeaderMap::new(), now));
        let others: Vec<HeaderMap> = (0..SESSIONS).map(|_| with(login.begin().unwrap().expose())).collect();
        assert!(!login.goes_on(&first, now), "so many are known at once");
        assert!(others.iter().all(|other| login.goes_on(other, now + IDLE / 2)));
        assert!(login.ended(&others[0], now + IDLE) && !login.goes_on(&others[0], now + IDLE));
        assert!(login.goes_on(&others[1], now + IDLE) && !login.goes_on(&others[2], now + IDLE * 3));
    }

    #[test]
    fn what_a_page_asks_at_once_is_all_of_its_session() {
        let (login, now) = (login(), Instant::now());
        let cookie = with(login.begin().unwrap().expose());
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| (0..2_000).for_each(|_| assert!(login.goes_on(&cookie, now))));
            }
        });
    }

    #[test]
    fn who_guesses_is_not_heard_and_others_are() {
        let login = login();
        assert_eq!(login.takes("the right one", HERE), Ok(()));
        while login.takes("a guess", HERE) == Err(Refused::Wrong) {}
        assert!(matches!(login.takes("the right one", HERE), Err(Refused::Often(_))));
        assert_eq!(login.takes("the right one", IpAddr::from([10, 0, 0, 1])), Ok(()));
    }
}
