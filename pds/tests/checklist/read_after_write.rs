//! Read after write: members see what they wrote while the AppView has not read it yet.

use axum::body::Body;
use bytes::Bytes;
use http::{HeaderMap, Method, Request};
use rochdale_service::encoding::Encoding;
use serde_json::{Value, json};

use crate::member::Member;
use crate::server::{Server, ok, refused};
use crate::upstream::{Reply, Upstream};

const PROFILE: &str = "app.bsky.actor.getProfile";
const PROFILES: &str = "app.bsky.actor.getProfiles";
const AUTHOR_FEED: &str = "app.bsky.feed.getAuthorFeed";
const LIKES: &str = "app.bsky.feed.getActorLikes";
const TIMELINE: &str = "app.bsky.feed.getTimeline";
const THREAD: &str = "app.bsky.feed.getPostThread";
const GET_POSTS: &str = "app.bsky.feed.getPosts";
const VIEW: &str = "app.bsky.feed.defs#threadViewPost";
const SOME_CID: &str = "bafyreie5737gdxlw5i64vzichcalba3z2v5n6icifvx5xytvske7mr3hpm";
/// Before anything that is written in these tests.
const LONG_AGO: &str = "2020-01-01T00:00:00.000Z";

/// A member whose AppView has read up to their first post.
struct Lagging {
    server: Server,
    upstream: Upstream,
    ada: Member,
    read: String,
}

impl Lagging {
    async fn start() -> Self {
        Self::start_with_images(None).await
    }

    async fn start_with_images(image_url: Option<&str>) -> Self {
        let upstream = Upstream::start().await;
        let (service, image_url) = (upstream.service(), image_url.map(str::to_owned));
        let server = Server::start_with(|options| {
            options.raw.app_view = Some(service);
            options.raw.image_url = image_url;
        })
        .await;
        let ada = server.member("ada").await;
        ok(ada.post(&server, "first").await);
        let query = format!("com.atproto.sync.getLatestCommit?did={}", ada.did);
        let read = ok(server.ask(&query, "").await)["rev"].clone();
        let read = read.as_str().expect("a revision").to_owned();
        Self {
            server,
            upstream,
            ada,
            read,
        }
    }

    /// The AppView's answer, with what it has read.
    fn replies(&self, nsid: &str, body: &Value) {
        self.replies_with(nsid, Reply::json(body));
    }

    fn replies_with(&self, nsid: &str, reply: Reply) {
        let reply = reply
            .with("atproto-repo-rev", self.read.clone())
            .with("atproto-content-labelers", "did:web:l.example");
        self.upstream.replies(nsid, reply);
    }

    async fn writes(&self, collection: &str, rkey: Option<&str>, record: Value) -> Value {
        // Not everything here is what its lexicon wants, as nothing on the way may rely on it.
        let mut body = json!({
            "repo": self.ada.did, "collection": collection, "record": record, "validate": false,
        });
        let nsid = match rkey {
            Some(rkey) => {
                body["rkey"] = json!(rkey);
                "com.atproto.repo.putRecord"
            }
            None => "com.atproto.repo.createRecord",
        };
        ok(self.ada.call(&self.server, nsid, body).await)
    }

    /// Writes a post with these fields; answers its URI.
    async fn posts(&self, text: &str, more: Value) -> String {
        let mut record = json!({ "text": text, "createdAt": "2026-01-01T00:00:00Z" });
        for (name, value) in more.as_object().expect("fields") {
            record[name] = value.clone();
        }
        let written = self.writes("app.bsky.feed.post", None, record).await;
        written["uri"].as_str().expect("a URI").to_owned()
    }

    async fn answers_a(&self, parent: &str, root: &str, text: &str) -> String {
        let to = |uri: &str| json!({ "uri": uri, "cid": SOME_CID });
        let reply = json!({ "reply": { "parent": to(parent), "root": to(root) } });
        self.posts(text, reply).await
    }

    async fn uploads(&self) -> Value {
        let request = Request::builder()
            .method(Method::POST)
            .uri(format!(
                "{}/xrpc/com.atproto.repo.uploadBlob",
                self.server.url
            ))
            .header("authorization", self.ada.auth())
            .header("content-type", "image/png")
            .body(Body::from(&b"\x89PNG\r\n\x1a\n picture"[..]));
        let (status, _, body) = self.server.raw(request.expect("a request")).await;
        assert_eq!(status, 200);
        let answer: Value = serde_json::from_slice(&body).expect("JSON");
        answer["blob"].clone()
    }

