//! Signing up, handles, states and deletion.

use futures::future::join_all;
use serde_json::json;

use super::support::{PASSWORD, Server, basic, bearer};

#[tokio::test]
async fn a_new_member_has_a_did_a_session_and_a_repository() {
    let server = Server::start().await;
    let ada = server.member("ada").await;
    assert_eq!(server.directory.operations(&ada.did).len(), 1);
    let (status, session) = server
        .ask("com.atproto.server.getSession", &ada.access)
        .await;
    assert_eq!(
        (status, session["handle"].as_str()),
        (200, Some("ada.test"))
    );
    assert_eq!(session["didDoc"]["id"], ada.did);
    let (status, account) = server
        .ask("com.atproto.server.checkAccountStatus", &ada.access)
        .await;
    assert_eq!(
        (status, &account["validDid"]),
        (200, &json!(true)),
        "{account}"
    );
    let query = "/xrpc/com.atproto.identity.resolveHandle?handle=ada.test";
    let (_, resolved) = server.get(query, &[]).await;
    assert_eq!(resolved["did"], ada.did);
    let (status, did) = server
        .get("/.well-known/atproto-did", &[("host", "ada.test")])
        .await;
    assert_eq!((status, did.as_str()), (200, Some(ada.did.as_str())));
}

#[tokio::test]
async fn people_who_race_for_one_handle_get_it_once_and_the_others_dids_are_ended() {
    let server = Server::start().await;
    let outcomes = join_all((0..6).map(|_| server.sign_up("ada"))).await;
    let won = outcomes.iter().filter(|(status, _)| *status == 200).count();
    assert_eq!(won, 1);
    for (status, body) in outcomes.iter().filter(|(status, _)| *status != 200) {
        assert_eq!(
            (*status, body["message"].as_str()),
            (400, Some("Handle already taken"))
        );
    }
    let (registered, ended) = server.directory.counts();
    assert_eq!(registered - ended, 1);
}

#[tokio::test]
async fn refusals_of_a_sign_up_have_the_names_of_the_lexicon() {
    let server = Server::start().await;
    let base = json!({ "handle": "bob.test", "email": "bob@x.org", "password": PASSWORD });
    for (field, value, name) in [
        ("handle", "al.test", "InvalidHandle"),
        ("handle", "bob", "InvalidHandle"),
        ("handle", "admin.test", "HandleNotAvailable"),
        ("handle", "bob.bsky.social", "UnsupportedDomain"),
        ("email", "nobody", "InvalidRequest"),
        ("password", "", "InvalidPassword"),
        ("recoveryKey", "did:key:nope", "InvalidRequest"),
    ] {
        let mut body = base.clone();
        body[field] = json!(value);
        let (status, answer) = server
            .call("com.atproto.server.createAccount", "", &body)
            .await;
        assert_eq!(
            (status, answer["error"].as_str()),
            (400, Some(name)),
            "{field} {value}"
        );
    }
    let mut foreign = base.clone();
    foreign["did"] = json!("did:plc:ewvi7nxzyoun6zhxrhs64oiz");
    let (status, _) = server
        .call("com.atproto.server.createAccount", "", &foreign)
        .await;
    assert_eq!(status, 401);
    assert_eq!(server.directory.counts(), (0, 0));
}

#[tokio::test]
async fn an_invite_code_works_as_often_as_it_says() {
    let server = Server::start_with(|raw| raw.invites_required = true).await;
    let (status, answer) = server.sign_up("ada").await;
    assert_eq!(
        (status, answer["error"].as_str()),
        (400, Some("InvalidInviteCode"))
    );
    let wish = json!({ "useCount": 1 });
    let (status, made) = server
        .call("com.atproto.server.createInviteCode", &basic(), &wish)
        .await;
    assert_eq!(status, 200, "{made}");
    for (name, expected) in [("ada", 200), ("bob", 400)] {
        let body = json!({
            "handle": format!("{name}.test"), "email": format!("{name}@x.org"),
            "password": PASSWORD, "inviteCode": made["code"],
        });
        let (status, _) = server
            .call("com.atproto.server.createAccount", "", &body)
            .await;
        assert_eq!(status, expected, "{name}");
    }
    let (_, listed) = server
        .get(
            "/xrpc/com.atproto.admin.getInviteCodes",
            &[("authorization", &basic())],
        )
        .await;
    assert_eq!(listed["codes"][0]["uses"].as_array().map(Vec::len), Some(1));
}

