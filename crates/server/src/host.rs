//! The `Host` of a request (RFC 9112, 3.2): HTTP/1.1 asks for exactly one. Whom it may name is [`crate::guard`]'s
//! business.

use http::header::HOST;
use http::{HeaderMap, Version};

use crate::problem::{Failure, Kind};

/// Refuses an HTTP/1.1 request without `Host`, and any with more than one: what two readers of it would understand
/// differently.
///
/// # Errors
/// A 400 that says which.
pub(crate) fn check(version: Version, headers: &HeaderMap) -> Result<(), Failure> {
    let mut hosts = headers.get_all(HOST).iter();
    match (hosts.next(), hosts.next()) {
        (None, _) if version == Version::HTTP_11 => Err(Failure::new(
            Kind::BadRequest,
            "An HTTP/1.1 request needs the header Host; send the name or address that was called.",
        )),
        (Some(_), Some(_)) => {
            Err(Failure::new(Kind::BadRequest, "The header Host was given more than once; send it once."))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn there_is_one_host_and_before_http_1_1_perhaps_none() {
        let hosts = |count: usize| {
            let mut headers = HeaderMap::new();
            for _ in 0..count {
                headers.append(HOST, HeaderValue::from_static("localhost"));
            }
            headers
        };
        for (version, count, good) in [
            (Version::HTTP_11, 0, false),
            (Version::HTTP_11, 1, true),
            (Version::HTTP_11, 2, false),
            (Version::HTTP_10, 0, true),
            (Version::HTTP_10, 2, false),
        ] {
            assert_eq!(check(version, &hosts(count)).is_ok(), good, "{version:?} {count}");
        }
    }
}
