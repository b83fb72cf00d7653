//! Mail: through a real mail server, with one that is down or refuses, and with none at all.

use std::time::Duration;

use serde_json::json;

use crate::server::{Server, code_in, eventually, free_port, ok, operator};
use crate::smtp::{MailServer, NOBODY};

const REQUEST: &str = "com.atproto.server.requestEmailConfirmation";

async fn with_mail_server(port: u16) -> Server {
    Server::start_with(|options| {
        let url = format!("smtp://127.0.0.1:{port}");
        options.raw.smtp_url = Some(url.into());
        options.raw.mail_from = Some("The Co-op <post@coop.example>".to_owned());
    })
    .await
}

async fn outbox(server: &Server) -> String {
    let (status, page) = server
        .get("/outbox", &[("authorization", &operator())])
        .await;
    assert_eq!(status, 200);
    page.as_str().unwrap().to_owned()
}

#[tokio::test]
async fn mail_reaches_the_mail_server_as_text_and_html_and_its_code_works() {
    let port = free_port().await;
    let smtp = MailServer::start(port).await;
    let server = with_mail_server(port).await;
    let said = ok(server.ask("com.atproto.server.describeServer", "").await);
    assert_eq!(said["deliversMail"], true);
    let ada = server.member("ada").await;
    ok(ada.call(&server, REQUEST, json!(null)).await);
    eventually("the mail arrives", async || smtp.taken().len() == 1).await;
    let mail = smtp.taken().remove(0);
    assert_eq!(mail.from, "post@coop.example");
    assert_eq!(mail.to, "ada@coop.example");
    for part in [
        "From: \"The Co-op\" <post@coop.example>",
        "Subject: Confirm your email",
        "multipart/alternative",
        "text/plain",
        "text/html",
    ] {
        assert!(mail.data.contains(part), "{part}: {}", mail.data);
    }
    let body = json!({ "email": "ada@coop.example", "token": code_in(&mail.data) });
    ok(ada
        .call(&server, "com.atproto.server.confirmEmail", body)
        .await);
    eventually("the mail is forgotten", async || {
        outbox(&server).await.contains("Nothing is waiting here")
    })
    .await;
    assert!(server.mails().is_empty(), "no copy stays in a folder");
}

#[tokio::test]
async fn mail_waits_for_a_mail_server_that_is_down_and_the_request_does_not() {
    let port = free_port().await;
    let server = with_mail_server(port).await;
    let ada = server.member("ada").await;
    ok(ada.call(&server, REQUEST, json!(null)).await);
    eventually("the failure is shown to the operator", async || {
        outbox(&server).await.contains("tried 1 times")
    })
    .await;
    let (status, _) = server.get("/outbox", &[]).await;
    assert_eq!(status, 200, "anybody may look on a test server");
    // A restart loses nothing either.
    let directory = std::sync::Arc::clone(&server.directory);
    let folder = server.stop().await;
    let smtp = MailServer::start(port).await;
    let server = Server::on(folder, &directory, |options| {
        options.raw.smtp_url = Some(format!("smtp://127.0.0.1:{port}").into());
    })
    .await;
    server.clock.advance(Duration::from_secs(60));
    eventually("the mail arrives", async || smtp.taken().len() == 1).await;
    let ada = crate::member::Member::of(&ok(server
        .sign_in("ada.test", crate::server::PASSWORD)
        .await));
    let code = code_in(&smtp.taken()[0].data);
    let body = json!({ "email": "ada@coop.example", "token": code });
    ok(ada
        .call(&server, "com.atproto.server.confirmEmail", body)
        .await);
}

#[tokio::test]
async fn mail_that_is_put_off_is_tried_again_and_refused_mail_is_given_up() {
    let port = free_port().await;
    let smtp = MailServer::start(port).await;
    let server = with_mail_server(port).await;
    let ada = server.member("ada").await;
    smtp.set_busy(true);
    ok(ada.call(&server, REQUEST, json!(null)).await);
    eventually("it is put off", async || {
        outbox(&server).await.contains("451")
    })
    .await;
    smtp.set_busy(false);
    server.clock.advance(Duration::from_secs(6));
    eventually("it arrives", async || smtp.taken().len() == 1).await;
    let nobody = server.member(NOBODY).await;
    ok(nobody.call(&server, REQUEST, json!(null)).await);
    eventually("it is given up", async || {
        let page = outbox(&server).await;
        page.contains("given up") && page.contains("no such mailbox")
    })
    .await;
    server.clock.advance(Duration::from_secs(3600));
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(smtp.taken().len(), 1);
}

