//! Request limits: what is counted, for whom, and how a client is told.

use http::{HeaderMap, Method};
use rochdale_service::config::Secret;
use serde_json::{Value, json};

use crate::member::Member;
use crate::server::{Server, basic, ok, operator, refused};

async fn limited(points: u32) -> Server {
    Server::start_with(|options| {
        options.limits.enabled = true;
        options.limits.global_points = points;
        options.limits.bypass_key = Some(Secret::new("a way around"));
    })
    .await
}

async fn ask(server: &Server, query: &str, headers: &[(&str, &str)]) -> (u16, HeaderMap, Value) {
    let path = format!("/xrpc/{query}");
    server.send(Method::GET, &path, headers, "").await
}

fn number(headers: &HeaderMap, name: &str) -> u64 {
    let value = headers.get(name).unwrap_or_else(|| panic!("no {name}"));
    value.to_str().unwrap().parse().unwrap()
}

const DESCRIBE: &str = "com.atproto.server.describeServer";

#[tokio::test]
async fn rate_limits_an_address_is_told_what_is_left_and_when_to_come_back() {
    let server = limited(5).await;
    for left in (0..5).rev() {
        let (status, headers, _) = ask(&server, DESCRIBE, &[]).await;
        assert_eq!(status, 200);
        assert_eq!(number(&headers, "ratelimit-limit"), 5);
        assert_eq!(number(&headers, "ratelimit-remaining"), left);
        assert_eq!(headers["ratelimit-policy"], "5;w=300");
    }
    let (status, headers, answer) = ask(&server, DESCRIBE, &[]).await;
    refused((status, answer), (429, "RateLimitExceeded"));
    let wait_s = number(&headers, "retry-after");
    assert!((1..=300).contains(&wait_s), "{wait_s}");
    assert!(
        headers["access-control-expose-headers"]
            .to_str()
            .unwrap()
            .contains("Retry-After")
    );
    // Another address has its own; the key lifts the limit; exports are counted apart.
    let other = [("x-forwarded-for", "203.0.113.9")];
    assert_eq!(ask(&server, DESCRIBE, &other).await.0, 200);
    let bypass = [("x-ratelimit-bypass", "a way around")];
    assert_eq!(ask(&server, DESCRIBE, &bypass).await.0, 200);
    let wrong = [("x-ratelimit-bypass", "a way")];
    assert_eq!(ask(&server, DESCRIBE, &wrong).await.0, 429);
    let export = "com.atproto.sync.getRepo?did=did:plc:ewvi7nxzyoun6zhxrhs64oiz";
    assert_eq!(ask(&server, export, &[]).await.0, 400);
    server.clock.advance(std::time::Duration::from_secs(wait_s));
    assert_eq!(ask(&server, DESCRIBE, &[]).await.0, 200);
}

#[tokio::test]
async fn rate_limits_writes_cost_points_of_the_account_by_what_they_do() {
    let server = limited(100_000).await;
    let (ada, ben) = (server.member("ada").await, server.member("ben").await);
    let create = |n: usize| {
        json!({ "$type": "com.atproto.repo.applyWrites#create", "collection": "com.example.note",
                "rkey": format!("n{n}"), "value": { "n": n } })
    };
    let delete = |n: usize| {
        json!({ "$type": "com.atproto.repo.applyWrites#delete", "collection": "com.example.note",
                "rkey": format!("n{n}") })
    };
    let apply = async |who: &Member, writes: Vec<Value>| {
        let auth = who.auth();
        let headers = [
            ("authorization", auth.as_str()),
            ("content-type", "application/json"),
        ];
        let body = json!({ "repo": who.did, "writes": writes }).to_string();
        let path = "/xrpc/com.atproto.repo.applyWrites";
        server.send(Method::POST, path, &headers, body).await
    };
    let (status, headers, answer) = apply(&ada, (0..200).map(create).collect()).await;
    assert_eq!(status, 200, "{answer}");
    assert_eq!(number(&headers, "ratelimit-limit"), 5_000);
    assert_eq!(number(&headers, "ratelimit-remaining"), 4_400, "3 each");
    let (_, headers, _) = apply(&ada, (0..200).map(delete).collect()).await;
    assert_eq!(number(&headers, "ratelimit-remaining"), 4_200, "1 each");
    let body =
        json!({ "repo": ada.did, "collection": "com.example.note", "rkey": "p", "record": {} });
    ok(ada.call(&server, "com.atproto.repo.putRecord", body).await);
    // Whoever may not write takes nothing: not for an account, nor with bad credentials.
    for _ in 0..3 {
        let body = json!({ "repo": ada.did, "writes": [create(0)] });
        let (status, _) = ben
            .call(&server, "com.atproto.repo.applyWrites", body.clone())
            .await;
        assert_eq!(status, 401);
        let (status, _) = server
            .call("com.atproto.repo.applyWrites", "Bearer nonsense", body)
            .await;
        assert_eq!(status, 400);
    }
    let (_, headers, _) = apply(&ada, vec![create(0)]).await;
    assert_eq!(number(&headers, "ratelimit-remaining"), 4_195, "2 and 3");
    for round in 1..7 {
        let writes = (200 * round..200 * (round + 1)).map(create).collect();
        assert_eq!(apply(&ada, writes).await.0, 200);
    }
    let (status, headers, answer) =
        apply(&ada, (0..200).map(|n| create(n + 5_000)).collect()).await;
    refused((status, answer), (429, "RateLimitExceeded"));
    assert!(number(&headers, "retry-after") <= 3_600);
    assert_eq!(apply(&ben, vec![create(0)]).await.0, 200, "its own budget");
}

