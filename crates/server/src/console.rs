//! The web console: what `web/` builds, from the binary.
//!
//! `npm run build` in `web/` leaves finished files, each beside its compressed forms. They are put into the binary when it
//! is compiled (a debug binary reads them where they lie), and a binary that was compiled without them says how to get
//! the console. Names under `/assets` carry a hash of their content, so they never change; the page itself is looked at
//! again each time. Not here: what the console does. It talks to the public API like everybody else.

use std::borrow::Cow;

use axum::extract::Path;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::header::{
    ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, VARY,
};
use http::{HeaderMap, HeaderValue};
use rust_embed::RustEmbed;

use crate::problem::{Failure, Kind};
use crate::reply::{self, Result};

/// Where the page is shown: its own routes are told apart by the page.
pub(crate) const PAGES: [&str; 5] = ["/", "/tasks", "/tasks/{*rest}", "/workers", "/workers/{*rest}"];
/// Where the page's files are.
pub(crate) const ASSETS: &str = "/assets/{*file}";

/// Scripts, styles and connections of this server alone, nothing inline, nothing that makes HTML out of text except the
/// templates that Svelte has compiled.
const CONTENT: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; connect-src 'self'; \
     base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; \
     trusted-types svelte-trusted-html",
);
const FOR_EVER: HeaderValue = HeaderValue::from_static("public, max-age=31536000, immutable");
const HTML: HeaderValue = HeaderValue::from_static("text/html; charset=utf-8");

/// What is shown where the console was not built.
const MISSING: &str = "<!doctype html>
<html lang=\"en\">
<meta charset=\"utf-8\">
<meta name=\"viewport\" content=\"width=device-width\">
<title>Regatta</title>
<h1>Regatta runs here</h1>
<p>Its web console is not in this binary: it was built on a machine without Node.</p>
<p>To get it, install Node 20.19 or newer (https://nodejs.org), then run <code>make up</code> in Regatta's folder again.</p>
<p>Without it: <a href=\"/docs/\">the HTTP API, to try in the browser</a>, and <code>regatta --help</code> on the command line.</p>
</html>
";

/// The same for the page of a load test.
const LOAD_MISSING: &str = "<!doctype html>
<html lang=\"en\">
<meta charset=\"utf-8\">
<meta name=\"viewport\" content=\"width=device-width\">
<title>regatta load</title>
<h1>regatta load waits here</h1>
<p>Its web page is not in this binary: it was built on a machine without Node.</p>
<p>To get it, install Node 20.19 or newer (https://nodejs.org), then run <code>make up</code> in Regatta's folder again.</p>
<p>Without it: <code>regatta load --headless</code>, or Locust's web API at this address, such as <code>POST /swarm</code>.</p>
</html>
";

#[derive(RustEmbed)]
#[folder = "../../web/dist/"]
#[allow_missing = true]
struct Dist;

/// Finds a file by its path below `web/dist`.
type Find = fn(&str) -> Option<Cow<'static, [u8]>>;

fn built(path: &str) -> Option<Cow<'static, [u8]>> {
    Dist::get(path).map(|file| file.data)
}

/// Any address of the console.
pub(crate) async fn page(headers: HeaderMap) -> Response {
    index(built, &headers)
}

/// The page of a load test, which shares the console's files.
pub fn load_page(headers: &HeaderMap) -> Response {
    document(built, "load.html", LOAD_MISSING, headers)
}

/// A file that the load test's page names; `None` when there is none.
pub fn load_file(file: &str, headers: &HeaderMap) -> Option<Response> {
    named(built, file, headers).ok()
}

/// A file that the page names.
pub(crate) async fn asset(Path(file): Path<String>, headers: HeaderMap) -> Result<Response> {
    named(built, &file, &headers)
}

fn index(find: Find, headers: &HeaderMap) -> Response {
    document(find, "index.html", MISSING, headers)
}

fn document(find: Find, name: &str, missing: &'static str, headers: &HeaderMap) -> Response {
    let mut response = match packed(find, name, headers) {
        Some(response) => response,
        None => Bytes::from_static(missing.as_bytes()).into_response(),
    };
    // The same for all forms of it: the tag is a weak one.
    let tag = find(name).as_deref().and_then(reply::etag);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HTML);
    headers.insert(CONTENT_SECURITY_POLICY, CONTENT);
    if let Some(tag) = tag {
        headers.insert(ETAG, tag);
    }
    response
}

fn named(find: Find, file: &str, headers: &HeaderMap) -> Result<Response> {
    let kind = kind(file);
    let found = kind.and_then(|kind| Some((packed(find, &format!("assets/{file}"), headers)?, kind)));
    let Some((mut response, kind)) = found else {
        return Err(Failure::new(
            Kind::NotFound,
            "The console has no such file; if it was replaced by a newer one, load the page again.",
        ));
    };
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response.headers_mut().insert(CACHE_CONTROL, FOR_EVER);
    Ok(response)
}

