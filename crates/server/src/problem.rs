//! Every error answer: from a [`Failure`] to `application/problem+json`.
//!
//! Which state refuses what is the engine's business; here its errors get their status, title and stable `type`.

use std::borrow::Cow;

use axum::response::{IntoResponse, Response};
use http::header::{CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderValue, StatusCode};
use regatta_api::problem::{CONTENT_TYPE as PROBLEM, FieldError, Problem};
use regatta_engine::Error;

use crate::request;

/// A call that was not done, and what its caller is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure {
    kind: Kind,
    detail: Cow<'static, str>,
    errors: Vec<FieldError>,
    /// Seconds until another try is worth it, where that is not the usual one.
    retry_after: Option<u64>,
}

/// The kinds of problems. Their slugs are part of `type`, so they never change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    BadRequest,
    Unauthorized,
    Forbidden,
    NotFound,
    MethodNotAllowed,
    Conflict,
    TooLarge,
    UnsupportedMediaType,
    Invalid,
    UpgradeRequired,
    UriTooLong,
    HeadersTooLarge,
    TooMany,
    Internal,
    Overloaded,
    Unavailable,
    /// Made by a layer beneath us; the status says it all.
    Other(StatusCode),
}

/// Seconds after which an overloaded or absent server is worth another try.
const RETRY_AFTER_SECONDS: HeaderValue = HeaderValue::from_static("1");
/// How credentials are shown (RFC 6750, 3).
const BEARER: HeaderValue = HeaderValue::from_static("Bearer realm=\"regatta\"");

impl Kind {
    const fn status(self) -> StatusCode {
        match self {
            Self::BadRequest => StatusCode::BAD_REQUEST,
            Self::Unauthorized => StatusCode::UNAUTHORIZED,
            Self::Forbidden => StatusCode::FORBIDDEN,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::Conflict => StatusCode::CONFLICT,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::UnsupportedMediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::Invalid => StatusCode::UNPROCESSABLE_ENTITY,
            Self::UpgradeRequired => StatusCode::UPGRADE_REQUIRED,
            Self::UriTooLong => StatusCode::URI_TOO_LONG,
            Self::HeadersTooLarge => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Self::TooMany => StatusCode::TOO_MANY_REQUESTS,
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
            Self::Overloaded | Self::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
            Self::Other(status) => status,
        }
    }

