//! The admin methods: accounts looked up and changed, and signing keys replaced.

use rochdale_protocol::crypto::PublicKey;
use rochdale_protocol::repo::{Commit, car};
use rochdale_protocol::sync::{Event, check_commit};
use rochdale_service::clock::Clock;
use serde_json::{Value, json};

use crate::directory::key;
use crate::firehose::Firehose;
use crate::member::Member;
use crate::server::{PASSWORD, Server, ok, operator, refused, wish};

const NOBODY: &str = "did:plc:ewvi7nxzyoun6zhxrhs64oiz";

async fn admin(server: &Server, method: &str, body: Value) -> (u16, Value) {
    let nsid = format!("com.atproto.admin.{method}");
    server.call(&nsid, &operator(), body).await
}

async fn look(server: &Server, query: &str) -> (u16, Value) {
    let query = format!("com.atproto.admin.{query}");
    server.ask(&query, &operator()).await
}

#[tokio::test]
async fn admin_accounts_are_shown_with_who_invited_them() {
    let server = Server::start_with(|options| options.raw.invites_required = true).await;
    let code = ok(server
        .call(
            "com.atproto.server.createInviteCode",
            &operator(),
            json!({ "useCount": 2 }),
        )
        .await);
    let mut body = wish("ada");
    body["inviteCode"] = code["code"].clone();
    let create = "com.atproto.server.createAccount";
    let ada = Member::of(&ok(server.call(create, "", body).await));
    let info = ok(look(&server, &format!("getAccountInfo?did={}", ada.did)).await);
    assert_eq!(info["did"], ada.did);
    assert_eq!(info["handle"], "ada.test");
    assert_eq!(info["email"], "ada@coop.example");
    assert_eq!(info["invitesDisabled"], false);
    assert_eq!(info["invitedBy"]["code"], code["code"]);
    assert_eq!(info["invitedBy"]["uses"][0]["usedBy"], ada.did);
    assert!(info["indexedAt"].as_str().unwrap().ends_with('Z'));
    assert!(info.get("emailConfirmedAt").is_none() && info.get("deactivatedAt").is_none());

    refused(
        look(&server, &format!("getAccountInfo?did={NOBODY}")).await,
        (400, "NotFound"),
    );
    let query = format!("getAccountInfos?dids={NOBODY}&dids={}", ada.did);
    let infos = ok(look(&server, &query).await);
    assert_eq!(infos["infos"].as_array().unwrap().len(), 1);
    for (email, found) in [("ADA@coop.example", 1), ("ben@coop.example", 0)] {
        let hits = ok(look(&server, &format!("searchAccounts?email={email}")).await);
        assert_eq!(hits["accounts"].as_array().unwrap().len(), found);
    }
}

#[tokio::test]
async fn admin_handle_address_and_password_are_changed_and_the_account_deleted() {
    let server = Server::start().await;
    let ada = server.member("ada").await;
    let ben = server.member("ben").await;
    let mut firehose = Firehose::open(&server, None).await;
    // Reserved words bind members only; what is taken is taken.
    let handle = |name: &str| json!({ "did": ada.did, "handle": name });
    ok(admin(&server, "updateAccountHandle", handle("support.test")).await);
    let document = server.directory.document(&ada.did).await.1;
    assert_eq!(document["alsoKnownAs"], json!(["at://support.test"]));
    let taken = admin(&server, "updateAccountHandle", handle("ben.test")).await;
    assert_eq!(taken.0, 400, "{}", taken.1);

    let email = json!({ "account": "support.test", "email": "new@coop.example" });
    ok(admin(&server, "updateAccountEmail", email).await);
    let info = ok(look(&server, &format!("getAccountInfo?did={}", ada.did)).await);
    assert_eq!(info["email"], "new@coop.example");

    let long = json!({ "did": ada.did, "password": "x".repeat(257) });
    assert_eq!(admin(&server, "updateAccountPassword", long).await.0, 400);
    let password = json!({ "did": ada.did, "password": "another one" });
    ok(admin(&server, "updateAccountPassword", password).await);
    let renew = "com.atproto.server.refreshSession";
    let (status, _) = server.call(renew, &ada.refresh_auth(), Value::Null).await;
    assert_eq!(status, 400, "the session from before ended");
    assert_eq!(server.sign_in("support.test", PASSWORD).await.0, 401);
    ok(server.sign_in("support.test", "another one").await);

    let mail = json!({
        "recipientDid": ada.did, "senderDid": ben.did, "content": "Meeting on Monday", "subject": "Hello",
        "comment": "second reminder",
    });
    assert_eq!(ok(admin(&server, "sendEmail", mail).await)["sent"], true);
    assert!(!server.mails().pop().unwrap().contains("reminder"));
    let headers = [("authorization", &*operator())];
    let audit = ok(server.get("/admin/audit", &headers).await).to_string();
    assert!(audit.contains("Hello (second reminder)"), "{audit}");
    ok(admin(&server, "deleteAccount", json!({ "did": ada.did })).await);
    refused(
        admin(&server, "deleteAccount", json!({ "did": ada.did })).await,
        (400, "NotFound"),
    );
    assert_eq!(firehose.told(2).await, ["identity", "account deleted"]);
}

