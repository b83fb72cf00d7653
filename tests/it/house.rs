//! The building itself: crates depend one way, the route tables match the published schemas both
//! ways, and nothing is left unfinished.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use rochdale_service::xrpc::Kind;
use serde_json::Value;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// For each crate of the workspace: the crates of the workspace it may use outside of tests.
const EDGES: [(&str, &[&str]); 9] = [
    ("rochdale-protocol", &[]),
    ("rochdale-lexicons", &["rochdale-protocol"]),
    ("rochdale-tlog", &["rochdale-protocol"]),
    ("rochdale-service", &["rochdale-protocol"]),
    (
        "rochdale-resolver",
        &["rochdale-protocol", "rochdale-lexicons", "rochdale-service"],
    ),
    (
        "rochdale-identity",
        &["rochdale-protocol", "rochdale-service", "rochdale-resolver"],
    ),
    (
        "rochdale-pds",
        &[
            "rochdale-protocol",
            "rochdale-lexicons",
            "rochdale-service",
            "rochdale-resolver",
        ],
    ),
    (
        "rochdale-relay",
        &["rochdale-protocol", "rochdale-service", "rochdale-resolver"],
    ),
    ("rochdale-testing", &["rochdale-protocol"]),
];

/// The crates that are pure.
const PURE: [&str; 3] = ["rochdale-protocol", "rochdale-lexicons", "rochdale-tlog"];

/// What a pure crate must not link: anything that waits, listens or asks the clock.
const IMPURE: [&str; 7] = [
    "tokio", "hyper", "axum", "reqwest", "rusqlite", "rand", "tracing",
];

#[test]
fn crates_depend_one_way_and_the_pure_ones_are_pure() {
    let output = Command::new(env!("CARGO"))
        .args([
            "metadata",
            "--format-version",
            "1",
            "--no-deps",
            "--offline",
        ])
        .current_dir(root())
        .output()
        .unwrap();
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    let mut seen = 0;
    for package in metadata["packages"].as_array().unwrap() {
        let name = package["name"].as_str().unwrap();
        let uses: BTreeSet<&str> = package["dependencies"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|dependency| dependency["kind"].is_null())
            .map(|dependency| dependency["name"].as_str().unwrap())
            .collect();
        let Some((_, allowed)) = EDGES.iter().find(|(of, _)| *of == name) else {
            continue;
        };
        seen += 1;
        for used in uses.iter().filter(|used| used.starts_with("rochdale")) {
            assert!(
                allowed.contains(used),
                "{name} must not use {used}: see ARCHITECTURE.md"
            );
        }
        if PURE.contains(&name) {
            let found: Vec<_> = IMPURE
                .iter()
                .filter(|crate_| uses.contains(*crate_))
                .collect();
            assert!(found.is_empty(), "{name} uses {found:?}");
        }
    }
    assert_eq!(seen, EDGES.len(), "a crate of the table is gone");
}

fn schemas() -> BTreeMap<String, String> {
    fn collect(folder: &Path, into: &mut BTreeMap<String, String>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                collect(&path, into);
            } else if path
                .extension()
                .is_some_and(|extension| extension == "json")
            {
                let schema: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
                let kind = schema["defs"]["main"]["type"].as_str().unwrap_or("defs");
                into.insert(schema["id"].as_str().unwrap().to_owned(), kind.to_owned());
            }
        }
    }
    let mut all = BTreeMap::new();
    collect(&root().join("tests/fixtures/lexicons"), &mut all);
    all
}

fn kind_name(kind: Kind) -> &'static str {
    match kind {
        Kind::Query => "query",
        Kind::Procedure => "procedure",
        Kind::Subscription => "subscription",
    }
}

/// Methods of the published schemas that neither service answers, and why.
const ELSEWHERE: [(&str, &str); 9] = [
    ("com.atproto.label.", "labellers"),
    ("com.atproto.temp.addReservedHandle", "entryways"),
    ("com.atproto.temp.checkHandleAvailability", "entryways"),
    ("com.atproto.temp.dereferenceScope", "entryways"),
    ("com.atproto.temp.fetchLabels", "labellers"),
    ("com.atproto.temp.requestPhoneVerification", "entryways"),
    ("com.atproto.temp.revokeAccountCredentials", "entryways"),
    ("com.atproto.moderation.", "passed on to the report service"),
    (
        "com.atproto.sync.listReposByCollection",
        "the collection directory",
    ),
];

