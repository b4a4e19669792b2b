//! Errors on the wire: RFC 9457 problem details, the one shape of every error answer.
//!
//! Which error has which status and words is the server's business.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The media type of an error answer.
pub const CONTENT_TYPE: &str = "application/problem+json";

/// An error answer (RFC 9457, `application/problem+json`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Problem {
    /// A URI that names the kind of problem; `about:blank` when the status says it all.
    #[serde(rename = "type", default = "about_blank")]
    #[schema(default = "about:blank")]
    pub kind: String,
    /// The status in words.
    #[serde(default)]
    pub title: String,
    /// The HTTP status code.
    #[schema(minimum = 400, maximum = 599)]
    pub status: u16,
    /// What went wrong and what to do about it, in a sentence.
    #[serde(default)]
    pub detail: String,
    /// The `X-Request-ID` of the call: it stands in every log line of it.
    #[serde(default)]
    pub request_id: String,
    /// For a 422: every field that does not fit.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<FieldError>,
}

/// A field that does not fit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FieldError {
    /// Where: a path like `subtasks[3].name`, or `body` when it is no JSON.
    pub field: String,
    /// What is wrong with it.
    pub message: String,
}

fn about_blank() -> String {
    "about:blank".to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_envelope_is_that_of_the_rfc() {
        let problem = Problem {
            kind: about_blank(),
            title: "Unprocessable Content".to_owned(),
            status: 422,
            detail: "Correct the fields named in errors and send the request again.".to_owned(),
            request_id: "r-1".to_owned(),
            errors: vec![FieldError {
                field: "description".to_owned(),
                message: "must have 10 to 10000 characters, has 3".to_owned(),
            }],
        };
        let value = serde_json::to_value(&problem).unwrap();
        assert_eq!(
            value,
            json!({"type": "about:blank", "title": "Unprocessable Content", "status": 422,
                "detail": "Correct the fields named in errors and send the request again.", "request_id": "r-1",
                "errors": [{"field": "description", "message": "must have 10 to 10000 characters, has 3"}]})
        );
        assert_eq!(serde_json::from_value::<Problem>(value).unwrap(), problem);
    }

    #[test]
    fn a_problem_of_another_maker_is_read_too() {
        let problem: Problem = serde_json::from_str(r#"{"status":503,"title":"Service Unavailable"}"#).unwrap();
        assert_eq!((problem.status, problem.kind.as_str()), (503, "about:blank"));
        let text = serde_json::to_string(&problem).unwrap();
        assert!(!text.contains("errors"), "{text}");
    }
}
