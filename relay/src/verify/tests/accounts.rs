//! Host authority, `#identity`, `#account`, quotas, takedowns.

use rochdale_protocol::sync::{Event, Frame, IdentityEvent, decode_frame};

use super::*;

fn passed(draft: Result<Draft, DropReason>) -> Event {
    let frame = draft.expect("passes").frame.with_seq(1);
    match decode_frame(&frame).expect("a frame") {
        Frame::Message { event, .. } => event,
        other => panic!("not a message: {other:?}"),
    }
}

fn status_of(event: Event) -> (bool, Option<String>) {
    let Event::Account(event) = event else {
        panic!("an #account: {event:?}")
    };
    (event.active, event.status)
}

// Checklist 8, 9: two hosts for one DID, and a migration from one to the other.
#[tokio::test]
async fn only_the_host_of_the_document_speaks_for_a_did_and_a_migration_is_noticed_once() {
    let mut ada = repo(1);
    let mut world = World::of(&ada).await;
    assert_eq!(
        world
            .away_sends(ada.clone().post(1))
            .await
            .expect_err("drops"),
        DropReason::WrongHost
    );
    assert_eq!(world.refreshes(), 1);
    assert!(world.entry.known.account.is_none(), "no row for a claim");
    world.home_sends(ada.post(1)).await.expect("passes");
    assert_eq!((world.home.accounts(), world.away.accounts()), (1, 0));

    world.identify(ada.key.public(), "away.example.org");
    world
        .away_sends(ada.post(2))
        .await
        .expect("passes after one refresh");
    assert_eq!(world.refreshes(), 2);
    assert_eq!((world.home.accounts(), world.away.accounts()), (0, 1));
    let gone = world
        .home_sends(ada.account(false, Some("deactivated")))
        .await;
    assert_eq!(gone.expect_err("drops"), DropReason::WrongHost);
    world.away_sends(ada.post(3)).await.expect("still active");
}

#[tokio::test]
async fn did_without_identity_or_key_is_dropped_and_not_asked_for_again_at_once() {
    let mut ada = repo(1);
    let mut world = World::of(&ada).await;
    world.identity = IdentityState::Gone {
        until_ms: NOW_US / 1_000 + 120_000,
    };
    for _ in 0..3 {
        assert_eq!(
            world.home_sends(ada.post(1)).await.expect_err("drops"),
            DropReason::NoIdentity
        );
    }
    assert_eq!(world.asked.len(), 1);
    let identity = Arc::new(Identity {
        key: None,
        host: Some(world.home.name.clone()),
        handle: None,
    });
    world.identity = IdentityState::Known {
        identity,
        fetched_ms: 0,
    };
    world.now_us += 121_000_000;
    assert_eq!(
        world.home_sends(ada.post(9)).await.expect_err("drops"),
        DropReason::NoSigningKey
    );
}

// Checklist 18.
#[tokio::test]
async fn known_identity_outlives_a_directory_that_is_down_and_an_unknown_one_is_never_passed() {
    let mut ada = repo(1);
    let mut world = World::of(&ada).await;
    world.home_sends(ada.post(1)).await.expect("passes");
    world.identity = IdentityState::Unreachable { until_ms: u64::MAX };
    world
        .home_sends(ada.post(2))
        .await
        .expect("passes with what is known");
    world
        .home_sends(ada.identity(None))
        .await
        .expect("passes with what is known");
    world
        .home_sends(ada.post(3))
        .await
        .expect("passes with what is known");

    let mut bob = repo(2);
    let mut world = World::of(&bob).await;
    world.identity = IdentityState::Unreachable { until_ms: u64::MAX };
    assert_eq!(
        world.home_sends(bob.post(1)).await.expect_err("drops"),
        DropReason::IdentityUnreachable
    );
}

