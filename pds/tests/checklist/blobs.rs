//! Files and the records that refer to them: which references are good, and when a file goes.

use http::Method;
use rochdale_protocol::repo::car;
use serde_json::{Value, json};

use crate::member::Member;
use crate::server::{Server, eventually, ok, refused};

const APPLY: &str = "com.atproto.repo.applyWrites";
const PUT: &str = "com.atproto.repo.putRecord";
const DELETE: &str = "com.atproto.repo.deleteRecord";
const COLLECTION: &str = "com.example.file";

async fn upload(server: &Server, member: &Member, kind: &str, text: &str) -> Value {
    let auth = member.auth();
    let headers = [("authorization", auth.as_str()), ("content-type", kind)];
    let path = "/xrpc/com.atproto.repo.uploadBlob";
    let text = text.to_owned();
    let (status, _, uploaded) = server.send(Method::POST, path, &headers, text).await;
    ok((status, uploaded))["blob"].clone()
}

/// Writes a record that refers to `blob`, or to nothing.
async fn put(server: &Server, member: &Member, rkey: &str, blob: &Value) -> (u16, Value) {
    let mut body = json!({
        "repo": member.did, "collection": COLLECTION, "rkey": rkey,
        "record": { "$type": COLLECTION },
    });
    if !blob.is_null() {
        body["record"]["file"] = blob.clone();
    }
    member.call(server, PUT, body).await
}

async fn delete(server: &Server, member: &Member, rkey: &str) {
    let body = json!({ "repo": member.did, "collection": COLLECTION, "rkey": rkey });
    ok(member.call(server, DELETE, body).await);
}

fn cid(blob: &Value) -> &str {
    blob["ref"]["$link"].as_str().unwrap()
}

async fn read(server: &Server, member: &Member, blob: &Value) -> (u16, Value) {
    let query = format!(
        "com.atproto.sync.getBlob?did={}&cid={}",
        member.did,
        cid(blob)
    );
    server.ask(&query, "").await
}

async fn is_there(server: &Server, member: &Member, blob: &Value, text: &str) {
    assert_eq!(read(server, member, blob).await, (200, json!(text)));
}

async fn is_gone(server: &Server, member: &Member, blob: &Value) {
    let message = refused(read(server, member, blob).await, (400, "BlobNotFound"));
    assert_eq!(message, "Blob not found");
}

/// Files of blobs below the data folder.
fn files(server: &Server) -> usize {
    fn count(folder: &std::path::Path) -> usize {
        let entries = std::fs::read_dir(folder).unwrap().map(Result::unwrap);
        entries
            .map(|entry| match entry.file_type().unwrap().is_dir() {
                true => count(&entry.path()),
                false => 1,
            })
            .sum()
    }
    count(&server.folder().join("blobs"))
}

#[tokio::test]
async fn blob_deletes_follow_the_last_record_that_refers_to_the_file() {
    let server = Server::start().await;
    let (ada, ben) = (server.member("ada").await, server.member("ben").await);
    let (one, two) = (
        upload(&server, &ada, "text/plain", "one").await,
        upload(&server, &ada, "text/plain", "two").await,
    );
    upload(&server, &ben, "text/plain", "one").await;
    ok(put(&server, &ben, "a", &one).await);

    // An update drops the old file, an unchanged one stays.
    ok(put(&server, &ada, "a", &one).await);
    ok(put(&server, &ada, "a", &one).await);
    is_there(&server, &ada, &one, "one").await;
    ok(put(&server, &ada, "a", &two).await);
    is_gone(&server, &ada, &one).await;
    is_there(&server, &ada, &two, "two").await;
    refused(put(&server, &ada, "b", &one).await, (400, "BlobNotFound"));

    // A commit that drops it and refers to it again keeps it.
    let writes = json!([
        { "$type": "com.atproto.repo.applyWrites#delete", "collection": COLLECTION, "rkey": "a" },
        { "$type": "com.atproto.repo.applyWrites#create", "collection": COLLECTION, "rkey": "c",
          "value": { "$type": COLLECTION, "file": two } },
    ]);
    let body = json!({ "repo": ada.did, "writes": writes });
    ok(ada.call(&server, APPLY, body).await);
    is_there(&server, &ada, &two, "two").await;

    delete(&server, &ada, "c").await;
    is_gone(&server, &ada, &two).await;
    eventually("the files of ada are removed", async || files(&server) == 1).await;
    is_there(&server, &ben, &one, "one").await;
}

#[tokio::test]
async fn row_6_a_deactivated_account_uploads_and_its_files_take_credentials() {
    let server = Server::start().await;
    let ada = server.member("ada").await;
    let blob = upload(&server, &ada, "text/plain", "mine").await;
    ok(put(&server, &ada, "a", &blob).await);
    let nsid = "com.atproto.server.deactivateAccount";
    ok(ada.call(&server, nsid, json!({})).await);
    upload(&server, &ada, "text/plain", "more").await;
    refused(read(&server, &ada, &blob).await, (400, "RepoDeactivated"));
    let query = format!(
        "com.atproto.sync.getBlob?did={}&cid={}",
        ada.did,
        cid(&blob)
    );
    assert_eq!(ok(ada.ask(&server, &query).await), "mine");
}

#[tokio::test]
async fn row_7_a_reference_in_json_is_a_link_in_the_repository() {
    let server = Server::start().await;
    let ada = server.member("ada").await;
    let blob = upload(&server, &ada, "text/plain", "linked").await;
    ok(put(&server, &ada, "a", &blob).await);
    let path = format!("/xrpc/com.atproto.sync.getRepo?did={}", ada.did);
    let request = http::Request::builder().uri(format!("{}{path}", server.url));
    let request = request.body(axum::body::Body::empty()).unwrap();
    let (_, _, bytes) = server.raw(request).await;
    let blocks = car::read(&bytes, 1 << 20).unwrap().blocks;
    // Tag 42 over a byte string: 0, then the CID.
    let link: rochdale_protocol::data::Cid = cid(&blob).parse().unwrap();
    let tagged = [&[0xd8, 0x2a, 0x58, 0x25, 0][..], &link.to_bytes()].concat();
    let holds = |block: &[u8]| block.windows(tagged.len()).any(|part| part == tagged);
    assert_eq!(blocks.iter().filter(|(_, block)| holds(block)).count(), 1);
}

#[tokio::test]
async fn row_27_types_are_compared_without_regard_to_case_and_must_be_the_files_own() {
    let server = Server::start().await;
    let ada = server.member("ada").await;
    let blob = upload(&server, &ada, "Text/Plain", "a file").await;
    assert_eq!(blob["mimeType"], "text/plain");
    let with = |key: &str, value: Value| {
        let mut blob = blob.clone();
        blob[key] = value;
        blob
    };
    let shouted = with("mimeType", json!("TEXT/PLAIN"));
    ok(put(&server, &ada, "a", &shouted).await);
    let other = with("mimeType", json!("image/png"));
    refused(
        put(&server, &ada, "b", &other).await,
        (400, "InvalidMimeType"),
    );
    let longer = with("size", json!(7));
    refused(put(&server, &ada, "b", &longer).await, (400, "InvalidSize"));
    // The refused references took nothing from the file.
    is_there(&server, &ada, &blob, "a file").await;
}
