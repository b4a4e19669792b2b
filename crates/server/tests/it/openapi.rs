//! The document: a change of the contract is a difference in review.

use std::collections::HashSet;

use http::StatusCode;

use crate::rig::Rig;

#[tokio::test]
async fn the_document_is_the_contract() {
    let rig = Rig::start().await;
    let document = rig.get("/openapi.json").await;
    let document = document.is(StatusCode::OK).json();
    assert_eq!(document["openapi"], "3.1.0");
    insta::assert_snapshot!("openapi", serde_json::to_string_pretty(&document).unwrap());
}

#[test]
fn every_reference_resolves_and_every_id_is_unique() {
    let document = serde_json::to_value(regatta_server::document()).unwrap();
    let text = document.to_string();
    for reference in text.split("\"#/components/schemas/").skip(1) {
        let name = reference.split('"').next().unwrap();
        assert!(!document["components"]["schemas"][name].is_null(), "{name} is referred to and absent");
    }
    let mut ids = HashSet::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let id = operation["operationId"].as_str().unwrap();
            assert!(ids.insert(id.to_owned()), "{method} {path}: {id} is used twice");
            for (status, response) in operation["responses"].as_object().unwrap() {
                if status.starts_with(['4', '5']) && !path.contains("/health") {
                    assert!(!response["content"]["application/problem+json"].is_null(), "{method} {path} {status}");
                }
            }
        }
    }
}
