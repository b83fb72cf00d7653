//! Repositories as others get them.

use axum::body::Body;
use bytes::Bytes;
use http::{Method, Request};
use rochdale_protocol::repo::{Commit, Tree, car};
use serde_json::json;

use super::support::{Member, Server, basic, bearer};

const CAR: &str = "application/vnd.ipld.car";

async fn get_repo(server: &Server, did: &str) -> (u16, Bytes) {
    let uri = format!("{}/xrpc/com.atproto.sync.getRepo?did={did}", server.url);
    let request = Request::builder().uri(uri).body(Body::empty()).unwrap();
    let (status, headers, bytes) = server.raw(request).await;
    if status == 200 {
        assert_eq!(headers["content-type"], CAR);
    }
    (status, bytes)
}

fn keys(file: &Bytes) -> Vec<String> {
    let car = car::read(file, 1 << 20).unwrap();
    let root = car.roots[0].as_cid().unwrap();
    let commit = Commit::decode(&car.blocks[&root]).unwrap();
    Tree::load(commit.data)
        .walk(&car.blocks, b"")
        .map(|leaf| String::from_utf8(leaf.unwrap().0.into()).unwrap())
        .collect()
}

async fn write(server: &Server, member: &Member, rkey: &str) {
    let record = json!({
        "repo": member.did, "collection": "com.example.note", "rkey": rkey,
        "record": { "text": rkey },
    });
    let auth = bearer(&member.access);
    let (status, answer) = server
        .call("com.atproto.repo.createRecord", &auth, &record)
        .await;
    assert_eq!(status, 200, "{answer}");
}

#[tokio::test]
async fn an_inactive_repository_is_refused_by_the_name_of_its_state_but_not_to_its_owner() {
    let server = Server::start().await;
    let ada = server.member("ada").await;
    write(&server, &ada, "one").await;
    assert_eq!(
        keys(&get_repo(&server, &ada.did).await.1),
        ["com.example.note/one"]
    );
    let auth = bearer(&ada.access);
    let sleep = "com.atproto.server.deactivateAccount";
    assert_eq!(server.call(sleep, &auth, &json!({})).await.0, 200);
    for method in [
        "getRepo",
        "getLatestCommit",
        "listBlobs",
        "getHead",
        "getCheckout",
    ] {
        let path = format!("/xrpc/com.atproto.sync.{method}?did={}", ada.did);
        let (status, answer) = server.get(&path, &[]).await;
        assert_eq!(
            (status, &answer["error"]),
            (400, &json!("RepoDeactivated")),
            "{method}"
        );
        for credentials in [auth.clone(), basic()] {
            let (status, _) = server.get(&path, &[("authorization", &credentials)]).await;
            assert_eq!(status, 200, "{method}");
        }
    }
    let path = format!("/xrpc/com.atproto.sync.getRepoStatus?did={}", ada.did);
    let (_, status) = server.get(&path, &[]).await;
    assert_eq!(
        status,
        json!({ "did": ada.did, "active": false, "status": "deactivated" })
    );
    let (_, listed) = server.get("/xrpc/com.atproto.sync.listRepos", &[]).await;
    assert_eq!(listed["repos"][0]["active"], false);
    let path = format!(
        "/xrpc/com.atproto.repo.listRecords?repo={}&collection=com.example.note",
        ada.did
    );
    assert_eq!(server.get(&path, &[]).await.0, 400);
    let nobody = "did:plc:ewvi7nxzyoun6zhxrhs64oiz";
    for method in ["getRepo", "getLatestCommit", "getRepoStatus", "getHead"] {
        let path = format!("/xrpc/com.atproto.sync.{method}?did={nobody}");
        let (status, answer) = server.get(&path, &[]).await;
        assert_eq!(
            (status, &answer["error"]),
            (400, &json!("RepoNotFound")),
            "{method}"
        );
    }
}

