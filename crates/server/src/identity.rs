//! Who calls: the one place where a caller becomes an [`Identity`].
//!
//! A server that listens only on loopback asks for no credentials: whoever reaches it is the local user, who may do
//! everything. Tokens will add a second kind of [`Access`] here; routes only see the extracted identity.

use std::sync::Arc;

use axum::extract::FromRequestParts;
use http::request::Parts;
use uuid::Uuid;

use crate::problem::Failure;
use crate::request;

/// The `user_id` of tasks that were made without credentials.
pub const LOCAL_USER: Uuid = Uuid::from_u128(1);

/// Who calls, and as what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Identity {
    /// Stands in the tasks that it makes, and is the scope of its idempotency keys.
    pub(crate) user: Arc<str>,
}

/// How callers are told apart.
#[derive(Debug, Clone)]
pub(crate) enum Access {
    /// Nobody beyond this machine can call: every caller is the local user with all roles.
    Loopback(Identity),
}

impl Access {
    /// For a server that listens only on loopback addresses.
    pub(crate) fn loopback() -> Self {
        Self::Loopback(Identity { user: LOCAL_USER.to_string().into() })
    }

    /// Who makes this request.
    pub(crate) fn identify(&self, _request: &http::HeaderMap) -> Result<Identity, Failure> {
        match self {
            Self::Loopback(identity) => Ok(identity.clone()),
        }
    }
}

impl<S: Sync> FromRequestParts<S> for Identity {
    type Rejection = Failure;

    async fn from_request_parts(_parts: &mut Parts, _state: &S) -> Result<Self, Failure> {
        request::identity().ok_or_else(|| Failure::internal(&"a route asked who calls, and nobody had looked"))
    }
}
