//! The methods of the relay.

use serde_json::json;

use crate::World;
use crate::network::FakeHost;
use crate::relay::{PASSWORD, client, eventually};

// 52: pages of one visit everything once.
#[tokio::test(flavor = "multi_thread")]
async fn lists_are_walked_page_by_page() {
    let world = World::start().await;
    let (_, empty) = world.relay.get("/xrpc/com.atproto.sync.listRepos").await;
    assert_eq!(empty, json!({"repos": []}));
    let mut accounts: Vec<_> = (2..6).map(|seed| world.account(seed)).collect();
    let mut live = world.relay.subscribe(None).await;
    for account in &mut accounts {
        world.host.send(&account.post(1).template());
        live.event().await;
    }
    eventually("all are stored", async || {
        let (_, page) = world.relay.get("/xrpc/com.atproto.sync.listRepos").await;
        page["repos"].as_array().map(Vec::len) == Some(4)
    })
    .await;
    let mut seen = Vec::new();
    let mut cursor = String::new();
    loop {
        let (code, page) = world
            .relay
            .get(&format!("/xrpc/com.atproto.sync.listRepos?limit=1{cursor}"))
            .await;
        assert_eq!(code, 200);
        seen.extend(
            page["repos"]
                .as_array()
                .expect("repos")
                .iter()
                .map(|repo| repo["did"].clone()),
        );
        let Some(next) = page["cursor"].as_str() else {
            break;
        };
        cursor = format!("&cursor={next}");
    }
    let dids: Vec<_> = accounts
        .iter()
        .map(|account| json!(account.did.as_str()))
        .collect();
    assert_eq!(seen, dids);
    let (_, page) = world.relay.get("/xrpc/com.atproto.sync.listRepos").await;
    let first = &page["repos"][0];
    assert_eq!(
        first["rev"],
        json!(accounts[0].rev.expect("a revision").to_string())
    );
    assert_eq!(first["active"], json!(true));

    let second = FakeHost::start(0).await;
    world.relay.crawl(&second.name).await;
    let (_, page) = world
        .relay
        .get("/xrpc/com.atproto.sync.listHosts?limit=1")
        .await;
    assert_eq!(page["hosts"][0]["hostname"], json!(world.host.name));
    let cursor = page["cursor"].as_str().expect("a cursor");
    let (_, page) = world
        .relay
        .get(&format!(
            "/xrpc/com.atproto.sync.listHosts?limit=1&cursor={cursor}"
        ))
        .await;
    assert_eq!(page["hosts"][0]["hostname"], json!(second.name));
    assert_eq!(page.get("cursor"), None);
    world.relay.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_parameters_are_named_and_unknown_things_not_found() {
    let world = World::start().await;
    for path in [
        "listRepos?limit=0",
        "listRepos?limit=1001",
        "listRepos?cursor=x",
        "listHosts?limit=x",
        "getRepo?did=x",
        "getRepoStatus?did=ada.example.org",
        "getLatestCommit",
        "getRepoStatus",
    ] {
        let (code, answer) = world
            .relay
            .get(&format!("/xrpc/com.atproto.sync.{path}"))
            .await;
        assert_eq!(
            (code, &answer["error"]),
            (400, &json!("InvalidRequest")),
            "{path}"
        );
    }
    let unknown = "did:plc:aaaaaaaaaaaaaaaaaaaaaaaa";
    for (path, name) in [
        (format!("getRepo?did={unknown}"), "RepoNotFound"),
        (format!("getRepoStatus?did={unknown}"), "RepoNotFound"),
        (format!("getLatestCommit?did={unknown}"), "RepoNotFound"),
        (
            "getHostStatus?hostname=pds.coop.org".to_owned(),
            "HostNotFound",
        ),
        ("getHostStatus?hostname=10.0.0.1".to_owned(), "HostNotFound"),
    ] {
        let (code, answer) = world
            .relay
            .get(&format!("/xrpc/com.atproto.sync.{path}"))
            .await;
        assert_eq!((code, &answer["error"]), (404, &json!(name)), "{path}");
    }
    let (code, answer) = world.relay.get("/xrpc/com.atproto.sync.getBlocks").await;
    assert_eq!(
        (code, &answer["error"]),
        (501, &json!("MethodNotImplemented"))
    );
    world.relay.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn state_of_an_account_is_told_and_its_repository_is_where_it_lives() {
    let mut world = World::start().await;
    let mut live = world.relay.subscribe(None).await;
    world.host.send(&world.ada.account(true, None).template());
    live.event().await;
    let did = world.ada.did.clone();
    let get = async |method: &str| {
        world
            .relay
            .get(&format!("/xrpc/com.atproto.sync.{method}?did={did}"))
            .await
    };
    let (code, answer) = get("getLatestCommit").await;
    assert_eq!(
        (code, &answer["error"]),
        (404, &json!("RepoNotSynchronized"))
    );
    let event = world.ada.post(1);
    world.host.send(&event.template());
    live.event().await;
    let rev = event.rev.to_string();
    assert_eq!(
        get("getLatestCommit").await.1,
        json!({"cid": event.commit.to_string(), "rev": rev})
    );
    assert_eq!(
        get("getRepoStatus").await.1,
        json!({"did": did.as_str(), "active": true, "rev": rev})
    );
    let url = format!(
        "{}/xrpc/com.atproto.sync.getRepo?did={did}&since=abc",
        world.relay.url
    );
    let response = client().get(url).send().await.expect("answers");
    assert_eq!(response.status(), 302);
    let place = format!(
        "{}/xrpc/com.atproto.sync.getRepo?did={did}&since=abc",
        world.host.url
    );
    assert_eq!(response.headers()["location"], place.as_str());
    world
        .host
        .send(&world.ada.account(false, Some("suspended")).template());
    live.event().await;
    let (code, answer) = get("getLatestCommit").await;
    assert_eq!((code, &answer["error"]), (403, &json!("RepoSuspended")));
    assert_eq!(
        get("getRepoStatus").await.1,
        json!({"did": did.as_str(), "active": false, "status": "suspended"})
    );
    world.relay.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn operators_methods_need_the_password_and_say_so() {
    let world = World::start().await;
    for path in [
        "/admin/pds/list",
        "/admin/repo/takedowns",
        "/admin/subs/getUpstreamConns",
        "/admin/subs/listDomainBans",
    ] {
        assert_eq!(world.relay.get(path).await.0, 401, "{path}");
        for (user, password) in [("admin", "wrong"), ("root", PASSWORD), ("admin", "")] {
            let request = client()
                .get(format!("{}{path}", world.relay.url))
                .basic_auth(user, Some(password));
            let response = request.send().await.expect("answers");
            assert_eq!(response.status(), 401, "{path}");
            assert!(
                response.headers()["www-authenticate"]
                    .to_str()
                    .expect("text")
                    .starts_with("Basic")
            );
        }
        assert_eq!(world.relay.admin_get(path).await.0, 200, "{path}");
    }
    for path in [
        "/admin/pds/requestCrawl",
        "/admin/pds/block?host=x",
        "/admin/pds/unblock?host=x",
        "/admin/pds/changeLimits",
        "/admin/repo/takeDown",
        "/admin/repo/reverseTakedown",
        "/admin/subs/killUpstream?host=x",
        "/admin/subs/banDomain",
        "/admin/subs/unbanDomain",
    ] {
        assert_eq!(world.relay.post(path, &json!({})).await.0, 401, "{path}");
        assert_eq!(
            world.relay.admin_post(path, &json!({})).await.0,
            400,
            "{path}"
        );
    }
    let (_, connections) = world.relay.admin_get("/admin/subs/getUpstreamConns").await;
    assert_eq!(connections, json!([world.host.name]));
    world.relay.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn front_page_and_health_answer() {
    let world = World::start().await;
    for path in ["/_health", "/xrpc/_health"] {
        let (code, answer) = world.relay.get(path).await;
        assert_eq!((code, &answer["status"]), (200, &json!("ok")));
    }
    let response = client()
        .get(&world.relay.url)
        .send()
        .await
        .expect("answers");
    assert!(
        response.headers()["server"]
            .to_str()
            .expect("text")
            .contains("atproto-relay")
    );
    let text = response.text().await.expect("text");
    assert!(
        text.contains("subscribeRepos") && text.contains("Hosts:     1 (1 connected)"),
        "{text}"
    );
    world.relay.stop().await;
}
