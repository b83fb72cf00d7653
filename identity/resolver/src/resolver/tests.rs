use super::*;
use crate::{
    config::LocalSuffix,
    network::{NetworkError, Script},
};
use rochdale_service::clock::ManualClock;
use std::time::Duration;

const PLC: &str = "did:plc:yk4dd2qkboz2yv6tpubpc6co";
const WEB: &str = "did:web:bob.example.com";

struct World {
    script: Script,
    clock: ManualClock,
    resolver: Resolver,
}

fn world() -> World {
    let (script, clock) = (Script::default(), ManualClock::at_us(1_700_000_000_000_000));
    let local = LocalSuffix {
        suffix: ".test".into(),
        base_url: "http://localhost:2583".into(),
    };
    let config = Config {
        local: vec![local],
        ..Config::new("https://plc.example.com/")
    };
    let resolver = Resolver::over(config, Box::new(script.clone()), clock.shared());
    World {
        script,
        clock,
        resolver,
    }
}

fn did(text: &str) -> Did {
    text.parse().unwrap()
}

fn handle(text: &str) -> Handle {
    text.parse().unwrap()
}

fn plc_url() -> String {
    format!("https://plc.example.com/{PLC}")
}

#[tokio::test]
async fn did_plc_is_asked_at_the_directory_and_cached() {
    let World {
        script,
        clock,
        resolver,
    } = world();
    script.document(&plc_url(), PLC, "alice.example.com");
    for _ in 0..3 {
        let document = resolver.did_document(&did(PLC)).await.unwrap();
        assert_eq!(document.handle().unwrap().as_str(), "alice.example.com");
    }
    assert_eq!(script.asked(), [plc_url()]);
    clock.advance(Duration::from_secs(3600));
    resolver.did_document(&did(PLC)).await.unwrap();
    assert_eq!(script.asked(), [plc_url()]);
}

#[tokio::test]
async fn did_web_is_asked_at_its_host_and_local_hosts_only_in_development() {
    let World {
        script,
        clock,
        resolver,
    } = world();
    script.document(
        "https://bob.example.com/.well-known/did.json",
        WEB,
        "bob.example.com",
    );
    assert!(resolver.did_document(&did(WEB)).await.is_ok());
    let unsupported = [
        "did:web:localhost%3A99",
        "did:web:x.local",
        "did:web:a.example.com:path",
        "did:key:zQ3s",
        "did:plc:short",
    ];
    for name in unsupported {
        let refused = resolver.did_document(&did(name)).await;
        assert_eq!(
            refused.unwrap_err(),
            ResolveError::UnsupportedMethod(name.into())
        );
    }
    let config = Config {
        dev: true,
        ..Config::new("https://plc.example.com")
    };
    let dev = Resolver::over(config, Box::new(script.clone()), clock.shared());
    script.document(
        "http://localhost:99/.well-known/did.json",
        "did:web:localhost%3A99",
        "a.test",
    );
    assert!(
        dev.did_document(&did("did:web:localhost%3A99"))
            .await
            .is_ok()
    );
}

