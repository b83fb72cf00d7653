//! Metrics: what a scraper finds must not grow with what strangers do.

use std::collections::BTreeSet;

use rochdale_testing::{Firehose, Options, Stack};

use crate::BINARY;

/// A port that was free a moment ago.
fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

/// The series with labels at a moment.
async fn series(stack: &Stack, port: u16) -> BTreeSet<String> {
    let url = format!("http://127.0.0.1:{port}/metrics");
    let text = stack.http.get(url).send().await.unwrap();
    let text = text.text().await.unwrap();
    let lines = text.lines().filter(|line| line.contains('{'));
    lines
        .filter_map(|line| line.rsplit_once(' '))
        .map(|(series, _)| series.to_owned())
        .collect()
}

/// Everything that may happen for one member of a name: sign-up, a post seen by a reader, refusals on the way.
async fn one_more(stack: &Stack, name: &str) {
    let ada = stack.member(name).await;
    let mut reader = Firehose::live(&stack.relay).await;
    ada.posts("hello").await;
    reader.next_commit_of(&ada.did).await;
    let crawl = serde_json::json!({ "hostname": format!("{name}.invalid") });
    let url = format!("{}/xrpc/com.atproto.sync.requestCrawl", stack.relay);
    let refused = stack.http.post(url).json(&crawl).send().await.unwrap();
    assert_eq!(refused.status(), 400);
    for base in [&stack.pds, &stack.relay, &stack.identity] {
        for path in [
            format!("/xrpc/com.example.{name}"),
            format!("/{name}"),
            format!("/did:plc:{name}"),
            format!("/xrpc/com.atproto.sync.getRepoStatus?did=did:web:{name}.example.org"),
        ] {
            drop(stack.http.get(format!("{base}{path}")).send().await);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn labels_do_not_grow_with_members_hosts_or_addresses() {
    let port = free_port();
    let stack = Stack::start_with(
        BINARY,
        Options {
            flags: vec!["--metrics-port".to_owned(), port.to_string()],
            ..Options::default()
        },
    );
    for name in ["quokka", "quagga"] {
        one_more(&stack, name).await;
    }
    let before = series(&stack, port).await;
    assert!(
        before
            .iter()
            .any(|series| series.contains("rochdale_relay_events_total"))
    );
    for name in ["wombat", "numbat", "bilby"] {
        one_more(&stack, name).await;
    }
    let after = series(&stack, port).await;
    let new: Vec<&String> = after.difference(&before).collect();
    assert!(new.is_empty(), "{new:?}");
    for series in &after {
        // Relays are the operator's choice, and few.
        let series = series.replace(&stack.relay, "");
        for word in ["did:", "127.0.0.1", "::1", "localhost", ".test", "quokka"] {
            assert!(!series.contains(word), "{series}");
        }
    }
}