/// Sync methods that are a relay's and not a PDS's.
const OF_RELAYS: [&str; 5] = [
    "com.atproto.sync.getHostStatus",
    "com.atproto.sync.listHosts",
    "com.atproto.sync.listReposByCollection",
    "com.atproto.sync.notifyOfUpdate",
    "com.atproto.sync.requestCrawl",
];

#[test]
fn the_pds_answers_every_method_of_its_areas_itself() {
    let table = rochdale_pds::api::table();
    let answered: BTreeSet<&str> = table.iter().map(|row| row.nsid).collect();
    assert_eq!(answered.len(), table.len(), "a method stands there twice");
    let areas = ["admin", "identity", "repo", "server", "sync"];
    let mut missing: Vec<String> = schemas()
        .into_iter()
        .filter(|(_, kind)| kind_name_known(kind))
        .map(|(nsid, _)| nsid)
        .filter(|nsid| {
            let rest = nsid.strip_prefix("com.atproto.");
            let area = rest.and_then(|rest| rest.split('.').next());
            area.is_some_and(|area| areas.contains(&area)) && !OF_RELAYS.contains(&nsid.as_str())
        })
        .chain(
            [
                "com.atproto.temp.checkSignupQueue",
                "app.bsky.actor.getPreferences",
                "app.bsky.actor.putPreferences",
            ]
            .map(str::to_owned),
        )
        .collect();
    assert!(missing.len() > 70, "the schemas are gone");
    missing.retain(|nsid| !answered.contains(nsid.as_str()));
    assert!(missing.is_empty(), "not answered: {missing:?}");
}

/// What one address may ask of a method, as points in seconds.
const PER_ADDRESS: [(&str, &[(u32, u32)]); 6] = [
    ("com.atproto.server.createAccount", &[(100, 300)]),
    ("com.atproto.server.resetPassword", &[(50, 300)]),
    ("com.atproto.server.deleteAccount", &[(50, 300)]),
    (
        "com.atproto.server.requestPasswordReset",
        &[(15, 3_600), (50, 86_400)],
    ),
    ("com.atproto.sync.getRepo", &[(6_000, 300)]),
    ("com.atproto.sync.getCheckout", &[(6_000, 300)]),
];

/// Methods with a larger body than 150 KiB, in bytes.
const BODIES: [(&str, u64); 4] = [
    ("app.bsky.actor.putPreferences", 1_000_000),
    ("com.atproto.repo.createRecord", 1_000_000),
    ("com.atproto.repo.putRecord", 1_000_000),
    ("com.atproto.repo.applyWrites", 1_000_000),
];

#[test]
fn methods_of_the_pds_have_the_limits_that_clients_know() {
    let table = rochdale_pds::api::table();
    let row = |nsid: &str| {
        let found = table.iter().find(|row| row.nsid == nsid);
        found.unwrap_or_else(|| panic!("{nsid} is gone"))
    };
    for (nsid, budgets) in PER_ADDRESS {
        let found: Vec<(u32, u32)> = row(nsid)
            .limits
            .per_ip
            .iter()
            .map(|budget| (budget.points, budget.seconds))
            .collect();
        assert_eq!(found, budgets, "{nsid}");
    }
    for row in &table {
        let is_export = matches!(
            row.nsid,
            "com.atproto.sync.getRepo" | "com.atproto.sync.getCheckout"
        );
        assert_eq!(row.limits.in_global, !is_export, "{}", row.nsid);
        let streams = ["uploadBlob", "importRepo"];
        if streams.iter().any(|name| row.nsid.ends_with(name)) {
            continue;
        }
        let known = BODIES.iter().find(|(nsid, _)| *nsid == row.nsid);
        let largest = known.map_or(150 << 10, |(_, bytes)| *bytes);
        assert_eq!(row.limits.body_bytes, largest, "{}", row.nsid);
    }
}