#[tokio::test]
async fn every_way_a_did_can_fail_has_its_error() {
    let cases = [
        (
            404,
            "{\"message\":\"DID not registered: x\"}",
            ResolveError::DidNotFound(PLC.into()),
        ),
        (
            404,
            "{\"message\":\"DID not available: x\"}",
            ResolveError::DidDeactivated(PLC.into()),
        ),
        (410, "", ResolveError::DidDeactivated(PLC.into())),
    ];
    for (status, body, expected) in cases {
        let World {
            script, resolver, ..
        } = world();
        script.http(&plc_url(), status, body);
        assert_eq!(
            resolver.did_document(&did(PLC)).await.unwrap_err(),
            expected
        );
    }
    let World {
        script,
        clock,
        resolver,
    } = world();
    script.http(&plc_url(), 200, r#"{"id":"did:web:other.example.com"}"#);
    let refused = resolver.did_document(&did(PLC)).await.unwrap_err();
    assert!(matches!(refused, ResolveError::InvalidDocument { .. }));
    for broken in [
        None,
        Some(NetworkError::Transport("reset".into())),
        Some(NetworkError::NoSuchName),
    ] {
        clock.advance(Duration::from_secs(120));
        match broken {
            None => script.http(&plc_url(), 500, ""),
            Some(error) => script.http_fails(&plc_url(), error),
        }
        assert!(
            resolver
                .did_document(&did(PLC))
                .await
                .unwrap_err()
                .is_transient()
        );
    }
    let missing_host = resolver.did_document(&did(WEB)).await.unwrap_err();
    assert_eq!(missing_host, ResolveError::DidNotFound(WEB.into()));
}

#[tokio::test]
async fn a_refresh_asks_again_until_its_budget_is_used_and_a_purge_does_not_renew_it() {
    let World {
        script,
        clock,
        resolver,
    } = world();
    script.document(&plc_url(), PLC, "alice.example.com");
    resolver.did_document(&did(PLC)).await.unwrap();
    assert_eq!(script.asked().len(), 1);
    for _ in 0..10 {
        clock.advance(Duration::from_millis(1));
        resolver.refresh(&did(PLC)).await.unwrap();
    }
    assert_eq!(script.asked().len(), 3);
    resolver.purge(&did(PLC));
    resolver.did_document(&did(PLC)).await.unwrap();
    resolver.refresh(&did(PLC)).await.unwrap();
    assert_eq!(script.asked().len(), 1);
    clock.advance(Duration::from_secs(60));
    resolver.refresh(&did(PLC)).await.unwrap();
    assert_eq!(script.asked().len(), 1);
}

#[tokio::test]
async fn dns_wins_over_https_and_both_are_asked_at_once() {
    let World {
        script, resolver, ..
    } = world();
    script.dns(
        "_atproto.alice.example.com",
        &[
            "v=spf1",
            &format!("did={PLC}"),
            &format!("did={PLC}"),
            "did=junk",
        ],
    );
    script.http(
        "https://alice.example.com/.well-known/atproto-did",
        200,
        WEB,
    );
    assert_eq!(
        resolver.handle_to_did(&handle("Alice.example.com")).await,
        Ok(did(PLC))
    );
    assert_eq!(
        resolver.handle_to_did(&handle("alice.example.com")).await,
        Ok(did(PLC))
    );
    let asked = script.asked();
    assert!(asked.len() <= 2, "{asked:?}");
    assert_eq!(asked[0], "TXT _atproto.alice.example.com");
}

#[tokio::test]
async fn https_answers_when_dns_does_not() {
    let World {
        script, resolver, ..
    } = world();
    script.http(
        "https://a.example.com/.well-known/atproto-did",
        200,
        format!("\n{PLC} \r\nmore"),
    );
    assert_eq!(
        resolver.handle_to_did(&handle("a.example.com")).await,
        Ok(did(PLC))
    );
    script.dns_fails(
        "_atproto.b.example.com",
        NetworkError::Transport("timeout".into()),
    );
    script.http("https://b.example.com/.well-known/atproto-did", 200, PLC);
    assert_eq!(
        resolver.handle_to_did(&handle("b.example.com")).await,
        Ok(did(PLC))
    );
}

async fn outcome(resolver: &Resolver, name: &str) -> &'static str {
    match resolver.handle_to_did(&handle(name)).await {
        Ok(_) => "found",
        Err(ResolveError::HandleNotFound { .. }) => "not found",
        Err(error) if error.is_transient() => "unreachable",
        Err(error) => panic!("{error}"),
    }
}

