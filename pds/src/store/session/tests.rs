//! What the session store promises, against a real database.

use super::*;
use crate::store::account::AccountChange;
use crate::store::account::tests::{Fixture, NOW_MS};

const GRACE_MS: i64 = 7_200_000;

fn rotation(account: AccountId, jti: &str, offered: &str, now_ms: i64) -> Rotation {
    Rotation {
        account,
        jti: jti.to_owned(),
        offered_jti: offered.to_owned(),
        now_ms,
        grace_until_ms: now_ms + GRACE_MS,
        next_expires_at_ms: now_ms + 1_000_000_000,
    }
}

#[tokio::test]
async fn uses_within_the_grace_all_lead_to_one_next_token_and_later_ones_are_refused() {
    let fixture = Fixture::new();
    let id = fixture.ada().await;
    let sessions = &fixture.store.sessions;
    let racing =
        (0..8).map(|n| sessions.rotate(rotation(id, "first-ada", &format!("n{n}"), NOW_MS)));
    let outcomes = futures::future::join_all(racing).await;
    let next: Vec<String> = outcomes
        .into_iter()
        .map(|outcome| outcome.unwrap().jti)
        .collect();
    assert!(next.iter().all(|jti| *jti == next[0]), "{next:?}");
    let late = sessions
        .rotate(rotation(id, "first-ada", "x", NOW_MS + GRACE_MS))
        .await;
    assert!(matches!(late, Err(RotateError::Revoked)));
    sessions
        .rotate(rotation(id, &next[0], "y", NOW_MS + GRACE_MS))
        .await
        .unwrap();
}

#[tokio::test]
async fn a_signed_out_token_does_not_come_back_through_the_one_before_it() {
    let fixture = Fixture::new();
    let id = fixture.ada().await;
    let sessions = &fixture.store.sessions;
    let next = sessions
        .rotate(rotation(id, "first-ada", "second", NOW_MS))
        .await
        .unwrap();
    sessions.close(next.jti).await.unwrap();
    for jti in ["first-ada", "second"] {
        let refused = sessions.rotate(rotation(id, jti, "third", NOW_MS)).await;
        assert!(matches!(refused, Err(RotateError::Revoked)), "{jti}");
    }
    sessions.close("never was".to_owned()).await.unwrap();
}

#[tokio::test]
async fn a_token_of_another_account_is_refused() {
    let fixture = Fixture::new();
    let id = fixture.ada().await;
    let stranger = AccountId(id.0 + 1);
    let refused = fixture
        .store
        .sessions
        .rotate(rotation(stranger, "first-ada", "x", NOW_MS))
        .await;
    assert!(matches!(refused, Err(RotateError::Revoked)));
}

#[tokio::test]
async fn an_app_password_keeps_its_kind_through_renewal_and_its_sessions_end_with_it() {
    let fixture = Fixture::new();
    let id = fixture.ada().await;
    let sessions = &fixture.store.sessions;
    let new = AppPassword {
        name: "phone".to_owned(),
        privileged: true,
        created_at_ms: NOW_MS,
    };
    sessions
        .add_app_password(id, new.clone(), [1; 32], 2)
        .await
        .unwrap();
    let twice = sessions.add_app_password(id, new.clone(), [2; 32], 2).await;
    assert!(matches!(twice, Err(AppPasswordError::NameTaken(_))));
    let other = AppPassword {
        name: "tablet".to_owned(),
        ..new.clone()
    };
    sessions
        .add_app_password(id, other.clone(), [3; 32], 2)
        .await
        .unwrap();
    let third = AppPassword {
        name: "tv".to_owned(),
        ..new.clone()
    };
    let third = sessions.add_app_password(id, third, [4; 32], 2).await;
    assert!(matches!(third, Err(AppPasswordError::TooMany(2))));
    assert_eq!(
        sessions.app_password(id, [1; 32]).await.unwrap(),
        Some(new.clone())
    );
    assert_eq!(sessions.app_passwords(id).await.unwrap().len(), 2);

    let session = NewSession {
        jti: "with-app".to_owned(),
        expires_at_ms: NOW_MS + 1000,
        app_password: Some("phone".to_owned()),
    };
    let open = AccountChange::of(id).opens(session);
    fixture.store.accounts.change(open).await.unwrap();
    let rotated = sessions
        .rotate(rotation(id, "with-app", "next", NOW_MS))
        .await
        .unwrap();
    assert_eq!(rotated.app_password, Some(("phone".to_owned(), true)));
    sessions
        .revoke_app_password(id, "phone".to_owned())
        .await
        .unwrap();
    let refused = sessions.rotate(rotation(id, "next", "n2", NOW_MS)).await;
    assert!(matches!(refused, Err(RotateError::Revoked)));
    assert_eq!(sessions.app_password(id, [1; 32]).await.unwrap(), None);
    sessions
        .rotate(rotation(id, "first-ada", "n3", NOW_MS))
        .await
        .unwrap();
}

#[tokio::test]
async fn pruning_removes_expired_tokens_and_no_others() {
    let fixture = Fixture::new();
    let id = fixture.ada().await;
    let sessions = &fixture.store.sessions;
    let session = NewSession {
        jti: "short".to_owned(),
        expires_at_ms: NOW_MS,
        app_password: None,
    };
    let open = AccountChange::of(id).opens(session);
    fixture.store.accounts.change(open).await.unwrap();
    assert_eq!(sessions.prune(NOW_MS - 1).await.unwrap(), 0);
    assert_eq!(sessions.prune(NOW_MS).await.unwrap(), 1);
    assert_eq!(sessions.prune(NOW_MS).await.unwrap(), 0);
    sessions
        .rotate(rotation(id, "first-ada", "n", NOW_MS))
        .await
        .unwrap();
}