#[tokio::test]
async fn admin_methods_refuse_members_and_strangers() {
    let server = Server::start().await;
    let ada = server.member("ada").await;
    for method in [
        "updateAccountHandle",
        "updateAccountEmail",
        "updateAccountPassword",
        "updateAccountSigningKey",
        "deleteAccount",
        "sendEmail",
        "updateSubjectStatus",
        "disableInviteCodes",
        "enableAccountInvites",
        "disableAccountInvites",
    ] {
        let nsid = format!("com.atproto.admin.{method}");
        for auth in ["", &ada.auth()] {
            let (status, answer) = server.call(&nsid, auth, json!({})).await;
            assert_eq!(status, 401, "{method}: {answer}");
        }
    }
    for query in [
        format!("getAccountInfo?did={}", ada.did),
        format!("getAccountInfos?dids={}", ada.did),
        format!("getSubjectStatus?did={}", ada.did),
        "searchAccounts".to_owned(),
        "getInviteCodes".to_owned(),
    ] {
        let query = format!("com.atproto.admin.{query}");
        for auth in ["", &ada.auth()] {
            let (status, answer) = server.ask(&query, auth).await;
            assert_eq!(status, 401, "{query}: {answer}");
        }
    }
}

#[tokio::test]
async fn recovery_a_signing_key_is_replaced_by_one_that_is_reserved_here_and_by_no_other() {
    let server = Server::start().await;
    let ada = server.member("ada").await;
    ok(ada.post(&server, "before").await);
    let foreign = key(3).public().to_did_key();
    let set = |key: &str| json!({ "did": ada.did, "signingKey": key });
    let told = refused(
        admin(&server, "updateAccountSigningKey", set(&foreign)).await,
        (400, "InvalidRequest"),
    );
    assert!(told.contains("reserveSigningKey"), "{told}");

    let reserve = json!({ "did": ada.did });
    let reserved = server
        .call("com.atproto.server.reserveSigningKey", "", reserve)
        .await;
    let new = ok(reserved)["signingKey"].as_str().unwrap().to_owned();
    let mut firehose = Firehose::open(&server, None).await;
    // Members write meanwhile: whatever is signed fits the document.
    let writes = async {
        for n in 0..10 {
            let (status, answer) = ada.post(&server, &format!("post {n}")).await;
            assert!(matches!(status, 200 | 503), "{answer}");
        }
    };
    let change = async { ok(admin(&server, "updateAccountSigningKey", set(&new)).await) };
    tokio::join!(writes, change);
    let document = server.directory.document(&ada.did).await.1;
    let multibase = new.trim_start_matches("did:key:");
    assert_eq!(
        document["verificationMethod"][0]["publicKeyMultibase"],
        multibase
    );
    let fresh = PublicKey::from_did_key(&new).unwrap();
    let (mut identities, mut is_new, mut after) = (0, false, 0);
    ok(ada.post(&server, "after").await);
    while after < 1 {
        match firehose.event().await.1 {
            Event::Identity(_) => identities += 1,
            Event::Sync(sync) => {
                assert_eq!(identities, 1, "the identity comes first");
                let file = car::read(&sync.blocks, 1 << 20).unwrap();
                let commit = Commit::decode(file.blocks.values().next().unwrap()).unwrap();
                commit.verify(&fresh).unwrap();
                is_new = true;
            }
            Event::Commit(commit) => {
                let checked = check_commit(&commit, server.clock.now_us()).unwrap();
                assert_eq!(checked.verify(&fresh).is_ok(), is_new, "{}", commit.rev);
                let last = file_has(&commit.blocks, b"after");
                after += usize::from(last);
            }
            Event::Account(_) => {}
        }
    }
    assert!(is_new);
    // The same again signs anew and asks the directory for nothing.
    let operations = server.directory.log(&ada.did).await.len();
    ok(admin(&server, "updateAccountSigningKey", set(&new)).await);
    assert_eq!(server.directory.log(&ada.did).await.len(), operations);
}

fn file_has(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}
