//! Every error answer: from a [`Failure`] to `application/problem+json`.
//!
//! Which state refuses what is the engine's business; here its errors become one of the kinds of [`crate::kind`].

use std::borrow::Cow;

use axum::response::{IntoResponse, Response};
use http::header::{CONNECTION, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderValue, StatusCode};
use regatta_api::problem::{CONTENT_TYPE as PROBLEM, FieldError, Problem};
use regatta_engine::Error;

pub(crate) use crate::kind::Kind;
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

/// Seconds after which an overloaded or absent server is worth another try.
const RETRY_AFTER_SECONDS: HeaderValue = HeaderValue::from_static("1");
/// How credentials are shown (RFC 6750, 3).
const BEARER: HeaderValue = HeaderValue::from_static("Bearer realm=\"regatta\"");

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
        if status == StatusCode::REQUEST_TIMEOUT {
            // RFC 9110, 15.5.9: what is left of the request would be read as the next one.
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
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
