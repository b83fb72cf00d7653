//! Invite codes: who may sign up with which, and what members may hand out.

use std::time::Duration;

use futures::future::join_all;
use serde_json::{Value, json};

use crate::member::Member;
use crate::server::{Options, Server, ok, operator, refused, wish};

const CREATE: &str = "com.atproto.server.createAccount";
const OWN: &str = "com.atproto.server.getAccountInviteCodes";
const HOUR: Duration = Duration::from_secs(3600);

async fn invited() -> Server {
    Server::start_with(|options| options.raw.invites_required = true).await
}

pub(crate) async fn code(server: &Server, uses: u32, owner: Option<&str>) -> String {
    let body = json!({ "useCount": uses, "forAccount": owner });
    let nsid = "com.atproto.server.createInviteCode";
    let made = ok(server.call(nsid, &operator(), body).await);
    made["code"].as_str().unwrap().to_owned()
}

pub(crate) async fn use_code(server: &Server, name: &str, code: &str) -> (u16, Value) {
    let mut body = wish(name);
    body["inviteCode"] = json!(code);
    server.call(CREATE, "", body).await
}

#[tokio::test]
async fn invite_codes_are_asked_for_unless_the_operator_opens_the_server() {
    let raw = rochdale_pds::config::Raw::default();
    assert!(raw.invites_required, "closed by default");
    let server = invited().await;
    let said = ok(server.ask("com.atproto.server.describeServer", "").await);
    assert_eq!(said["inviteCodeRequired"], true);
    refused(server.sign_up("ada").await, (400, "InvalidInviteCode"));
    refused(
        use_code(&server, "ada", "made-up-code").await,
        (400, "InvalidInviteCode"),
    );
    let code = code(&server, 1, None).await;
    let parts: Vec<_> = code.rsplitn(3, '-').collect();
    assert_eq!((parts[0].len(), parts[1].len()), (5, 5), "{code}");
    assert!(parts[2].starts_with("localhost"), "{code}");
    ok(use_code(&server, "ada", &code).await);
}

#[tokio::test]
async fn invite_codes_work_as_often_as_they_say_until_they_are_disabled() {
    let server = invited().await;
    let twice = code(&server, 2, None).await;
    ok(use_code(&server, "ada", &twice).await);
    ok(use_code(&server, "bob", &twice).await);
    refused(
        use_code(&server, "cyd", &twice).await,
        (400, "InvalidInviteCode"),
    );
    let open = code(&server, 5, None).await;
    let disable = "com.atproto.admin.disableInviteCodes";
    ok(server
        .call(disable, &operator(), json!({ "codes": [open] }))
        .await);
    refused(
        use_code(&server, "cyd", &open).await,
        (400, "InvalidInviteCode"),
    );
}

#[tokio::test]
async fn invite_codes_of_a_taken_down_owner_are_good_for_nobody() {
    let server = invited().await;
    let first = code(&server, 1, None).await;
    let ada = Member::of(&ok(use_code(&server, "ada", &first).await));
    let hers = code(&server, 5, Some(&ada.did)).await;
    ok(use_code(&server, "bob", &hers).await);
    let subject = json!({ "$type": "com.atproto.admin.defs#repoRef", "did": ada.did });
    let update = "com.atproto.admin.updateSubjectStatus";
    for (applied, works) in [(true, false), (false, true)] {
        let body = json!({ "subject": subject, "takedown": { "applied": applied } });
        ok(server.call(update, &operator(), body).await);
        let answer = use_code(&server, "cyd", &hers).await;
        if works {
            ok(answer);
        } else {
            refused(answer, (400, "InvalidInviteCode"));
        }
    }
}

