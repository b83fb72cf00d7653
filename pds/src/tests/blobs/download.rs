//! `getBlob`: headers, conditions, ranges, and who may read.

use rochdale_protocol::data::Cid;

use super::*;

#[tokio::test]
async fn a_file_comes_back_with_headers_that_keep_browsers_from_running_it() {
    let server = Server::start().await;
    let ada = server.member("ada").await;
    let (status, answer) = upload(&server, &ada, "text/html", b"<p>hello".to_vec()).await;
    assert_eq!(status, 200, "{answer}");
    let blob = &answer["blob"];
    assert_eq!((&blob["$type"], &blob["size"]), (&json!("blob"), &json!(8)));
    let cid = blob["ref"]["$link"].as_str().unwrap();
    let path = path(&ada, cid);
    let (status, refused) = server.get(&path, &[]).await;
    assert_eq!((status, &refused["error"]), (400, &json!("BlobNotFound")));
    assert_eq!(refused["message"], "Blob not found");
    assert_eq!(refer(&server, &ada, blob).await.0, 200);

    let (status, headers, bytes) = get(&server, Method::GET, &path, &[]).await;
    assert_eq!((status, &bytes[..]), (200, &b"<p>hello"[..]));
    for (name, value) in [
        ("content-type", "text/html"),
        ("content-length", "8"),
        ("accept-ranges", "bytes"),
        ("cache-control", "public, max-age=86400, immutable"),
        ("etag", &*format!("\"{cid}\"")),
        ("x-content-type-options", "nosniff"),
        ("content-security-policy", "default-src 'none'; sandbox"),
        (
            "content-disposition",
            &*format!("attachment; filename=\"{cid}\""),
        ),
    ] {
        assert_eq!(headers[name], value);
    }
    let list = format!("/xrpc/com.atproto.sync.listBlobs?did={}", ada.did);
    assert_eq!(server.get(&list, &[]).await.1["cids"], json!([cid]));
}

#[tokio::test]
async fn parts_of_a_file_are_served_and_known_files_are_not_sent_again() {
    let server = Server::start().await;
    let ada = server.member("ada").await;
    let bytes: Vec<u8> = (0..200_000_u32).map(|n| (n / 3) as u8).collect();
    let cid = publish(&server, &ada, "video/x-plain", &bytes).await;
    let (path, tag) = (path(&ada, &cid), format!("\"{cid}\""));
    let ask = async |headers: &[(&str, &str)]| get(&server, Method::GET, &path, headers).await;

    let (status, headers, part) = ask(&[("range", "bytes=100000-100009")]).await;
    assert_eq!((status, &part[..]), (206, &bytes[100_000..100_010]));
    for (name, value) in [
        ("content-range", "bytes 100000-100009/200000"),
        ("content-length", "10"),
        ("content-type", "video/x-plain"),
        ("etag", &*tag),
        ("content-security-policy", "default-src 'none'; sandbox"),
    ] {
        assert_eq!(headers[name], value);
    }
    let (status, headers, part) = ask(&[("range", "bytes=-70000"), ("if-range", &tag)]).await;
    assert_eq!((status, &part[..]), (206, &bytes[130_000..]));
    assert_eq!(headers["content-range"], "bytes 130000-199999/200000");

    let (status, headers, refused) = ask(&[("range", "bytes=200000-")]).await;
    assert_eq!(
        (status, &headers["content-range"]),
        (416, &"bytes */200000".parse().unwrap())
    );
    assert_eq!(
        serde_json::from_slice::<Value>(&refused).unwrap()["error"],
        "InvalidRequest"
    );
    for whole in [
        &[("range", "bytes=0-1,5-6")][..],
        &[("range", "bytes=0-1"), ("if-range", "\"other\"")],
        &[("range", "pages=1")],
        &[("if-none-match", "\"other\"")],
    ] {
        let (status, _, all) = ask(whole).await;
        assert_eq!((status, all.len()), (200, 200_000), "{whole:?}");
    }
    for known in [&*tag, &format!("W/{tag}"), "*"] {
        let (status, headers, none) = ask(&[("if-none-match", known)]).await;
        assert_eq!(
            (status, none.len(), &headers["etag"]),
            (304, 0, &tag.parse().unwrap())
        );
    }
    let (status, headers, none) =
        get(&server, Method::HEAD, &path, &[("range", "bytes=0-1")]).await;
    assert_eq!((status, none.len()), (200, 0));
    assert_eq!(headers["content-length"], "200000");
    assert_eq!(headers["etag"], tag);
}

