//! Moving an account with `rochdale account migrate`, between two servers and whatever kills it.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use rochdale_testing::{Member, SecondPds, Stack, mailed_code, verify_export};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::BINARY;

const POST: &str = "app.bsky.feed.post";

/// One move, run as often as it takes.
struct Mover {
    folder: TempDir,
    arguments: Vec<String>,
}

impl Mover {
    fn new(stack: &Stack, from: &str, to: &str, handle: &str, new_handle: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let journal = folder.path().join("move.json");
        let flags = [
            ("--from", from),
            ("--to", to),
            ("--handle", handle),
            ("--new-handle", new_handle),
            ("--plc-url", &stack.identity),
            ("--journal", journal.to_str().unwrap()),
        ];
        let arguments = flags
            .iter()
            .flat_map(|(flag, value)| [(*flag).to_owned(), (*value).to_owned()])
            .collect();
        Self { folder, arguments }
    }

    fn command(&self, more: &[&str]) -> Command {
        let mut command = Command::new(BINARY);
        command
            .args(["account", "migrate"])
            .args(&self.arguments)
            .args(more)
            .env("MIGRATE_OLD_PASSWORD", Member::PASSWORD)
            .env("MIGRATE_NEW_PASSWORD", Member::PASSWORD)
            .current_dir(self.folder.path())
            .stdin(Stdio::null());
        command
    }

    /// Runs it to its end; gives exit code and everything it said.
    fn run(&self, more: &[&str]) -> (i32, String) {
        let Output {
            status,
            stdout,
            stderr,
        } = self.command(more).output().unwrap();
        let said = [stdout, stderr].concat();
        (
            status.code().unwrap_or(-1),
            String::from_utf8_lossy(&said).into_owned(),
        )
    }

    fn journal(&self) -> PathBuf {
        self.folder.path().join("move.json")
    }

    fn has_done(&self, step: &str) -> bool {
        let Ok(text) = std::fs::read(self.journal()) else {
            return false;
        };
        let journal: Value = serde_json::from_slice(&text).unwrap();
        journal["done"].as_array().unwrap().contains(&json!(step))
    }

    /// Runs it until the journal says that `step` is done, then ends it with SIGKILL.
    async fn run_until_killed_after(&self, step: &str, more: &[&str]) {
        let mut child: Child = self
            .command(more)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        while !self.has_done(step) {
            assert!(
                child.try_wait().unwrap().is_none(),
                "ended before {step}: {:?}",
                self.run(&[])
            );
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        child.kill().unwrap();
        child.wait().unwrap();
    }
}

async fn writes_posts(member: &Member, count: usize) {
    for part in 0..count.div_ceil(200) {
        let writes: Vec<Value> = (0..200.min(count - part * 200))
            .map(|number| {
                json!({
                    "$type": "com.atproto.repo.applyWrites#create",
                    "collection": POST,
                    "value": Member::post(&format!("{part} {number}")),
                })
            })
            .collect();
        let body = json!({ "repo": member.did, "writes": writes });
        member
            .call("com.atproto.repo.applyWrites", &body)
            .await
            .unwrap();
    }
}

async fn document(stack: &Stack, did: &str) -> Value {
    stack
        .get(&stack.identity, &format!("/{did}/data"))
        .await
        .unwrap()
}

/// Adds a key and a service of the member's own to the identity; gives the key.
async fn adds_own_entries(stack: &Stack, member: &Member) -> String {
    let own = "did:key:zQ3shunBKsXixLxKtC5qeSG9E4J5RkGN57im31pcTzbNQnm5w".to_owned();
    let mut data = document(stack, &member.did).await;
    data["rotationKeys"]
        .as_array_mut()
        .unwrap()
        .insert(0, json!(own));
    data["services"]["coop_page"] = json!({ "type": "Page", "endpoint": "https://ada.example" });
    data["verificationMethods"]["page"] = json!(own);
    data["alsoKnownAs"]
        .as_array_mut()
        .unwrap()
        .push(json!("https://ada.example"));
    let request = "com.atproto.identity.requestPlcOperationSignature";
    member.tell(request).await.unwrap();
    let wish = json!({
        "token": mailed_code(&stack.data()),
        "rotationKeys": data["rotationKeys"],
        "services": data["services"],
        "alsoKnownAs": data["alsoKnownAs"],
        "verificationMethods": data["verificationMethods"],
    });
    let signed = member
        .call("com.atproto.identity.signPlcOperation", &wish)
        .await
        .unwrap();
    member
        .call("com.atproto.identity.submitPlcOperation", &signed)
        .await
        .unwrap();
    own
}

/// What the account must be like at its new place.
async fn has_everything(stack: &Stack, member: &Member, records: &[Value], blob: &Value) {
    let there = member.records(POST).await;
    let plain = |records: &[Value]| -> Vec<(Value, Value)> {
        let pair = |record: &Value| (record["cid"].clone(), record["value"].clone());
        records.iter().map(pair).collect()
    };
    assert_eq!(plain(&there), plain(records));
    assert_eq!(verify_export(stack, member).await.len(), records.len() + 1);
    let cid = blob["ref"]["$link"].as_str().unwrap();
    let url = format!(
        "{}/xrpc/com.atproto.sync.getBlob?did={}&cid={cid}",
        member.pds, member.did
    );
    let answer = stack.http.get(url).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.bytes().await.unwrap(), vec![7; 50_000]);
    let preferences = member
        .ask("app.bsky.actor.getPreferences", "")
        .await
        .unwrap();
    assert_eq!(preferences["preferences"][0]["enabled"], json!(true));
}