#[tokio::test]
async fn rate_limits_of_the_lexicons_methods_are_kept_per_address_and_account() {
    let server = limited(100_000).await;
    let ada = server.member("ada").await;
    // Handle changes: 10 in 5 minutes for an account, also when they are refused.
    let update = "com.atproto.identity.updateHandle";
    for _ in 0..10 {
        let (status, answer) = ada
            .call(&server, update, json!({ "handle": "ab.test" }))
            .await;
        assert_eq!(status, 400, "{answer}");
    }
    refused(
        ada.call(&server, update, json!({ "handle": "ab.test" }))
            .await,
        (429, "RateLimitExceeded"),
    );
    // Sign-in: 30 in 5 minutes for a name from an address.
    let sign_in = async |address: &str, name: &str| {
        let body = json!({ "identifier": name, "password": "wrong" }).to_string();
        let headers = [
            ("x-forwarded-for", address),
            ("content-type", "application/json"),
        ];
        let path = "/xrpc/com.atproto.server.createSession";
        server.send(Method::POST, path, &headers, body).await.0
    };
    let names = ["ada.test", "@ada.test", " ADA.test", "@@ada.test "].iter();
    let tries = names.cycle().take(30);
    let tries = tries.map(|name| sign_in("203.0.113.1", name));
    let tries = futures::future::join_all(tries).await;
    assert!(tries.iter().all(|status| *status == 401), "{tries:?}");
    for spelling in ["ada.test", "  @Ada.test"] {
        assert_eq!(sign_in("203.0.113.1", spelling).await, 429, "{spelling}");
    }
    assert_eq!(sign_in("203.0.113.2", "ada.test").await, 401);
}

#[tokio::test]
async fn rate_limits_wrong_operator_passwords_lock_the_address_out_for_a_while() {
    let server = limited(100_000).await;
    let ada = server.member("ada").await;
    let query = format!("com.atproto.admin.getAccountInfo?did={}", ada.did);
    let export = format!("com.atproto.sync.getRepo?did={}", ada.did);
    let at = |address: &'static str, auth: String| {
        let (server, query, export) = (&server, &query, &export);
        async move {
            let headers = [
                ("x-forwarded-for", address),
                ("authorization", auth.as_str()),
            ];
            let by_method = ask(server, query, &headers).await.0;
            let beside = server.get("/admin/audit", &headers).await.0;
            let as_viewer = ask(server, export, &headers).await.0;
            [by_method, beside, as_viewer]
        }
    };
    for n in 0..10 {
        let tried = at("203.0.113.1", basic("admin", &n.to_string())).await;
        assert_eq!(tried, [401; 3]);
    }
    assert_eq!(at("203.0.113.1", operator()).await, [429; 3]);
    assert_eq!(at("203.0.113.2", operator()).await, [200; 3]);
    server.clock.advance(std::time::Duration::from_secs(301));
    assert_eq!(at("203.0.113.1", operator()).await, [200; 3]);
}
