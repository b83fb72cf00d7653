//! Handles: changing them, own domains, other people's DIDs, and who may do what.

use futures::future::join_all;
use rochdale_protocol::plc::UnsignedOperation;
use rochdale_protocol::sync::Event;
use rochdale_protocol::xrpc::service_auth::{self, Claims};
use rochdale_resolver::LocalSuffix;
use serde_json::{Value, json};

use crate::directory::key;
use crate::firehose::Firehose;
use crate::member::Member;
use crate::server::{Server, bearer, ok, operator, refused, wish};
use crate::site::{NameServer, Site};

const UPDATE: &str = "com.atproto.identity.updateHandle";
const CREATE: &str = "com.atproto.server.createAccount";

async fn set(server: &Server, member: &Member, handle: &str) -> (u16, Value) {
    member
        .call(server, UPDATE, json!({ "handle": handle }))
        .await
}

async fn resolve(server: &Server, handle: &str) -> (u16, Value) {
    let query = format!("com.atproto.identity.resolveHandle?handle={handle}");
    server.ask(&query, "").await
}

#[tokio::test]
async fn handles_a_change_reaches_document_session_and_stream_and_may_be_repeated() {
    let server = Server::start().await;
    let ada = server.member("ada").await;
    let mut firehose = Firehose::open(&server, None).await;
    for _twice in 0..2 {
        ok(set(&server, &ada, "LoveLace.test").await);
        let Event::Identity(event) = firehose.event().await.1 else {
            panic!("no identity event")
        };
        assert_eq!(event.handle.unwrap().as_str(), "lovelace.test");
    }
    assert_eq!(
        server.directory.log(&ada.did).await.len(),
        2,
        "one operation"
    );
    let (_, document) = server.directory.document(&ada.did).await;
    assert_eq!(document["alsoKnownAs"], json!(["at://lovelace.test"]));
    let session = ada.session(&server).await;
    assert_eq!(session["handle"], "lovelace.test");
    assert_eq!(
        session["didDoc"]["alsoKnownAs"],
        json!(["at://lovelace.test"])
    );
    assert_eq!(ok(resolve(&server, "LOVELACE.test").await)["did"], ada.did);
    refused(resolve(&server, "ada.test").await, (400, "HandleNotFound"));
    let mut again = wish("ada");
    again["email"] = json!("another@coop.example");
    ok(server.call(CREATE, "", again).await);
}

#[tokio::test]
async fn handles_a_change_that_is_refused_leaves_document_and_account_as_they_were() {
    let server = Server::start().await;
    let (ada, _bob) = (server.member("ada").await, server.member("bob").await);
    for (handle, name) in [
        ("bob.test", "InvalidRequest"),
        ("admin.test", "HandleNotAvailable"),
        ("al.test", "InvalidHandle"),
        ("no", "InvalidHandle"),
        ("ada.localhost", "InvalidHandle"),
    ] {
        refused(set(&server, &ada, handle).await, (400, name));
    }
    assert_eq!(server.directory.log(&ada.did).await.len(), 1);
    assert_eq!(ada.session(&server).await["handle"], "ada.test");
    refused(
        server.call(UPDATE, "", json!({ "handle": "x.test" })).await,
        (401, "AuthMissing"),
    );
}

#[tokio::test]
async fn handles_of_many_who_race_for_one_the_losers_documents_are_put_back() {
    let server = Server::start().await;
    let mut members = Vec::new();
    for name in ["one1", "two2", "three3", "four4"] {
        members.push(server.member(name).await);
    }
    let outcomes = join_all(
        members
            .iter()
            .map(|member| set(&server, member, "prize.test")),
    )
    .await;
    let won = outcomes.iter().filter(|(status, _)| *status == 200).count();
    assert_eq!(won, 1);
    for (member, (status, answer)) in members.iter().zip(outcomes) {
        let handle = member.session(&server).await["handle"].clone();
        let (_, document) = server.directory.document(&member.did).await;
        let named = format!("at://{}", handle.as_str().unwrap());
        assert_eq!(document["alsoKnownAs"], json!([named]), "{status}");
        if status != 200 {
            refused((status, answer), (400, "InvalidRequest"));
        }
    }
    let holder = ok(resolve(&server, "prize.test").await);
    assert!(members.iter().any(|member| holder["did"] == member.did));
}

