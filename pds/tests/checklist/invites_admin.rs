//! Invites admin: the operator's list of codes, and switching codes and accounts off.

use std::time::Duration;

use serde_json::{Value, json};

use crate::invite_codes::{code, use_code};
use crate::member::Member;
use crate::server::{Server, ok, operator, refused};

const LIST: &str = "com.atproto.admin.getInviteCodes";

async fn listed(server: &Server, rest: &str) -> (Vec<String>, Option<String>) {
    let page = ok(server.ask(&format!("{LIST}{rest}"), &operator()).await);
    let codes = page["codes"].as_array().unwrap().iter();
    let codes = codes.map(|code| code["code"].as_str().unwrap().to_owned());
    (codes.collect(), page["cursor"].as_str().map(str::to_owned))
}

async fn invited() -> Server {
    Server::start_with(|options| {
        options.raw.invites_required = true;
        options.raw.invite_interval_hours = Some(1);
    })
    .await
}

#[tokio::test]
async fn invites_admin_lists_by_age_and_by_use_page_by_page() {
    let server = invited().await;
    let mut made = Vec::new();
    for uses in 1..=5 {
        made.push(code(&server, uses, None).await);
        server.clock.advance(Duration::from_secs(1));
    }
    for name in ["ada", "bob", "cyd"] {
        ok(use_code(&server, name, &made[3]).await);
    }
    ok(use_code(&server, "dan", &made[1]).await);
    let mut newest_first = made.clone();
    newest_first.reverse();
    for sort in ["", "&sort=recent"] {
        let mut seen = Vec::new();
        let mut cursor = String::new();
        loop {
            let (page, next) = listed(&server, &format!("?limit=2{sort}{cursor}")).await;
            seen.extend(page);
            let Some(next) = next else { break };
            cursor = format!("&cursor={next}");
        }
        assert_eq!(seen, newest_first);
    }
    let (by_use, _) = listed(&server, "?sort=usage&limit=2").await;
    assert_eq!(by_use, [made[3].clone(), made[1].clone()]);
    refused(
        server.ask(&format!("{LIST}?sort=size"), &operator()).await,
        (400, "InvalidRequest"),
    );
    for limit in ["0", "501", "x"] {
        let query = format!("{LIST}?limit={limit}");
        refused(
            server.ask(&query, &operator()).await,
            (400, "InvalidRequest"),
        );
    }
    assert_eq!(server.ask(LIST, "").await.0, 401);
}

#[tokio::test]
async fn invites_admin_makes_many_codes_for_many_accounts() {
    let server = invited().await;
    let body = json!({
        "codeCount": 2, "useCount": 3,
        "forAccounts": ["did:web:a.example", "did:web:b.example"],
    });
    let nsid = "com.atproto.server.createInviteCodes";
    let made = ok(server.call(nsid, &operator(), body).await);
    let accounts = made["codes"].as_array().unwrap();
    assert_eq!(accounts.len(), 2);
    for account in accounts {
        assert_eq!(account["codes"].as_array().unwrap().len(), 2);
    }
    let body = json!({ "codeCount": 2000, "useCount": 1 });
    refused(
        server.call(nsid, &operator(), body).await,
        (400, "InvalidRequest"),
    );
    assert_eq!(server.call(nsid, "", json!({ "useCount": 1 })).await.0, 401);
}

async fn states(server: &Server, rest: &str) -> Vec<Value> {
    let page = ok(server.ask(&format!("{LIST}{rest}"), &operator()).await);
    let codes = page["codes"].as_array().unwrap().iter();
    codes.map(|code| code["disabled"].clone()).collect()
}

#[tokio::test]
async fn invites_admin_disables_codes_by_name_and_by_account_but_not_its_own_as_a_whole() {
    let server = invited().await;
    let one = code(&server, 1, None).await;
    for _ in 0..2 {
        code(&server, 1, Some("did:web:a.example")).await;
    }
    let nsid = "com.atproto.admin.disableInviteCodes";
    refused(
        server
            .call(nsid, &operator(), json!({ "accounts": ["admin"] }))
            .await,
        (400, "InvalidRequest"),
    );
    let body = json!({ "accounts": ["did:web:a.example"] });
    ok(server.call(nsid, &operator(), body).await);
    let disabled = states(&server, "").await;
    assert_eq!(disabled.iter().filter(|state| **state == true).count(), 2);
    ok(server
        .call(nsid, &operator(), json!({ "codes": [one, "unknown"] }))
        .await);
    assert!(states(&server, "").await.iter().all(|state| *state == true));
}

#[tokio::test]
async fn invites_admin_an_account_without_the_right_gets_only_disabled_codes() {
    let server = invited().await;
    let first = code(&server, 1, None).await;
    let ada = Member::of(&ok(use_code(&server, "ada", &first).await));
    let switch = async |on: bool| {
        let word = if on { "enable" } else { "disable" };
        let nsid = format!("com.atproto.admin.{word}AccountInvites");
        let body = json!({ "account": ada.did, "note": "why" });
        ok(server.call(&nsid, &operator(), body).await);
    };
    switch(false).await;
    server.clock.advance(Duration::from_secs(3600));
    let own = "com.atproto.server.getAccountInviteCodes";
    let codes = ok(ada.ask(&server, own).await);
    assert_eq!(codes["codes"][0]["disabled"], true);
    let info = format!("com.atproto.admin.getAccountInfo?did={}", ada.did);
    let seen = ok(server.ask(&info, &operator()).await);
    assert_eq!(seen["invitesDisabled"], true);
    assert_eq!(seen["invites"].as_array().unwrap().len(), 1);
    switch(true).await;
    let seen = ok(server.ask(&info, &operator()).await);
    assert_eq!(seen["invitesDisabled"], false);
    let wrong = json!({ "account": "did:web:nobody.example" });
    refused(
        server
            .call(
                "com.atproto.admin.disableAccountInvites",
                &operator(),
                wrong,
            )
            .await,
        (400, "NotFound"),
    );
}
