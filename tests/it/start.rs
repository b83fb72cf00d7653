//! Starting and stopping: one ready line, clean exits, and messages a person can act on.

use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use rochdale_testing::{Options, Stack};

use crate::BINARY;

fn run(args: &[&str]) -> Output {
    Command::new(BINARY)
        .args(args)
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

/// Runs a whole stack on free ports over `data`; for starts that are to fail.
fn up_on(data: &Path) -> Output {
    let data = data.to_str().unwrap();
    let ports = [
        "--pds-port",
        "0",
        "--identity-port",
        "0",
        "--relay-port",
        "0",
    ];
    run(&[&["up", "--data", data][..], &ports[..]].concat())
}

fn words(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sigterm_ends_within_four_seconds_with_exit_code_zero() {
    let mut stack = Stack::start(BINARY);
    let ada = stack.member("ada").await;
    ada.posts("before the stop").await;
    let mut reader = rochdale_testing::Firehose::live(&stack.pds).await;
    let began = Instant::now();
    assert_eq!(stack.stop().await, 0);
    assert!(
        began.elapsed() < Duration::from_secs(5),
        "took {:?}",
        began.elapsed()
    );
    assert!(reader.ends().await, "the reader got a close frame");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_keeps_accounts_records_and_sessions() {
    let mut stack = Stack::start(BINARY);
    let ada = stack.member("ada").await;
    ada.posts("kept").await;
    assert_eq!(stack.stop().await, 0);
    stack.start_again();
    assert_eq!(ada.records("app.bsky.feed.post").await.len(), 1);
    ada.posts("after the restart").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_port_in_use_is_named_with_what_to_do() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let output = run(&["up", "--data", data.to_str().unwrap(), "--pds-port", &port]);
    assert_eq!(output.status.code(), Some(1));
    let said = words(&output);
    assert!(
        said.contains(&port) && said.contains("--pds-port"),
        "{said}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_stacks_do_not_share_a_data_folder() {
    let stack = Stack::start(BINARY);
    let data = stack.data();
    let output = up_on(&data);
    assert_eq!(output.status.code(), Some(1));
    let said = words(&output);
    assert!(
        said.contains("another process") || said.contains("in use"),
        "{said}"
    );
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_file_that_others_can_read_is_refused() {
    use std::os::unix::fs::PermissionsExt;
    let mut stack = Stack::start(BINARY);
    assert_eq!(stack.stop().await, 0);
    let keys = stack.data().join("keys");
    let key = std::fs::read_dir(&keys)
        .unwrap()
        .next()
        .unwrap()
        .unwrap()
        .path();
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o644)).unwrap();
    let data = stack.data();
    let output = up_on(&data);
    assert_eq!(output.status.code(), Some(1));
    let said = words(&output);
    assert!(
        said.contains("chmod 600") && said.contains(key.to_str().unwrap()),
        "{said}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_data_folder_of_a_newer_version_is_refused() {
    let mut stack = Stack::start(BINARY);
    assert_eq!(stack.stop().await, 0);
    let database = rusqlite::Connection::open(stack.data().join("pds.sqlite")).unwrap();
    database
        .execute(
            "insert into migration(number, name) values (9999, 'from the future')",
            [],
        )
        .unwrap();
    drop(database);
    let data = stack.data();
    let output = up_on(&data);
    assert_eq!(output.status.code(), Some(1));
    let said = words(&output);
    assert!(
        said.contains("version 9999") && said.contains("newer program"),
        "{said}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_variable_wins_over_what_up_proposes_and_a_flag_over_the_variable() {
    let elsewhere = tempfile::tempdir().unwrap();
    let variables = [
        ("ROCHDALE_PDS__INVITES_REQUIRED", "true"),
        ("ROCHDALE_PDS__HANDLE_DOMAINS", r#"[".mill.test"]"#),
        ("ROCHDALE_PDS__DATA_DIR", elsewhere.path().to_str().unwrap()),
        ("ROCHDALE_IDENTITY__DATA_DIR", "/dev/null"),
        // Cannot be listened on by anybody.
        ("ROCHDALE_RELAY__PORT", "70000"),
    ];
    let stack = Stack::start_with(
        BINARY,
        Options {
            flags: Vec::new(),
            env: variables
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .to_vec(),
        },
    );
    let described = stack
        .get(&stack.pds, "/xrpc/com.atproto.server.describeServer")
        .await
        .unwrap();
    assert_eq!(described["inviteCodeRequired"], true);
    assert_eq!(described["availableUserDomains"][0], ".mill.test");
    assert!(stack.data().join("pds.sqlite").try_exists().unwrap());
    let left = std::fs::read_dir(elsewhere.path()).unwrap().count();
    assert_eq!(left, 0, "the folder of the variable is not used");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_demo_has_two_members_with_posts() {
    let flags = vec!["--demo".to_owned()];
    let stack = Stack::start_with(
        BINARY,
        Options {
            flags,
            env: Vec::new(),
        },
    );
    let repos = stack
        .get(&stack.pds, "/xrpc/com.atproto.sync.listRepos")
        .await
        .unwrap();
    let repos = repos["repos"].as_array().unwrap();
    assert_eq!(repos.len(), 2);
    for repo in repos {
        let did = repo["did"].as_str().unwrap();
        let path =
            format!("/xrpc/com.atproto.repo.listRecords?repo={did}&collection=app.bsky.feed.post");
        let page = stack.get(&stack.pds, &path).await.unwrap();
        assert!(page["records"].as_array().unwrap().len() >= 2);
    }
}

#[test]
fn an_unknown_key_or_a_bad_value_in_the_configuration_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("rochdale.toml");
    for (text, named) in [
        ("[pds]\nprot = 1\n", "prot"),
        ("[pds]\nport = \"high\"\n", "port"),
    ] {
        std::fs::write(&file, text).unwrap();
        let output = run(&["pds", "--config", file.to_str().unwrap()]);
        assert_eq!(output.status.code(), Some(1), "{text}");
        assert!(words(&output).contains(named), "{}", words(&output));
    }
}