// Checklist 10.
#[tokio::test]
async fn handle_passes_only_when_the_host_and_the_document_agree() {
    let ada = repo(1);
    let mut world = World::of(&ada).await;
    let handle = |event| match event {
        Event::Identity(IdentityEvent { handle, .. }) => handle.map(|handle| handle.to_string()),
        other => panic!("an #identity: {other:?}"),
    };
    let event = passed(
        world
            .home_sends(ada.identity(Some("ada.example.org")))
            .await,
    );
    assert_eq!(handle(event).as_deref(), Some("ada.example.org"));
    let event = passed(
        world
            .home_sends(ada.identity(Some("other.example.org")))
            .await,
    );
    assert_eq!(handle(event), None);
    world.now_us += 120_000_000;
    let foreign = world
        .away_sends(ada.identity(Some("ada.example.org")))
        .await;
    assert_eq!(foreign.expect_err("drops"), DropReason::Unchanged);
    world.identify(repo(2).key.public(), "home.example.org");
    let event = passed(
        world
            .away_sends(ada.identity(Some("evil.example.org")))
            .await,
    );
    assert_eq!(
        handle(event),
        None,
        "a hint that was right passes without its handle"
    );
}

#[tokio::test]
async fn repeated_identity_events_are_one() {
    let ada = repo(1);
    let mut world = World::of(&ada).await;
    world.home_sends(ada.identity(None)).await.expect("passes");
    assert_eq!(
        world
            .home_sends(ada.identity(None))
            .await
            .expect_err("drops"),
        DropReason::TooMany
    );
    world.now_us += 1_000_000;
    world.home_sends(ada.identity(None)).await.expect("passes");
}

// Checklist 40.
#[tokio::test]
async fn status_words_pass_as_they_are() {
    let ada = repo(1);
    let mut world = World::of(&ada).await;
    for (active, status) in [
        (true, None),
        (true, Some("throttled")),
        (true, Some("desynchronized")),
        (false, Some("deactivated")),
        (false, Some("something-new")),
        (false, None),
        (true, None),
    ] {
        let out = passed(world.home_sends(ada.account(active, status)).await);
        assert_eq!(status_of(out), (active, status.map(str::to_owned)));
    }
    let mut ada = ada;
    world
        .home_sends(ada.account(true, Some("throttled")))
        .await
        .expect("passes");
    world
        .home_sends(ada.post(1))
        .await
        .expect("active is active, whatever the remark");
}

#[tokio::test]
async fn commit_of_an_inactive_account_asks_its_host_once_a_minute() {
    let mut ada = repo(1);
    let mut world = World::of(&ada).await;
    world
        .home_sends(ada.account(false, Some("deactivated")))
        .await
        .expect("passes");
    for _ in 0..3 {
        assert_eq!(
            world.home_sends(ada.post(1)).await.expect_err("drops"),
            DropReason::Inactive
        );
        ada = repo(1);
    }
    assert_eq!(
        world
            .asked
            .iter()
            .filter(|question| **question == Question::Status)
            .count(),
        1
    );
    world.status = Some(Upstream::ACTIVE);
    world.now_us += 60_000_000;
    world
        .home_sends(ada.post(1))
        .await
        .expect("the host says it is active");
}

// Checklist 37: the rules of a takedown; the backlog is tested with the log, the whole path with the relay.
#[tokio::test]
async fn takedown_holds_whatever_the_host_says_and_reversing_it_shows_the_hosts_word() {
    let mut ada = repo(1);
    let mut world = World::of(&ada).await;
    world.home_sends(ada.post(1)).await.expect("passes");
    world.entry.known.taken_down = true;
    assert_eq!(
        world.home_sends(ada.post(2)).await.expect_err("drops"),
        DropReason::TakenDown
    );
    assert_eq!(
        world
            .home_sends(ada.account(true, None))
            .await
            .expect_err("drops"),
        DropReason::Repeated
    );
    assert_eq!(
        world
            .home_sends(ada.identity(None))
            .await
            .expect_err("drops"),
        DropReason::TakenDown
    );
    let said = world
        .home_sends(ada.account(false, Some("deactivated")))
        .await;
    assert_eq!(said.expect_err("drops"), DropReason::Repeated);
    let account = world.entry.known.account.clone().expect("an account");
    assert_eq!(account.shown(true).status.as_deref(), Some("takendown"));
    assert_eq!(account.shown(false).status.as_deref(), Some("deactivated"));
}

