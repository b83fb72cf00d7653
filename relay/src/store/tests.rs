//! What is stored comes back, and nothing is touched that was not meant.

use std::sync::Arc;

use rochdale_protocol::data::Cid;
use rochdale_protocol::syntax::{Did, Tid};
use tempfile::TempDir;

use super::*;
use crate::hosts::{HostId, HostName, HostStatus, NameRules};
use crate::verify::{Account, AccountId, Change, FetchedIdentity, Identity, RepoState, Upstream};

fn open() -> (TempDir, Store) {
    let folder = TempDir::new().expect("folder");
    let store = Store::open(&folder.path().join("relay.sqlite")).expect("opens");
    (folder, store)
}

fn host(name: &str) -> HostName {
    HostName::parse(name, NameRules::default()).expect("a name")
}

fn did(number: i64) -> Did {
    format!("did:web:a{number}.example.org")
        .parse()
        .expect("a DID")
}

fn repo(number: u64) -> RepoState {
    RepoState {
        rev: Tid::new(1_700_000_000_000_000 + number, 1).expect("a TID"),
        commit: Cid::dag_cbor(&number.to_le_bytes()),
        data: Cid::dag_cbor(&[7]),
    }
}

fn change(number: i64, repo: Option<RepoState>) -> Change {
    let account = Account {
        id: AccountId(number),
        host: HostId(1),
        upstream: Upstream::ACTIVE,
        throttled: false,
    };
    Change {
        did: did(number),
        account,
        repo,
        account_changed: true,
        repo_changed: repo.is_some(),
        identity: None,
        identity_changed: false,
    }
}

async fn apply(store: &Store, batch: StateBatch) {
    store.apply(&Arc::new(batch), 0).await.expect("stored");
}

// Relay checklist 48: a cursor that is saved late, or a connection that ends late, does not lift a ban.
#[tokio::test]
async fn ban_outlives_late_cursors_and_late_connections() {
    let (_folder, store) = open();
    let id = store
        .add_host(host("pds.coop.org"), None, 100, 0)
        .await
        .expect("added");
    store
        .decide_host_status(id, HostStatus::Banned)
        .await
        .expect("banned");
    store
        .save_cursors(vec![(id, Some(9))])
        .await
        .expect("saved");
    store
        .set_host_status(id, HostStatus::Active)
        .await
        .expect("noted");
    let hosts = store.hosts().await.expect("hosts");
    assert_eq!(
        (hosts[0].status, hosts[0].cursor),
        (HostStatus::Banned, Some(9))
    );
    store
        .decide_host_status(id, HostStatus::Active)
        .await
        .expect("lifted");
    assert_eq!(
        store.hosts().await.expect("hosts")[0].status,
        HostStatus::Active
    );
}

#[tokio::test]
async fn host_added_twice_is_one_and_keeps_its_cursor() {
    let (_folder, store) = open();
    let first = store
        .add_host(host("pds.coop.org"), Some(0), 100, 0)
        .await
        .expect("added");
    store
        .save_cursors(vec![(first, Some(5))])
        .await
        .expect("saved");
    let again = store
        .add_host(host("pds.coop.org"), None, 7, 0)
        .await
        .expect("added");
    assert_eq!(first, again);
    let hosts = store.hosts().await.expect("hosts");
    assert_eq!(
        (hosts.len(), hosts[0].cursor, hosts[0].account_limit),
        (1, Some(5), 100)
    );
}

#[tokio::test]
async fn last_change_of_an_account_in_a_batch_is_stored_and_none_of_it_is_forgotten() {
    let (_folder, store) = open();
    store
        .add_host(host("pds.coop.org"), None, 100, 0)
        .await
        .expect("added");
    let mut batch = StateBatch::default();
    batch.change(change(1, Some(repo(1))), Some(10));
    batch.change(
        Change {
            account_changed: false,
            ..change(1, Some(repo(2)))
        },
        Some(11),
    );
    let mut inactive = Change {
        repo_changed: false,
        identity: None,
        identity_changed: false,
        ..change(1, Some(repo(2)))
    };
    inactive.account.upstream = Upstream {
        active: false,
        status: Some("deactivated".to_owned()),
    };
    batch.change(inactive.clone(), Some(12));
    batch.reserve(1_000);
    apply(&store, batch).await;
    let known = store.account(&did(1)).expect("read");
    assert_eq!(
        (known.account, known.repo),
        (Some(inactive.account), Some(repo(2)))
    );
    let progress = store.progress().await.expect("progress");
    assert_eq!(
        progress,
        Progress {
            applied_seq: 12,
            reserved_seq: 1_000
        }
    );
    assert_eq!(
        store.account(&did(2)).expect("read"),
        crate::verify::Known::default()
    );
    assert_eq!(store.last_account().await.expect("a number"), 1);
}

