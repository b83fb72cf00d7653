//! The server below its methods: order of checks, names of errors, caches, origins, health.

use axum::body::Body;
use http::{HeaderMap, Method};
use rochdale_pds::api;
use rochdale_service::xrpc::Kind;
use serde_json::{Value, json};

use crate::server::{Server, ok, operator, refused};

async fn options(server: &Server, path: &str, headers: &[(&str, &str)]) -> (u16, HeaderMap) {
    let (status, headers, _) = server
        .send(Method::OPTIONS, path, headers, Body::empty())
        .await;
    (status, headers)
}

#[tokio::test]
async fn server_paths_that_are_none_are_not_found_and_health_names_the_version() {
    let server = Server::start().await;
    for path in ["/nothing", "/xrpcs", "/admin/nothing", "/.well-known/other"] {
        assert_eq!(server.get(path, &[]).await.0, 404, "{path}");
    }
    let (status, health) = server.get("/xrpc/_health", &[]).await;
    assert_eq!(status, 200);
    assert!(health["version"].as_str().unwrap().contains('.'));
    let (status, robots) = server.get("/robots.txt", &[]).await;
    assert_eq!(status, 200);
    assert!(robots.as_str().unwrap().contains("Allow: /"));
}

/// Parameters are judged before credentials, credentials before the body.
#[tokio::test]
async fn server_parameters_come_before_credentials_and_those_before_the_body() {
    let server = Server::start().await;
    let ada = server.member("ada").await;
    let session = ada.auth();
    for auth in ["", session.as_str()] {
        for query in [
            "com.atproto.sync.getRepo",
            "com.atproto.sync.getRecord?did=x",
            "com.atproto.sync.getBlocks?did=did:plc:a",
            "com.atproto.sync.getBlob",
            "com.atproto.sync.getLatestCommit",
            "com.atproto.sync.listBlobs?did=did:web:a.example&limit=0",
            "com.atproto.server.getServiceAuth",
            "com.atproto.repo.listMissingBlobs?limit=x",
            "com.atproto.admin.getAccountInfo",
            "com.atproto.admin.getAccountInfos?dids=x",
            "com.atproto.admin.searchAccounts?limit=x",
            "com.atproto.admin.getInviteCodes?limit=x",
            "com.atproto.admin.getSubjectStatus?did=x",
            "com.atproto.server.getAccountInviteCodes?includeUsed=x",
        ] {
            refused(server.ask(query, auth).await, (400, "InvalidRequest"));
        }
    }
    for nsid in [
        "com.atproto.repo.createRecord",
        "com.atproto.repo.applyWrites",
        "com.atproto.identity.updateHandle",
        "com.atproto.server.createAppPassword",
    ] {
        let headers = [("content-type", "application/json")];
        let path = format!("/xrpc/{nsid}");
        let (status, _, answer) = server
            .send(Method::POST, &path, &headers, "{nonsense")
            .await;
        refused((status, answer), (401, "AuthMissing"));
    }
}

