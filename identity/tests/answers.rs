//! What the directory answers about a DID: bodies, types, versions, addresses.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "a test reports by panicking"
)]

mod support;

use rochdale_identity::config::Raw;
use support::{Holder, World, read};

const PATHS: [&str; 5] = ["", "/data", "/log", "/log/audit", "/log/last"];

#[tokio::test]
async fn a_registered_did_is_answered_in_the_exact_forms_of_the_reference() {
    let world = World::new().await;
    let holder = Holder::registered(&world, 1).await;
    let (did, operation) = (&holder.did, holder.genesis.to_json());
    let [strong, middle, weak] = holder.keys.each_ref().map(|key| key.public().to_did_key());
    let document = world.get(&format!("/{did}")).await;
    assert_eq!(
        document.header("content-type"),
        "application/did+ld+json; charset=utf-8"
    );
    let expected = format!(
        concat!(
            r#"{{"@context":["https://www.w3.org/ns/did/v1","https://w3id.org/security/multikey/v1","#,
            r#""https://w3id.org/security/suites/secp256k1-2019/v1"],"id":"{did}","#,
            r#""alsoKnownAs":["at://holder1.test"],"verificationMethod":[{{"id":"{did}#atproto","#,
            r#""type":"Multikey","controller":"{did}","publicKeyMultibase":"{key}"}}],"#,
            r##""service":[{{"id":"#atproto_pds","type":"AtprotoPersonalDataServer","##,
            r#""serviceEndpoint":"https://pds.coop.example"}}]}}"#
        ),
        did = did,
        key = weak.trim_start_matches("did:key:")
    );
    assert_eq!(document.ok(), expected);
    let data = world.get(&format!("/{did}/data")).await;
    let expected = format!(
        concat!(
            r#"{{"did":"{did}","verificationMethods":{{"atproto":"{weak}"}},"#,
            r#""rotationKeys":["{strong}","{middle}","{weak}"],"alsoKnownAs":["at://holder1.test"],"#,
            r#""services":{{"atproto_pds":{{"type":"AtprotoPersonalDataServer","endpoint":"https://pds.coop.example"}}}}}}"#
        ),
        did = did,
        weak = weak,
        middle = middle,
        strong = strong
    );
    assert_eq!(data.ok(), expected);
    assert_eq!(
        world.get(&format!("/{did}/log")).await.ok(),
        format!("[{operation}]")
    );
    assert_eq!(world.get(&format!("/{did}/log/last")).await.ok(), operation);
    let cid = holder.genesis.cid();
    let audit = format!(
        r#"[{{"did":"{did}","operation":{operation},"cid":"{cid}","nullified":false,"createdAt":"2026-09-21T14:13:20.000Z"}}]"#
    );
    assert_eq!(world.get(&format!("/{did}/log/audit")).await.ok(), audit);
    for path in &PATHS[1..] {
        let answer = world.get(&format!("/{did}{path}")).await;
        assert_eq!(
            answer.header("content-type"),
            "application/json; charset=utf-8",
            "{path}"
        );
    }
}

#[tokio::test]
async fn a_did_may_be_percent_encoded_in_every_address() {
    let world = World::new().await;
    let holder = Holder::new(1);
    let encoded = holder.did.replace(':', "%3A");
    world.accepts(&encoded, &holder.genesis).await;
    for path in PATHS {
        let raw = world.get(&format!("/{}{path}", holder.did)).await;
        let other = world.get(&format!("/{encoded}{path}")).await;
        assert_eq!(raw.ok(), other.ok(), "{path}");
    }
}

#[tokio::test]
async fn answers_carry_a_version_and_an_unchanged_one_is_not_sent_again() {
    let world = World::new().await;
    let holder = Holder::registered(&world, 1).await;
    for path in PATHS {
        let address = format!("{}/{}{path}", world.url, holder.did);
        let first = world.get(&format!("/{}{path}", holder.did)).await;
        let tag = first.header("etag").to_owned();
        assert_eq!(tag, format!("W/\"{}\"", holder.genesis.cid()));
        assert_eq!(first.header("access-control-allow-origin"), "*");
        let again = read(world.http.get(&address).header("if-none-match", &tag)).await;
        assert_eq!((again.status, again.body.as_str()), (304, ""), "{path}");
        assert_eq!(again.header("etag"), tag);
        let other = read(
            world
                .http
                .get(&address)
                .header("if-none-match", "\"other\""),
        )
        .await;
        assert_eq!(other.status, 200);
        let head = read(world.http.head(&address)).await;
        assert_eq!((head.status, head.body.as_str()), (200, ""));
        assert_eq!(head.header("content-length"), first.body.len().to_string());
    }
    let update = holder.signed(&holder.genesis, "new.test", 0);
    world.accepts(&holder.did, &update).await;
    let address = format!("{}/{}", world.url, holder.did);
    let tag = format!("W/\"{}\"", holder.genesis.cid());
    let changed = read(world.http.get(address).header("if-none-match", tag)).await;
    assert!(changed.ok().contains("new.test"));
}

