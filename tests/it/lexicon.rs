//! Schemas from their author's files to the records of everybody: checked, compared, published,
//! found by DNS and enforced.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::{Arc, Mutex};

use rochdale_testing::{Member, Options, Stack};
use serde_json::{Value, json};
use tokio::net::UdpSocket;

use crate::BINARY;

const NOTE: &str = "org.notes.lab.note";

/// A DNS server that knows the TXT records it was told, one to a name.
#[derive(Clone, Default)]
struct Dns(Arc<Mutex<HashMap<String, String>>>);

impl Dns {
    async fn start(&self) -> SocketAddr {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let address = socket.local_addr().unwrap();
        let dns = self.clone();
        tokio::spawn(async move {
            let mut question = [0; 512];
            while let Ok((length, from)) = socket.recv_from(&mut question).await {
                let answer = dns.answer(&question[..length]);
                let _sent = socket.send_to(&answer, from).await;
            }
        });
        address
    }

    fn learn(&self, name: &str, text: &str) {
        self.0
            .lock()
            .unwrap()
            .insert(name.to_owned(), text.to_owned());
    }

    fn answer(&self, question: &[u8]) -> Vec<u8> {
        let (mut at, mut labels) = (12, Vec::new());
        while question[at] != 0 {
            let length = usize::from(question[at]);
            labels.push(String::from_utf8_lossy(&question[at + 1..=at + length]).to_lowercase());
            at += length + 1;
        }
        let text = self.0.lock().unwrap().get(&labels.join(".")).cloned();
        let mut answer = question[..2].to_vec();
        answer.extend([0x81, if text.is_some() { 0x80 } else { 0x83 }]);
        answer.extend([0, 1, 0, u8::from(text.is_some()), 0, 0, 0, 0]);
        answer.extend(&question[12..at + 5]);
        if let Some(text) = text {
            let length = u8::try_from(text.len()).unwrap();
            answer.extend([0xc0, 12, 0, 16, 0, 1, 0, 0, 0, 60, 0, length + 1, length]);
            answer.extend(text.as_bytes());
        }
        answer
    }
}

fn schema(max_length: u32) -> Value {
    json!({
        "lexicon": 1, "id": NOTE,
        "defs": { "main": {
            "type": "record", "key": "tid",
            "record": {
                "type": "object", "required": ["text"],
                "properties": {
                    "text": { "type": "string", "maxLength": max_length },
                    "about": { "type": "ref", "ref": "com.atproto.repo.strongRef" },
                },
            },
        } },
    })
}

fn write(folder: &Path, name: &str, schema: &Value) {
    std::fs::write(folder.join(name), schema.to_string()).unwrap();
}

fn rochdale(arguments: &[&str], folder: &Path) -> Output {
    Command::new(BINARY)
        .arg("lexicon")
        .args(arguments)
        .current_dir(folder)
        .env("ROCHDALE_PASSWORD", Member::PASSWORD)
        .output()
        .unwrap()
}

/// The exit code and what was printed.
fn outcome(output: &Output) -> (i32, String) {
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let error = String::from_utf8_lossy(&output.stderr);
    (output.status.code().unwrap(), text + &error)
}

#[test]
fn check_prints_every_fault_with_its_file_and_place() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "good.json", &schema(10));
    let run = |arguments: &[&str]| outcome(&rochdale(arguments, folder.path()));
    assert_eq!(
        run(&["check", "good.json"]),
        (0, "1 schema is good\n".to_owned())
    );

    let mut bad = schema(10);
    bad["id"] = json!("org.notes.lab.bad");
    let properties = &mut bad["defs"]["main"]["record"]["properties"];
    properties["text"]["maxLength"] = json!(-1);
    properties["about"]["type"] = json!("float");
    write(folder.path(), "bad.json", &bad);
    let mut loose = schema(10);
    loose["id"] = json!("org.notes.lab.loose");
    loose["defs"]["main"]["record"]["properties"]["about"]["ref"] =
        json!("com.atproto.repo.strongRef#gone");
    loose["defs"]["main"]["record"]["properties"]["far"] =
        json!({ "type": "ref", "ref": "org.far.away.thing" });
    write(folder.path(), "loose.json", &loose);
    let (code, text) = run(&["check", "."]);
    assert_eq!(code, 1, "{text}");
    for line in [
        "./bad.json: defs.main.record.properties.text.maxLength: must not be negative",
        "./bad.json: defs.main.record.properties.about.type: `float` is no type of the language",
        "./loose.json: defs.main.record.properties.about: refers to com.atproto.repo.strongRef#gone, which does not exist",
        "./loose.json: note: refers to org.far.away.thing, which is not at hand: not checked",
        "3 faults; 2 schemas are readable",
    ] {
        assert!(
            text.lines().any(|found| found == line),
            "{line}\n--- is not in\n{text}"
        );
    }
    let set = json!({
        "lexicon": 1, "id": "org.notes.lab.auth",
        "defs": { "main": { "type": "permission-set", "permissions": [
            { "type": "permission", "resource": "repo", "collection": [NOTE] },
            { "type": "permission", "resource": "repo", "collection": ["org.notes.other"] },
        ] } },
    });
    write(folder.path(), "set.json", &set);
    let (code, text) = run(&["check", "set.json"]);
    assert_eq!(code, 0, "{text}");
    assert!(
        text.starts_with("set.json: note: defs.main.permissions[1] gives nothing: "),
        "{text}"
    );
    let (code, text) = run(&["check", "gone.json"]);
    assert_eq!(code, 2, "{text}");
    assert!(text.contains("cannot read gone.json"), "{text}");
}