    /// What the member is shown.
    async fn sees(&self, query: &str) -> Value {
        ok(self.ada.ask(&self.server, query).await)
    }

    /// As [`Self::sees`], byte for byte.
    async fn raw(&self, query: &str, accept_encoding: &str) -> (u16, HeaderMap, Bytes) {
        let request = Request::builder()
            .uri(format!("{}/xrpc/{query}", self.server.url))
            .header("authorization", self.ada.auth())
            .header("accept-encoding", accept_encoding)
            .body(Body::empty());
        self.server.raw(request.expect("a request")).await
    }

    fn author(&self) -> Value {
        json!({ "did": self.ada.did, "handle": "ada.test", "displayName": "Old" })
    }

    /// The view of a post as the AppView has it.
    fn known(&self, uri: &str, author: Value, at: &str) -> Value {
        json!({
            "uri": uri, "cid": SOME_CID,
            "author": author, "record": { "text": "known" }, "likeCount": 3, "indexedAt": at,
        })
    }
}

fn other() -> Value {
    json!({ "did": "did:web:ben.example", "handle": "ben.example", "displayName": "Ben" })
}

fn feed_uris(feed: &Value) -> Vec<&str> {
    let items = feed["feed"].as_array().expect("a feed").iter();
    items
        .map(|item| item["post"]["uri"].as_str().expect("a URI"))
        .collect()
}

#[tokio::test]
async fn read_after_write_a_new_profile_shows_with_its_pictures_and_the_lag() {
    let lagging = Lagging::start().await;
    let blob = lagging.uploads().await;
    let cid = blob["ref"]["$link"].as_str().unwrap();
    let profile = json!({
        "displayName": "Ada", "description": "baker", "avatar": blob, "banner": blob,
    });
    lagging
        .writes("app.bsky.actor.profile", Some("self"), profile)
        .await;
    let old = json!({
        "did": lagging.ada.did, "handle": "ada.test", "displayName": "Old", "avatar": "old",
        "description": "old", "followersCount": 3, "viewer": { "muted": false },
    });
    lagging.replies(PROFILE, &old);
    let image = format!(
        "{}/xrpc/com.atproto.sync.getBlob?did={}&cid={cid}",
        lagging.server.url, lagging.ada.did
    );
    let mut new = old.clone();
    new["displayName"] = json!("Ada");
    new["description"] = json!("baker");
    new["avatar"] = json!(image);
    new["banner"] = json!(image);
    lagging
        .server
        .clock
        .advance(std::time::Duration::from_millis(1234));
    let (status, headers, body) = lagging
        .raw(&format!("{PROFILE}?actor=ada.test"), "identity")
        .await;
    assert_eq!(
        (status, serde_json::from_slice::<Value>(&body).unwrap()),
        (200, new.clone())
    );
    let lag: u64 = headers["atproto-upstream-lag"]
        .to_str()
        .unwrap()
        .parse()
        .unwrap();
    assert!((1234..60_000).contains(&lag), "{lag}");
    assert_eq!(headers["atproto-repo-rev"], lagging.read);
    assert_eq!(headers["atproto-content-labelers"], "did:web:l.example");
    assert_eq!(headers["content-length"], body.len().to_string());
    let (_, image, _) = lagging
        .server
        .send(
            Method::GET,
            image.trim_start_matches(&lagging.server.url),
            &[],
            Body::empty(),
        )
        .await;
    assert_eq!(image["content-type"], "image/png");

    lagging.replies(PROFILES, &json!({ "profiles": [other(), old] }));
    let profiles = lagging.sees(&format!("{PROFILES}?actors=a&actors=b")).await;
    assert_eq!(profiles, json!({ "profiles": [other(), new] }));
}