#[tokio::test]
async fn listing_leaves_out_what_is_deleted_or_has_no_repository() {
    let (_folder, store) = open();
    store
        .add_host(host("pds.coop.org"), None, 100, 0)
        .await
        .expect("added");
    let mut batch = StateBatch::default();
    batch.change(change(1, Some(repo(1))), None);
    batch.change(change(2, None), None);
    let mut deleted = change(3, Some(repo(3)));
    deleted.account.upstream = Upstream {
        active: false,
        status: Some("deleted".to_owned()),
    };
    batch.change(deleted, Some(77));
    batch.change(change(4, Some(repo(4))), None);
    apply(&store, batch).await;
    store.take_down(&did(4), 0).await.expect("taken down");
    let listings = store.accounts(0, 10).await.expect("listed");
    let seen: Vec<_> = listings
        .iter()
        .map(|listing| (listing.account.id.0, listing.taken_down))
        .collect();
    assert_eq!(seen, [(1, false), (4, true)]);
    assert_eq!(store.accounts(1, 10).await.expect("listed").len(), 1);
    assert_eq!(
        store.hosts().await.expect("hosts")[0].accounts,
        3,
        "deleted accounts do not count"
    );
    assert_eq!(
        store.deleted_since(77).await.expect("deleted"),
        [(did(3).to_string(), 77)]
    );
    assert_eq!(store.deleted_since(78).await.expect("deleted"), []);
}

#[tokio::test]
async fn takedowns_are_listed_in_order_and_know_whether_they_were_announced() {
    let (_folder, store) = open();
    for number in 1..=3 {
        store.take_down(&did(number), 0).await.expect("taken down");
        store
            .take_down(&did(number), 0)
            .await
            .expect("again is the same");
    }
    let mut batch = StateBatch::default();
    batch.announced(did(2));
    apply(&store, batch).await;
    let first = store.takedowns(0, 2).await.expect("a page");
    let rest = store.takedowns(first[1].id, 2).await.expect("a page");
    let seen: Vec<_> = first
        .iter()
        .chain(&rest)
        .map(|takedown| (takedown.did.clone(), takedown.announced))
        .collect();
    assert_eq!(seen, [(did(1), false), (did(2), true), (did(3), false)]);
    assert!(store.reverse_takedown(&did(2)).await.expect("reversed"));
    assert!(!store.reverse_takedown(&did(2)).await.expect("reversed"));
    assert!(store.account(&did(1)).expect("read").taken_down);
}

#[tokio::test]
async fn throttled_accounts_are_found_oldest_first() {
    let (_folder, store) = open();
    store
        .add_host(host("pds.coop.org"), None, 100, 0)
        .await
        .expect("added");
    let mut batch = StateBatch::default();
    for number in 1..=4 {
        let mut change = change(number, None);
        change.account.throttled = number % 2 == 0;
        batch.change(change, None);
    }
    apply(&store, batch).await;
    assert_eq!(
        store.throttled_accounts(HostId(1), 1).await.expect("found"),
        [did(2)]
    );
    assert_eq!(
        store.throttled_accounts(HostId(1), 9).await.expect("found"),
        [did(2), did(4)]
    );
    assert!(
        store
            .throttled_accounts(HostId(2), 9)
            .await
            .expect("found")
            .is_empty()
    );
}

#[tokio::test]
async fn identity_is_stored_as_found_and_forgotten_when_it_is_gone() {
    let (_folder, store) = open();
    store
        .add_host(host("pds.example.org"), None, 100, 0)
        .await
        .expect("stored");
    let secret = rochdale_protocol::crypto::SigningKey::from_bytes(
        rochdale_protocol::crypto::Curve::P256,
        &[7; 32],
    );
    let whole = Identity {
        key: Some(secret.expect("a key").public().clone()),
        host: Some(host("pds.example.org")),
        handle: Some("ada.example.org".parse().expect("a handle")),
    };
    let empty = Identity {
        key: None,
        host: None,
        handle: None,
    };
    for (identity, fetched_ms) in [(Some(whole), 7), (Some(empty), 8), (None, 0)] {
        let found = identity.map(|identity| FetchedIdentity {
            identity: Arc::new(identity),
            fetched_ms,
        });
        let mut batch = StateBatch::default();
        batch.change(
            Change {
                identity: found.clone(),
                identity_changed: true,
                ..change(1, None)
            },
            None,
        );
        // A later change in the same batch that leaves the identity alone does not lose it.
        batch.change(
            Change {
                identity: found.clone(),
                ..change(1, Some(repo(1)))
            },
            None,
        );
        apply(&store, batch).await;
        assert_eq!(store.identity(AccountId(1)).expect("read"), found);
    }
}