// Checklist 38, 39: quota, and what deletion gives back.
#[tokio::test]
async fn account_above_the_quota_is_throttled_and_deletion_frees_a_place() {
    let mut accounts: Vec<Repo> = (1..=4).map(repo).collect();
    let mut world = World::of(&accounts[0]).await;
    let mut entries = Vec::new();
    for (number, account) in accounts.iter_mut().enumerate() {
        world.entry = Entry {
            loaded: true,
            ..Entry::default()
        };
        world.identify(account.key.public(), "home.example.org");
        let sent = world.home_sends(account.post(1)).await;
        assert_eq!(sent.is_ok(), number < 2, "account {number}");
        entries.push(std::mem::take(&mut world.entry));
    }
    let throttled = entries[2].known.account.clone().expect("a row");
    let shown = throttled.shown(false);
    assert_eq!(
        (shown.active, shown.status.as_deref()),
        (false, Some("throttled"))
    );
    assert_eq!(world.home.accounts(), 4);

    world.entry = entries.remove(0);
    world.identify(accounts[0].key.public(), "home.example.org");
    world
        .home_sends(accounts[0].account(false, Some("deleted")))
        .await
        .expect("passes");
    assert_eq!(world.home.accounts(), 3);
    world
        .home_sends(accounts[0].account(false, Some("deleted")))
        .await
        .expect("passes");
    assert_eq!(world.home.accounts(), 3, "counted once");
    world
        .home_sends(accounts[0].account(true, None))
        .await
        .expect("passes");
    assert_eq!(world.home.accounts(), 4);
}

#[tokio::test]
async fn host_may_delete_an_account_whose_identity_is_gone() {
    let mut ada = repo(1);
    let mut world = World::of(&ada).await;
    world.home_sends(ada.post(1)).await.expect("passes");
    world.entry.identity = IdentityState::Gone { until_ms: u64::MAX };
    assert_eq!(
        world
            .away_sends(ada.account(false, Some("deleted")))
            .await
            .expect_err("drops"),
        DropReason::NoIdentity
    );
    let out = passed(world.home_sends(ada.account(false, Some("deleted"))).await);
    assert_eq!(status_of(out), (false, Some("deleted".to_owned())));
    assert_eq!(
        world.home_sends(ada.post(2)).await.expect_err("drops"),
        DropReason::NoIdentity
    );
}

#[tokio::test]
async fn events_after_a_missed_one_wait_until_it_has_come_again() {
    let mut ada = repo(1);
    let mut world = World::of(&ada).await;
    let (home, away) = (Arc::clone(&world.home), Arc::clone(&world.away));
    let (did, template) = (ada.did.clone(), ada.post(1).template());
    let first = world.pending(&home, Kind::Commit, &did, &template).await;
    let later = world.pending(&home, Kind::Commit, &did, &template).await;
    let elsewhere = world.pending(&away, Kind::Commit, &did, &template).await;
    let now_ms = 1_000;
    let entry = &mut world.entry;
    assert!(!entry.is_past_missed(&first.event, now_ms));
    entry.note_missed(&first.event, now_ms);
    assert!(entry.is_past_missed(&later.event, now_ms));
    entry.note_missed(&later.event, now_ms);
    assert!(
        !entry.is_past_missed(&elsewhere.event, now_ms),
        "another host's"
    );
    assert!(
        entry.is_past_missed(&later.event, now_ms),
        "the first one counts"
    );
    assert!(!entry.is_past_missed(&first.event, now_ms));
    assert!(
        !entry.is_past_missed(&later.event, now_ms),
        "it has come again"
    );
    entry.note_missed(&first.event, now_ms);
    assert!(
        !entry.is_past_missed(&later.event, now_ms + 60_001),
        "it never will"
    );
}