    const fn uri(self) -> &'static str {
        match self {
            Self::BadRequest => "/problems/bad-request",
            Self::Unauthorized => "/problems/unauthorized",
            Self::Forbidden => "/problems/forbidden",
            Self::NotFound => "/problems/not-found",
            Self::MethodNotAllowed => "/problems/method-not-allowed",
            Self::Conflict => "/problems/conflict",
            Self::TooLarge => "/problems/too-large",
            Self::UnsupportedMediaType => "/problems/unsupported-media-type",
            Self::Invalid => "/problems/invalid",
            Self::UpgradeRequired => "/problems/upgrade-required",
            Self::UriTooLong => "/problems/uri-too-long",
            Self::HeadersTooLarge => "/problems/headers-too-large",
            Self::TooMany => "/problems/too-many-requests",
            Self::Internal => "/problems/internal",
            Self::Overloaded => "/problems/overloaded",
            Self::Unavailable => "/problems/unavailable",
            Self::Other(_) => "about:blank",
        }
    }

    /// Those with a URI of their own.
    const NAMED: [Self; 16] = [
        Self::BadRequest,
        Self::Unauthorized,
        Self::Forbidden,
        Self::NotFound,
        Self::MethodNotAllowed,
        Self::Conflict,
        Self::TooLarge,
        Self::UnsupportedMediaType,
        Self::Invalid,
        Self::UpgradeRequired,
        Self::UriTooLong,
        Self::HeadersTooLarge,
        Self::TooMany,
        Self::Internal,
        Self::Overloaded,
        Self::Unavailable,
    ];

    /// What stands at its URI: when it happens and what to do.
    const fn page(self) -> &'static str {
        match self {
            Self::BadRequest => {
                "What came is no HTTP/1.1 request (RFC 9112): its request line or a header cannot be read, or it has no \
                 Host, or more than one. Send it with an HTTP client."
            }
            Self::Unauthorized => {
                "The server is reachable from other machines and asks every caller for a token: Authorization: Bearer \
                 TOKEN, on WebSockets also ?token=TOKEN. Commands take it from REGATTA_TOKEN, --token or the configuration \
                 file. One who administers the server makes tokens with regatta token create and sees which count with \
                 regatta token list."
            }
            Self::Forbidden => {
                "Where tokens are asked for, the role of this one does not allow the call: a viewer's reads, a worker's \
                 registers workers and acts for those that it registered, a user's does everything. Where none are, the \
                 server listens only on loopback: it answers only to loopback names (Host) and lets no page of another \
                 place (Origin) change anything; call it as localhost, from its own pages or without a browser."
            }
            Self::NotFound => {
                "The path, or the id in it, names nothing: the id may be of another kind, or what it named was deleted. \
                 The lists say what there is, and /docs which calls."
            }
            Self::MethodNotAllowed => {
                "The path exists and is called with another method; the header Allow says with which."
            }
            Self::Conflict => {
                "The task, subtask or worker is in a state that does not allow the change, a lease is no longer live, or \
                 an Idempotency-Key was used for another body. Nothing was changed. Read the thing again, then decide."
            }
            Self::TooLarge => "A size is over its limit, which the detail names. Send less, or split it.",
            Self::UnsupportedMediaType => "The body must be JSON and say so: Content-Type: application/json.",
            Self::Invalid => {
                "Fields of the body, the query or a header do not fit; errors names each, the field `body` standing for \
                 the JSON as a whole. Correct them and send the request again."
            }
            Self::UpgradeRequired => "The path is a WebSocket (RFC 6455); connect with a client for these.",
            Self::UriTooLong => "The path with its query is too long. Send what is long in the body.",
            Self::HeadersTooLarge => "The headers are too many or too large. Send fewer and shorter ones.",
            Self::TooMany => {
                "Too many calls from one address came with tokens that do not count. Calls with a good token pass all the \
                 same. Correct the token, and try again after Retry-After seconds."
            }
            Self::Internal => "A fault of the server. Its log says more beside the request_id.",
            Self::Overloaded => "More is asked than the server takes on at once. Try again after Retry-After seconds.",
            Self::Unavailable => {
                "The database does not answer, or the server is shutting down. Whether a change was made may be unknown: \
                 an Idempotency-Key makes it safe to try again after Retry-After seconds."
            }
            Self::Other(_) => "",
        }
    }

    fn title(self) -> &'static str {
        match self {
            Self::BadRequest => "Not a request",
            Self::Unauthorized => "Token needed",
            Self::Forbidden => "Not allowed",
            Self::NotFound => "Not found",
            Self::MethodNotAllowed => "Method not allowed",
            Self::Conflict => "The state does not allow it",
            Self::TooLarge => "Too large",
            Self::UnsupportedMediaType => "Unsupported media type",
            Self::Invalid => "The request does not fit",
            Self::UpgradeRequired => "WebSocket needed",
            Self::UriTooLong => "The path is too long",
            Self::HeadersTooLarge => "The headers are too large",
            Self::TooMany => "Too many requests",
            Self::Internal => "The server failed",
            Self::Overloaded => "The server is overloaded",
            Self::Unavailable => "The server cannot serve now",
            Self::Other(status) => status.canonical_reason().unwrap_or("Error"),
        }
    }
}

impl Failure {
    pub(crate) fn new(kind: Kind, detail: impl Into<Cow<'static, str>>) -> Self {
        Self { kind, detail: detail.into(), errors: Vec::new(), retry_after: None }
    }

    /// No such thing, in the words the engine uses too.
    pub(crate) fn no_such(kind: &str, id: &str) -> Self {
        Self::new(Kind::NotFound, format!("There is no {kind} {id}; look at the list for those there are."))
    }

    /// A size over its limit.
    pub(crate) fn too_large(what: &str, size: Option<u64>, limit: usize, unit: &str) -> Self {
        let has = size.map_or_else(|| "is larger".to_owned(), |size| format!("has {size} {unit}"));
        Self::new(Kind::TooLarge, format!("The {what} {has}, and the limit is {limit} {unit}; send less, or split it."))
    }

    /// Fields that do not fit, at least one.
    pub(crate) fn invalid(errors: Vec<FieldError>) -> Self {
        Self {
            kind: Kind::Invalid,
            detail: Cow::Borrowed("Correct the fields named in errors and send the request again."),
            errors,
            retry_after: None,
        }
    }

    /// Too many calls; another is worth it after so many seconds.
    pub(crate) fn too_many(detail: &'static str, seconds: u64) -> Self {
        Self { retry_after: Some(seconds), ..Self::new(Kind::TooMany, detail) }
    }

