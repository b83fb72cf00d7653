//! The callers a handler may name.
//!
//! Every extractor looks the account up (in the cache) and checks its state, so that a token issued
//! before a takedown is good for nothing afterwards. Error names are those of the reference PDS:
//! clients renew their session on status 400 `ExpiredToken`.

use std::sync::Arc;

use axum::extract::{FromRef, FromRequestParts};
use http::header::AUTHORIZATION;
use http::request::Parts;
use rochdale_protocol::syntax::Did;
use rochdale_service::xrpc::XrpcError;

use super::operator::admin;
use super::token::Scope;
use crate::account::{Account, AccountId, AccountStatus};
use crate::app::Pds;

/// Why credentials were refused.
#[derive(Debug, thiserror::Error)]
pub enum AuthError {
    /// No `Authorization` header where one is needed.
    #[error("Authentication Required")]
    Missing,
    /// The header is not a scheme and a token, or of a scheme that is not accepted here.
    #[error("Unexpected authorization type")]
    Scheme,
    /// The token is not good.
    #[error(transparent)]
    Token(#[from] super::token::TokenError),
    /// The session exists but may not do this.
    #[error("Bad token scope")]
    Scope,
    /// The account is gone.
    #[error("Account not found")]
    AccountNotFound,
    /// The account was taken down.
    #[error("Account has been taken down")]
    TakenDown,
    /// The account is not active.
    #[error("Account is deactivated")]
    Deactivated,
    /// Not the operator.
    #[error("Authentication Required")]
    NotAdmin,
    /// A service token that is not good.
    #[error(transparent)]
    Service(#[from] super::service_token::ServiceTokenError),
    /// The store did not answer.
    #[error(transparent)]
    Store(#[from] crate::store::StoreError),
}

/// A signed-in account that is not taken down. It may be deactivated: see
/// [`Member::require_active`].
#[derive(Debug, Clone)]
pub struct Member {
    /// The account's row.
    pub account: Arc<Account>,
    /// What the session allows.
    pub scope: Scope,
}

impl Member {
    /// The caller's identity.
    #[must_use]
    pub fn did(&self) -> &Did {
        &self.account.did
    }

    /// The caller's account number.
    #[must_use]
    pub fn id(&self) -> AccountId {
        self.account.id
    }

    /// Refuses a deactivated account.
    ///
    /// # Errors
    /// [`AuthError::Deactivated`], or [`AuthError::TakenDown`] for a session that may only appeal.
    pub fn require_active(&self) -> Result<(), AuthError> {
        match self.account.status() {
            AccountStatus::Active => Ok(()),
            AccountStatus::Deactivated => Err(AuthError::Deactivated),
            AccountStatus::Suspended | AccountStatus::TakenDown => Err(AuthError::TakenDown),
        }
    }

    /// Refuses every session but one opened with the main password.
    ///
    /// # Errors
    /// [`AuthError::Scope`].
    pub fn require_full(&self) -> Result<(), AuthError> {
        if self.scope == Scope::Full {
            Ok(())
        } else {
            Err(AuthError::Scope)
        }
    }

    /// Whether the session reaches private messages and migration.
    #[must_use]
    pub fn is_privileged(&self) -> bool {
        matches!(
            self.scope,
            Scope::Full | Scope::AppPassword { privileged: true }
        )
    }
}

/// A [`Member`] signed in with the main password.
#[derive(Debug, Clone)]
pub struct FullMember(pub Member);

/// A [`Member`], or a taken-down account that may only appeal and move out.
#[derive(Debug, Clone)]
pub struct AnyMember(pub Member);

/// A [`FullMember`], or a taken-down account that may only appeal and move out.
#[derive(Debug, Clone)]
pub struct FullOrTakenDown(pub Member);

/// Anyone; members and the operator may see more.
#[derive(Debug, Clone)]
pub enum Viewer {
    /// No credentials.
    Nobody,
    /// A signed-in account, in whatever state.
    Member(Member),
    /// The operator.
    Admin,
}

impl Viewer {
    /// Whether the caller may see the repository of `did` although it is not active.
    #[must_use]
    pub fn may_see_inactive(&self, did: &Did) -> bool {
        match self {
            Self::Nobody => false,
            Self::Member(member) => member.did() == did,
            Self::Admin => true,
        }
    }
}

/// The scheme and the rest of the `Authorization` header.
pub(super) fn credentials(parts: &Parts) -> Result<Option<(&str, &str)>, AuthError> {
    let Some(header) = parts.headers.get(AUTHORIZATION) else {
        return Ok(None);
    };
    let text = header.to_str().map_err(|_not_ascii| AuthError::Scheme)?;
    let (scheme, rest) = text.trim().split_once(' ').ok_or(AuthError::Scheme)?;
    let rest = rest.trim();
    if rest.is_empty() || rest.contains(' ') {
        return Err(AuthError::Scheme);
    }
    Ok(Some((scheme, rest)))
}

/// The bearer token of a request.
pub(crate) fn bearer(parts: &Parts) -> Result<&str, AuthError> {
    match credentials(parts)? {
        None => Err(AuthError::Missing),
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => Ok(token),
        Some(_) => Err(AuthError::Scheme),
    }
}

/// The session of an access token, whatever the state of the account.
async fn session(pds: &Pds, token: &str) -> Result<Member, AuthError> {
    let token = pds.tokens.check_access(token, pds.now_ms())?;
    let account = pds.accounts.by_did(&token.subject).await?;
    let account = account.ok_or(AuthError::AccountNotFound)?;
    Ok(Member {
        account,
        scope: token.scope,
    })
}

fn not_taken_down(member: Member) -> Result<Member, AuthError> {
    if member.account.is_taken_down() {
        return Err(AuthError::TakenDown);
    }
    if member.scope == Scope::TakenDown {
        return Err(AuthError::Scope);
    }
    Ok(member)
}

/// A taken-down account comes in only with the session that was opened for it as such.
fn appealing_or_not_taken_down(member: Member) -> Result<Member, AuthError> {
    if member.scope == Scope::TakenDown {
        Ok(member)
    } else {
        not_taken_down(member)
    }
}

async fn member(parts: &Parts, pds: &Pds) -> Result<Member, AuthError> {
    not_taken_down(session(pds, bearer(parts)?).await?)
}

async fn any_member(parts: &Parts, pds: &Pds) -> Result<Member, AuthError> {
    appealing_or_not_taken_down(session(pds, bearer(parts)?).await?)
}

macro_rules! extractor {
    ($name:ty, |$parts:ident, $pds:ident| $body:expr) => {
        impl<S: Send + Sync> FromRequestParts<S> for $name
        where
            Pds: FromRef<S>,
        {
            type Rejection = XrpcError;

            async fn from_request_parts($parts: &mut Parts, state: &S) -> Result<Self, XrpcError> {
                let $pds = Pds::from_ref(state);
                let found: Result<Self, AuthError> = async { $body }.await;
                found.map_err(XrpcError::from)
            }
        }
    };
}

extractor!(Member, |parts, pds| member(parts, &pds).await);

extractor!(FullMember, |parts, pds| {
    let member = member(parts, &pds).await?;
    member.require_full()?;
    Ok(Self(member))
});

extractor!(AnyMember, |parts, pds| Ok(Self(
    any_member(parts, &pds).await?
)));

extractor!(FullOrTakenDown, |parts, pds| {
    let member = any_member(parts, &pds).await?;
    match member.scope {
        Scope::Full | Scope::TakenDown => Ok(Self(member)),
        Scope::AppPassword { .. } => Err(AuthError::Scope),
    }
});

impl<S: Send + Sync> FromRequestParts<S> for Viewer
where
    Pds: FromRef<S>,
{
    type Rejection = XrpcError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, XrpcError> {
        let pds = Pds::from_ref(state);
        let Some((scheme, _)) = credentials(parts)? else {
            return Ok(Self::Nobody);
        };
        if scheme.eq_ignore_ascii_case("basic") {
            // Wrong passwords are counted here as everywhere.
            admin(parts, &pds).await?;
            return Ok(Self::Admin);
        }
        let member = session(&pds, bearer(parts)?).await?;
        Ok(Self::Member(appealing_or_not_taken_down(member)?))
    }
}