#[tokio::test]
async fn read_after_write_a_new_name_stands_beside_own_posts_and_an_old_one_goes() {
    let lagging = Lagging::start().await;
    let profile = json!({ "displayName": "Ada", "description": "baker" });
    lagging
        .writes("app.bsky.actor.profile", Some("self"), profile)
        .await;
    lagging.replies(PROFILE, &other());
    assert_eq!(
        lagging.sees(&format!("{PROFILE}?actor=ben.example")).await,
        other()
    );

    let items = [
        json!({ "post": lagging.known("at://x/y/1", lagging.author(), LONG_AGO) }),
        json!({ "post": lagging.known("at://x/y/2", other(), LONG_AGO) }),
    ];
    for nsid in [LIKES, AUTHOR_FEED, TIMELINE] {
        lagging.replies(nsid, &json!({ "feed": items, "cursor": "c" }));
        let shown = lagging.sees(&format!("{nsid}?actor=ada.test")).await;
        assert_eq!(
            shown["feed"][0]["post"]["author"]["displayName"], "Ada",
            "{nsid}"
        );
        assert_eq!(shown["feed"][1], items[1], "{nsid}");
        assert_eq!(shown["cursor"], "c");
        assert!(
            shown["feed"][0]["post"]["author"]
                .get("description")
                .is_none()
        );
    }
    // What is no longer in the record is no longer shown.
    lagging
        .writes("app.bsky.actor.profile", Some("self"), json!({}))
        .await;
    lagging.replies(PROFILE, &lagging.author());
    let bare = json!({ "did": lagging.ada.did, "handle": "ada.test" });
    assert_eq!(lagging.sees(&format!("{PROFILE}?actor=x")).await, bare);
}

#[tokio::test]
async fn read_after_write_new_posts_are_in_the_timeline_and_the_own_feed_by_time() {
    let lagging = Lagging::start().await;
    let one = lagging.posts("one", json!({ "tags": ["a"] })).await;
    let two = lagging.posts("two", json!({})).await;
    let future = "2999-01-01T00:00:00.000Z";
    let body = json!({ "cursor": "next", "feed": [
        { "post": lagging.known("at://did:web:ben.example/app.bsky.feed.post/f", other(), future) },
        { "post": lagging.known("at://did:web:ben.example/app.bsky.feed.post/p", other(), LONG_AGO) },
    ]});
    lagging.replies(TIMELINE, &body);
    let shown = lagging.sees(TIMELINE).await;
    let ben = |key: &str| format!("at://did:web:ben.example/app.bsky.feed.post/{key}");
    assert_eq!(feed_uris(&shown), [&ben("f"), &two, &one, &ben("p")]);
    let post = &shown["feed"][2]["post"];
    assert_eq!(
        post["author"],
        json!({ "did": lagging.ada.did, "handle": "ada.test" })
    );
    assert_eq!(post["record"]["tags"], json!(["a"]));
    for count in ["likeCount", "replyCount", "repostCount", "quoteCount"] {
        assert_eq!(post[count], 0, "{count}");
    }
    let at = post["indexedAt"].as_str().unwrap();
    assert!(at.len() == 24 && at.ends_with('Z'), "{at}");
    let later = lagging.sees(&format!("{TIMELINE}?cursor=next")).await;
    assert_eq!(later, body, "new posts are on the first page");

    lagging.replies(AUTHOR_FEED, &json!({ "feed": [] }));
    for actor in ["ada.test", &lagging.ada.did] {
        let own = lagging.sees(&format!("{AUTHOR_FEED}?actor={actor}")).await;
        assert_eq!(feed_uris(&own), [&two, &one]);
    }
    let others = lagging
        .sees(&format!("{AUTHOR_FEED}?actor=ben.example"))
        .await;
    assert_eq!(others, json!({ "feed": [] }));
    // What the AppView shows already is not shown twice.
    let known = json!({ "feed": [{ "post": lagging.known(&one, lagging.author(), LONG_AGO) }] });
    lagging.replies(AUTHOR_FEED, &known);
    let own = lagging.sees(&format!("{AUTHOR_FEED}?actor=ada.test")).await;
    assert_eq!(feed_uris(&own), [&two, &one]);
    assert_eq!(own["feed"][1]["post"]["likeCount"], 3);
}