#[tokio::test]
async fn server_bodies_are_refused_by_the_documented_names() {
    let server = Server::start().await;
    let ada = server.member("ada").await;
    let auth = ada.auth();
    let send = async |path: &str, kind: &str, encoding: &str, body: Vec<u8>| {
        let mut headers = vec![("authorization", auth.as_str())];
        if !kind.is_empty() {
            headers.push(("content-type", kind));
        }
        if !encoding.is_empty() {
            headers.push(("content-encoding", encoding));
        }
        let path = format!("/xrpc/{path}");
        let (status, _, answer) = server.send(Method::POST, &path, &headers, body).await;
        (status, answer)
    };
    let write = "com.atproto.repo.createRecord";
    let json = "application/json";
    for (kind, encoding, body, wanted) in [
        (json, "", b"{".to_vec(), (400, "InvalidRequest")),
        (json, "", Vec::new(), (400, "InvalidRequest")),
        ("text/plain", "", b"{}".to_vec(), (400, "InvalidRequest")),
        ("", "", b"{}".to_vec(), (400, "InvalidRequest")),
        (json, "zip", b"{}".to_vec(), (415, "UnsupportedMediaType")),
        (json, "gzip", b"{}".to_vec(), (400, "InvalidRequest")),
        (json, "", vec![b' '; 1_000_001], (413, "PayloadTooLarge")),
    ] {
        refused(send(write, kind, encoding, body).await, wanted);
    }
    let small = "com.atproto.identity.updateHandle";
    let large = send(small, json, "", vec![b' '; 200_000]).await;
    refused(large, (413, "PayloadTooLarge"));
    // A method without a body takes an empty one in any dress, and no other.
    let wake = "com.atproto.server.activateAccount";
    ok(send(wake, "", "", Vec::new()).await);
    ok(send(wake, json, "", Vec::new()).await);
    refused(
        send(wake, json, "", br#"{"a":1}"#.to_vec()).await,
        (400, "InvalidRequest"),
    );
    let (status, headers, answer) = server
        .send(Method::GET, &format!("/xrpc/{write}"), &[], "")
        .await;
    refused((status, answer), (405, "InvalidRequest"));
    assert_eq!(headers["allow"], "POST");
    let (status, _, answer) = server
        .send(
            Method::POST,
            "/xrpc/com.atproto.server.describeServer",
            &[],
            "",
        )
        .await;
    refused((status, answer), (405, "InvalidRequest"));
    let head = server
        .send(
            Method::HEAD,
            "/xrpc/com.atproto.server.describeServer",
            &[],
            "",
        )
        .await;
    assert_eq!((head.0, head.2), (200, Value::Null));
}

/// Row 29: a page may send whatever header it likes, and read what it needs.
#[tokio::test]
async fn row_29_any_origin_may_ask_with_any_header_and_read_the_limits() {
    let server = Server::start().await;
    let asked = "authorization,atproto-proxy,atproto-accept-labelers,dpop,user-agent";
    let headers = [
        ("origin", "https://app.example.org"),
        ("access-control-request-method", "POST"),
        ("access-control-request-headers", asked),
    ];
    for path in [
        "/xrpc/com.atproto.repo.createRecord",
        "/xrpc/app.bsky.feed.getTimeline",
        "/xrpc/com.atproto.sync.getRepo",
    ] {
        let (status, allowed) = options(&server, path, &headers).await;
        assert!(matches!(status, 200 | 204), "{path}");
        assert_eq!(allowed["access-control-allow-origin"], "*");
        assert_eq!(allowed["access-control-allow-headers"], asked);
        assert_eq!(allowed["access-control-max-age"], "86400");
    }
    let path = "/xrpc/com.atproto.server.describeServer";
    let (_, answered, _) = server.send(Method::GET, path, &[], "").await;
    let exposed = answered["access-control-expose-headers"].to_str().unwrap();
    for name in [
        "DPoP-Nonce",
        "WWW-Authenticate",
        "RateLimit-Limit",
        "RateLimit-Remaining",
        "RateLimit-Reset",
        "RateLimit-Policy",
        "Retry-After",
        "atproto-repo-rev",
        "atproto-content-labelers",
    ] {
        assert!(exposed.contains(name), "{name} in {exposed}");
    }
}

#[tokio::test]
async fn server_answers_to_credentials_are_for_no_shared_cache() {
    let server = Server::start().await;
    let ada = server.member("ada").await;
    let auth = ada.auth();
    let headers = [("authorization", auth.as_str())];
    let path = "/xrpc/com.atproto.server.getSession";
    let (_, private, _) = server.send(Method::GET, path, &headers, "").await;
    assert_eq!(private["cache-control"], "private");
    assert!(private["vary"].to_str().unwrap().contains("Authorization"));
    let path = "/xrpc/com.atproto.server.describeServer";
    let (_, public, _) = server.send(Method::GET, path, &[], "").await;
    assert!(!public.contains_key("cache-control"));
}

#[tokio::test]
async fn server_an_unknown_failure_is_a_500_that_tells_nothing_of_it() {
    let server = Server::start().await;
    let ada = server.member("ada").await;
    let query = "app.bsky.actor.getPreferences";
    ok(ada.ask(&server, query).await);
    let database = rusqlite::Connection::open(server.folder().join("pds.sqlite")).unwrap();
    database.execute_batch("DROP TABLE preference").unwrap();
    let (status, answer) = ada.ask(&server, query).await;
    assert_eq!(status, 500);
    let nothing = json!({ "error": "InternalServerError", "message": "internal server error" });
    assert_eq!(answer, nothing);
    ok(ada.post(&server, "and the rest goes on").await);
}

#[tokio::test]
async fn row_30_what_cannot_be_parsed_is_the_callers_fault_everywhere() {
    let server = Server::start().await;
    for query in [
        "com.atproto.repo.describeRepo?repo=not a handle",
        "com.atproto.repo.getRecord?repo=did:plc:&collection=x&rkey=y",
        "com.atproto.repo.listRecords?repo=..&collection=..",
        "com.atproto.identity.resolveHandle?handle=%00",
        "com.atproto.identity.resolveDid?did=plc",
        "com.atproto.sync.getBlob?did=did:web:a.example&cid=x",
    ] {
        let query = query.replace(' ', "%20");
        let (status, answer) = server.ask(&query, "").await;
        assert_eq!(status, 400, "{query}: {answer}");
    }
    for auth in [
        "Bearer a.b.c",
        "Bearer ...",
        "Bearer eyJhbGciOiJFUzI1NksifQ.e30.AAAA",
        "DPoP",
        "Bearer",
    ] {
        let headers = [("authorization", auth), ("content-type", "image/png")];
        for row in api::table() {
            let method = match row.kind {
                Some(Kind::Procedure) => Method::POST,
                Some(Kind::Query) => Method::GET,
                Some(Kind::Subscription) | None => continue,
            };
            let path = format!("/xrpc/{}", row.nsid);
            let (status, _, answer) = server.send(method, &path, &headers, "x").await;
            let open = (row.auth == "none").then_some(200);
            let is_refusal = (400..500).contains(&status) || Some(status) == open;
            assert!(is_refusal, "{} {auth}: {status} {answer}", row.nsid);
        }
    }
}

/// Row 32, and the methods that relay-side clients use.
#[tokio::test]
async fn row_32_names_and_documents_are_resolved_or_refused_by_name() {
    let server = Server::start().await;
    let ada = server.member("ada").await;
    let handle = "com.atproto.identity.resolveHandle?handle=";
    let found = ok(server.ask(&format!("{handle}ADA.test"), "").await);
    assert_eq!(found["did"], ada.did);
    refused(
        server.ask(&format!("{handle}nobody.test"), "").await,
        (400, "HandleNotFound"),
    );
    let did = format!("com.atproto.identity.resolveDid?did={}", ada.did);
    assert_eq!(ok(server.ask(&did, "").await)["didDoc"]["id"], ada.did);
    refused(
        server
            .ask(
                "com.atproto.identity.resolveDid?did=did:plc:ewvi7nxzyoun6zhxrhs64oiz",
                "",
            )
            .await,
        (400, "DidNotFound"),
    );
    for who in ["ada.test", ada.did.as_str()] {
        let query = format!("com.atproto.identity.resolveIdentity?identifier={who}");
        let identity = ok(server.ask(&query, "").await);
        assert_eq!(identity["did"], ada.did);
        assert_eq!(identity["handle"], "ada.test");
        let refresh = json!({ "identifier": who });
        let again = ok(server
            .call("com.atproto.identity.refreshIdentity", "", refresh)
            .await);
        assert_eq!(again["didDoc"], identity["didDoc"]);
    }
    let queue = ok(ada.ask(&server, "com.atproto.temp.checkSignupQueue").await);
    assert_eq!(queue["activated"], true);
}

#[tokio::test]
async fn sync_lists_of_repositories_show_sleeping_ones_and_turn_pages_in_order_of_creation() {
    let server = Server::start().await;
    let mut dids = Vec::new();
    // Some in one millisecond, some not.
    for name in ["ada", "ben", "cleo", "dora", "emil"] {
        dids.push(server.member(name).await.did);
        if name == "cleo" {
            server.clock.advance(std::time::Duration::from_millis(5));
        }
    }
    let body = json!({
        "subject": { "$type": "com.atproto.admin.defs#repoRef", "did": dids[1] },
        "takedown": { "applied": true },
    });
    ok(server
        .call("com.atproto.admin.updateSubjectStatus", &operator(), body)
        .await);
    let list = "com.atproto.sync.listRepos";
    let whole = ok(server.ask(list, "").await);
    let whole = whole["repos"].as_array().unwrap();
    assert_eq!(whole.len(), 5);
    let of = |repos: &[Value]| -> Vec<String> {
        let did = |repo: &Value| repo["did"].as_str().unwrap().to_owned();
        repos.iter().map(did).collect()
    };
    let mut first = of(&whole[..3]);
    first.sort();
    let mut expected = dids[..3].to_vec();
    expected.sort();
    assert_eq!(first, expected);
    let (mut seen, mut cursor) = (Vec::new(), String::new());
    for _ in 0..6 {
        let page = ok(server.ask(&format!("{list}?limit=1{cursor}"), "").await);
        seen.extend(of(page["repos"].as_array().unwrap()));
        match page["cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    assert_eq!(seen, of(whole));
    let down = whole.iter().find(|repo| repo["did"] == dids[1]).unwrap();
    assert_eq!(
        (&down["active"], &down["status"]),
        (&json!(false), &json!("takendown"))
    );
    assert!(down["head"].is_string() && down["rev"].is_string());
}
