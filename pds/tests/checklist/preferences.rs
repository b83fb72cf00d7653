//! Preferences: whose they are, what a put replaces, and what app passwords do not touch.

use serde_json::{Value, json};

use crate::member::Member;
use crate::server::{Server, ok, refused};

const GET: &str = "app.bsky.actor.getPreferences";
const PUT: &str = "app.bsky.actor.putPreferences";

fn adult(on: bool) -> Value {
    json!({ "$type": "app.bsky.actor.defs#adultContentPref", "enabled": on })
}

fn personal(date: &str) -> Value {
    json!({ "$type": "app.bsky.actor.defs#personalDetailsPref", "birthDate": date })
}

async fn put(server: &Server, member: &Member, preferences: Value) -> (u16, Value) {
    let body = json!({ "preferences": preferences });
    member.call(server, PUT, body).await
}

async fn get(server: &Server, member: &Member) -> Vec<Value> {
    let answer = ok(member.ask(server, GET).await);
    answer["preferences"].as_array().unwrap().clone()
}

async fn app(server: &Server, member: &Member, privileged: bool) -> Member {
    let wish = json!({ "name": format!("app {privileged}"), "privileged": privileged });
    let create = "com.atproto.server.createAppPassword";
    let made = ok(member.call(server, create, wish).await);
    let password = made["password"].as_str().unwrap();
    Member::of(&ok(server.sign_in("ada.test", password).await))
}

#[tokio::test]
async fn preferences_are_each_members_own() {
    let server = Server::start().await;
    let (ada, bob) = (server.member("ada").await, server.member("bob").await);
    refused(server.ask(GET, "").await, (401, "AuthMissing"));
    let body = json!({ "preferences": [] });
    refused(server.call(PUT, "", body).await, (401, "AuthMissing"));
    ok(put(&server, &ada, json!([adult(true)])).await);
    assert_eq!(get(&server, &ada).await, [adult(true)]);
    assert!(get(&server, &bob).await.is_empty());
}

#[tokio::test]
async fn preferences_are_replaced_as_a_whole_in_their_order_known_or_not() {
    let server = Server::start().await;
    let ada = server.member("ada").await;
    let new = json!({ "$type": "app.bsky.actor.defs#brandNewPref", "x": [1, { "y": null }] });
    ok(put(&server, &ada, json!([new, adult(true)])).await);
    assert_eq!(get(&server, &ada).await, [new.clone(), adult(true)]);
    ok(put(&server, &ada, json!([adult(false)])).await);
    assert_eq!(get(&server, &ada).await, [adult(false)]);
    ok(put(&server, &ada, json!([])).await);
    assert!(get(&server, &ada).await.is_empty());
}

#[tokio::test]
async fn row_20_preferences_of_types_that_nobody_knows_yet_are_kept_as_they_are() {
    let server = Server::start().await;
    let ada = server.member("ada").await;
    let unknown = [
        "app.bsky.actor.defs#ofNextYear",
        "app.bsky.brand.new",
        "app.bsky.x#y",
    ];
    let unknown = unknown.map(|kind| json!({ "$type": kind, "deep": [{ "x": 1.5 }], "n": null }));
    ok(put(&server, &ada, json!(unknown)).await);
    assert_eq!(get(&server, &ada).await, unknown);
}

#[tokio::test]
async fn preferences_without_a_type_or_of_another_namespace_change_nothing() {
    let server = Server::start().await;
    let ada = server.member("ada").await;
    ok(put(&server, &ada, json!([adult(true)])).await);
    for bad in [
        json!([{ "enabled": true }]),
        json!([adult(false), { "$type": "com.atproto.server.defs#unknown" }]),
        json!([{ "$type": "app.bskyx.y" }]),
        json!(["text"]),
        json!([null]),
        json!("x"),
    ] {
        refused(put(&server, &ada, bad).await, (400, "InvalidRequest"));
    }
    refused(
        ada.call(&server, PUT, json!({})).await,
        (400, "InvalidRequest"),
    );
    assert_eq!(get(&server, &ada).await, [adult(true)]);
}

#[tokio::test]
async fn preferences_of_the_person_are_neither_read_nor_written_nor_deleted_by_app_passwords() {
    let server = Server::start().await;
    let ada = server.member("ada").await;
    let birth = personal("1990-05-01T00:00:00.000Z");
    ok(put(&server, &ada, json!([birth, adult(true)])).await);
    for privileged in [false, true] {
        let app = app(&server, &ada, privileged).await;
        let seen = get(&server, &app).await;
        assert!(!seen.contains(&birth));
        assert!(seen.contains(&adult(true)));
        refused(
            put(&server, &app, json!([personal("2000-01-01T00:00:00.000Z")])).await,
            (400, "InvalidRequest"),
        );
        ok(put(&server, &app, json!([])).await);
        let kept = get(&server, &ada).await;
        assert!(
            kept.contains(&birth) && !kept.contains(&adult(true)),
            "{kept:?}"
        );
        ok(put(&server, &ada, json!([birth, adult(true)])).await);
    }
}

#[tokio::test]
async fn preferences_the_age_is_computed_and_cannot_be_put() {
    let server = Server::start().await;
    let ada = server.member("ada").await;
    let age = |over: [bool; 3]| {
        json!({
            "$type": "app.bsky.actor.defs#declaredAgePref",
            "isOverAge13": over[0], "isOverAge16": over[1], "isOverAge18": over[2],
        })
    };
    ok(put(&server, &ada, json!([age([true; 3])])).await);
    assert!(get(&server, &ada).await.is_empty());
    let year = 1970 + i32::try_from(server.clock.shared().now_ms() / 31_557_600_000).unwrap();
    for (years, over) in [
        (10, [false; 3]),
        (14, [true, false, false]),
        (17, [true, true, false]),
        (30, [true; 3]),
    ] {
        let birth = personal(&format!("{}-01-01T00:00:00.000Z", year - years));
        ok(put(&server, &ada, json!([birth, age([false; 3])])).await);
        assert_eq!(get(&server, &ada).await, [birth, age(over)], "{years}");
    }
}

#[tokio::test]
async fn preferences_work_while_the_account_sleeps() {
    let server = Server::start().await;
    let ada = server.member("ada").await;
    let sleep = "com.atproto.server.deactivateAccount";
    ok(ada.call(&server, sleep, json!({})).await);
    ok(put(&server, &ada, json!([adult(true)])).await);
    assert_eq!(get(&server, &ada).await, [adult(true)]);
}