async fn is_active(stack: &Stack, pds: &str, did: &str) -> bool {
    let path = format!("/xrpc/com.atproto.sync.getRepoStatus?did={did}");
    stack.get(pds, &path).await.unwrap()["active"] == json!(true)
}

/// Takes a move to its end, killed after every step, with the code that `data` got mailed.
async fn moves_though_killed(mover: &Mover, data: &Path, from: (&Stack, &str, &str)) {
    let (stack, old, did) = from;
    for step in ["account", "repository", "preferences", "blobs"] {
        mover.run_until_killed_after(step, &[]).await;
        assert!(is_active(stack, old, did).await, "killed after {step}");
    }
    let (code, said) = mover.run(&[]);
    assert_eq!(code, 3, "{said}");
    assert!(said.contains("--code"), "{said}");
    let (code, said) = mover.run(&["--code", "AAAAA-AAAAA"]);
    assert_eq!(code, 3, "{said}");
    let (code, said) = mover.run(&[]);
    assert_eq!(code, 3, "{said}");
    let mailed = mailed_code(data);
    mover
        .run_until_killed_after("identity", &["--code", &mailed])
        .await;
    for step in ["activate", "check"] {
        if !mover.has_done(step) {
            mover.run_until_killed_after(step, &[]).await;
        }
    }
    let (code, said) = mover.run(&[]);
    assert_eq!(code, 0, "{said}");
    let (code, said) = mover.run(&[]);
    assert_eq!(code, 0, "a move that is done stays done: {said}");
    assert!(!is_active(stack, old, did).await);
    let journal = std::fs::read_to_string(mover.journal()).unwrap();
    assert!(
        !journal.contains(Member::PASSWORD) && !journal.contains("eyJ"),
        "{journal}"
    );
    let left: Vec<_> = std::fs::read_dir(mover.folder.path()).unwrap().collect();
    assert_eq!(left.len(), 1, "nothing but the journal is left: {left:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_moves_away_and_back_with_everything_however_often_the_move_is_killed() {
    let stack = Stack::start(BINARY);
    let second = SecondPds::start(BINARY, &stack).await;
    let ada = stack.member("ada").await;
    let own_key = adds_own_entries(&stack, &ada).await;
    writes_posts(&ada, 450).await;
    let blob = ada
        .uploads("application/octet-stream", vec![7; 50_000])
        .await;
    ada.creates("coop.example.file", &json!({ "file": blob }))
        .await
        .unwrap();
    let preference = json!({ "$type": "app.bsky.actor.defs#adultContentPref", "enabled": true });
    let preferences = json!({ "preferences": [preference] });
    ada.call("app.bsky.actor.putPreferences", &preferences)
        .await
        .unwrap();
    let records = ada.records(POST).await;

    let away = Mover::new(&stack, &stack.pds, &second.url, "ada.test", "ada.two.test");
    let (code, said) = away.run(&["--dry-run"]);
    assert_eq!(code, 0, "{said}");
    assert!(
        said.contains("451 records, 1 blobs") && said.contains("1 preferences"),
        "{said}"
    );
    assert!(!away.journal().try_exists().unwrap(), "nothing was begun");
    moves_though_killed(&away, &stack.data(), (&stack, &stack.pds, &ada.did)).await;
    let there = ada.at(&second.url).await;
    assert_eq!(there.handle, "ada.two.test");
    has_everything(&stack, &there, &records, &blob).await;

    // Back again, to the account that still sleeps here, with what was written in between.
    there.posts("written at the second place").await;
    let records = there.records(POST).await;
    let back = Mover::new(&stack, &second.url, &stack.pds, "ada.two.test", "ada.test");
    moves_though_killed(&back, second.data(), (&stack, &second.url, &ada.did)).await;
    let here = there.at(&stack.pds).await;
    has_everything(&stack, &here, &records, &blob).await;
    here.posts("home").await;

    let data = document(&stack, &ada.did).await;
    assert_eq!(data["rotationKeys"][0], json!(own_key));
    assert_eq!(data["rotationKeys"].as_array().unwrap().len(), 2, "{data}");
    assert_eq!(
        data["services"]["coop_page"]["endpoint"],
        json!("https://ada.example")
    );
    assert_eq!(
        data["services"]["atproto_pds"]["endpoint"],
        json!(stack.pds)
    );
    assert_eq!(data["verificationMethods"]["page"], json!(own_key));
    assert_eq!(
        data["alsoKnownAs"],
        json!(["at://ada.test", "https://ada.example"])
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_with_a_second_factor_moves_away_and_back() {
    let stack = Stack::start(BINARY);
    let second = SecondPds::start(BINARY, &stack).await;
    let ada = stack.member("ada").await;
    ada.posts("before").await;
    let request = "com.atproto.server.requestEmailConfirmation";
    ada.tell(request).await.unwrap();
    let email = ada.ask("com.atproto.server.getSession", "").await.unwrap()["email"].clone();
    let confirm = json!({ "email": email, "token": mailed_code(&stack.data()) });
    ada.call("com.atproto.server.confirmEmail", &confirm)
        .await
        .unwrap();
    ada.tell("com.atproto.server.requestEmailUpdate")
        .await
        .unwrap();
    let factor = json!({
        "email": email, "emailAuthFactor": true, "token": mailed_code(&stack.data()),
    });
    ada.call("com.atproto.server.updateEmail", &factor)
        .await
        .unwrap();

    let away = Mover::new(&stack, &stack.pds, &second.url, "ada.test", "ada.two.test");
    let (code, said) = away.run(&[]);
    assert_eq!(
        (code, said.contains("--second-factor")),
        (3, true),
        "{said}"
    );
    let used = mailed_code(&stack.data());
    let (code, said) = away.run(&["--second-factor", &used]);
    assert_eq!((code, said.contains("--code")), (3, true), "{said}");
    let identity = mailed_code(&stack.data());
    let both = ["--code", &identity, "--second-factor", &used];
    let (code, said) = away.run(&both);
    assert_eq!(code, 3, "{said}");
    assert!(said.contains("without --second-factor"), "{said}");
    let (code, said) = away.run(&["--code", &identity]);
    assert_eq!(code, 3, "{said}");
    let fresh = mailed_code(&stack.data());
    let (code, said) = away.run(&["--code", &identity, "--second-factor", &fresh]);
    assert_eq!(code, 0, "{said}");

    // The account that sleeps here has its second factor still.
    let back = Mover::new(&stack, &second.url, &stack.pds, "ada.two.test", "ada.test");
    let (code, said) = back.run(&[]);
    assert_eq!(code, 3, "{said}");
    assert!(said.contains("--new-second-factor"), "{said}");
    let factor = mailed_code(&stack.data());
    let (code, said) = back.run(&["--new-second-factor", &factor]);
    assert_eq!((code, said.contains("--code")), (3, true), "{said}");
    let identity = mailed_code(second.data());
    let (code, said) = back.run(&["--code", &identity]);
    assert_eq!(code, 3, "{said}");
    let factor = mailed_code(&stack.data());
    let (code, said) = back.run(&["--code", &identity, "--new-second-factor", &factor]);
    assert_eq!(code, 0, "{said}");
    assert!(is_active(&stack, &stack.pds, &ada.did).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_move_is_said_before_and_after_and_nothing_is_touched_before_it_can() {
    let stack = Stack::start(BINARY);
    let second = SecondPds::start(BINARY, &stack).await;
    let ada = stack.member("ada").await;
    let blob = ada.uploads("text/plain", b"hidden".to_vec()).await;
    ada.creates("coop.example.file", &json!({ "file": blob }))
        .await
        .unwrap();
    let cid = blob["ref"]["$link"].as_str().unwrap();
    let take_down = json!({
        "subject": { "$type": "com.atproto.admin.defs#repoBlobRef", "did": ada.did, "cid": cid },
        "takedown": { "applied": true, "ref": "1" },
    });
    let nsid = "com.atproto.admin.updateSubjectStatus";
    stack.admin(nsid, &take_down).await.unwrap();
    ada.call(
        "com.atproto.server.createAppPassword",
        &json!({ "name": "phone" }),
    )
    .await
    .unwrap();

    // The handle belongs to the place that is left.
    let mover = Mover::new(&stack, &stack.pds, &second.url, "ada.test", "ada.test");
    let (code, said) = mover.run(&[]);
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("--new-handle"), "{said}");
    assert!(!mover.journal().try_exists().unwrap());

    let mover = Mover::new(&stack, &stack.pds, &second.url, "ada.test", "ada.two.test");
    let (code, said) = mover.run(&["--dry-run"]);
    assert_eq!(code, 0, "{said}");
    assert!(said.contains(&format!("blob {cid}")), "{said}");
    assert!(
        said.contains("1 app passwords") && said.contains("direct messages"),
        "{said}"
    );

    let wrong = mover
        .command(&[])
        .env("MIGRATE_OLD_PASSWORD", "wrong")
        .output()
        .unwrap();
    assert_eq!(wrong.status.code(), Some(1));
    let said = String::from_utf8_lossy(&wrong.stderr);
    assert!(said.contains("Invalid identifier or password"), "{said}");
    let none = mover
        .command(&[])
        .env_remove("MIGRATE_OLD_PASSWORD")
        .output()
        .unwrap();
    assert_eq!(none.status.code(), Some(3));

    let (code, said) = mover.run(&[]);
    assert_eq!(code, 3, "{said}");
    let mailed = mailed_code(&stack.data());
    let (code, said) = mover.run(&["--code", &mailed]);
    assert_eq!(code, 4, "it moved without the blob: {said}");
    assert!(said.contains(&format!("not moved: blob {cid}")), "{said}");
    assert!(is_active(&stack, &second.url, &ada.did).await);
    assert!(!is_active(&stack, &stack.pds, &ada.did).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_who_was_taken_down_and_holds_a_key_moves_without_the_old_servers_help() {
    let stack = Stack::start(BINARY);
    let second = SecondPds::start(BINARY, &stack).await;
    let ada = stack.member("ada").await;
    let key = [9_u8; 32];
    let public = rochdale_protocol::crypto::SigningKey::from_bytes(
        rochdale_protocol::crypto::Curve::K256,
        &key,
    )
    .unwrap()
    .public()
    .to_did_key();
    let data = document(&stack, &ada.did).await;
    ada.tell("com.atproto.identity.requestPlcOperationSignature")
        .await
        .unwrap();
    let wish = json!({
        "token": mailed_code(&stack.data()),
        "rotationKeys": [public, data["rotationKeys"][0]],
    });
    let signed = ada
        .call("com.atproto.identity.signPlcOperation", &wish)
        .await
        .unwrap();
    let submit = "com.atproto.identity.submitPlcOperation";
    ada.call(submit, &signed).await.unwrap();
    let post = ada.posts("before").await;
    let take_down = json!({
        "subject": { "$type": "com.atproto.admin.defs#repoRef", "did": ada.did },
        "takedown": { "applied": true, "ref": "1" },
    });
    stack
        .admin("com.atproto.admin.updateSubjectStatus", &take_down)
        .await
        .unwrap();

    let mover = Mover::new(&stack, &stack.pds, &second.url, "ada.test", "ada.two.test");
    let file = mover.folder.path().join("my.key");
    std::fs::write(&file, format!("{}\n", "09".repeat(32))).unwrap();
    let sign_with = ["--sign-with", file.to_str().unwrap()];
    let (code, said) = mover.run(&sign_with);
    assert_eq!(code, 0, "{said}");
    let there = ada.at(&second.url).await;
    assert_eq!(there.records(POST).await[0]["cid"], json!(post.cid));
    let data = document(&stack, &ada.did).await;
    assert_eq!(data["rotationKeys"][0], json!(public));
    assert_eq!(
        data["services"]["atproto_pds"]["endpoint"],
        json!(second.url)
    );
}