#[test]
fn every_row_of_the_route_tables_has_its_published_schema_and_kind() {
    let schemas = schemas();
    assert!(schemas.len() > 90, "the schemas are gone");
    let pds = rochdale_pds::api::table();
    let rows = pds
        .iter()
        .map(|row| (row.nsid, row.kind, row.auth))
        .chain(rochdale_relay::methods());
    let mut count = 0;
    // `_health` is a convention of servers, not a published method.
    for (nsid, kind, auth) in rows.filter(|(nsid, _, _)| *nsid != "_health") {
        let Some(schema) = schemas.get(nsid) else {
            panic!("{nsid} is no published method")
        };
        assert_eq!(schema, kind_name(kind.unwrap()), "{nsid}");
        assert!(!auth.is_empty(), "{nsid} names no class of credentials");
        count += 1;
    }
    assert!(count > 70, "only {count} rows");
}

#[test]
fn every_published_method_is_answered_or_named_as_somebody_elses() {
    let pds = rochdale_pds::api::table();
    let relay = rochdale_relay::methods();
    let answered: BTreeSet<&str> = pds
        .iter()
        .map(|row| row.nsid)
        .chain(relay.iter().map(|(nsid, _, _)| *nsid))
        .collect();
    let missing: Vec<String> = schemas()
        .into_iter()
        .filter(|(nsid, kind)| kind_name_known(kind) && nsid.starts_with("com.atproto."))
        .map(|(nsid, _)| nsid)
        .filter(|nsid| !answered.contains(nsid.as_str()))
        .filter(|nsid| !ELSEWHERE.iter().any(|(prefix, _)| nsid.starts_with(prefix)))
        .collect();
    assert!(
        missing.is_empty(),
        "neither answered nor named as somebody else's: {missing:?}"
    );
}

fn kind_name_known(kind: &str) -> bool {
    ["query", "procedure", "subscription"].contains(&kind)
}

fn sources(folder: &Path, into: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() {
            if !["target", "node_modules", ".git", "fixtures"].contains(&name.as_str()) {
                sources(&path, into);
            }
        } else if name.ends_with(".rs") {
            into.push(path);
        }
    }
}

#[test]
fn nothing_is_left_unfinished() {
    // Spelt in two halves, so that this file does not find itself.
    let marks = [
        concat!("to", "do!("),
        concat!("unimple", "mented!("),
        concat!("#[ign", "ore"),
        concat!("FIX", "ME"),
        concat!("should_", "panic"),
    ];
    let mut files = Vec::new();
    sources(root(), &mut files);
    assert!(files.len() > 200, "the sources are gone");
    for file in files {
        let text = std::fs::read_to_string(&file).unwrap();
        for mark in marks {
            assert!(!text.contains(mark), "{} has {mark}", file.display());
        }
    }
}

#[test]
fn no_room_is_called_after_what_does_not_fit_elsewhere() {
    let mut files = Vec::new();
    sources(root(), &mut files);
    for file in files {
        let path = file.strip_prefix(root()).unwrap();
        for part in path.components() {
            let name = part.as_os_str().to_string_lossy();
            let name = name.trim_end_matches(".rs");
            let vague = ["utils", "util", "common", "helpers", "helper", "misc"].contains(&name);
            assert!(
                !vague,
                "{} says nothing about what it holds",
                path.display()
            );
        }
    }
}

#[test]
fn every_test_that_the_invariants_name_exists() {
    let text = std::fs::read_to_string(root().join("docs/INVARIANTS.md")).unwrap();
    let mut files = Vec::new();
    sources(root(), &mut files);
    let code: String = files
        .iter()
        .map(|file| std::fs::read_to_string(file).unwrap())
        .collect::<Vec<_>>()
        .join("");
    let named: Vec<&str> = text
        .split('`')
        .skip(1)
        .step_by(2)
        .filter(|name| name.contains('_') && !name.contains(' '))
        .collect();
    assert!(named.len() > 30, "the list has shrunk to {}", named.len());
    for name in named {
        assert!(
            code.contains(&format!("fn {name}(")),
            "no test is called {name}"
        );
    }
}