#[tokio::test]
async fn read_after_write_the_filter_of_a_feed_holds_for_new_posts_too() {
    let lagging = Lagging::start().await;
    let plain = lagging.posts("plain", json!({})).await;
    let blob = lagging.uploads().await;
    let images =
        json!({ "$type": "app.bsky.embed.images", "images": [{ "image": blob, "alt": "" }] });
    let picture = lagging.posts("picture", json!({ "embed": images })).await;
    let foreign = "at://did:web:ben.example/app.bsky.feed.post/p";
    let answer = lagging.answers_a(foreign, foreign, "answer").await;
    let thread = lagging.answers_a(&plain, &plain, "thread").await;
    lagging.replies(AUTHOR_FEED, &json!({ "feed": [] }));
    for (filter, expected) in [
        ("", vec![&thread, &answer, &picture, &plain]),
        (
            "&filter=posts_with_replies",
            vec![&thread, &answer, &picture, &plain],
        ),
        ("&filter=posts_no_replies", vec![&picture, &plain]),
        (
            "&filter=posts_and_author_threads",
            vec![&thread, &picture, &plain],
        ),
        ("&filter=posts_with_media", vec![&picture]),
        ("&filter=posts_with_video", vec![]),
    ] {
        let shown = lagging
            .sees(&format!("{AUTHOR_FEED}?actor=ada.test{filter}"))
            .await;
        assert_eq!(feed_uris(&shown), expected, "{filter}");
    }
}

#[tokio::test]
async fn read_after_write_pictures_and_links_are_shown_from_here() {
    let pattern = "https://cdn.example/{preset}/{did}/{cid}";
    let lagging = Lagging::start_with_images(Some(pattern)).await;
    let blob = lagging.uploads().await;
    let cid = blob["ref"]["$link"].as_str().unwrap();
    let cdn = |preset: &str| format!("https://cdn.example/{preset}/{}/{cid}", lagging.ada.did);
    let ratio = json!({ "width": 4, "height": 3 });
    let images = json!({ "$type": "app.bsky.embed.images", "images": [
        { "image": blob, "alt": "bread", "aspectRatio": ratio },
    ]});
    let link = json!({ "$type": "app.bsky.embed.external", "external": {
        "uri": "https://coop.example", "title": "t", "description": "d", "thumb": blob,
    }});
    let video = json!({ "$type": "app.bsky.embed.video", "video": blob });
    for embed in [&images, &link, &video] {
        lagging.posts("see", json!({ "embed": embed })).await;
    }
    lagging.replies(TIMELINE, &json!({ "feed": [] }));
    let shown = lagging.sees(TIMELINE).await;
    let embed = |place: usize| &shown["feed"][2 - place]["post"]["embed"];
    assert_eq!(
        embed(0),
        &json!({ "$type": "app.bsky.embed.images#view", "images": [{
            "thumb": cdn("feed_thumbnail"), "fullsize": cdn("feed_fullsize"),
            "alt": "bread", "aspectRatio": ratio,
        }]})
    );
    assert_eq!(
        embed(1),
        &json!({ "$type": "app.bsky.embed.external#view", "external": {
            "uri": "https://coop.example", "title": "t", "description": "d",
            "thumb": cdn("feed_thumbnail"),
        }})
    );
    assert_eq!(embed(2), &Value::Null, "not before it was processed");
}