#[tokio::test]
async fn a_new_handle_goes_to_the_directory_first_and_a_taken_one_changes_nothing() {
    let server = Server::start().await;
    let ada = server.member("ada").await;
    server.member("bob").await;
    let auth = bearer(&ada.access);
    let nsid = "com.atproto.identity.updateHandle";
    let (status, answer) = server
        .call(nsid, &auth, &json!({ "handle": "bob.test" }))
        .await;
    assert_eq!(
        (status, answer["message"].as_str()),
        (400, Some("Handle already taken"))
    );
    assert_eq!(server.directory.operations(&ada.did).len(), 1);
    for _again in 0..2 {
        let (status, answer) = server
            .call(nsid, &auth, &json!({ "handle": "Lovelace.test" }))
            .await;
        assert_eq!(status, 200, "{answer}");
    }
    assert_eq!(server.directory.operations(&ada.did).len(), 2);
    let (_, session) = server
        .ask("com.atproto.server.getSession", &ada.access)
        .await;
    assert_eq!(session["handle"], "lovelace.test");
    assert_eq!(
        session["didDoc"]["alsoKnownAs"],
        json!(["at://lovelace.test"])
    );
    let (status, _) = server
        .get("/.well-known/atproto-did", &[("host", "ada.test")])
        .await;
    assert_eq!(status, 404);
}

#[tokio::test]
async fn a_sleeping_account_signs_in_but_does_not_write_until_it_wakes() {
    let server = Server::start().await;
    let ada = server.member("ada").await;
    let auth = bearer(&ada.access);
    let (status, _) = server
        .call("com.atproto.server.deactivateAccount", &auth, &json!({}))
        .await;
    assert_eq!(status, 200);
    let (status, session) = server.sign_in("ada.test", PASSWORD).await;
    assert_eq!(
        (status, session["status"].as_str()),
        (200, Some("deactivated"))
    );
    assert_eq!(session["active"], false);
    let record = json!({
        "repo": ada.did, "collection": "app.bsky.feed.post",
        "record": { "text": "x", "createdAt": "2026-01-01T00:00:00Z" },
    });
    let write = "com.atproto.repo.createRecord";
    let (status, answer) = server.call(write, &auth, &record).await;
    assert_eq!(
        (status, answer["error"].as_str()),
        (401, Some("AccountDeactivated"))
    );
    let query = "/xrpc/com.atproto.identity.resolveHandle?handle=ada.test";
    assert_eq!(server.get(query, &[]).await.0, 400);
    let (status, answer) = server
        .call("com.atproto.server.activateAccount", &auth, &json!(null))
        .await;
    assert_eq!(status, 200, "{answer}");
    let (status, answer) = server.call(write, &auth, &record).await;
    assert_eq!(status, 200, "{answer}");
}

#[tokio::test]
async fn a_takedown_ends_every_session_but_the_one_for_appeals() {
    let server = Server::start().await;
    let ada = server.member("ada").await;
    let subject = json!({ "$type": "com.atproto.admin.defs#repoRef", "did": ada.did });
    let nsid = "com.atproto.admin.updateSubjectStatus";
    let down = json!({ "subject": subject, "takedown": { "applied": true, "ref": "7" } });
    assert_eq!(server.call(nsid, "", &down).await.0, 401);
    assert_eq!(server.call(nsid, &bearer(&ada.access), &down).await.0, 401);
    let (status, answer) = server.call(nsid, &basic(), &down).await;
    assert_eq!(status, 200, "{answer}");
    let (status, answer) = server
        .ask("com.atproto.server.getSession", &ada.access)
        .await;
    assert_eq!(
        (status, answer["error"].as_str()),
        (401, Some("AccountTakedown"))
    );
    let (status, answer) = server.sign_in("ada.test", PASSWORD).await;
    assert_eq!(
        (status, answer["error"].as_str()),
        (401, Some("AccountTakedown"))
    );
    let (status, _) = server
        .call(
            "com.atproto.server.refreshSession",
            &bearer(&ada.refresh),
            &json!(null),
        )
        .await;
    assert_eq!(status, 401);
    let body = json!({ "identifier": "ada.test", "password": PASSWORD, "allowTakendown": true });
    let (status, session) = server
        .call("com.atproto.server.createSession", "", &body)
        .await;
    assert_eq!(
        (status, session["status"].as_str()),
        (200, Some("takendown"))
    );
    let limited = session["accessJwt"].as_str().unwrap();
    let (status, _) = server.ask("com.atproto.server.getSession", limited).await;
    assert!(status >= 400);
    let ask = |lxm| format!("com.atproto.server.getServiceAuth?aud=did:web:x.org&lxm={lxm}");
    assert_eq!(
        server
            .ask(&ask("com.atproto.server.createAccount"), limited)
            .await
            .0,
        200
    );
    assert_eq!(
        server
            .ask(&ask("app.bsky.feed.getTimeline"), limited)
            .await
            .0,
        400
    );
    let wake = json!({
        "subject": subject, "takedown": { "applied": true }, "deactivated": { "applied": false },
    });
    assert_eq!(server.call(nsid, &basic(), &wake).await.0, 400);
    let up = json!({ "subject": subject, "takedown": { "applied": false } });
    assert_eq!(server.call(nsid, &basic(), &up).await.0, 200);
    assert_eq!(server.sign_in("ada.test", PASSWORD).await.0, 200);
}

