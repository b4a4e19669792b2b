//! Who may ask: this page itself, and programs. Another site's page may not, whatever its visitor's browser can reach.

use axum::extract::Request;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::header::{HOST, ORIGIN};
use http::{HeaderMap, HeaderValue, StatusCode};

/// Browsers say where a call comes from; programs say nothing of it.
pub async fn check(request: Request, next: Next) -> Response {
    if let Err(why) = allowed(request.uri().path(), request.headers()) {
        return (StatusCode::FORBIDDEN, axum::Json(serde_json::json!({ "detail": why }))).into_response();
    }
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    headers.insert("x-content-type-options", HeaderValue::from_static("nosniff"));
    headers.insert("referrer-policy", HeaderValue::from_static("no-referrer"));
    headers.insert("cross-origin-resource-policy", HeaderValue::from_static("same-origin"));
    headers.entry("cache-control").or_insert(HeaderValue::from_static("no-cache"));
    response
}

fn allowed(path: &str, headers: &HeaderMap) -> Result<(), &'static str> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let host = text(HOST.as_str()).unwrap_or_default();
    // A name that another site made to point here is no address and not this machine's.
    let name = host.rsplit_once(':').map_or(host, |(name, port)| if port.ends_with(']') { host } else { name });
    let is_address = name.trim_matches(['[', ']']).parse::<std::net::IpAddr>().is_ok();
    let own = || rustix::system::uname().nodename().to_str().is_ok_and(|own| own.eq_ignore_ascii_case(name));
    if !(is_address || name.eq_ignore_ascii_case("localhost") || own()) {
        return Err("this page is reached by an address, localhost or the machine's own name");
    }
    if let Some(origin) = text(ORIGIN.as_str())
        && origin.split_once("://").map(|(_, authority)| authority) != Some(host)
    {
        return Err("a page of another site may not ask this");
    }
    match text("sec-fetch-site") {
        // A link elsewhere may lead to the page, and to nothing that a visit alone would do.
        Some("cross-site" | "same-site") if path != "/" || text("sec-fetch-mode") != Some("navigate") => {
            Err("a page of another site may not ask this")
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asks(pairs: &[(&'static str, &'static str)]) -> bool {
        asks_at("/stop", pairs)
    }

    fn asks_at(path: &str, pairs: &[(&'static str, &'static str)]) -> bool {
        let headers =
            pairs.iter().map(|(name, value)| (http::HeaderName::from_static(name), HeaderValue::from_static(value)));
        allowed(path, &headers.collect()).is_ok()
    }

    #[test]
    fn programs_and_the_page_itself_may_and_other_sites_may_not() {
        assert!(asks(&[("host", "localhost:8089")]));
        assert!(asks(&[
            ("host", "127.0.0.1:8089"),
            ("origin", "http://127.0.0.1:8089"),
            ("sec-fetch-site", "same-origin")
        ]));
        assert!(asks(&[("host", "[::1]:8089")]));
        assert!(!asks(&[("host", "localhost:8089"), ("origin", "http://evil.example")]));
        assert!(!asks(&[("host", "localhost:8089"), ("origin", "null")]));
        assert!(!asks(&[("host", "localhost:8089"), ("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "no-cors")]));
        let link = [("host", "localhost:8089"), ("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "navigate")];
        assert!(asks_at("/", &link) && !asks(&link));
        assert!(!asks(&[("host", "evil.example:8089")]));
        assert!(!asks(&[]));
    }
}