#[tokio::test]
async fn a_deactivated_member_uploads_and_only_the_member_and_the_operator_read() {
    let server = Server::start().await;
    let ada = server.member("ada").await;
    let cid = publish(&server, &ada, "text/plain", b"hello").await;
    let auth = bearer(&ada.access);
    let deactivate = "com.atproto.server.deactivateAccount";
    assert_eq!(server.call(deactivate, &auth, &json!({})).await.0, 200);
    assert_eq!(
        upload(&server, &ada, "text/plain", b"more".to_vec())
            .await
            .0,
        200
    );
    let path = path(&ada, &cid);
    let (status, refused) = server.get(&path, &[]).await;
    assert_eq!(
        (status, &refused["error"]),
        (400, &json!("RepoDeactivated"))
    );
    for credentials in [auth, basic()] {
        let headers = [("authorization", &*credentials)];
        let (status, headers, bytes) = get(&server, Method::GET, &path, &headers).await;
        assert_eq!((status, &bytes[..]), (200, &b"hello"[..]));
        assert_eq!(headers["cache-control"], "private");
    }
}

#[tokio::test]
async fn a_taken_down_blob_is_not_found_and_its_reversal_brings_it_back() {
    let server = Server::start().await;
    let ada = server.member("ada").await;
    let cid = publish(&server, &ada, "text/plain", b"hello").await;
    let path = path(&ada, &cid);
    assert_eq!(take_down(&server, &ada, &cid, true).await.0, 200);
    let auth = bearer(&ada.access);
    for headers in [&[][..], &[("authorization", &*auth)]] {
        let (status, refused) = server.get(&path, headers).await;
        assert_eq!((status, &refused["error"]), (400, &json!("BlobNotFound")));
        assert_eq!(refused["message"], "Blob not found");
    }
    let (status, refused) = upload(&server, &ada, "text/plain", b"hello".to_vec()).await;
    assert_eq!((status, &refused["error"]), (400, &json!("InvalidRequest")));
    assert!(refused["message"].as_str().unwrap().contains("taken down"));
    assert_eq!(take_down(&server, &ada, &cid, false).await.0, 200);
    let (status, _, bytes) = get(&server, Method::GET, &path, &[]).await;
    assert_eq!((status, &bytes[..]), (200, &b"hello"[..]));
}

#[tokio::test]
async fn blobs_are_listed_once_each_page_by_page_and_since_a_revision() {
    let server = Server::start().await;
    let ada = server.member("ada").await;
    let mut cids = Vec::new();
    for text in ["one", "two", "three", "one"] {
        cids.push(publish(&server, &ada, "text/plain", text.as_bytes()).await);
    }
    let head = format!("/xrpc/com.atproto.sync.getLatestCommit?did={}", ada.did);
    let (_, before) = server.get(&head, &[]).await;
    let later = publish(&server, &ada, "text/plain", b"later").await;
    cids.push(later.clone());
    cids.sort_by_key(|cid| *cid.parse::<Cid>().unwrap().digest());
    cids.dedup();

    let list = format!("/xrpc/com.atproto.sync.listBlobs?did={}", ada.did);
    let (mut seen, mut cursor) = (Vec::new(), String::new());
    loop {
        let (status, page) = server.get(&format!("{list}&limit=3{cursor}"), &[]).await;
        assert_eq!(status, 200, "{page}");
        let page_cids = page["cids"].as_array().unwrap().iter();
        seen.extend(page_cids.map(|cid| cid.as_str().unwrap().to_owned()));
        match page["cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    assert_eq!(seen, cids);
    let rev = before["rev"].as_str().unwrap();
    let (_, since) = server.get(&format!("{list}&since={rev}"), &[]).await;
    assert_eq!(since["cids"], json!([later]));
    for bad in ["limit=0", "limit=1001", "cursor=x", "since=x"] {
        let (status, refused) = server.get(&format!("{list}&{bad}"), &[]).await;
        assert_eq!(
            (status, &refused["error"]),
            (400, &json!("InvalidRequest")),
            "{bad}"
        );
    }
}
