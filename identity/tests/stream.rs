//! The export stream: replay, the live edge, and how it refuses.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test reports by panicking"
)]

mod support;

use std::time::Duration;

use futures::StreamExt as _;
use serde_json::Value;
use support::{Holder, World};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

async fn subscribe(world: &World, query: &str) -> Socket {
    let url = format!(
        "{}/export/stream{query}",
        world.url.replacen("http", "ws", 1)
    );
    connect_async(url).await.unwrap().0
}

async fn next(socket: &mut Socket) -> Message {
    let message = tokio::time::timeout(Duration::from_secs(10), socket.next());
    message.await.unwrap().unwrap().unwrap()
}

async fn next_line(socket: &mut Socket) -> String {
    match next(socket).await {
        Message::Text(text) => text.to_string(),
        other => panic!("{other:?}"),
    }
}

async fn closed(socket: &mut Socket) -> (u16, String) {
    match next(socket).await {
        Message::Close(Some(frame)) => (frame.code.into(), frame.reason.to_string()),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn it_replays_after_the_cursor_and_goes_on_live_with_the_lines_of_the_export() {
    let world = World::new().await;
    for seed in 0..30 {
        Holder::registered(&world, seed).await;
    }
    let mut socket = subscribe(&world, "?cursor=10").await;
    let mut lines = Vec::new();
    for _ in 0..20 {
        lines.push(next_line(&mut socket).await);
    }
    for seed in 30..40 {
        Holder::registered(&world, seed).await;
        lines.push(next_line(&mut socket).await);
    }
    let export = world.get("/export?after=10").await;
    assert_eq!(export.ok(), lines.join("\n"));
}

#[tokio::test]
async fn without_a_cursor_it_begins_with_what_comes_next() {
    let world = World::new().await;
    Holder::registered(&world, 1).await;
    let mut socket = subscribe(&world, "").await;
    let holder = Holder::registered(&world, 2).await;
    let line: Value = serde_json::from_str(&next_line(&mut socket).await).unwrap();
    assert_eq!(line["did"], holder.did);
    assert_eq!(line["seq"], 2);
}

#[tokio::test]
async fn a_cursor_ahead_or_too_old_ends_it_by_name() {
    let world = World::new().await;
    for seed in 0..3 {
        Holder::registered(&world, seed).await;
    }
    let mut future = subscribe(&world, "?cursor=4").await;
    assert_eq!(closed(&mut future).await, (1000, "FutureCursor".to_owned()));
    world.wait_ms(7 * 24 * 3_600_000 - 1);
    let mut in_time = subscribe(&world, "?cursor=0").await;
    next_line(&mut in_time).await;
    world.wait_ms(1);
    let mut too_old = subscribe(&world, "?cursor=2").await;
    assert_eq!(
        closed(&mut too_old).await,
        (1000, "OutdatedCursor".to_owned())
    );
    // Who has seen everything has missed nothing, however long ago that was.
    let mut up_to_date = subscribe(&world, "?cursor=3").await;
    let holder = Holder::registered(&world, 9).await;
    assert!(next_line(&mut up_to_date).await.contains(&holder.did));
}

#[tokio::test]
async fn it_goes_on_after_a_restart_where_it_was() {
    let mut world = World::new().await;
    Holder::registered(&world, 1).await;
    world.restart().await;
    let mut socket = subscribe(&world, "?cursor=0").await;
    Holder::registered(&world, 2).await;
    for seq in 1..=2 {
        let line: Value = serde_json::from_str(&next_line(&mut socket).await).unwrap();
        assert_eq!(line["seq"], seq);
    }
}

#[tokio::test]
async fn what_is_no_web_socket_or_has_no_number_for_a_cursor_is_refused() {
    let world = World::new().await;
    let plain = world.get("/export/stream").await;
    assert_eq!(plain.refused(426), "This address is a web socket");
    assert_eq!(plain.header("upgrade"), "websocket");
    for cursor in ["yesterday", "-1", ""] {
        let upgrade = world
            .http
            .get(format!("{}/export/stream?cursor={cursor}", world.url))
            .header("connection", "upgrade")
            .header("upgrade", "websocket")
            .header("sec-websocket-version", "13")
            .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==");
        let answer = support::read(upgrade).await;
        assert_eq!(
            answer.refused(400),
            "Invalid cursor parameter",
            "{cursor:?}"
        );
    }
}