#[tokio::test]
async fn row_28_of_many_who_race_for_the_last_use_of_a_code_one_gets_it() {
    let server = invited().await;
    let code = code(&server, 1, None).await;
    let names: Vec<String> = (0..10).map(|number| format!("racer{number}")).collect();
    let outcomes = join_all(names.iter().map(|name| use_code(&server, name, &code))).await;
    let won = outcomes.iter().filter(|(status, _)| *status == 200).count();
    assert_eq!(won, 1);
    for answer in outcomes.into_iter().filter(|(status, _)| *status != 200) {
        refused(answer, (400, "InvalidInviteCode"));
    }
    let list = "com.atproto.admin.getInviteCodes";
    let codes = ok(server.ask(list, &operator()).await);
    assert_eq!(codes["codes"][0]["uses"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn row_28_sessions_are_revoked_with_the_password_and_access_tokens_are_short() {
    let server = Server::start().await;
    let ada = server.member("ada").await;
    let nsid = "com.atproto.admin.updateAccountPassword";
    let body = json!({ "did": ada.did, "password": "another" });
    ok(server.call(nsid, &operator(), body).await);
    let renew = "com.atproto.server.refreshSession";
    refused(
        server.call(renew, &ada.refresh_auth(), json!(null)).await,
        (400, "ExpiredToken"),
    );
    server.clock.advance(2 * HOUR);
    refused(ada.post(&server, "x").await, (400, "ExpiredToken"));
}

fn scheduled(options: &mut Options) {
    options.raw.invites_required = true;
    options.raw.invite_interval_hours = Some(1);
}

async fn own(server: &Server, member: &Member, rest: &str) -> Vec<Value> {
    let answer = ok(member.ask(server, &format!("{OWN}{rest}")).await);
    answer["codes"].as_array().unwrap().clone()
}

#[tokio::test]
async fn invite_codes_come_to_members_one_per_interval_and_five_at_most() {
    let server = Server::start_with(scheduled).await;
    let first = code(&server, 1, None).await;
    let ada = Member::of(&ok(use_code(&server, "ada", &first).await));
    assert!(own(&server, &ada, "").await.is_empty());
    server.clock.advance(HOUR);
    assert!(
        own(&server, &ada, "?createAvailable=false")
            .await
            .is_empty()
    );
    let codes = own(&server, &ada, "").await;
    assert_eq!(codes.len(), 1);
    assert_eq!(
        (
            &codes[0]["available"],
            &codes[0]["createdBy"],
            &codes[0]["forAccount"]
        ),
        (&json!(1), &json!(ada.did), &json!(ada.did))
    );
    assert_eq!(
        own(&server, &ada, "").await.len(),
        1,
        "asking twice makes no more"
    );
    ok(use_code(&server, "bob", codes[0]["code"].as_str().unwrap()).await);
    assert!(own(&server, &ada, "?includeUsed=false").await.is_empty());
    assert_eq!(own(&server, &ada, "?includeUsed=true").await.len(), 1);
    // Gifts of the operator do not count.
    for _ in 0..6 {
        code(&server, 1, Some(&ada.did)).await;
    }
    let renewed = async || {
        server.clock.advance(20 * HOUR);
        let renew = "com.atproto.server.refreshSession";
        Member::of(&ok(server
            .call(renew, &ada.refresh_auth(), json!(null))
            .await))
    };
    let ada = renewed().await;
    let codes = own(&server, &ada, "?includeUsed=false").await;
    assert_eq!(codes.len(), 6 + 5);
}

#[tokio::test]
async fn invite_codes_of_intervals_before_the_epoch_are_not_made_up_for() {
    let server = Server::start_with(scheduled).await;
    let first = code(&server, 1, None).await;
    let ada = Member::of(&ok(use_code(&server, "ada", &first).await));
    let epoch_ms = i64::try_from(server.clock.shared().now_ms()).unwrap() + 3 * 3_600_000;
    let epoch = rochdale_protocol::syntax::Datetime::from_unix_ms(epoch_ms);
    let directory = std::sync::Arc::clone(&server.directory);
    let server = Server::on(server.stop().await, &directory, |options| {
        scheduled(options);
        options.raw.invite_epoch = Some(epoch.to_string());
    })
    .await;
    server.clock.advance(3 * HOUR + HOUR / 2);
    let sign_in = async || {
        let session = server.sign_in("ada.test", crate::server::PASSWORD).await;
        Member::of(&ok(session))
    };
    assert_eq!(own(&server, &sign_in().await, "").await.len(), 0);
    server.clock.advance(2 * HOUR);
    let codes = own(&server, &sign_in().await, "").await;
    assert_eq!(codes.len(), 2, "one for every interval since");
    assert_eq!(codes[0]["forAccount"], ada.did);
}

#[tokio::test]
async fn invite_codes_asked_for_twice_at_once_are_made_once() {
    let server = Server::start_with(scheduled).await;
    let first = code(&server, 1, None).await;
    ok(use_code(&server, "ada", &first).await);
    // Once may go well by chance.
    for hours in 1..=5 {
        server.clock.advance(HOUR);
        let session = server.sign_in("ada.test", crate::server::PASSWORD).await;
        let ada = Member::of(&ok(session));
        let outcomes = join_all((0..16).map(|_| ada.ask(&server, OWN))).await;
        for answer in outcomes {
            if answer.0 != 200 {
                refused(answer, (400, "DuplicateCreate"));
            }
        }
        assert_eq!(own(&server, &ada, "").await.len(), hours);
    }
}

#[tokio::test]
async fn invite_codes_are_not_for_sleeping_accounts() {
    let server = Server::start_with(scheduled).await;
    let first = code(&server, 1, None).await;
    let ada = Member::of(&ok(use_code(&server, "ada", &first).await));
    let sleep = "com.atproto.server.deactivateAccount";
    ok(ada.call(&server, sleep, json!({})).await);
    refused(ada.ask(&server, OWN).await, (400, "NotFound"));
}