#[tokio::test]
async fn read_after_write_quoted_posts_are_asked_for_in_the_members_name() {
    let lagging = Lagging::start().await;
    let quoted = "at://did:web:ben.example/app.bsky.feed.post/q";
    let strong = json!({ "uri": quoted, "cid": SOME_CID });
    let quote = json!({ "$type": "app.bsky.embed.record", "record": strong });
    let both = json!({
        "$type": "app.bsky.embed.recordWithMedia",
        "record": quote,
        "media": { "$type": "app.bsky.embed.images", "images": [] },
    });
    for embed in [&quote, &both] {
        lagging.posts("see", json!({ "embed": embed })).await;
    }
    let mut ben = lagging.known(quoted, other(), LONG_AGO);
    ben["embed"] = json!({ "$type": "app.bsky.embed.images#view", "images": [] });
    let posts = |posts: Value| Reply::json(&json!({ "posts": posts }));
    lagging.upstream.replies(GET_POSTS, posts(json!([ben])));
    lagging.replies(TIMELINE, &json!({ "feed": [] }));
    let shown = lagging.sees(TIMELINE).await;
    let embed = |place: usize| &shown["feed"][1 - place]["post"]["embed"];
    let record = json!({
        "$type": "app.bsky.embed.record#viewRecord",
        "uri": quoted, "cid": ben["cid"], "author": other(), "value": ben["record"],
        "indexedAt": LONG_AGO, "embeds": [ben["embed"]],
    });
    let kind = "app.bsky.embed.record#view";
    assert_eq!(embed(0), &json!({ "$type": kind, "record": record }));
    assert_eq!(
        embed(1),
        &json!({
            "$type": "app.bsky.embed.recordWithMedia#view",
            "record": { "record": record }, "media": ben["embed"],
        })
    );
    let asked = lagging.upstream.newest(GET_POSTS);
    let vouched = asked.vouches(&lagging.server, &lagging.ada).await;
    assert_eq!(
        vouched,
        (lagging.upstream.did.clone(), GET_POSTS.to_owned())
    );

    lagging.upstream.replies(GET_POSTS, posts(json!([])));
    let shown = lagging.sees(TIMELINE).await;
    let gone = json!({
        "$type": "app.bsky.embed.record#viewNotFound", "uri": quoted, "notFound": true,
    });
    assert_eq!(shown["feed"][1]["post"]["embed"]["record"], gone);
    let failure = Reply::status(500, &json!({}));
    lagging.upstream.replies(GET_POSTS, failure);
    let unchanged = lagging.sees(TIMELINE).await;
    assert_eq!(unchanged, json!({ "feed": [] }), "any failure: as it came");
}

#[tokio::test]
async fn read_after_write_new_replies_are_in_the_thread_at_their_place() {
    let lagging = Lagging::start().await;
    let root = "at://did:web:ben.example/app.bsky.feed.post/r";
    let leaf = "at://did:web:ben.example/app.bsky.feed.post/l";
    let first = lagging.answers_a(root, root, "first").await;
    let under = lagging.answers_a(&first, root, "under").await;
    let deep = lagging.answers_a(leaf, root, "deep").await;
    lagging
        .answers_a("at://x.test/a.b.c/d", "at://x.test/a.b.c/d", "elsewhere")
        .await;
    let known_leaf = json!({ "$type": VIEW, "post": lagging.known(leaf, other(), LONG_AGO) });
    let blocked = json!({ "$type": "app.bsky.feed.defs#blockedPost", "uri": "at://b" });
    let body = json!({ "thread": {
        "$type": VIEW, "post": lagging.known(root, other(), LONG_AGO),
        "replies": [known_leaf, blocked],
    }, "threadgate": { "x": 1 } });
    lagging.replies(THREAD, &body);
    let query = format!("{THREAD}?uri={root}");
    let shown = lagging.sees(&query).await;
    let thread = &shown["thread"];
    let uri = |view: &Value| view["post"]["uri"].as_str().unwrap().to_owned();
    assert_eq!(uri(&thread["replies"][0]), first);
    assert_eq!(thread["replies"][0]["$type"], VIEW);
    assert_eq!(uri(&thread["replies"][0]["replies"][0]), under);
    assert_eq!(uri(&thread["replies"][1]["replies"][0]), deep);
    assert_eq!(thread["replies"][2], blocked);
    assert_eq!(thread["replies"].as_array().unwrap().len(), 3);
    assert_eq!(shown["threadgate"], body["threadgate"]);
    let one_level = lagging.sees(&format!("{query}&depth=1")).await;
    assert_eq!(uri(&one_level["thread"]["replies"][0]), first);
    assert!(one_level["thread"]["replies"][0].get("replies").is_none());
    assert_eq!(lagging.sees(&format!("{query}&depth=0")).await, body);
    // Asked from the middle, the root is in the record.
    let mut middle = json!({ "$type": VIEW, "post": lagging.known(leaf, other(), LONG_AGO) });
    middle["post"]["record"]["reply"] =
        json!({ "root": { "uri": root }, "parent": { "uri": root } });
    lagging.replies(THREAD, &json!({ "thread": middle }));
    let shown = lagging.sees(&format!("{THREAD}?uri={leaf}")).await;
    assert_eq!(uri(&shown["thread"]["replies"][0]), deep);
    let missing = json!({ "thread": { "$type": "app.bsky.feed.defs#notFoundPost", "uri": leaf } });
    lagging.replies(THREAD, &missing);
    assert_eq!(lagging.sees(&format!("{THREAD}?uri={leaf}")).await, missing);
}