#[test]
fn diff_fails_for_a_change_that_breaks_and_for_no_other() {
    let folder = tempfile::tempdir().unwrap();
    for (name, schema) in [("ten.json", schema(10)), ("nine.json", schema(9))] {
        write(folder.path(), name, &schema);
    }
    let run = |arguments: &[&str]| outcome(&rochdale(arguments, folder.path()));
    assert_eq!(run(&["diff", "ten.json", "ten.json"]), (0, String::new()));
    let place = format!("{NOTE}: defs.main.record.properties.text.maxLength: was");
    assert_eq!(
        run(&["diff", "nine.json", "ten.json"]),
        (0, format!("loosened    {place} 9, is 10\n"))
    );
    assert_eq!(
        run(&["diff", "ten.json", "nine.json"]),
        (1, format!("breaking    {place} 10, is 9\n"))
    );
    let (code, text) = run(&["diff", "ten.json", "gone.json"]);
    assert_eq!(code, 2, "{text}");
    let (code, text) = run(&["diff", "ten.json"]);
    assert_eq!(code, 2, "{text}");
    let (code, text) = run(&["diff", "--help"]);
    assert_eq!(code, 0);
    assert!(text.contains("Exit codes:"), "{text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_schema_that_a_member_publishes_is_found_by_dns_and_enforced() {
    let dns = Dns::default();
    let nameservers = format!("[\"{}\"]", dns.start().await);
    let options = Options {
        env: vec![("ROCHDALE_RESOLVER__NAMESERVERS".to_owned(), nameservers)],
        ..Options::default()
    };
    let stack = Stack::start_with(BINARY, options);
    let (ada, ben) = (stack.member("ada").await, stack.member("ben").await);
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "note.json", &schema(10));
    let publish = |more: &[&str]| {
        let arguments = [
            "publish",
            "note.json",
            "--pds",
            &stack.pds,
            "--handle",
            "ada.test",
        ];
        outcome(&rochdale(&[&arguments[..], more].concat(), folder.path()))
    };

    let (code, text) = publish(&[]);
    assert_eq!(code, 0, "{text}");
    assert!(text.contains(&format!("{NOTE}: published")), "{text}");
    let record = text.lines().find(|line| line.contains(" IN TXT ")).unwrap();
    let (name, rest) = record.split_once(". ").unwrap();
    assert_eq!(name, "_lexicon.lab.notes.org");
    dns.learn(name, rest.split('"').nth(1).unwrap());
    assert!(publish(&[]).1.contains(&format!("{NOTE}: unchanged")));

    let write_note = async |text: &str, validate: Value| {
        let body = json!({
            "repo": ben.did, "collection": NOTE, "validate": validate, "record": { "text": text },
        });
        ben.call("com.atproto.repo.createRecord", &body).await
    };
    // Who demands it waits until the schema is there.
    let written = write_note("short", json!(true)).await.unwrap();
    assert_eq!(written["validationStatus"], "valid");
    let written = write_note("short", json!(null)).await.unwrap();
    assert_eq!(written["validationStatus"], "valid");
    let refused = write_note("much too long", json!(null)).await.unwrap_err();
    assert_eq!(
        (refused.status, refused.name.as_str()),
        (400, "InvalidRequest")
    );
    let expected =
        "Invalid org.notes.lab.note record: Record/text must not be longer than 10 characters";
    assert!(refused.message.starts_with(expected), "{}", refused.message);
    let written = write_note("much too long", json!(false)).await.unwrap();
    assert!(written.get("validationStatus").is_none());

    let path = format!("/xrpc/com.atproto.lexicon.resolveLexicon?nsid={NOTE}");
    let resolved = stack.get(&stack.pds, &path).await.unwrap();
    let uri = format!("at://{}/com.atproto.lexicon.schema/{NOTE}", ada.did);
    assert_eq!(resolved["uri"], uri);
    assert_eq!(resolved["schema"]["defs"], schema(10)["defs"]);
    assert_eq!(resolved["schema"]["$type"], "com.atproto.lexicon.schema");
    let unknown = "/xrpc/com.atproto.lexicon.resolveLexicon?nsid=org.notes.other.note";
    let refused = stack.get(&stack.pds, unknown).await.unwrap_err();
    assert_eq!(
        (refused.status, refused.name.as_str()),
        (400, "LexiconNotFound")
    );

    // A change that breaks stays unpublished unless its author insists.
    write(folder.path(), "note.json", &schema(9));
    let (code, text) = publish(&[]);
    assert_eq!(code, 1, "{text}");
    assert!(text.contains("not published: it breaks"), "{text}");
    assert!(
        publish(&["--dry-run", "--allow-breaking"])
            .1
            .contains("would be published")
    );
    assert!(
        publish(&["--allow-breaking"])
            .1
            .contains(&format!("{NOTE}: published"))
    );
    let (code, text) = outcome(&rochdale(
        &[
            "publish",
            "note.json",
            "--pds",
            &stack.pds,
            "--handle",
            "nobody.test",
        ],
        folder.path(),
    ));
    assert_eq!(code, 2, "{text}");
    assert!(text.contains("signing in failed"), "{text}");
}