#[tokio::test]
async fn deletion_takes_password_and_code_and_leaves_nothing_behind() {
    let server = Server::start().await;
    let ada = server.member("ada").await;
    let request = "com.atproto.server.requestAccountDelete";
    assert_eq!(
        server
            .call(request, &bearer(&ada.access), &json!(null))
            .await
            .0,
        200
    );
    let code = server.mailed_code();
    let nsid = "com.atproto.server.deleteAccount";
    let body = |password: &str, token: &str| json!({ "did": ada.did, "password": password, "token": token });
    assert_eq!(server.call(nsid, "", &body("wrong", &code)).await.0, 401);
    let (status, answer) = server.call(nsid, "", &body(PASSWORD, "AAAAA-AAAAA")).await;
    assert_eq!(
        (status, answer["error"].as_str()),
        (400, Some("InvalidToken"))
    );
    let (status, answer) = server.call(nsid, "", &body(PASSWORD, &code)).await;
    assert_eq!(status, 200, "{answer}");
    let (status, answer) = server
        .ask("com.atproto.server.getSession", &ada.access)
        .await;
    assert_eq!(
        (status, answer["error"].as_str()),
        (403, Some("AccountNotFound"))
    );
    assert_eq!(server.sign_in("ada.test", PASSWORD).await.0, 401);
    assert_eq!(server.sign_up("ada").await.0, 200);
}

#[tokio::test]
async fn a_member_signs_and_submits_an_operation_on_their_did() {
    let server = Server::start().await;
    let ada = server.member("ada").await;
    let auth = bearer(&ada.access);
    let (_, own) = server
        .ask(
            "com.atproto.identity.getRecommendedDidCredentials",
            &ada.access,
        )
        .await;
    let request = "com.atproto.identity.requestPlcOperationSignature";
    assert_eq!(server.call(request, &auth, &json!(null)).await.0, 200);
    let code = server.mailed_code();
    let sign = "com.atproto.identity.signPlcOperation";
    assert_eq!(server.call(sign, &auth, &json!({})).await.0, 400);
    let mine = "did:key:zQ3shunBKsXixLxKtC5qeSG9E4J5RkGN57im31pcTzbNQnm5w";
    let keys = json!([mine, own["rotationKeys"][0]]);
    let wish = json!({ "token": code.to_lowercase(), "rotationKeys": keys });
    let (status, signed) = server.call(sign, &auth, &wish).await;
    assert_eq!(status, 200, "{signed}");
    assert_eq!(
        server.call(sign, &auth, &wish).await.0,
        400,
        "a code is good once"
    );
    let submit = "com.atproto.identity.submitPlcOperation";
    let mut stolen = signed.clone();
    stolen["operation"]["services"]["atproto_pds"]["endpoint"] = json!("https://else.where");
    assert_eq!(server.call(submit, &auth, &stolen).await.0, 400);
    let (status, answer) = server.call(submit, &auth, &signed).await;
    assert_eq!(status, 200, "{answer}");
    assert_eq!(
        server.directory.operations(&ada.did)[1].rotation_keys()[0],
        mine
    );
}