/// The smallest form of a file that the caller takes.
fn packed(find: Find, path: &str, headers: &HeaderMap) -> Option<Response> {
    let plain = find(path)?;
    let packed = [("br", "br"), ("gzip", "gz")].into_iter().find_map(|(encoding, ending)| {
        let data = accepts(headers, encoding).then(|| find(&format!("{path}.{ending}"))).flatten()?;
        Some((encoding, data))
    });
    let (encoding, data) = packed.map_or((None, plain), |(encoding, data)| (Some(encoding), data));
    let body = match data {
        Cow::Borrowed(data) => Bytes::from_static(data),
        Cow::Owned(data) => Bytes::from(data),
    };
    let mut response = Response::new(body.into());
    response.headers_mut().insert(VARY, HeaderValue::from_static("accept-encoding"));
    if let Some(encoding) = encoding {
        response.headers_mut().insert(CONTENT_ENCODING, HeaderValue::from_static(encoding));
    }
    Some(response)
}

/// Whether the caller names an encoding and does not refuse it (RFC 9110, 12.5.3).
fn accepts(headers: &HeaderMap, encoding: &str) -> bool {
    headers
        .get_all(ACCEPT_ENCODING)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|list| list.split(','))
        .any(|one| {
            let (name, weight) = one.split_once(';').unwrap_or((one, ""));
            let refused = weight.trim().strip_prefix("q=").is_some_and(|weight| weight.parse() == Ok(0.0_f32));
            name.trim().eq_ignore_ascii_case(encoding) && !refused
        })
}

/// What a file is, by its ending; nothing else is served.
fn kind(file: &str) -> Option<&'static str> {
    Some(match file.rsplit_once('.')?.1 {
        "js" => "text/javascript; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "woff2" => "font/woff2",
        "json" => "application/json",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use http::StatusCode;

    use super::*;

    fn files(path: &str) -> Option<Cow<'static, [u8]>> {
        let data: &'static [u8] = match path {
            "index.html" => b"<!doctype html>",
            "index.html.br" => b"page in br",
            "assets/a-1.js" => b"plain",
            "assets/a-1.js.br" => b"in br",
            "assets/a-1.js.gz" => b"in gzip",
            "assets/b-1.css" => b"no packed form",
            _ => return None,
        };
        Some(Cow::Borrowed(data))
    }

    fn asks(encodings: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(ACCEPT_ENCODING, HeaderValue::from_static(encodings))])
    }

    async fn body(response: Response) -> String {
        let body = axum::body::to_bytes(response.into_body(), 10_000).await.unwrap();
        String::from_utf8(body.to_vec()).unwrap()
    }

    #[tokio::test]
    async fn a_file_comes_in_the_smallest_form_that_is_taken() {
        for (asked, encoding, expected) in [
            ("gzip, deflate, br, zstd", Some("br"), "in br"),
            ("gzip", Some("gzip"), "in gzip"),
            ("br;q=0, gzip;q=0.5", Some("gzip"), "in gzip"),
            ("br;q=0.000, GZIP", Some("gzip"), "in gzip"),
            ("zstd", None, "plain"),
            ("", None, "plain"),
        ] {
            let response = named(files, "a-1.js", &asks(asked)).unwrap();
            assert_eq!(
                response.headers().get(CONTENT_ENCODING).map(|value| value.to_str().unwrap()),
                encoding,
                "{asked}"
            );
            assert_eq!(response.headers()[CONTENT_TYPE], "text/javascript; charset=utf-8");
            assert_eq!(response.headers()[CACHE_CONTROL], "public, max-age=31536000, immutable");
            assert_eq!(response.headers()[VARY], "accept-encoding");
            assert_eq!(body(response).await, expected, "{asked}");
        }
        assert_eq!(body(named(files, "b-1.css", &asks("br")).unwrap()).await, "no packed form");
    }

    #[test]
    fn what_is_no_file_of_the_page_is_not_found() {
        for file in ["c.js", "a-1.js.br", "../index.html", "index.html", "", "a-1"] {
            let failure = named(files, file, &asks("br")).unwrap_err();
            assert_eq!(failure.into_response().status(), StatusCode::NOT_FOUND, "{file}");
        }
    }

    #[tokio::test]
    async fn the_page_is_asked_for_each_time_and_runs_nothing_inline() {
        let response = index(files, &asks("br"));
        let policy = response.headers()[CONTENT_SECURITY_POLICY].to_str().unwrap();
        assert!(policy.starts_with("default-src 'none'") && !policy.contains("unsafe"), "{policy}");
        assert!(response.headers().get(CACHE_CONTROL).is_none(), "the layer in front says no-cache");
        assert_eq!(response.headers()[ETAG], index(files, &asks("")).headers()[ETAG]);
        assert_eq!(body(response).await, "page in br");
    }

    #[tokio::test]
    async fn without_the_console_the_page_says_how_to_get_it() {
        let response = index(|_| None, &asks("br"));
        assert_eq!((response.status(), &response.headers()[CONTENT_TYPE]), (StatusCode::OK, &HTML));
        let page = body(response).await;
        assert!(page.contains("make up") && !page.contains("<script") && !page.contains("<style"), "{page}");
    }
}
