//! App passwords: what a session of one reaches, with and without privilege.

use serde_json::{Value, json};

use crate::member::Member;
use crate::server::{PASSWORD, Server, ok, refused};

const CREATE: &str = "com.atproto.server.createAppPassword";
const REVOKE: &str = "com.atproto.server.revokeAppPassword";
const RENEW: &str = "com.atproto.server.refreshSession";

async fn app(server: &Server, owner: &Member, name: &str, privileged: bool) -> (String, Member) {
    let wish = json!({ "name": name, "privileged": privileged });
    let made = ok(owner.call(server, CREATE, wish).await);
    assert_eq!(
        (&made["name"], &made["privileged"]),
        (&json!(name), &json!(privileged))
    );
    let password = made["password"].as_str().unwrap().to_owned();
    let parts: Vec<_> = password.split('-').map(str::len).collect();
    assert_eq!(parts, [4, 4, 4, 4], "{password}");
    let session = ok(server.sign_in("ada.test", &password).await);
    (password, Member::of(&session))
}

fn scope(member: &Member) -> Value {
    use base64::Engine;
    let part = member.access.split('.').nth(1).unwrap();
    let json = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(part);
    serde_json::from_slice::<Value>(&json.unwrap()).unwrap()["scope"].clone()
}

#[tokio::test]
async fn app_passwords_do_not_reach_what_takes_the_main_password() {
    let server = Server::start().await;
    let ada = server.member("ada").await;
    let (_, plain) = app(&server, &ada, "plain", false).await;
    let (_, privileged) = app(&server, &ada, "privileged", true).await;
    for member in [&plain, &privileged] {
        for (nsid, body) in [
            (CREATE, json!({ "name": "more" })),
            ("com.atproto.server.requestEmailUpdate", json!(null)),
            (
                "com.atproto.server.updateEmail",
                json!({ "email": "x@y.org" }),
            ),
            ("com.atproto.server.requestAccountDelete", json!(null)),
            ("com.atproto.server.deactivateAccount", json!({})),
            ("com.atproto.server.activateAccount", json!(null)),
            (
                "com.atproto.identity.requestPlcOperationSignature",
                json!(null),
            ),
            (
                "com.atproto.identity.signPlcOperation",
                json!({ "token": "x" }),
            ),
            ("com.atproto.repo.importRepo", json!({})),
        ] {
            refused(
                member.call(&server, nsid, body).await,
                (400, "InvalidToken"),
            );
        }
        let invites = "com.atproto.server.getAccountInviteCodes";
        refused(member.ask(&server, invites).await, (400, "InvalidToken"));
    }
    assert!(server.mails().is_empty());
}

#[tokio::test]
async fn app_passwords_write_records_change_the_handle_and_manage_app_passwords() {
    let server = Server::start().await;
    let ada = server.member("ada").await;
    let (_, plain) = app(&server, &ada, "plain", false).await;
    ok(plain.post(&server, "from the app").await);
    let handle = json!({ "handle": "lovelace.test" });
    ok(plain
        .call(&server, "com.atproto.identity.updateHandle", handle)
        .await);
    let confirm = "com.atproto.server.requestEmailConfirmation";
    ok(plain.call(&server, confirm, json!(null)).await);
    let body = json!({ "email": "ada@coop.example", "token": server.mailed_code() });
    ok(plain
        .call(&server, "com.atproto.server.confirmEmail", body)
        .await);
    ok(plain
        .ask(&server, "com.atproto.server.listAppPasswords")
        .await);
    ok(plain.call(&server, REVOKE, json!({ "name": "none" })).await);
}