#[tokio::test]
async fn read_after_write_a_thread_that_the_app_view_does_not_know_is_shown_from_here() {
    let lagging = Lagging::start().await;
    let root = "at://did:web:ben.example/app.bsky.feed.post/r";
    let first = lagging.answers_a(root, root, "first").await;
    let second = lagging.answers_a(&first, root, "second").await;
    let third = lagging.answers_a(&second, root, "third").await;
    let error = json!({ "error": "NotFound", "message": "Post not found" });
    lagging.replies_with(THREAD, Reply::status(400, &error));
    let key = second.rsplit('/').next().unwrap();
    let query = format!("{THREAD}?uri=at://ada.test/app.bsky.feed.post/{key}");
    let (status, headers, body) = lagging.raw(&query, "gzip, identity;q=0").await;
    assert_eq!(
        (status, &headers["content-encoding"]),
        (200, &"gzip".parse().unwrap())
    );
    assert!(headers.contains_key("atproto-upstream-lag"));
    let plain = Encoding::Gzip.decode(&body, 1 << 20).await.unwrap();
    let shown: Value = serde_json::from_slice(&plain).unwrap();
    let uri = |view: &Value| view["post"]["uri"].as_str().unwrap_or_default().to_owned();
    let thread = &shown["thread"];
    assert_eq!(
        (uri(thread), &thread["$type"]),
        (second.clone(), &json!(VIEW))
    );
    assert_eq!(uri(&thread["replies"][0]), third);
    assert_eq!(uri(&thread["parent"]), first, "parents that are as new");
    assert!(
        thread["parent"].get("parent").is_none(),
        "the AppView does not know it"
    );
    let asked = lagging.upstream.newest(THREAD).path;
    assert!(asked.contains("parentHeight=78&depth=0"), "{asked}");

    let nobody = format!("{THREAD}?uri=at://ada.test/app.bsky.feed.post/none");
    refused(
        lagging.ada.ask(&lagging.server, &nobody).await,
        (400, "NotFound"),
    );
    let others = format!("{THREAD}?uri={root}");
    refused(
        lagging.ada.ask(&lagging.server, &others).await,
        (400, "NotFound"),
    );
    let error = json!({ "error": "BlockedActor" });
    lagging.replies_with(THREAD, Reply::status(400, &error));
    refused(
        lagging.ada.ask(&lagging.server, &query).await,
        (400, "BlockedActor"),
    );
    let unread = json!({ "error": "NotFound" });
    lagging
        .upstream
        .replies(THREAD, Reply::status(400, &unread));
    refused(
        lagging.ada.ask(&lagging.server, &query).await,
        (400, "NotFound"),
    );
}

#[tokio::test]
async fn read_after_write_whatever_goes_wrong_the_answer_passes_byte_for_byte() {
    let lagging = Lagging::start().await;
    lagging.posts("new", json!({})).await;
    let json = "application/json";
    let body = "{ \"feed\" : [] , \"big\": 1e400 }";
    let query = TIMELINE;
    for (reply, body) in [
        (Reply::bytes(body).with("content-type", json), body),
        (
            Reply::bytes("{\"feed\": 7 }").with("content-type", json),
            "{\"feed\": 7 }",
        ),
        (Reply::bytes("[").with("content-type", json), "["),
        (
            Reply::bytes("{\"feed\":[]}").with("content-type", "text/plain"),
            "{\"feed\":[]}",
        ),
        (
            Reply::bytes("{\"feed\":[]}")
                .with("content-type", json)
                .with("content-encoding", "zstd"),
            "{\"feed\":[]}",
        ),
        (
            Reply::bytes("{\"feed\":[]}")
                .with("content-type", json)
                .with("content-encoding", "gzip"),
            "{\"feed\":[]}",
        ),
    ] {
        lagging.replies_with(TIMELINE, reply.clone());
        let (status, headers, seen) = lagging.raw(query, "gzip").await;
        assert_eq!((status, &seen[..]), (200, body.as_bytes()), "{reply:?}");
        assert!(!headers.contains_key("atproto-upstream-lag"));
    }
    // Nothing newer than what was read, or nobody says what was read.
    let body = json!({ "feed": [] });
    let query = format!("com.atproto.sync.getLatestCommit?did={}", lagging.ada.did);
    let head = lagging.sees(&query).await["rev"]
        .as_str()
        .unwrap()
        .to_owned();
    for rev in [
        Some(head.as_str()),
        Some("zzzzzzzzzzzzz"),
        Some("nonsense"),
        None,
    ] {
        let mut reply = Reply::json(&body);
        if let Some(rev) = rev {
            reply = reply.with("atproto-repo-rev", rev);
        }
        lagging.upstream.replies(TIMELINE, reply);
        assert_eq!(lagging.sees(TIMELINE).await, body, "{rev:?}");
    }
    // Everything here is newer: the account has just moved here.
    let moved = Reply::json(&body).with("atproto-repo-rev", "2222222222222");
    lagging.upstream.replies(TIMELINE, moved);
    assert_eq!(lagging.sees(TIMELINE).await, body);
    let error = json!({ "error": "Nope", "message": "no" });
    lagging.replies_with(TIMELINE, Reply::status(400, &error));
    refused(
        lagging.ada.ask(&lagging.server, TIMELINE).await,
        (400, "Nope"),
    );
}