#[tokio::test]
async fn handles_a_domain_of_ones_own_is_taken_when_dns_points_to_the_account() {
    let dns = NameServer::start().await;
    let address = dns.address;
    let server = Server::start_with(|options| options.resolver.nameservers = vec![address]).await;
    let ada = server.member("ada").await;
    let domain = "ada-lovelace.org";
    let record = format!("_atproto.{domain}");
    dns.set(&record, &["did=did:plc:ewvi7nxzyoun6zhxrhs64oiz"]);
    let said = refused(set(&server, &ada, domain).await, (400, "InvalidRequest"));
    assert!(
        said.starts_with("External handle did not resolve to DID"),
        "{said}"
    );
    assert_eq!(server.directory.log(&ada.did).await.len(), 1);
    // A member who has just set the record does not wait for a cache to forget the answer before.
    dns.set(&record, &["unrelated", &format!("did={}", ada.did)]);
    ok(set(&server, &ada, domain).await);
    assert_eq!(ada.session(&server).await["handle"], domain);
    assert_eq!(ok(resolve(&server, domain).await)["did"], ada.did);
    let two = [
        "did=did:plc:ewvi7nxzyoun6zhxrhs64oiz",
        &format!("did={}", ada.did),
    ];
    dns.set("_atproto.second-domain.org", &two);
    refused(
        set(&server, &ada, "second-domain.org").await,
        (400, "InvalidRequest"),
    );
}

#[tokio::test]
async fn handles_a_domain_of_ones_own_is_taken_when_its_web_site_points_to_the_account() {
    let site = Site::start().await;
    let url = site.url.clone();
    let server = Server::start_with(|options| {
        options.resolver.local.push(LocalSuffix {
            suffix: ".lovelace.org".to_owned(),
            base_url: url,
        });
    })
    .await;
    let ada = server.member("ada").await;
    refused(
        set(&server, &ada, "ada.lovelace.org").await,
        (400, "InvalidRequest"),
    );
    site.says("ada.lovelace.org", &ada.did);
    ok(set(&server, &ada, "ada.lovelace.org").await);
    assert_eq!(ada.session(&server).await["handle"], "ada.lovelace.org");
    // A handle elsewhere is not answered for by this server's well-known file.
    let headers = [("host", "ada.lovelace.org")];
    assert_eq!(
        server.get("/.well-known/atproto-did", &headers).await.0,
        404
    );
}

#[tokio::test]
async fn handles_the_bare_domain_is_had_at_sign_up_where_the_operator_lists_it() {
    let listed = |names: &[&str]| {
        let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        Server::start_with(move |options| options.raw.handle_domains = names)
    };
    let mut body = wish("ada");
    body["handle"] = json!("coop-name.org");
    let server = listed(&[".coop-name.org"]).await;
    let answer = server.call(CREATE, "", body.clone()).await;
    refused(answer, (400, "UnsupportedDomain"));

    let server = listed(&[".coop-name.org", "coop-name.org"]).await;
    let described = ok(server.ask("com.atproto.server.describeServer", "").await);
    assert_eq!(
        described["availableUserDomains"],
        json!([".coop-name.org"]),
        "apps put a name in front of these"
    );
    let ada = Member::of(&ok(server.call(CREATE, "", body.clone()).await));
    assert_eq!(ada.session(&server).await["handle"], "coop-name.org");
    let host = [("host", "coop-name.org")];
    let found = server.get("/.well-known/atproto-did", &host).await;
    assert_eq!(found, (200, json!(ada.did)));
    assert_eq!(ok(resolve(&server, "coop-name.org").await)["did"], ada.did);
    body["email"] = json!("bob@coop.example");
    let answer = server.call(CREATE, "", body).await;
    refused(answer, (400, "InvalidRequest"));
}