#[tokio::test]
async fn lists_of_repositories_have_pages_and_refuse_a_malformed_cursor() {
    let server = Server::start().await;
    let mut dids = Vec::new();
    for name in ["ada", "ben", "cleo"] {
        dids.push(server.member(name).await.did);
        server.clock.advance(std::time::Duration::from_millis(5));
    }
    let (mut seen, mut cursor) = (Vec::new(), String::new());
    loop {
        let path = format!("/xrpc/com.atproto.sync.listRepos?limit=2{cursor}");
        let (status, page) = server.get(&path, &[]).await;
        assert_eq!(status, 200, "{page}");
        for repo in page["repos"].as_array().unwrap() {
            seen.push(repo["did"].as_str().unwrap().to_owned());
        }
        let Some(next) = page["cursor"].as_str() else {
            break;
        };
        cursor = format!("&cursor={next}");
    }
    assert_eq!(seen, dids);
    for bad in ["x", "1::x", "::did:plc:a"] {
        let path = format!("/xrpc/com.atproto.sync.listRepos?cursor={bad}");
        assert_eq!(server.get(&path, &[]).await.0, 400, "{bad}");
    }
}

#[tokio::test]
async fn blocks_are_given_by_name_and_missing_ones_named() {
    let server = Server::start().await;
    let ada = server.member("ada").await;
    write(&server, &ada, "one").await;
    let file = get_repo(&server, &ada.did).await.1;
    let wanted: Vec<String> = car::read(&file, 1 << 20)
        .unwrap()
        .blocks
        .keys()
        .map(ToString::to_string)
        .collect();
    let path = format!("/xrpc/com.atproto.sync.getBlocks?did={}&cids=", ada.did);
    let uri = format!("{}{path}{}", server.url, wanted.join("&cids="));
    let request = Request::builder().uri(uri).body(Body::empty()).unwrap();
    let (status, _, bytes) = server.raw(request).await;
    assert_eq!(status, 200);
    let found = car::read(&bytes, 1 << 20).unwrap();
    assert_eq!((found.roots.len(), found.blocks.len()), (0, wanted.len()));
    let unknown = rochdale_protocol::data::Cid::dag_cbor(b"nowhere").to_string();
    let (status, answer) = server.get(&format!("{path}{unknown}"), &[]).await;
    assert_eq!((status, &answer["error"]), (400, &json!("BlockNotFound")));
    assert!(answer["message"].as_str().unwrap().contains(&unknown));
    assert_eq!(server.get(&format!("{path}nope"), &[]).await.0, 400);
}

#[tokio::test]
async fn an_exported_repository_can_be_imported_again_and_nonsense_cannot() {
    let server = Server::start().await;
    let (ada, ben) = (server.member("ada").await, server.member("ben").await);
    write(&server, &ada, "one").await;
    write(&server, &ben, "one").await;
    let own = get_repo(&server, &ada.did).await.1;
    let other = get_repo(&server, &ben.did).await.1;
    write(&server, &ada, "two").await;
    let import = |body: Bytes, kind: &str| {
        let request = Request::builder()
            .method(Method::POST)
            .uri(format!("{}/xrpc/com.atproto.repo.importRepo", server.url))
            .header("authorization", bearer(&ada.access))
            .header("content-type", kind)
            .body(Body::from(body))
            .unwrap();
        server.raw(request)
    };
    for (body, kind) in [
        (other, CAR),
        (Bytes::from_static(b"nonsense"), CAR),
        (own.slice(..own.len() / 2), CAR),
        (own.clone(), "application/json"),
    ] {
        let (status, _, answer) = import(body, kind).await;
        assert_eq!(status, 400, "{}", String::from_utf8_lossy(&answer));
    }
    assert_eq!(keys(&get_repo(&server, &ada.did).await.1).len(), 2);
    let (status, _, answer) = import(own, CAR).await;
    assert_eq!(status, 200, "{}", String::from_utf8_lossy(&answer));
    assert_eq!(
        keys(&get_repo(&server, &ada.did).await.1),
        ["com.example.note/one"]
    );
    let (_, counts) = server
        .ask("com.atproto.server.checkAccountStatus", &ada.access)
        .await;
    assert_eq!(counts["indexedRecords"], 1, "{counts}");
}
