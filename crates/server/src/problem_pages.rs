//! What stands at the URI of each kind of problem, and in `docs/problems.md`: when it happens, what its caller does, and
//! where an operator looks.

use crate::kind::Kind;

/// A kind of problem, told to people.
struct Page {
    /// When it is answered.
    when: &'static str,
    /// What who called does about it.
    caller: &'static str,
    /// What who runs the server does about it, or that there is nothing to do.
    operator: &'static str,
}

/// The figure that counts answers.
macro_rules! counted {
    ($status:literal) => {
        concat!("Counted: `regatta_http_requests_total{status=\"", $status, "\"}`.")
    };
}

#[rustfmt::skip]
const fn told(kind: Kind) -> Page {
    match kind {
        Kind::BadRequest => Page {
            when: "What came is no HTTP/1.1 request (RFC 9112): its request line or a header cannot be read, it has no Host or \
                more than one, or it speaks HTTP to a port that speaks TLS.",
            caller: "Send it with an HTTP client; where TLS is spoken, to https:// and wss://.",
            operator: "Nothing, unless it comes often: then look which proxy or program in front spoils requests. Requests that \
                cannot be read are not counted, having no route.",
        },
        Kind::Unauthorized => Page {
            when: "The server is reachable from other machines and asks every caller for a token; there was none, or one that \
                is unknown or revoked.",
            caller: "Show one: Authorization: Bearer TOKEN, on WebSockets also ?token=TOKEN. Commands and workers take it from \
                REGATTA_TOKEN, the configuration file or --token.",
            operator: "`regatta token create --role user|worker|viewer` makes one, `regatta token list` says which count. \
                Counted by reason: `regatta_auth_refused_total`. Many from one address are somebody who guesses, or a worker \
                whose token was revoked.",
        },
        Kind::Forbidden => Page {
            when: "Where tokens are asked for, the role of this one does not allow the call: a viewer's reads, a worker's \
                registers workers and acts for those that it registered, a user's does everything. Where none are, the server \
                listens only on loopback: it answers only to loopback names (Host) and lets no page of another place (Origin) \
                change anything.",
            caller: "Use a token of the role that the detail names; on loopback call it as localhost, from its own pages or \
                without a browser.",
            operator: "To take over a worker that another token registered, revoke that token first. Behind a proxy, let it \
                pass Host on as it came, or listen beyond loopback with tokens. Counted: `regatta_auth_refused_total`.",
        },
        Kind::NotFound => Page {
            when: "The path, or the id in it, names nothing: the id may be of another kind, or what it named was deleted or \
                forgotten by retention. A poll of an older agent is answered with it when there is no work.",
            caller: "Look at the lists for what there is, and at /docs for the calls.",
            operator: "Nothing. If things go missing that people still want, `--retain-days` and `--retain-tasks` say how long \
                ended tasks are kept.",
        },
        Kind::MethodNotAllowed => Page {
            when: "The path exists and is called with another method.",
            caller: "Use a method of the header Allow.",
            operator: "Nothing.",
        },
        Kind::TooSlow => Page {
            when: "The body of a request did not come within 30 s, with a second more for each 16 KiB that came. Whoever is slow with \
                the head of a request, or only holds a connection, is cut off without an answer.",
            caller: "Send it faster, or in parts; nothing was done.",
            operator: "Nothing, unless it comes from many: a proxy in front that passes bodies on as they come from slow lines \
                should take them whole first. Whoever is this slow holds a place among the requests that are served.",
        },
        Kind::Conflict => Page {
            when: "The task, subtask or worker is in a state that does not allow the change, a lease is no longer live, or an \
                Idempotency-Key was used for another body. Nothing was changed.",
            caller: "Read the thing again, then decide. A worker whose lease is over ends what it runs under it.",
            operator: "Single ones are part of normal work: two people cancel, a late result is refused. Many late results mean \
                that workers lose their leases: look at attempts with the outcome `lost`, at the load of the workers' \
                machines, and at the network.",
        },
        Kind::TooLarge => Page {
            when: "A size is over its limit, which the detail names with what was sent: a task's body 8 MiB, a plan 10,000 \
                steps, a result 1 MiB, a log line 64 KiB, a frame 10 MiB.",
            caller: "Send less, or split it; put large outputs where both sides can read them, and send their place.",
            operator: "Nothing; the limits are fixed.",
        },
        Kind::UnsupportedMediaType => Page {
            when: "A request that needs a JSON body came without `Content-Type: application/json`.",
            caller: "Send the body as JSON, and say so.",
            operator: "Nothing. The header is what keeps pages of other places from posting forms.",
        },
        Kind::Invalid => Page {
            when: "Fields of the body, the query or a header do not fit; `errors` names each, the field `body` standing for \
                the JSON as a whole.",
            caller: "Correct the fields and send the request again.",
            operator: "Nothing, unless it begins after an update: then a client is older or newer than the server.",
        },
        Kind::UpgradeRequired => Page {
            when: "The path is a WebSocket (RFC 6455) and was called as something else.",
            caller: "Connect with a client for WebSockets.",
            operator: "A proxy in front must pass `Connection: Upgrade` and `Upgrade: websocket` on.",
        },
        Kind::UriTooLong => Page {
            when: "The path with its query is longer than 65,534 bytes.",
            caller: "Send what is long in the body.",
            operator: "Nothing.",
        },
        Kind::HeadersTooLarge => Page {
            when: "There are more than 100 headers, or they are larger than about 400 KiB.",
            caller: "Send fewer and shorter ones.",
            operator: "Nothing, unless a proxy in front adds them.",
        },
        Kind::TooMany => Page {
            when: "More than ten calls within a minute came from one address with tokens that do not count. Calls with a good \
                token pass all the same.",
            caller: "Correct the token, and try again after Retry-After seconds.",
            operator: "Look at `regatta_auth_refused_total`. A worker or script with a revoked token is the usual cause; behind \
                a proxy all callers have its address.",
        },
        Kind::Internal => Page {
            when: "A fault of the server.",
            caller: "Tell who runs the server the request_id. Whether to try again depends on what happened.",
            operator: concat!("Look for the request_id in the server's log; the line says what failed. ", counted!("500"),
                " Nothing of the request was kept: a change is written whole or not at all. Please report it."),
        },
        Kind::Overloaded => Page {
            when: "More is asked than the server takes on at once: too many requests under way, too many bytes of bodies, or \
                too much waiting to be written. Heartbeats, registrations and health checks are still served, so no worker is \
                lost for it.",
            caller: "Try again after Retry-After seconds, with the same Idempotency-Key. Regatta's own client and workers do.",
            operator: concat!("Look at `regatta_store_queue` and `regatta_http_requests_serving`: a long queue with little \
                load is a slow disk (`regatta_store_latency_seconds`). Otherwise submit in batches (`POST /tasks/batch`), which \
                cost less than single tasks, or slower. ", counted!("503")),
        },
        Kind::Unavailable => Page {
            when: "The server is shutting down, or its database cannot be read or written: the disk is full or fails, its folder \
                is gone or may not be written, the memory is used up. Unless the detail says that it is unknown, nothing was \
                changed.",
            caller: "Try again after Retry-After seconds; an Idempotency-Key makes that safe even where it is unknown whether \
                the change was made. Workers keep their results until they are taken.",
            operator: concat!("The server's log says what the database said, and what to do. A disk that was full needs room \
                and no restart; a database that is damaged needs `regatta restore` of a backup. /api/v1/health is 503 while \
                nothing can be read. ", counted!("503")),
        },
        Kind::Other(_) => Page { when: "", caller: "", operator: "" },
    }
}