#[tokio::test]
async fn handles_the_operator_gives_reserved_names_too_and_nobody_else_gives_any() {
    let server = Server::start().await;
    let (ada, bob) = (server.member("ada").await, server.member("bob").await);
    let nsid = "com.atproto.admin.updateAccountHandle";
    let body = json!({ "did": ada.did, "handle": "support.test" });
    for auth in [String::new(), bob.auth(), ada.auth()] {
        let (status, _) = server.call(nsid, &auth, body.clone()).await;
        assert_eq!(status, 401);
    }
    refused(
        set(&server, &ada, "support.test").await,
        (400, "HandleNotAvailable"),
    );
    ok(server.call(nsid, &operator(), body).await);
    assert_eq!(ok(resolve(&server, "support.test").await)["did"], ada.did);
    let body = json!({ "did": ada.did, "handle": "bob.test" });
    refused(
        server.call(nsid, &operator(), body).await,
        (400, "InvalidRequest"),
    );
}

#[tokio::test]
async fn handles_member_held_rotation_keys_keep_their_order_and_are_enough() {
    let server = Server::start().await;
    let mine = key(5);
    let ada = server.member_with_key("ada", &mine).await;
    let second = key(6).public().to_did_key();
    server
        .directory
        .update(&ada.did, &mine, |next: &mut UnsignedOperation| {
            next.rotation_keys.insert(1, second.clone());
        })
        .await;
    let before = server.directory.newest(&ada.did).await;
    ok(set(&server, &ada, "lovelace.test").await);
    let after = server.directory.newest(&ada.did).await;
    assert_ne!(before.cid(), after.cid());
    assert_eq!(before.rotation_keys(), after.rotation_keys());
    assert_eq!(after.rotation_keys()[1], second);

    // Without the server's key the member changes the document and the server follows it.
    server
        .directory
        .update(&ada.did, &mine, |next| {
            next.rotation_keys.truncate(1);
        })
        .await;
    let said = refused(
        set(&server, &ada, "countess.test").await,
        (400, "InvalidRequest"),
    );
    assert!(said.contains("must name the handle first"), "{said}");
    server
        .directory
        .update(&ada.did, &mine, |next| {
            next.also_known_as = vec!["at://countess.test".to_owned()];
        })
        .await;
    ok(set(&server, &ada, "countess.test").await);
    assert_eq!(ada.session(&server).await["handle"], "countess.test");
    for nsid in ["deactivateAccount", "activateAccount"] {
        let body = if nsid == "activateAccount" {
            json!(null)
        } else {
            json!({})
        };
        ok(ada
            .call(&server, &format!("com.atproto.server.{nsid}"), body)
            .await);
    }
}

fn web_document(site: &Site, handle: &str, server: &str, key: &str) -> Value {
    json!({
        "@context": ["https://www.w3.org/ns/did/v1"],
        "id": site.did,
        "alsoKnownAs": [format!("at://{handle}")],
        "verificationMethod": [{
            "id": format!("{}#atproto", site.did),
            "type": "Multikey",
            "controller": site.did,
            "publicKeyMultibase": key.trim_start_matches("did:key:"),
        }],
        "service": [{
            "id": "#atproto_pds",
            "type": "AtprotoPersonalDataServer",
            "serviceEndpoint": server,
        }],
    })
}