#[tokio::test]
async fn a_no_is_told_apart_from_an_outage() {
    let World {
        script, resolver, ..
    } = world();
    let well_known = |host: &str| format!("https://{host}/.well-known/atproto-did");
    assert_eq!(outcome(&resolver, "nothing.example.com").await, "not found");
    assert_eq!(outcome(&resolver, "alice.invalid").await, "not found");
    assert_eq!(outcome(&resolver, "alice.localhost").await, "not found");
    script.dns(
        "_atproto.two.example.com",
        &[&format!("did={PLC}"), &format!("did={WEB}")],
    );
    script.http(&well_known("two.example.com"), 200, PLC);
    assert_eq!(outcome(&resolver, "two.example.com").await, "not found");
    for (host, status, body, expected) in [
        ("page.example.com", 200, "<html>", "not found"),
        ("empty.example.com", 200, "", "not found"),
        ("missing.example.com", 404, "", "not found"),
        ("busy.example.com", 429, "", "unreachable"),
        ("broken.example.com", 502, "", "unreachable"),
    ] {
        script.http(&well_known(host), status, body);
        assert_eq!(outcome(&resolver, host).await, expected, "{host}");
    }
    script.http_fails(
        &well_known("inner.example.com"),
        NetworkError::Refused("private".into()),
    );
    assert_eq!(outcome(&resolver, "inner.example.com").await, "not found");
    script.http_fails(
        &well_known("slow.example.com"),
        NetworkError::Transport("timeout".into()),
    );
    assert_eq!(outcome(&resolver, "slow.example.com").await, "unreachable");
    let silent = NetworkError::Transport("timeout".into());
    script.dns_fails("_atproto.silent.example.com", silent);
    assert_eq!(
        outcome(&resolver, "silent.example.com").await,
        "unreachable"
    );
}

#[tokio::test]
async fn handles_under_a_local_suffix_are_asked_at_its_server_every_time() {
    let World {
        script, resolver, ..
    } = world();
    script.http("http://localhost:2583/.well-known/atproto-did", 200, PLC);
    for _ in 0..2 {
        assert_eq!(
            resolver.handle_to_did(&handle("alice.test")).await,
            Ok(did(PLC))
        );
    }
    let asked = "http://localhost:2583/.well-known/atproto-did as alice.test";
    assert_eq!(script.asked(), [asked, asked]);
    script.http("http://localhost:2583/.well-known/atproto-did", 404, "");
    assert_eq!(outcome(&resolver, "alice.test").await, "not found");
}

#[tokio::test]
async fn a_handle_counts_only_when_both_directions_agree() {
    let World {
        script, resolver, ..
    } = world();
    script.document(&plc_url(), PLC, "alice.example.com");
    script.dns("_atproto.alice.example.com", &[&format!("did={PLC}")]);
    script.dns("_atproto.other.example.com", &[&format!("did={PLC}")]);
    let by_did = resolver
        .identity(&AtIdentifier::Did(did(PLC)))
        .await
        .unwrap();
    assert_eq!(by_did.handle, Some(handle("alice.example.com")));
    let by_handle = resolver
        .identity(&AtIdentifier::Handle(handle("alice.example.com")))
        .await
        .unwrap();
    assert_eq!(
        (by_handle.did, by_handle.handle),
        (did(PLC), Some(handle("alice.example.com")))
    );
    let not_claimed = resolver
        .identity(&AtIdentifier::Handle(handle("other.example.com")))
        .await
        .unwrap();
    assert_eq!((not_claimed.did, not_claimed.handle), (did(PLC), None));
    let stranger = "https://bob.example.com/.well-known/did.json";
    script.document(stranger, WEB, "alice.example.com");
    let stolen = resolver
        .identity(&AtIdentifier::Did(did(WEB)))
        .await
        .unwrap();
    assert_eq!(stolen.handle, None);
    assert_eq!(stolen.document.did(), &did(WEB));
}

#[tokio::test]
async fn a_purge_forgets_the_claimed_handle_too() {
    let World {
        script, resolver, ..
    } = world();
    script.document(&plc_url(), PLC, "alice.example.com");
    script.dns("_atproto.alice.example.com", &[&format!("did={PLC}")]);
    resolver
        .identity(&AtIdentifier::Did(did(PLC)))
        .await
        .unwrap();
    script.dns("_atproto.alice.example.com", &[&format!("did={WEB}")]);
    resolver.purge(&did(PLC));
    let moved = resolver
        .identity(&AtIdentifier::Did(did(PLC)))
        .await
        .unwrap();
    assert_eq!(moved.handle, None);
    script.dns("_atproto.alice.example.com", &[&format!("did={PLC}")]);
    resolver.purge_handle(&handle("alice.example.com"));
    assert_eq!(
        resolver.handle_to_did(&handle("alice.example.com")).await,
        Ok(did(PLC))
    );
}