#[tokio::test]
async fn mail_of_which_a_newer_one_replaced_the_code_is_not_sent_any_more() {
    let port = free_port().await;
    let server = with_mail_server(port).await;
    let ada = server.member("ada").await;
    for _ in 0..3 {
        ok(ada.call(&server, REQUEST, json!(null)).await);
    }
    eventually("the newest was tried", async || {
        outbox(&server).await.contains("tried 1 times")
    })
    .await;
    let smtp = MailServer::start(port).await;
    server.clock.advance(Duration::from_secs(120));
    eventually("one arrives", async || !smtp.taken().is_empty()).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let taken = smtp.taken();
    assert_eq!(taken.len(), 1);
    let body = json!({ "email": "ada@coop.example", "token": code_in(&taken[0].data) });
    ok(ada
        .call(&server, "com.atproto.server.confirmEmail", body)
        .await);
}

#[tokio::test]
async fn mail_without_a_mail_server_is_on_the_operators_page_and_in_a_folder() {
    let server = Server::start_with(|options| options.dev = false).await;
    let body = crate::server::wish("ada");
    let create = "com.atproto.server.createAccount";
    let mut body = body;
    body["handle"] = json!("ada.coop-name.org");
    let ada = crate::member::Member::of(&ok(server.call(create, "", body).await));
    ok(ada.call(&server, REQUEST, json!(null)).await);
    for wrong in [
        None,
        Some(ada.auth()),
        Some(crate::server::basic("admin", "x")),
    ] {
        let headers: Vec<_> = wrong
            .iter()
            .map(|auth| ("authorization", auth.as_str()))
            .collect();
        assert_eq!(server.get("/outbox", &headers).await.0, 401);
    }
    let page = outbox(&server).await;
    let code = server.mailed_code();
    assert!(page.contains(&code) && page.contains("No mail server is configured"));
    let body = json!({ "email": "ada@coop.example", "token": code });
    ok(ada
        .call(&server, "com.atproto.server.confirmEmail", body)
        .await);
    // A second factor that nobody would get a code for is not offered.
    let wish = json!({ "email": "ada@coop.example", "emailAuthFactor": true });
    let answer = ada
        .call(&server, "com.atproto.server.updateEmail", wish)
        .await;
    crate::server::refused(answer, (400, "InvalidRequest"));
}

#[tokio::test]
async fn mail_of_the_operator_to_a_member_is_sent_as_written() {
    let server = Server::start().await;
    let ada = server.member("ada").await;
    let body = json!({
        "recipientDid": ada.did, "senderDid": server.did(),
        "subject": "Hello", "content": "First & best.\n\nSecond.",
    });
    let nsid = "com.atproto.admin.sendEmail";
    assert_eq!(ok(server.call(nsid, &operator(), body).await)["sent"], true);
    let mail = server.mails().pop().unwrap();
    assert!(
        mail.contains("Subject: Hello\r\n") && mail.contains("First & best."),
        "{mail}"
    );
    assert!(mail.contains("<p>First &#38; best.</p>"), "{mail}");
}

#[tokio::test]
async fn mails_are_shown_page_by_page_newest_first_under_a_strict_policy() {
    let server = Server::start().await;
    let ada = server.member("ada").await;
    let nsid = "com.atproto.admin.sendEmail";
    for n in 0..45 {
        let body = json!({
            "recipientDid": ada.did, "senderDid": server.did(),
            "subject": format!("number {n:02}"), "content": "<b>Hello</b>",
        });
        ok(server.call(nsid, &operator(), body).await);
    }
    let (mut path, mut seen, mut pages) = ("/outbox".to_owned(), Vec::new(), 0);
    loop {
        let (status, headers, page) = server.send(http::Method::GET, &path, &[], "").await;
        let page = page.as_str().unwrap().to_owned();
        assert_eq!(status, 200, "{page}");
        assert_eq!(headers["cache-control"], "no-store");
        assert!(headers.contains_key("content-security-policy"));
        assert!(!page.contains("<b>"), "{page}");
        let numbers = page.split("Subject: number ").skip(1);
        seen.extend(numbers.map(|rest| rest.get(..2).unwrap().parse::<usize>().unwrap()));
        pages += 1;
        assert_eq!(page.contains("Newest mails"), pages > 1);
        let Some((_, rest)) = page.split_once("href=\"/outbox?before=") else {
            break;
        };
        path = format!("/outbox?before={}", rest.split('"').next().unwrap());
    }
    assert_eq!(seen, (0..45).rev().collect::<Vec<_>>());
    assert_eq!(pages, 3);
    let (_, page) = server.get("/outbox?before=1", &[]).await;
    assert!(page.as_str().unwrap().contains("Nothing is waiting here"));
    assert_eq!(server.get("/outbox?before=x", &[]).await.0, 400);
}
