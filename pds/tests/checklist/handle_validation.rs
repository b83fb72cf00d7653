//! Handle validation: lengths, characters, top-level domains, and case.

use serde_json::json;

use crate::server::{Server, ok, refused, wish};

#[tokio::test]
async fn handle_validation_names_have_three_to_eighteen_characters_of_one_label() {
    let server = Server::start().await;
    let create = "com.atproto.server.createAccount";
    for (number, (name, fits)) in [
        ("abc", true),
        ("abcdefghijklmnopqr", true),
        ("a-c", true),
        ("007", true),
        ("ab", false),
        ("abcdefghijklmnopqrs", false),
        ("-abc", false),
        ("abc-", false),
        ("a.bc", false),
        ("a_bc", false),
        ("äbc", false),
        ("a bc", false),
        ("", false),
    ]
    .into_iter()
    .enumerate()
    {
        let mut body = wish(&format!("x{number}"));
        body["handle"] = json!(format!("{name}.test"));
        let answer = server.call(create, "", body).await;
        if fits {
            ok(answer);
        } else {
            refused(answer, (400, "InvalidHandle"));
        }
    }
}

#[tokio::test]
async fn handle_validation_top_level_domains_that_are_not_public_are_refused() {
    let server = Server::start().await;
    let ada = server.member("ada").await;
    let update = "com.atproto.identity.updateHandle";
    for tld in [
        "local",
        "arpa",
        "invalid",
        "localhost",
        "internal",
        "example",
        "alt",
        "onion",
    ] {
        let body = json!({ "handle": format!("ada.{tld}") });
        refused(
            ada.call(&server, update, body).await,
            (400, "InvalidHandle"),
        );
    }
}

#[tokio::test]
async fn handle_validation_case_is_folded_when_stored_and_when_resolved() {
    let server = Server::start().await;
    let mut body = wish("ada");
    body["handle"] = json!("AdA.TEST");
    let create = "com.atproto.server.createAccount";
    let session = ok(server.call(create, "", body).await);
    assert_eq!(session["handle"], "ada.test");
    let resolve = "com.atproto.identity.resolveHandle?handle=ADA.tesT";
    assert_eq!(ok(server.ask(resolve, "").await)["did"], session["did"]);
    let headers = [("host", "ADA.test")];
    let (status, did) = server.get("/.well-known/atproto-did", &headers).await;
    assert_eq!((status, &did), (200, &session["did"]));
    for bad in ["", "ada", "a..test", "@ada.test"] {
        let resolve = format!("com.atproto.identity.resolveHandle?handle={bad}");
        refused(server.ask(&resolve, "").await, (400, "InvalidRequest"));
    }
}
