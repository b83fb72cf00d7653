//! What the account store promises, against a real database.

use std::sync::{Arc, Mutex};

use rochdale_protocol::crypto::SigningKey;
use rochdale_protocol::syntax::{Did, Tid};
use rochdale_service::sqlite::{Database, Options};

use super::*;
use crate::account::AccountStatus;
use crate::account::code::email_code_digest;
use crate::keys::Keyring;
use crate::mail::{CodeMail, NewMail};
use crate::repo;
use crate::store::invite::InviteCode;
use crate::store::{MIGRATIONS, Store};

pub(crate) const ADA: &str = "did:plc:ewvi7nxzyoun6zhxrhs64oiz";
const BOB: &str = "did:plc:44ybard66vv44zksje25o7dz";
pub(crate) const NOW_MS: i64 = 1_800_000_000_000;

pub(crate) struct Fixture {
    pub(crate) store: Store,
    frames: Arc<Mutex<usize>>,
    _folder: tempfile::TempDir,
}

impl Fixture {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pds.sqlite");
        let database = Database::open(path, MIGRATIONS, Options::default()).unwrap();
        let frames = Arc::new(Mutex::new(0));
        let counted = Arc::clone(&frames);
        let publish: Publish = Arc::new(move |new| *counted.lock().unwrap() += new.len());
        Self {
            store: Store::sqlite(&database, publish),
            frames,
            _folder: folder,
        }
    }

    fn frames(&self) -> usize {
        *self.frames.lock().unwrap()
    }

    pub(crate) async fn ada(&self) -> AccountId {
        self.store
            .accounts
            .create(new_account(ADA, "ada"))
            .await
            .unwrap()
    }

    async fn row(&self, did: &str) -> Option<Account> {
        self.store
            .accounts
            .find(AccountKey::Did(did.parse().unwrap()))
            .await
            .unwrap()
    }
}

pub(crate) fn new_account(did: &str, name: &str) -> NewAccount {
    let did: Did = did.parse().unwrap();
    let key: SigningKey = Keyring::generate();
    let rev = Tid::next(None, 1_800_000_000_000_000, repo::CLOCK_ID);
    let repo = repo::genesis(&did, &key, rev);
    let handle = format!("{name}.test").parse().unwrap();
    let id = AccountId(0);
    let events = vec![
        EventDraft::identity(id, &did, Some(&handle), 1),
        EventDraft::account(id, &did, AccountStatus::Active, 1),
        EventDraft::commit(id, &repo, &did, 1),
    ];
    let account = Account {
        id,
        did,
        handle: Some(handle),
        email: Some(format!("{name}@coop.example")),
        email_confirmed_at_ms: None,
        email_pending: None,
        email_factor: false,
        password_hash: "hash".to_owned(),
        signing_key: SealedKey::from_stored(vec![1, 2, 3]),
        created_at_ms: NOW_MS,
        deactivated_at_ms: None,
        delete_after_ms: None,
        takedown_ref: None,
        suspended_until_ms: None,
        invite_code: None,
        invites_disabled: false,
    };
    let session = NewSession {
        jti: format!("first-{name}"),
        expires_at_ms: i64::MAX,
        app_password: None,
    };
    NewAccount {
        account,
        repo,
        invite: None,
        promised_under: None,
        session,
        events,
    }
}

fn code(text: &str, at_ms: i64) -> Redeem {
    let purpose = EmailPurpose::ResetPassword;
    Redeem {
        purpose,
        digest: email_code_digest(purpose, text),
        not_before_ms: at_ms,
    }
}

fn new_code(id: AccountId, text: &str) -> NewCode {
    let purpose = EmailPurpose::ResetPassword;
    let mail = CodeMail {
        account: id,
        purpose,
        to: "ada@coop.example",
        code: text,
        handle: "ada.test",
    };
    NewCode {
        purpose,
        digest: email_code_digest(purpose, text),
        made_at_ms: NOW_MS,
        mail: NewMail::with_code(&mail, "host", NOW_MS).unwrap(),
    }
}

