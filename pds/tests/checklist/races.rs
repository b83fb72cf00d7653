//! Races: many writers on one repository, in every kind of write.

use futures::future::join_all;
use rochdale_protocol::sync::{Event, check_commit};
use rochdale_service::clock::Clock;
use serde_json::json;

use crate::firehose::Firehose;
use crate::server::{Server, ok};

/// Row 14 too: the events come in the order of the commits.
#[tokio::test]
async fn races_writers_on_one_repository_are_linear_and_the_repository_verifies() {
    let server = Server::start().await;
    let ada = server.member("ada").await;
    let mut firehose = Firehose::open(&server, None).await;
    let write = |n: usize| {
        let (server, ada) = (&server, &ada);
        async move {
            let rkey = format!("k{}", n % 7);
            let mut body = json!({
                "repo": ada.did, "collection": "com.example.note", "rkey": rkey,
            });
            let nsid = match n % 3 {
                0 => "com.atproto.repo.createRecord",
                1 => "com.atproto.repo.putRecord",
                _ => "com.atproto.repo.deleteRecord",
            };
            if n % 3 < 2 {
                body["record"] = json!({ "n": n });
            }
            let (status, answer) = ada.call(server, nsid, body).await;
            match answer["error"].as_str() {
                Some(name) => {
                    assert_eq!((status, name), (400, "RecordAlreadyExists"), "{answer}");
                    None
                }
                None => Some(answer["commit"]["rev"].as_str().map(str::to_owned)),
            }
        }
    };
    let answers = join_all((0..150).map(write)).await;
    let mut revs: Vec<String> = answers.into_iter().flatten().flatten().collect();
    revs.sort();
    let (mut told, mut data) = (Vec::new(), None);
    while told.len() < revs.len() {
        let (_, event) = firehose.event().await;
        let Event::Commit(commit) = event else {
            panic!("{event:?}")
        };
        let checked = check_commit(&commit, server.clock.now_us()).unwrap();
        if data.is_some() {
            assert_eq!(commit.prev_data, data);
        }
        data = Some(checked.data);
        told.push(commit.rev.to_string());
    }
    assert_eq!(told, revs, "each answered commit once, in order");
    let list = format!(
        "com.atproto.repo.listRecords?repo={}&collection=com.example.note",
        ada.did
    );
    let listed = ok(server.ask(&list, "").await);
    let head = format!("com.atproto.sync.getRepo?did={}", ada.did);
    let request = http::Request::builder().uri(format!("{}/xrpc/{head}", server.url));
    let request = request.body(axum::body::Body::empty()).unwrap();
    let (_, _, file) = server.raw(request).await;
    let file = rochdale_protocol::repo::car::read(&file, 1 << 20).unwrap();
    let tree = rochdale_protocol::repo::Tree::load(data.unwrap());
    let found = tree.walk(&file.blocks, b"").count();
    assert_eq!(found, listed["records"].as_array().unwrap().len());
}
