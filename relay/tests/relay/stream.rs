//! What subscribers get.

use std::time::Instant;

use bytes::Bytes;
use rochdale_protocol::sync::{Event, Frame, decode_frame};

use crate::network::{Directory, FakeHost};
use crate::relay::{TestRelay, eventually};
use crate::{World, account, rev_of};

// 45: every byte but those of the number stays.
#[tokio::test(flavor = "multi_thread")]
async fn events_arrive_as_sent_but_for_their_number() {
    let mut world = World::start().await;
    let mut subscriber = world.relay.subscribe(None).await;
    let sent = [
        world.ada.identity(Some("ada.example.org")).template(),
        world.ada.account(true, None).template(),
        world.ada.post(1).template(),
        world.ada.post(2).template(),
        world.ada.sync().template(),
    ];
    for event in &sent {
        world.host.send(event);
    }
    let mut last = 0;
    for event in &sent {
        let frame = subscriber.frame().await.expect("a frame");
        let Ok(Frame::Message { seq, .. }) = decode_frame(&frame) else {
            panic!("an event")
        };
        assert!(seq > last);
        assert_eq!(frame, event.with_seq(seq));
        last = seq;
    }
    world.relay.stop().await;
}

// 41: all kinds of cursors.
#[tokio::test(flavor = "multi_thread")]
async fn cursors_say_where_to_begin() {
    let mut world = World::start().await;
    let mut live = world.relay.subscribe(None).await;
    for number in 0..10 {
        world.host.send(&world.ada.post(number).template());
    }
    let seqs: Vec<u64> = live
        .events(10)
        .await
        .into_iter()
        .map(|(seq, _)| seq)
        .collect();
    let from = async |cursor: String, count: usize| {
        let mut subscriber = world.relay.subscribe(Some(&cursor)).await;
        subscriber
            .events(count)
            .await
            .into_iter()
            .map(|(seq, _)| seq)
            .collect::<Vec<_>>()
    };
    assert_eq!(from("0".to_owned(), 10).await, seqs);
    assert_eq!(from(seqs[4].to_string(), 5).await, seqs[5..]);
    let mut current = world.relay.subscribe(Some(&seqs[9].to_string())).await;
    assert!(current.is_quiet().await);
    let mut absent = world.relay.subscribe(None).await;
    assert!(absent.is_quiet().await);
    let mut future = world
        .relay
        .subscribe(Some(&(seqs[9] + 1).to_string()))
        .await;
    let frame: Bytes = future.frame().await.expect("a frame");
    assert!(
        matches!(decode_frame(&frame), Ok(Frame::Error { name, .. }) if name == "FutureCursor")
    );
    assert_eq!(future.frame().await, None);
    for bad in ["-1", "text", "1.5"] {
        let url = format!(
            "{}/xrpc/com.atproto.sync.subscribeRepos?cursor={bad}",
            world.relay.url
        );
        let answer = tokio_tungstenite::connect_async(url.replacen("http", "ws", 1)).await;
        let Err(tokio_tungstenite::tungstenite::Error::Http(response)) = answer else {
            panic!("refused: {bad}")
        };
        assert_eq!(response.status(), 400, "{bad}");
    }
    let plain = world
        .relay
        .get("/xrpc/com.atproto.sync.subscribeRepos")
        .await;
    assert_eq!(plain.0, 426);
    world.host.send(&world.ada.post(10).template());
    assert_eq!(current.event().await.0, absent.event().await.0);
    world.relay.stop().await;
}