#[tokio::test]
async fn an_account_comes_back_as_it_went_in_and_its_events_are_published() {
    let fixture = Fixture::new();
    let id = fixture.ada().await;
    let row = fixture.row(ADA).await.unwrap();
    assert_eq!(row.id, id);
    assert_eq!(row.handle_text(), "ada.test");
    assert_eq!(row.signing_key.as_bytes(), [1, 2, 3]);
    assert_eq!(fixture.frames(), 3);
    for key in [
        AccountKey::Id(id),
        AccountKey::Handle("ada.test".parse().unwrap()),
        AccountKey::Email("ADA@coop.example".to_owned()),
    ] {
        assert!(
            fixture
                .store
                .accounts
                .find(key.clone())
                .await
                .unwrap()
                .is_some(),
            "{key:?}"
        );
    }
}

#[tokio::test]
async fn a_handle_email_or_did_is_given_once_and_the_loser_leaves_nothing() {
    let fixture = Fixture::new();
    fixture.ada().await;
    let same_handle = fixture.store.accounts.create(new_account(BOB, "ada")).await;
    assert!(matches!(same_handle, Err(CreateError::HandleTaken)));
    let mut same_email = new_account(BOB, "bob");
    same_email.account.email = Some("Ada@Coop.Example".to_owned());
    let same_email = fixture.store.accounts.create(same_email).await;
    assert!(matches!(same_email, Err(CreateError::EmailTaken)));
    let same_did = fixture.store.accounts.create(new_account(ADA, "eve")).await;
    assert!(matches!(same_did, Err(CreateError::DidTaken)));
    assert!(fixture.row(BOB).await.is_none());
    assert_eq!(fixture.frames(), 3);
}

#[tokio::test]
async fn ten_people_race_for_one_invite_and_one_handle_and_one_wins() {
    let fixture = Fixture::new();
    let invite = InviteCode {
        code: "one".to_owned(),
        uses_allowed: 1,
        disabled: false,
        for_account: "admin".to_owned(),
        created_by: "admin".to_owned(),
        created_at_ms: NOW_MS,
        uses: Vec::new(),
    };
    fixture.store.invites.add(vec![invite]).await.unwrap();
    let dids = (0..10).map(|n| {
        format!(
            "did:plc:{}",
            "abcdefghij".chars().nth(n).unwrap().to_string().repeat(24)
        )
    });
    let racing = dids.enumerate().map(|(n, did)| {
        let mut new = new_account(&did, &format!("racer{n}"));
        new.invite = Some("one".to_owned());
        fixture.store.accounts.create(new)
    });
    let outcomes = futures::future::join_all(racing).await;
    assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 1);
    let refused = |outcome: &&Result<_, _>| matches!(outcome, Err(CreateError::InviteUnavailable));
    assert_eq!(outcomes.iter().filter(refused).count(), 9);
    assert!(
        !fixture
            .store
            .invites
            .is_available("one".to_owned())
            .await
            .unwrap()
    );
}

#[tokio::test]
async fn a_mailed_code_is_good_once_for_a_while_and_only_the_newest() {
    let fixture = Fixture::new();
    let id = fixture.ada().await;
    let accounts = &fixture.store.accounts;
    let purpose = EmailPurpose::ResetPassword;
    for text in ["OLD", "NEW"] {
        let put = accounts.put_code(id, new_code(id, text), i64::MAX);
        assert!(put.await.unwrap());
    }
    let try_code = |redeem| {
        let change = AccountChange::of(id)
            .set(Set::PasswordHash("changed".to_owned()))
            .revokes_sessions()
            .redeems(redeem);
        accounts.change(change)
    };
    assert!(matches!(
        try_code(code("OLD", NOW_MS)).await,
        Err(ChangeError::CodeInvalid)
    ));
    assert!(matches!(
        try_code(code("NEW", NOW_MS + 1)).await,
        Err(ChangeError::CodeExpired)
    ));
    assert_eq!(fixture.row(ADA).await.unwrap().password_hash, "hash");
    let owner = accounts
        .code_owner(purpose, email_code_digest(purpose, "NEW"))
        .await
        .unwrap();
    assert_eq!(owner, Some(id));
    try_code(code("NEW", NOW_MS)).await.unwrap();
    assert_eq!(fixture.row(ADA).await.unwrap().password_hash, "changed");
    assert!(matches!(
        try_code(code("NEW", NOW_MS)).await,
        Err(ChangeError::CodeInvalid)
    ));
}

