//! Taking a repository in, and what happens when the server dies in the middle.

use std::path::Path;
use std::time::Duration;

use rochdale_protocol::repo::mst::Tree;
use rochdale_protocol::repo::{Commit, car};
use rochdale_testing::{Member, SecondPds, Stack};
use serde_json::{Value, json};

use crate::BINARY;

const POST: &str = "app.bsky.feed.post";
const RECORDS: usize = 6_000;

async fn writes_posts(member: &Member, count: usize) {
    for part in 0..count / 200 {
        let create = |number: usize| {
            json!({
                "$type": "com.atproto.repo.applyWrites#create",
                "collection": POST,
                "value": Member::post(&format!("{part} {number}")),
            })
        };
        let writes: Vec<Value> = (0..200).map(create).collect();
        let body = json!({ "repo": member.did, "writes": writes });
        member
            .call("com.atproto.repo.applyWrites", &body)
            .await
            .unwrap();
    }
}

/// The member's account at another PDS, asleep.
async fn arrives(stack: &Stack, member: &Member, pds: &str) -> Member {
    let nsid = "com.atproto.server.createAccount";
    let server = stack
        .get(pds, "/xrpc/com.atproto.server.describeServer")
        .await
        .unwrap();
    let aud = server["did"].as_str().unwrap();
    let query = format!("aud={}&lxm={nsid}", aud.replace('%', "%25"));
    let word = member
        .ask("com.atproto.server.getServiceAuth", &query)
        .await
        .unwrap();
    let wish = json!({
        "did": member.did, "handle": "ada.two.test", "email": "ada@coop.example",
        "password": Member::PASSWORD,
    });
    let request = stack.http.post(format!("{pds}/xrpc/{nsid}"));
    let request = request.bearer_auth(word["token"].as_str().unwrap());
    let answer = request.json(&wish).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    member.at(pds).await
}

fn import(member: &Member, file: &[u8]) -> reqwest::RequestBuilder {
    let url = format!("{}/xrpc/com.atproto.repo.importRepo", member.pds);
    let request = member.http.post(url).bearer_auth(&member.access);
    request
        .header("content-type", car::MEDIA_TYPE)
        .body(file.to_vec())
}

/// Records and imports under way, as the database has them.
fn counts(data: &Path) -> (i64, i64) {
    let database = rusqlite::Connection::open(data.join("pds.sqlite")).unwrap();
    database.busy_timeout(Duration::from_secs(5)).unwrap();
    let count = |table: &str| {
        let sql = format!("SELECT count(*) FROM {table}");
        database.query_row(&sql, [], |row| row.get(0)).unwrap()
    };
    (count("record"), count("import"))
}

/// The repository as its owner gets it: every block hashed, every record of the tree there.
async fn owned(member: &Member) -> (Commit, usize) {
    let url = format!(
        "{}/xrpc/com.atproto.sync.getRepo?did={}",
        member.pds, member.did
    );
    let answer = member
        .http
        .get(url)
        .bearer_auth(&member.access)
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), 200);
    let file = car::read(&answer.bytes().await.unwrap(), 2_000_000).unwrap();
    let commit = Commit::decode(&file.blocks[&file.roots[0].as_cid().unwrap()]).unwrap();
    let mut records = 0;
    for leaf in Tree::load(commit.data).walk(&file.blocks, b"") {
        let (_, value) = leaf.unwrap();
        assert!(file.blocks.contains_key(&value.as_cid().unwrap()));
        records += 1;
    }
    (commit, records)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_killed_in_the_middle_of_an_import_has_a_valid_repository_and_takes_it_again() {
    let stack = Stack::start(BINARY);
    let mut second = SecondPds::start(BINARY, &stack).await;
    let ada = stack.member("ada").await;
    writes_posts(&ada, RECORDS).await;
    let file = ada.export().await;
    let (there, _) = owned(&ada).await;
    let arrived = arrives(&stack, &ada, &second.url).await;

    for kill_at in [1, 900, 3_000] {
        let request = import(&arrived, &file).send();
        let running = tokio::spawn(request);
        loop {
            let (records, imports) = counts(second.data());
            if imports == 1 && records >= kill_at {
                break;
            }
            assert!(
                !running.is_finished(),
                "the import was over before it could be killed"
            );
            tokio::task::yield_now().await;
        }
        second.kill();
        assert!(running.await.unwrap().is_err());
        second.start_again(&stack.http).await;
        // What arrived is made a repository at the start, with nobody asking for it.
        for _ in 0..200 {
            if counts(second.data()).1 == 0 {
                break;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let (stored, imports) = counts(second.data());
        assert_eq!(imports, 0);
        let (_, records) = owned(&arrived).await;
        assert_eq!(records as i64, stored);
        assert!(records < RECORDS, "it was killed in the middle");
    }

    assert_eq!(import(&arrived, &file).send().await.unwrap().status(), 200);
    let (here, records) = owned(&arrived).await;
    assert_eq!((here.data, records), (there.data, RECORDS));
    assert!(here.rev > there.rev);
    let status = arrived
        .ask("com.atproto.server.checkAccountStatus", "")
        .await
        .unwrap();
    assert_eq!(status["indexedRecords"], json!(RECORDS));
    // Once more changes nothing but the revision; what was written at the old place since comes along.
    assert_eq!(import(&arrived, &file).send().await.unwrap().status(), 200);
    assert_eq!(owned(&arrived).await.0.data, there.data);
    ada.posts("later").await;
    let url = format!(
        "{}/xrpc/com.atproto.sync.getRepo?did={}&since={}",
        ada.pds, ada.did, there.rev
    );
    let since = ada
        .http
        .get(url)
        .send()
        .await
        .unwrap()
        .bytes()
        .await
        .unwrap();
    assert!(since.len() < file.len() / 10, "only what is new");
    assert_eq!(import(&arrived, &since).send().await.unwrap().status(), 200);
    assert_eq!(owned(&arrived).await.1, RECORDS + 1);
}