#[tokio::test]
async fn row_19_a_did_web_signs_up_wakes_and_changes_its_handle_by_its_own_document() {
    let server = Server::start().await;
    let site = Site::start().await;
    let own = key(7);
    let publish = |handle: &str, endpoint: &str, key: &str| {
        site.publish(web_document(&site, handle, endpoint, key));
    };
    publish(
        "weaver.test",
        "https://old.example.org",
        &own.public().to_did_key(),
    );
    let now = i64::try_from(server.clock.shared().now_ms() / 1000).unwrap();
    let token = service_auth::mint(
        &own,
        &Claims {
            iat: Some(now),
            iss: site.did.clone(),
            aud: server.did(),
            exp: now + 60,
            lxm: Some(CREATE.to_owned()),
            jti: None,
        },
    );
    let reserve = "com.atproto.server.reserveSigningKey";
    let promised = ok(server.call(reserve, "", json!({ "did": site.did })).await);
    let promised = promised["signingKey"].as_str().unwrap();
    let mut body = wish("weaver");
    body["did"] = json!(site.did);
    let web = Member::of(&ok(server.call(CREATE, &bearer(&token), body).await));
    let wake = "com.atproto.server.activateAccount";
    let (status, _) = web.call(&server, wake, json!(null)).await;
    assert_eq!(status, 400, "the document names another server");
    let own_keys = ok(web
        .ask(&server, "com.atproto.identity.getRecommendedDidCredentials")
        .await);
    assert_eq!(own_keys["verificationMethods"]["atproto"], promised);
    publish("weaver.test", &server.url, promised);
    let mut firehose = Firehose::open(&server, None).await;
    ok(web.call(&server, wake, json!(null)).await);
    assert_eq!(
        firehose.told(3).await,
        ["account active", "identity", "sync"]
    );
    ok(web.post(&server, "by did:web").await);

    let said = refused(
        set(&server, &web, "next.test").await,
        (400, "InvalidRequest"),
    );
    assert!(said.contains("must name the handle first"), "{said}");
    publish("next.test", &server.url, promised);
    ok(set(&server, &web, "next.test").await);
    assert_eq!(ok(resolve(&server, "next.test").await)["did"], site.did);
    let plc = "com.atproto.identity.requestPlcOperationSignature";
    ok(web.call(&server, plc, json!(null)).await);
    let sign = json!({ "token": server.mailed_code() });
    let said = refused(
        web.call(&server, "com.atproto.identity.signPlcOperation", sign)
            .await,
        (400, "InvalidRequest"),
    );
    assert!(said.contains("did:plc"), "{said}");
}

#[tokio::test]
async fn handles_changes_are_limited_per_account() {
    let server = Server::start_with(|options| options.limits.enabled = true).await;
    let ada = server.member("ada").await;
    for _ in 0..10 {
        ok(set(&server, &ada, "ada.test").await);
    }
    refused(
        set(&server, &ada, "ada.test").await,
        (429, "RateLimitExceeded"),
    );
}

#[tokio::test]
async fn handles_identities_are_resolved_for_those_who_ask() {
    let server = Server::start().await;
    let ada = server.member("ada").await;
    let document = format!("com.atproto.identity.resolveDid?did={}", ada.did);
    assert_eq!(ok(server.ask(&document, "").await)["didDoc"]["id"], ada.did);
    for identifier in [ada.did.as_str(), "ada.test"] {
        let query = format!("com.atproto.identity.resolveIdentity?identifier={identifier}");
        let found = ok(server.ask(&query, "").await);
        assert_eq!(
            (&found["did"], &found["handle"]),
            (&json!(ada.did), &json!("ada.test"))
        );
        let refresh = "com.atproto.identity.refreshIdentity";
        let body = json!({ "identifier": identifier });
        assert_eq!(ok(server.call(refresh, "", body).await), found);
    }
    let unknown = "did:plc:ewvi7nxzyoun6zhxrhs64oiz";
    let query = format!("com.atproto.identity.resolveDid?did={unknown}");
    refused(server.ask(&query, "").await, (400, "DidNotFound"));
    let query = "com.atproto.identity.resolveIdentity?identifier=nobody.test";
    refused(server.ask(query, "").await, (400, "HandleNotFound"));
}
