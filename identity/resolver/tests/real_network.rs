//! The resolver over real sockets: a directory, a server for local handles, and a DNS server.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "a test reports by panicking"
)]

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::Path;
use axum::http::{HeaderMap, StatusCode, header};
use axum::routing::get;
use rochdale_protocol::syntax::{AtIdentifier, Did, Handle};
use rochdale_resolver::{Config, LocalSuffix, ResolveError, Resolver};
use rochdale_service::clock::SystemClock;
use rochdale_service::outbound::{Outbound, Policy};
use tokio::net::{TcpListener, UdpSocket};

const ALICE: &str = "did:plc:yk4dd2qkboz2yv6tpubpc6co";
const BOB: &str = "did:plc:ewvi7nxzyoun6zhxrhs64oiz";

async fn serve(router: Router) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await });
    address
}

/// Knows Alice and Bob; Bob claims a handle that DNS knows.
async fn directory(Path(did): Path<String>) -> Result<String, StatusCode> {
    let handle = match did.as_str() {
        ALICE => "alice.test",
        BOB => "bob.example.com",
        _ => return Err(StatusCode::NOT_FOUND),
    };
    Ok(format!(
        r#"{{"id":"{did}","alsoKnownAs":["at://{handle}"]}}"#
    ))
}

async fn local_handles(headers: HeaderMap) -> Result<&'static str, StatusCode> {
    match headers[header::HOST].to_str() {
        Ok("alice.test") => Ok(ALICE),
        _ => Err(StatusCode::NOT_FOUND),
    }
}

/// Answers TXT questions: one name has a record in two pieces, every other name does not exist.
async fn dns() -> SocketAddr {
    let socket = Arc::new(UdpSocket::bind("127.0.0.1:0").await.unwrap());
    let address = socket.local_addr().unwrap();
    tokio::spawn(async move {
        let mut question = [0; 512];
        while let Ok((length, from)) = socket.recv_from(&mut question).await {
            let answer = answer(&question[..length]);
            let _sent = socket.send_to(&answer, from).await;
        }
    });
    address
}

fn answer(question: &[u8]) -> Vec<u8> {
    let name_end = 12 + question[12..].iter().position(|byte| *byte == 0).unwrap() + 1;
    let name = String::from_utf8_lossy(&question[12..name_end]).to_lowercase();
    let is_known = name.contains("_atproto\u{3}bob\u{7}example\u{3}com");
    let mut answer = question[..2].to_vec();
    // A recursive answer, with one record or "no such name".
    answer.extend(if is_known { [0x81, 0x80] } else { [0x81, 0x83] });
    answer.extend([0, 1, 0, u8::from(is_known), 0, 0, 0, 0]);
    answer.extend(&question[12..name_end + 4]);
    if is_known {
        let pieces = [&b"did=did:plc:ewvi7nx"[..], b"zyoun6zhxrhs64oiz"];
        let length: usize = pieces.iter().map(|piece| piece.len() + 1).sum();
        answer.extend([
            0xc0,
            12,
            0,
            16,
            0,
            1,
            0,
            0,
            0,
            60,
            0,
            u8::try_from(length).unwrap(),
        ]);
        for piece in pieces {
            answer.push(u8::try_from(piece.len()).unwrap());
            answer.extend(piece);
        }
    }
    answer
}

async fn resolver() -> Resolver {
    let plc = serve(Router::new().route("/{did}", get(directory))).await;
    let local = serve(Router::new().route("/.well-known/atproto-did", get(local_handles))).await;
    let config = Config {
        local: vec![LocalSuffix {
            suffix: ".test".into(),
            base_url: format!("http://{local}"),
        }],
        nameservers: vec![dns().await],
        ..Config::new(format!("http://{plc}"))
    };
    let policy = Policy {
        dev: false,
        user_agent: "rochdale-test".into(),
    };
    Resolver::new(
        config,
        Outbound::new(policy).unwrap(),
        SystemClock::shared(),
    )
}

fn did(text: &str) -> Did {
    text.parse().unwrap()
}

fn handle(text: &str) -> Handle {
    text.parse().unwrap()
}

#[tokio::test]
async fn a_local_handle_resolves_both_ways() {
    let resolver = resolver().await;
    let alice = resolver
        .identity(&AtIdentifier::Handle(handle("alice.test")))
        .await
        .unwrap();
    assert_eq!(
        (alice.did, alice.handle),
        (did(ALICE), Some(handle("alice.test")))
    );
    let alice = resolver
        .identity(&AtIdentifier::Did(did(ALICE)))
        .await
        .unwrap();
    assert_eq!(alice.handle, Some(handle("alice.test")));
    let nobody = resolver.handle_to_did(&handle("nobody.test")).await;
    assert!(matches!(nobody, Err(ResolveError::HandleNotFound { .. })));
}

#[tokio::test]
async fn a_handle_in_dns_resolves_both_ways() {
    let resolver = resolver().await;
    let bob = resolver
        .identity(&AtIdentifier::Did(did(BOB)))
        .await
        .unwrap();
    assert_eq!(bob.handle, Some(handle("bob.example.com")));
    assert_eq!(
        resolver.handle_to_did(&handle("bob.example.com")).await,
        Ok(did(BOB))
    );
}

#[tokio::test]
async fn what_is_unknown_or_down_is_told_apart() {
    let resolver = resolver().await;
    let unknown = resolver
        .did_document(&did("did:plc:aaaaaaaaaaaaaaaaaaaaaaaa"))
        .await;
    assert!(matches!(unknown, Err(ResolveError::DidNotFound(_))));
    let closed = TcpListener::bind("127.0.0.1:0")
        .await
        .unwrap()
        .local_addr()
        .unwrap();
    let policy = Policy {
        dev: false,
        user_agent: "rochdale-test".into(),
    };
    let outbound = Outbound::new(policy).unwrap();
    let config = Config::new(format!("http://{closed}"));
    let down = Resolver::new(config, outbound, SystemClock::shared());
    assert!(
        down.did_document(&did(ALICE))
            .await
            .unwrap_err()
            .is_transient()
    );
}
