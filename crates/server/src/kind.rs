//! The kinds of problems: their status, title and stable `type`. What each means is told in [`crate::problem_pages`].

use http::StatusCode;

/// The kinds of problems. Their slugs are part of `type`, so they never change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    BadRequest,
    Unauthorized,
    Forbidden,
    NotFound,
    MethodNotAllowed,
    TooSlow,
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

impl Kind {
    pub(crate) const fn status(self) -> StatusCode {
        match self {
            Self::BadRequest => StatusCode::BAD_REQUEST,
            Self::Unauthorized => StatusCode::UNAUTHORIZED,
            Self::Forbidden => StatusCode::FORBIDDEN,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::TooSlow => StatusCode::REQUEST_TIMEOUT,
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

    pub(crate) const fn uri(self) -> &'static str {
        match self {
            Self::BadRequest => "/problems/bad-request",
            Self::Unauthorized => "/problems/unauthorized",
            Self::Forbidden => "/problems/forbidden",
            Self::NotFound => "/problems/not-found",
            Self::MethodNotAllowed => "/problems/method-not-allowed",
            Self::TooSlow => "/problems/too-slow",
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

    /// The last part of its URI.
    pub(crate) fn slug(self) -> &'static str {
        self.uri().rsplit('/').next().unwrap_or_default()
    }

    /// Those with a URI of their own.
    pub(crate) const NAMED: [Self; 17] = [
        Self::BadRequest,
        Self::Unauthorized,
        Self::Forbidden,
        Self::NotFound,
        Self::MethodNotAllowed,
        Self::TooSlow,
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

    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::BadRequest => "Not a request",
            Self::Unauthorized => "Token needed",
            Self::Forbidden => "Not allowed",
            Self::NotFound => "Not found",
            Self::MethodNotAllowed => "Method not allowed",
            Self::TooSlow => "The request came too slowly",
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
