use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use rochdale_protocol::sync::{Frame as Decoded, decode_frame};
use rochdale_service::outbound::{Outbound, Policy};
use rochdale_service::xrpc::ClientIp;
use tokio::io::{AsyncRead, AsyncReadExt as _};

use super::{Parts, Sequencer};
use crate::repo::testing::{NOW_US, Rig, create, note_path};
use crate::sequencer::EventDraft;
use crate::store::{StoreError, event, node, purge};

#[tokio::test]
async fn events_past_their_time_go_but_never_the_newest_nor_one_whose_nodes_are_unwritten() {
    let rig = Rig::start().await;
    let ada = rig.member("ada").await;
    for n in 0..10 {
        rig.write(&ada, create(&note_path(&format!("n{n}")), "x"))
            .await
            .unwrap();
    }
    let count = || async {
        rig.database
            .read(|conn| event::read_after(conn, 0, 1_000, 1 << 20))
            .await
            .unwrap()
            .len()
    };
    assert_eq!(count().await, 11);
    let later = NOW_US + 3_600_000_000;
    let cut = |checkpoint: u64| {
        rig.database
            .write(move |tx| event::trim(tx, later, checkpoint))
    };
    let written = rig.database.read(node::checkpoint).await.unwrap();
    assert_eq!(cut(written).await.unwrap(), 0, "no nodes are written yet");
    rig.repos.flush().await.unwrap();
    let written = rig.database.read(node::checkpoint).await.unwrap();
    let early = rig
        .database
        .write(move |tx| event::trim(tx, NOW_US, written))
        .await
        .unwrap();
    assert_eq!(early, 0, "nothing is old enough");
    assert_eq!(cut(written).await.unwrap(), 10);
    assert_eq!(count().await, 1);
    let last = rig.published.lock().last().unwrap().seq;
    let trimmed = rig.database.read(event::trimmed_seq).await.unwrap();
    assert_eq!(trimmed, last - 1);
    rig.write(&ada, create(&note_path("later"), "x"))
        .await
        .unwrap();
    assert_eq!(rig.published.lock().last().unwrap().seq, last + 1);
}

#[tokio::test]
async fn a_deleted_account_leaves_one_event_at_once_and_no_row_in_the_end() {
    let rig = Rig::start().await;
    let (ada, ben) = (rig.member("ada").await, rig.member("ben").await);
    rig.notes(&ada, 700).await;
    rig.write(&ben, create(&note_path("a"), "x")).await.unwrap();
    rig.repos.flush().await.unwrap();
    let (id, did) = (ada.id, ada.did.clone());
    rig.database
        .write(move |tx| {
            purge::mark(tx, id)?;
            event::append(tx, &[EventDraft::deleted(id, &did, NOW_US)])
        })
        .await
        .unwrap();
    rig.repos.forget(id);
    let subjects = || async {
        let frames = rig
            .database
            .read(|conn| event::read_after(conn, 0, 1_000, 1 << 20));
        frames
            .await
            .unwrap()
            .iter()
            .map(|frame| frame.subject)
            .collect::<Vec<_>>()
    };
    let (a, b) = (id.0 as u64, ben.id.0 as u64);
    assert_eq!(subjects().await, [b, b, a], "hidden before they are gone");
    assert!(rig.repos.export(id, None).await.is_err());
    rig.repos.purge().await.unwrap();
    assert_eq!(subjects().await, [b, b, a]);
    let left = rig
        .database
        .read(move |conn| {
            let mut left = 0_i64;
            for table in ["record", "node", "repo", "purge", "blob_link", "backlink"] {
                let query = format!("SELECT count(*) FROM {table} WHERE account = ?1");
                left += conn.query_row(&query, [id.0], |row| row.get::<_, i64>(0))?;
            }
            let events = "SELECT count(*) FROM event WHERE account = ?1";
            Ok::<_, StoreError>((
                left,
                conn.query_row(events, [id.0], |row| row.get::<_, i64>(0))?,
            ))
        })
        .await
        .unwrap();
    assert_eq!(left, (0, 1));
    rig.write(&ben, create(&note_path("b"), "x")).await.unwrap();
}

#[tokio::test]
async fn numbers_start_above_the_clock_and_never_go_back() {
    let rig = Rig::start().await;
    for floor in [NOW_US, NOW_US + 50, NOW_US + 10] {
        rig.database
            .write(move |tx| event::raise_floor(tx, floor))
            .await
            .unwrap();
    }
    let last = rig.database.read(event::last_seq).await.unwrap();
    assert_eq!(last, NOW_US + 50);
}

/// The payload of the next message of a web socket (RFC 6455, 5.2).
async fn message(socket: &mut (impl AsyncRead + Unpin)) -> Bytes {
    let first = socket.read_u16().await.unwrap();
    let length = match first & 0x7f {
        126 => u64::from(socket.read_u16().await.unwrap()),
        127 => socket.read_u64().await.unwrap(),
        short => u64::from(short),
    };
    let mut payload = vec![0; usize::try_from(length).unwrap()];
    socket.read_exact(&mut payload).await.unwrap();
    payload.into()
}

#[tokio::test]
async fn sequencer_a_reader_that_falls_out_of_the_log_is_told_that_it_is_too_slow() {
    let rig = Rig::start().await;
    let parts = Parts {
        database: rig.database.clone(),
        clock: rig.clock.shared(),
        tasks: rig.tasks.clone(),
        backfill: Duration::from_secs(3_600),
        outbound: Outbound::new(Policy {
            dev: true,
            user_agent: "pds test".to_owned(),
        })
        .unwrap(),
        crawlers: Vec::new(),
        host: "localhost".to_owned(),
    };
    let sequencer = Sequencer::open(parts).await.unwrap();
    let (mut reader, far) = tokio::io::duplex(1 << 10);
    let stream = Arc::clone(sequencer.stream());
    let client = ClientIp(IpAddr::V4(Ipv4Addr::LOCALHOST));
    tokio::spawn(async move { stream.serve(far, None, client).await });
    while sequencer.stream().subscribers() == 0 {
        tokio::task::yield_now().await;
    }
    // More than the newest that are kept in memory.
    let (publish, ada) = (sequencer.publisher(), rig.member("ada").await);
    let long = "long ".repeat(190_000);
    for n in 0..24 {
        let write = create(&note_path(&format!("n{n}")), &long);
        rig.write(&ada, write).await.unwrap();
        let newest = rig.published.lock().last().unwrap().clone();
        publish(&[newest]);
    }
    rig.repos.flush().await.unwrap();
    rig.clock.advance(Duration::from_secs(2 * 3_600));
    sequencer.trim().await.unwrap();

    let mut heard = 0;
    let told = loop {
        match decode_frame(&message(&mut reader).await).unwrap() {
            Decoded::Message { .. } => heard += 1,
            other => break other,
        }
    };
    assert!(heard < 24, "some were lost");
    assert!(matches!(&told, Decoded::Error { name, .. } if name == "ConsumerTooSlow"));
    // Whoever keeps up is served.
    let (mut reader, far) = tokio::io::duplex(1 << 10);
    let (stream, head) = (Arc::clone(sequencer.stream()), sequencer.head());
    tokio::spawn(async move { stream.serve(far, Some(head), client).await });
    rig.write(&ada, create(&note_path("later"), "x"))
        .await
        .unwrap();
    publish(&[rig.published.lock().last().unwrap().clone()]);
    let next = decode_frame(&message(&mut reader).await).unwrap();
    assert!(matches!(next, Decoded::Message { .. }), "{next:?}");
}