// 42: from the past into the present while events keep coming, and to the very last one when they stop.
#[tokio::test(flavor = "multi_thread")]
async fn replay_runs_into_live_events_without_gap_or_duplicate() {
    let mut world = World::start().await;
    let mut accounts: Vec<_> = (2..12).map(|seed| world.account(seed)).collect();
    let events: Vec<_> = (0..2_000)
        .map(|number| accounts[number % 10].post(number as u64).template())
        .collect();
    let host = world.host.clone();
    let sending = tokio::spawn(async move {
        for (number, event) in events.iter().enumerate() {
            host.send(event);
            if number % 50 == 49 {
                tokio::time::sleep(std::time::Duration::from_millis(10)).await;
            }
        }
    });
    let mut readers = Vec::new();
    for _ in 0..5 {
        let mut subscriber = world.relay.subscribe(Some("0")).await;
        readers.push(tokio::spawn(async move { subscriber.events(2_000).await }));
        tokio::time::sleep(std::time::Duration::from_millis(60)).await;
    }
    sending.await.expect("sent");
    let mut all = Vec::new();
    for reader in readers {
        let events = reader.await.expect("read");
        assert!(events.windows(2).all(|pair| pair[0].0 < pair[1].0));
        let mut revs: Vec<String> = events
            .iter()
            .map(|(_, event)| format!("{}{}", event.did(), rev_of(event)))
            .collect();
        revs.sort();
        revs.dedup();
        assert_eq!(revs.len(), 2_000, "each event once");
        all.push(events.into_iter().map(|(seq, _)| seq).collect::<Vec<_>>());
    }
    assert!(all.windows(2).all(|pair| pair[0] == pair[1]));
    world.ada.post(1);
    world.relay.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn first_event_after_silence_arrives_at_once() {
    let mut world = World::start().await;
    let mut subscriber = world.relay.subscribe(None).await;
    world.host.send(&world.ada.post(0).template());
    subscriber.event().await;
    let mut slowest = std::time::Duration::ZERO;
    for number in 1..6 {
        tokio::time::sleep(std::time::Duration::from_millis(300)).await;
        let event = world.ada.post(number).template();
        let sent = Instant::now();
        world.host.send(&event);
        subscriber.event().await;
        slowest = slowest.max(sent.elapsed());
    }
    // Far above what it takes, far below any timer one could hide in the path.
    assert!(
        slowest < std::time::Duration::from_millis(250),
        "{slowest:?}"
    );
    world.relay.stop().await;
}

// 5, 6: numbers must rise on a connection; gaps are fine.
#[tokio::test(flavor = "multi_thread")]
async fn repeated_numbers_on_a_connection_are_skipped() {
    use axum::extract::ws::Message;
    let mut world = World::start().await;
    let mut subscriber = world.relay.subscribe(None).await;
    world.host.send(&world.ada.post(1).template());
    let hidden = world.ada.account(false, Some("deactivated")).template();
    world.host.send_raw(Message::Binary(hidden.with_seq(101)));
    world.host.send_raw(Message::Binary(hidden.with_seq(50)));
    let later = world.ada.post(2).template();
    world.host.send_raw(Message::Binary(later.with_seq(5_000)));
    let events = subscriber.events(2).await;
    assert!(
        events
            .iter()
            .all(|(_, event)| matches!(event, Event::Commit(_))),
        "{events:?}"
    );
    eventually("the cursor follows", async || {
        let (_, host) = world
            .relay
            .get(&format!(
                "/xrpc/com.atproto.sync.getHostStatus?hostname={}",
                world.host.name
            ))
            .await;
        host["seq"] == 5_000
    })
    .await;
    world.relay.stop().await;
}

// 46.
#[tokio::test(flavor = "multi_thread")]
async fn what_subscribers_send_is_ignored() {
    use futures::SinkExt;
    use tokio_tungstenite::tungstenite::Message;
    let mut world = World::start().await;
    let mut subscriber = world.relay.subscribe(None).await;
    subscriber
        .socket
        .send(Message::text("hello"))
        .await
        .expect("sent");
    subscriber
        .socket
        .send(Message::binary(vec![1, 2, 3]))
        .await
        .expect("sent");
    world.host.send(&world.ada.post(1).template());
    subscriber.event().await;
    world.relay.stop().await;
}

// 44: one reader that takes nothing is let go, and nobody else notices.
#[tokio::test(flavor = "multi_thread")]
async fn stalled_reader_is_let_go_and_the_others_get_everything() {
    const EVENTS: usize = 300;
    let (directory, host) = (Directory::start().await, FakeHost::start(100).await);
    let folder = tempfile::TempDir::new().expect("folder");
    let clock = rochdale_service::clock::SystemClock::shared();
    let relay = TestRelay::start_at(
        folder.path(),
        &directory,
        clock,
        |_| {},
        |config| {
            config.subscriber_stall = std::time::Duration::from_millis(500);
        },
    )
    .await;
    let mut ada = account(1);
    directory.publish(&ada, &host);
    relay.crawl(&host.name).await;
    eventually("it listens", async || host.open() == 1).await;
    let mut stalled = relay.subscribe(None).await;
    let mut reader = relay.subscribe(None).await;
    // More than the buffers of a connection on this machine take.
    let text = "x".repeat(100_000);
    let events: Vec<_> = (0..EVENTS)
        .map(|number| {
            let path = format!("app.bsky.feed.post/{number:05}");
            ada.commit(&[crate::repo::Write::Create(&path, &text)])
                .template()
        })
        .collect();
    for event in &events {
        host.send(event);
    }
    reader.events(EVENTS).await;
    tokio::time::sleep(std::time::Duration::from_secs(3)).await;
    let mut got = 0;
    while let Some(frame) = stalled.frame().await {
        got += usize::from(matches!(decode_frame(&frame), Ok(Frame::Message { .. })));
    }
    assert!(got < EVENTS, "it was let go before the end");
    host.send(&ada.post(1).template());
    reader.event().await;
    relay.stop().await;
}