#[tokio::test]
async fn read_after_write_the_encoding_is_one_that_the_client_takes() {
    let lagging = Lagging::start().await;
    let post = lagging.posts("new", json!({})).await;
    let plain = json!({ "feed": [] }).to_string();
    for (accepts, passed, encoding) in [
        ("identity", "identity", Encoding::Identity),
        ("unheard-of", "identity", Encoding::Identity),
        ("gzip, *;q=0", "gzip, identity;q=0", Encoding::Gzip),
        (
            "br, unheard-of;q=0.7, *;q=0",
            "br, identity;q=0",
            Encoding::Brotli,
        ),
        (
            "deflate;q=0.5",
            "deflate;q=0.500, identity;q=0.001",
            Encoding::Deflate,
        ),
    ] {
        let encoded = encoding.encode(plain.clone().into_bytes()).await.unwrap();
        let mut reply = Reply::bytes(encoded).with("content-type", "application/json");
        if encoding != Encoding::Identity {
            reply = reply.with("content-encoding", encoding.name());
        }
        lagging.replies_with(TIMELINE, reply);
        let (status, headers, body) = lagging.raw(TIMELINE, accepts).await;
        assert_eq!(
            (status, Encoding::of(&headers)),
            (200, Some(encoding)),
            "{accepts}"
        );
        let decoded = encoding.decode(&body, 1 << 20).await.unwrap();
        let shown: Value = serde_json::from_slice(&decoded).unwrap();
        assert_eq!(feed_uris(&shown), [&post], "{accepts}");
        let seen = lagging.upstream.newest(TIMELINE);
        assert_eq!(seen.headers["accept-encoding"], passed, "{accepts}");
    }
    for (accepts, wanted) in [
        ("unheard-of, *;q=0", (406, "NotAcceptable")),
        (";q=1", (400, "InvalidRequest")),
        ("gzip;q=much", (400, "InvalidRequest")),
    ] {
        let (status, _, body) = lagging.raw(TIMELINE, accepts).await;
        refused((status, serde_json::from_slice(&body).unwrap()), wanted);
    }
}

#[tokio::test]
async fn read_after_write_the_ten_newest_records_are_shown_and_hidden_ones_are_not() {
    let lagging = Lagging::start().await;
    let mut posts = Vec::new();
    for number in 0..13 {
        posts.push(lagging.posts(&number.to_string(), json!({})).await);
    }
    lagging.replies(TIMELINE, &json!({ "feed": [] }));
    let newest: Vec<&str> = posts.iter().rev().take(10).map(String::as_str).collect();
    assert_eq!(feed_uris(&lagging.sees(TIMELINE).await), newest);
    let hide = json!({
        "subject": { "$type": "com.atproto.repo.strongRef", "uri": posts[12],
            "cid": SOME_CID },
        "takedown": { "applied": true },
    });
    let nsid = "com.atproto.admin.updateSubjectStatus";
    ok(lagging
        .server
        .call(nsid, &crate::server::operator(), hide)
        .await);
    let shown = lagging.sees(TIMELINE).await;
    assert_eq!(feed_uris(&shown)[0], posts[11]);
}