    /// One field that does not fit.
    pub(crate) fn field(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self::invalid(vec![FieldError { field: field.into(), message: message.into() }])
    }

    /// A fault of ours; what it was stands in the log beside the request's id.
    pub(crate) fn internal(error: &dyn std::fmt::Display) -> Self {
        tracing::error!(%error, "a request failed");
        Self::new(
            Kind::Internal,
            "The server failed at this; its log says why beside this request_id. Whether to try again depends on that.",
        )
    }

    pub(crate) fn overloaded() -> Self {
        Self::new(Kind::Overloaded, "The server has too much to do; try again after the seconds in Retry-After.")
    }

    /// What a layer beneath us answered with `status`.
    pub(crate) fn of_status(status: StatusCode) -> Self {
        let kind = match status {
            StatusCode::NOT_FOUND => Kind::NotFound,
            StatusCode::METHOD_NOT_ALLOWED => Kind::MethodNotAllowed,
            StatusCode::UPGRADE_REQUIRED => Kind::UpgradeRequired,
            StatusCode::INTERNAL_SERVER_ERROR => Kind::Internal,
            other => Kind::Other(other),
        };
        Self::new(kind, format!("The server answered {status}; look at /docs for how this call is made."))
    }

    /// The sentence for a caller that gets no HTTP answer: an `error` frame, an element of a bulk answer.
    pub(crate) fn sentence(&self) -> String {
        match self.errors.as_slice() {
            [] => self.detail.to_string(),
            errors => {
                let fields: Vec<String> =
                    errors.iter().map(|error| format!("{}: {}", error.field, error.message)).collect();
                fields.join("; ")
            }
        }
    }

    pub(crate) fn kind(&self) -> Kind {
        self.kind
    }

    /// What is said of it, to the request with this id.
    pub(crate) fn into_problem(self, request_id: String) -> Problem {
        let Self { kind, detail, errors, retry_after: _ } = self;
        Problem {
            kind: kind.uri().to_owned(),
            title: kind.title().to_owned(),
            status: kind.status().as_u16(),
            detail: detail.into_owned(),
            request_id,
            errors,
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        match error {
            Error::NotFound { kind, id } => Self::no_such(kind, &id),
            Error::Invalid(errors) => Self::invalid(
                errors.into_iter().map(|error| FieldError { field: error.field, message: error.message }).collect(),
            ),
            Error::TooLarge { what, size, limit } => Self::new(
                Kind::TooLarge,
                format!("{} has {size}, and the limit is {limit}; send less, or split it.", capital(what)),
            ),
            Error::Conflict(text) => Self::new(Kind::Conflict, sentence(&text)),
            Error::Overloaded => Self::overloaded(),
            Error::Unavailable(text) => Self::new(Kind::Unavailable, sentence(&text)),
            Error::Internal(text) => Self::internal(&text),
        }
    }
}

/// The page at the URI of a kind of problem.
pub(crate) fn page(slug: &str) -> Option<String> {
    let kind = Kind::NAMED.into_iter().find(|kind| kind.uri().rsplit('/').next() == Some(slug))?;
    Some(format!("{} ({})\n\n{}\n", kind.title(), kind.status(), kind.page()))
}

/// As a sentence: a capital in front, a full stop behind.
pub(crate) fn sentence(text: &str) -> String {
    let mut sentence = capital(text);
    // Behind a path a full stop would be read as part of it.
    let path = text.rsplit(' ').next().is_some_and(|word| word.starts_with('/'));
    if !path && !sentence.ends_with(['.', '!', '?']) {
        sentence.push('.');
    }
    sentence
}

fn capital(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let (status, retry_after) = (self.kind.status(), self.retry_after);
        let problem = self.into_problem(request::id());
        // A struct of strings and numbers cannot fail to serialise.
        let mut response = Response::new(serde_json::to_vec(&problem).unwrap_or_default().into());
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(PROBLEM));
        if matches!(status, StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS) {
            headers.insert(RETRY_AFTER, retry_after.map_or(RETRY_AFTER_SECONDS, HeaderValue::from));
        }
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(WWW_AUTHENTICATE, BEARER);
        }
        if status == StatusCode::UPGRADE_REQUIRED {
            headers.insert(http::header::UPGRADE, HeaderValue::from_static("websocket"));
        }
        response
    }
}