/// The page at the URI of a kind of problem.
pub(crate) fn page(slug: &str) -> Option<String> {
    let kind = Kind::NAMED.into_iter().find(|kind| kind.slug() == slug)?;
    let Page { when, caller, operator } = told(kind);
    Some(format!(
        "{} ({})\n\nWhen: {when}\n\nWho called: {caller}\n\nWho runs the server: {operator}\n",
        kind.title(),
        kind.status()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All pages as one document in Markdown: `docs/problems.md`.
    fn document() -> String {
        let mut text = "# Problems\n\n\
            Every error answer is `application/problem+json` (RFC 9457). Its `type` is one of these; each is also a page of the\n\
            server itself. `detail` says what it was this time and what to do, `request_id` stands in the server's log too.\n\n\
            | `type` | Status | Title |\n|---|---|---|\n"
            .to_owned();
        for kind in Kind::NAMED {
            let slug = kind.slug();
            text += &format!("| [`{}`](#{slug}) | {} | {} |\n", kind.uri(), kind.status().as_u16(), kind.title());
        }
        for kind in Kind::NAMED {
            let slug = kind.slug();
            let Page { when, caller, operator } = told(kind);
            text += &format!(
                "\n## {slug}\n\n*{}*, {}\n\n- **When.** {when}\n- **Who called.** {caller}\n- **Who runs the server.** {operator}\n",
                kind.title(),
                kind.status()
            );
        }
        text
    }

    #[test]
    fn every_kind_that_is_named_has_a_page_of_its_own() {
        for kind in Kind::NAMED {
            let slug = kind.uri().strip_prefix("/problems/").unwrap();
            let page = page(slug).unwrap();
            assert!(page.starts_with(kind.title()), "{page}");
            let Page { when, caller, operator } = told(kind);
            assert!([when, caller, operator].iter().all(|text| text.ends_with('.')), "{page}");
        }
        assert_eq!(page("other"), None);
    }

    /// The document in docs is this one. `UPDATE=1` writes it anew.
    #[test]
    fn the_published_document_is_that_of_the_code() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/problems.md");
        if std::env::var_os("UPDATE").is_some() {
            std::fs::write(path, document()).unwrap();
        }
        assert_eq!(std::fs::read_to_string(path).unwrap_or_default(), document(), "UPDATE=1 writes it anew");
    }
}