#[tokio::test]
async fn app_passwords_vouch_for_private_messages_and_moving_only_with_privilege() {
    let server = Server::start().await;
    let ada = server.member("ada").await;
    let (_, plain) = app(&server, &ada, "plain", false).await;
    let (_, privileged) = app(&server, &ada, "privileged", true).await;
    let vouch =
        |lxm: &str| format!("com.atproto.server.getServiceAuth?aud=did:web:x.org&lxm={lxm}");
    for lxm in [
        "chat.bsky.convo.listConvos",
        "com.atproto.server.createAccount",
    ] {
        refused(
            plain.ask(&server, &vouch(lxm)).await,
            (400, "InvalidRequest"),
        );
        ok(privileged.ask(&server, &vouch(lxm)).await);
    }
    ok(plain
        .ask(&server, &vouch("app.bsky.feed.getTimeline"))
        .await);
    // Private messages are not passed on either: refused before a service is looked for.
    let auth = plain.auth();
    let headers = [
        ("authorization", auth.as_str()),
        ("atproto-proxy", "did:web:localhost%3A1#bsky_chat"),
    ];
    let (status, answer) = server
        .get("/xrpc/chat.bsky.convo.listConvos", &headers)
        .await;
    assert_eq!(status, 400, "{answer}");
    assert_ne!(answer["error"], "UpstreamFailure");
}

#[tokio::test]
async fn app_passwords_keep_their_scope_over_renewal_and_end_when_revoked() {
    let server = Server::start().await;
    let ada = server.member("ada").await;
    assert_eq!(scope(&ada), "com.atproto.access");
    for (privileged, wanted) in [
        (false, "com.atproto.appPass"),
        (true, "com.atproto.appPassPrivileged"),
    ] {
        let (password, session) = app(&server, &ada, wanted, privileged).await;
        assert_eq!(scope(&session), wanted);
        let renewed = server
            .call(RENEW, &session.refresh_auth(), json!(null))
            .await;
        let renewed = Member::of(&ok(renewed));
        assert_eq!(scope(&renewed), wanted);
        for _twice in 0..2 {
            ok(ada.call(&server, REVOKE, json!({ "name": wanted })).await);
        }
        for old in [&session, &renewed] {
            refused(
                server.call(RENEW, &old.refresh_auth(), json!(null)).await,
                (400, "ExpiredToken"),
            );
        }
        refused(
            server.sign_in("ada.test", &password).await,
            (401, "AuthenticationRequired"),
        );
    }
    ok(server.call(RENEW, &ada.refresh_auth(), json!(null)).await);
}

#[tokio::test]
async fn app_passwords_are_listed_newest_first_without_their_secret_and_named_once() {
    let server = Server::start().await;
    let ada = server.member("ada").await;
    for name in ["phone", "tablet"] {
        app(&server, &ada, name, false).await;
        server.clock.advance(std::time::Duration::from_secs(1));
    }
    let again = json!({ "name": "phone" });
    refused(
        ada.call(&server, CREATE, again).await,
        (400, "InvalidRequest"),
    );
    let listed = ok(ada
        .ask(&server, "com.atproto.server.listAppPasswords")
        .await);
    let names: Vec<_> = listed["passwords"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| {
            assert!(one["password"].is_null() && one["createdAt"].is_string());
            one["name"].as_str().unwrap()
        })
        .collect();
    assert_eq!(names, ["tablet", "phone"]);
    ok(server.sign_in("ada.test", PASSWORD).await);
}

#[tokio::test]
async fn row_23_a_plain_app_password_cannot_reach_private_messages_and_takes_no_second_factor() {
    let server = Server::start().await;
    let ada = server.member("ada").await;
    let (password, plain) = app(&server, &ada, "plain", false).await;
    let chat = "com.atproto.server.getServiceAuth?aud=did:web:x.org&lxm=chat.bsky.convo.getLog";
    refused(plain.ask(&server, chat).await, (400, "InvalidRequest"));
    crate::second_factor::turn_on(&server, &ada).await;
    refused(
        server.sign_in("ada.test", PASSWORD).await,
        (401, "AuthFactorTokenRequired"),
    );
    ok(server.sign_in("ada.test", &password).await);
}