#[tokio::test]
async fn what_nobody_registered_is_not_found() {
    let world = World::new().await;
    let names = [
        "did:plc:aaaaaaaaaaaaaaaaaaaaaaaa",
        "did:plc:short",
        "did:plc:AAAAAAAAAAAAAAAAAAAAAAAA",
        "did:web:coop.example",
        "favicon.ico",
    ];
    for name in names {
        for path in PATHS {
            let message = world.get(&format!("/{name}{path}")).await.refused(404);
            assert_eq!(message, format!("DID not registered: {name}"));
        }
    }
    assert_eq!(world.get("/a/b/c/d").await.refused(404), "No such page");
    world
        .get("/did:plc:aaaaaaaaaaaaaaaaaaaaaaaa/logs")
        .await
        .refused(404);
    world.get("/%ff").await.refused(400);
}

#[tokio::test]
async fn an_ended_did_is_not_available_and_its_log_is() {
    for (raw, status) in [
        (Raw::default(), 404),
        (
            Raw {
                tombstone_status: 410,
                ..Raw::default()
            },
            410,
        ),
    ] {
        let world = World::with(raw).await;
        let holder = Holder::registered(&world, 1).await;
        let tombstone = holder.tombstone(&holder.genesis, 2);
        world.accepts(&holder.did, &tombstone).await;
        for path in ["", "/data"] {
            let message = world
                .get(&format!("/{}{path}", holder.did))
                .await
                .refused(status);
            assert_eq!(message, format!("DID not available: {}", holder.did));
        }
        let last = world.get(&format!("/{}/log/last", holder.did)).await;
        assert_eq!(last.ok(), tombstone.to_json());
        let log = world.get(&format!("/{}/log", holder.did)).await;
        assert_eq!(
            log.ok(),
            format!("[{},{}]", holder.genesis.to_json(), tombstone.to_json())
        );
        let restored = holder.signed(&holder.genesis, "back.test", 0);
        world.wait_ms(1);
        world.accepts(&holder.did, &restored).await;
        assert!(
            world
                .get(&format!("/{}", holder.did))
                .await
                .ok()
                .contains("at://back.test")
        );
        let log = world.get(&format!("/{}/log", holder.did)).await;
        assert_eq!(
            log.ok(),
            format!("[{},{}]", holder.genesis.to_json(), restored.to_json())
        );
    }
}

#[tokio::test]
async fn the_rest_of_the_house_answers_too() {
    let world = World::new().await;
    let health = world.get("/_health").await;
    assert_eq!(
        health.ok(),
        format!(r#"{{"version":"{}"}}"#, env!("CARGO_PKG_VERSION"))
    );
    assert_eq!(
        health.header("content-type"),
        "application/json; charset=utf-8"
    );
    let home = world.get("/").await;
    assert!(home.ok().contains("<h1>DID directory</h1>"));
    assert_eq!(home.header("content-type"), "text/html; charset=utf-8");
    assert_eq!(read(world.http.get(&world.url)).await.status, 200);
    let wrong = read(world.http.delete(format!("{}/export", world.url))).await;
    wrong.refused(405);
    let preflight = world
        .http
        .request(reqwest::Method::OPTIONS, format!("{}/did:plc:x", world.url))
        .header("origin", "https://app.example")
        .header("access-control-request-method", "POST")
        .header("access-control-request-headers", "content-type");
    let preflight = read(preflight).await;
    assert_eq!(preflight.status, 204);
    assert_eq!(preflight.header("access-control-allow-origin"), "*");
    assert_eq!(
        preflight.header("access-control-allow-headers"),
        "content-type"
    );
    assert!(
        preflight
            .header("access-control-allow-methods")
            .contains("POST")
    );
}