#[tokio::test]
async fn a_change_of_email_unconfirms_it_and_a_taken_handle_changes_nothing() {
    let fixture = Fixture::new();
    let id = fixture.ada().await;
    let bob = fixture
        .store
        .accounts
        .create(new_account(BOB, "bob"))
        .await
        .unwrap();
    let accounts = &fixture.store.accounts;
    accounts
        .change(AccountChange::of(id).set(Set::EmailProven("ada@coop.example".to_owned(), 5)))
        .await
        .unwrap();
    assert_eq!(
        fixture.row(ADA).await.unwrap().email_confirmed_at_ms,
        Some(5)
    );
    accounts
        .change(AccountChange::of(id).set(Set::Email("x@y.org".to_owned())))
        .await
        .unwrap();
    assert_eq!(fixture.row(ADA).await.unwrap().email_confirmed_at_ms, None);
    let change = AccountChange::of(bob)
        .set(Set::PasswordHash("half".to_owned()))
        .set(Set::Handle(Some("ada.test".parse().unwrap())));
    assert!(matches!(
        accounts.change(change).await,
        Err(ChangeError::HandleTaken)
    ));
    assert_eq!(fixture.row(BOB).await.unwrap().password_hash, "hash");
}

#[tokio::test]
async fn a_deleted_account_leaves_no_row_and_its_number_is_not_given_again() {
    let fixture = Fixture::new();
    let id = fixture.ada().await;
    let did = ADA.parse().unwrap();
    let event = EventDraft::deleted(id, &did, 2);
    let deleted = fixture.store.accounts.delete(id, None, event.clone()).await;
    assert!(deleted.unwrap() > 0, "the event has a number");
    assert!(fixture.row(ADA).await.is_none());
    let again = fixture.store.accounts.delete(id, None, event).await;
    assert!(matches!(again, Err(ChangeError::Gone)));
    assert!(fixture.ada().await > id);
    assert_eq!(fixture.frames(), 7);
}

#[tokio::test]
async fn abandoned_accounts_are_those_deactivated_past_their_date() {
    let fixture = Fixture::new();
    let mut moved = new_account(ADA, "ada");
    moved.account.deactivated_at_ms = Some(NOW_MS);
    moved.account.delete_after_ms = Some(NOW_MS + 10);
    let id = fixture.store.accounts.create(moved).await.unwrap();
    let due = |now_ms| fixture.store.accounts.abandoned(now_ms);
    assert!(due(NOW_MS + 9).await.unwrap().is_empty());
    assert_eq!(due(NOW_MS + 10).await.unwrap().len(), 1);
    let awake = AccountChange::of(id).set(Set::Deactivated(None));
    fixture.store.accounts.change(awake).await.unwrap();
    assert!(due(NOW_MS + 10).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_reserved_key_stays_the_same_until_the_account_is_made() {
    let fixture = Fixture::new();
    let key = |n: u8| ReservedKey {
        sealed: SealedKey::from_stored(vec![n]),
        public: format!("did:key:{n}"),
    };
    let accounts = &fixture.store.accounts;
    let first = accounts
        .reserve_key(ADA.to_owned(), key(1), NOW_MS)
        .await
        .unwrap();
    let second = accounts
        .reserve_key(ADA.to_owned(), key(2), NOW_MS)
        .await
        .unwrap();
    assert_eq!((first, second), (key(1), key(1)));
    accounts.forget_reserved_keys(NOW_MS).await.unwrap();
    assert_eq!(
        accounts.reserved_key(ADA.to_owned()).await.unwrap(),
        Some(key(1))
    );
    let mut new = new_account(ADA, "ada");
    new.promised_under = Some(ADA.to_owned());
    accounts.create(new).await.unwrap();
    assert_eq!(accounts.reserved_key(ADA.to_owned()).await.unwrap(), None);
}

#[tokio::test]
async fn a_session_is_not_opened_with_a_password_that_was_replaced_meanwhile() {
    let fixture = Fixture::new();
    let id = fixture.ada().await;
    let accounts = &fixture.store.accounts;
    let open = |jti: &str| {
        let session = NewSession {
            jti: jti.to_owned(),
            expires_at_ms: i64::MAX,
            app_password: None,
        };
        let change = AccountChange::of(id).if_password("hash".to_owned());
        accounts.change(change.opens(session))
    };
    open("one").await.unwrap();
    let reset = AccountChange::of(id).set(Set::PasswordHash("new".to_owned()));
    accounts.change(reset.revokes_sessions()).await.unwrap();
    assert!(matches!(
        open("two").await,
        Err(ChangeError::PasswordChanged)
    ));
}
