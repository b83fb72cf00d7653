//! Files and the records that refer to them: which references are good, and when a file goes.

use http::Method;
use rochdale_protocol::repo::car;
use serde_json::{Value, json};

use crate::member::Member;
use crate::server::{Server, eventually, ok, operator, refused};

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

/// Paths of the files of blobs, relative to their folder.
fn files(server: &Server) -> Vec<String> {
    fn collect(folder: &std::path::Path, all: &mut Vec<std::path::PathBuf>) {
        for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
            match entry.file_type().unwrap().is_dir() {
                true => collect(&entry.path(), all),
                false => all.push(entry.path()),
            }
        }
    }
    let (folder, mut all) = (server.folder().join("blobs"), Vec::new());
    collect(&folder, &mut all);
    let relative = all.iter().map(|path| path.strip_prefix(&folder).unwrap());
    relative.map(|path| path.display().to_string()).collect()
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
    eventually("the files of ada are removed", async || {
        files(&server).len() == 1
    })
    .await;
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

#[tokio::test]
async fn row_27_a_place_for_any_image_takes_every_image_in_any_case_and_nothing_else() {
    let server = Server::start().await;
    let ada = server.member("ada").await;
    let picture = "\u{0}\u{0}\u{0} a picture of a kind that is not known";
    let uncommon = upload(&server, &ada, "Image/X-Weave", picture).await;
    let text = upload(&server, &ada, "text/plain", "no picture").await;
    let post = async |image: &Value, kind: &str| {
        let mut image = image.clone();
        image["mimeType"] = json!(kind);
        let body = json!({
            "repo": ada.did, "collection": "app.bsky.feed.post", "validate": true,
            "record": {
                "text": "look", "createdAt": "2026-01-01T00:00:00Z",
                "embed": {
                    "$type": "app.bsky.embed.images", "images": [{ "image": image, "alt": "" }],
                },
            },
        });
        ada.call(&server, "com.atproto.repo.createRecord", body)
            .await
    };
    for kind in ["image/x-weave", "IMAGE/X-WEAVE"] {
        let written = ok(post(&uncommon, kind).await);
        assert_eq!(written["validationStatus"], "valid");
    }
    for kind in ["text/plain", "imagery/x-weave"] {
        let answer = post(&text, kind).await;
        refused(answer, (400, "InvalidMimeType"));
    }
}

#[tokio::test]
async fn moderation_a_file_taken_down_leaves_the_store_is_not_taken_again_and_comes_back() {
    let server = Server::start().await;
    let ada = server.member("ada").await;
    let blob = upload(&server, &ada, "text/plain", "a file").await;
    ok(put(&server, &ada, "a", &blob).await);
    is_there(&server, &ada, &blob, "a file").await;
    let before = files(&server);
    let subject = json!({
        "$type": "com.atproto.admin.defs#repoBlobRef", "did": ada.did, "cid": cid(&blob),
    });
    let judge = async |applied: bool| {
        let body = json!({ "subject": subject, "takedown": { "applied": applied } });
        let nsid = "com.atproto.admin.updateSubjectStatus";
        ok(server.call(nsid, &operator(), body).await);
    };
    judge(true).await;
    let query = format!(
        "com.atproto.sync.getBlob?did={}&cid={}",
        ada.did,
        cid(&blob)
    );
    for auth in [String::new(), ada.auth(), operator()] {
        refused(server.ask(&query, &auth).await, (400, "BlobNotFound"));
    }
    let [away] = &files(&server)[..] else {
        panic!("one file")
    };
    assert!(away.starts_with("quarantine/"), "{away}");
    refused(put(&server, &ada, "b", &blob).await, (400, "BlobNotFound"));
    let auth = ada.auth();
    let headers = [
        ("authorization", auth.as_str()),
        ("content-type", "text/plain"),
    ];
    let path = "/xrpc/com.atproto.repo.uploadBlob";
    let (status, _, answer) = server.send(Method::POST, path, &headers, "a file").await;
    refused((status, answer), (400, "InvalidRequest"));
    let status = format!(
        "com.atproto.admin.getSubjectStatus?did={}&blob={}",
        ada.did,
        cid(&blob)
    );
    let told = ok(server.ask(&status, &operator()).await);
    assert_eq!(told["subject"], subject);
    assert_eq!(told["takedown"]["applied"], true);

    judge(false).await;
    is_there(&server, &ada, &blob, "a file").await;
    assert_eq!(files(&server), before);
    ok(put(&server, &ada, "b", &blob).await);
}
