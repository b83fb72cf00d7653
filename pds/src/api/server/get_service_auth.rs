//! `com.atproto.server.getServiceAuth`: a token by which the member calls another service itself.

use axum::extract::State;
use rochdale_protocol::syntax::{Did, Nsid};
use rochdale_protocol::xrpc::names;
use rochdale_service::xrpc::{Output, Query, XrpcError};
use serde::{Deserialize, Serialize};

use crate::api::error::{bad, invalid};
use crate::app::Pds;
use crate::auth::AnyMember;
use crate::auth::token::Scope;
use crate::proxy::{is_privileged, is_protected, mint};

pub(super) const NSID: &str = "com.atproto.server.getServiceAuth";

/// The one method that a taken-down account may still have itself vouched for: moving out.
const MOVE_OUT: &str = "com.atproto.server.createAccount";
const DEFAULT_SECONDS: i64 = 60;
const SECONDS_MAX_WITH_METHOD: i64 = 60 * 60;

#[derive(Deserialize)]
pub(super) struct Params {
    aud: String,
    exp: Option<i64>,
    lxm: Option<Nsid>,
}

#[derive(Serialize)]
pub(super) struct Token {
    token: String,
}

pub(super) async fn handle(
    State(pds): State<Pds>,
    Query(params): Query<Params>,
    AnyMember(caller): AnyMember,
) -> Result<Output<Token>, XrpcError> {
    if !is_audience(&params.aud) {
        return Err(invalid("aud must be a DID, or a DID with #service"));
    }
    let now = pds.now_ms() / 1000;
    let exp = check_expiry(params.exp, params.lxm.is_some(), now)?;
    let lxm = params.lxm.as_ref().map(|nsid| nsid.as_str());
    if caller.scope == Scope::TakenDown && lxm != Some(MOVE_OUT) {
        return Err(bad(names::INVALID_TOKEN, "Bad token scope"));
    }
    if let Some(lxm) = lxm {
        if is_protected(lxm) {
            let message = format!(
                "cannot request a service auth token for the following protected method: {lxm}"
            );
            return Err(invalid(message));
        }
        let vouched = caller.is_privileged() || (caller.account.is_taken_down() && lxm == MOVE_OUT);
        if is_privileged(lxm) && !vouched {
            let message = format!(
                "insufficient access to request a service auth token for the following method: {lxm}"
            );
            return Err(invalid(message));
        }
    }
    let key = pds.keys.signing_key(&caller.account)?;
    let token = mint(&key, caller.did(), &params.aud, lxm, now, exp);
    Ok(Output(Token { token }))
}

fn is_audience(aud: &str) -> bool {
    let (did, service) = match aud.split_once('#') {
        Some((did, service)) => (did, Some(service)),
        None => (aud, None),
    };
    let known = did
        .parse::<Did>()
        .is_ok_and(|did| did.is_plc() || did.is_web());
    let named = service.is_none_or(|service| {
        !service.is_empty() && !service.contains(|c: char| c == '#' || c.is_whitespace())
    });
    known && named && aud.len() <= 2048
}

fn check_expiry(exp: Option<i64>, has_method: bool, now: i64) -> Result<i64, XrpcError> {
    let Some(exp) = exp else {
        return Ok(now + DEFAULT_SECONDS);
    };
    let refuse = |message| Err(bad(names::BAD_EXPIRATION, message));
    if exp < now {
        return refuse("expiration is in past");
    }
    if exp - now > SECONDS_MAX_WITH_METHOD {
        return refuse("cannot request a token with an expiration more than an hour in the future");
    }
    if !has_method && exp - now > DEFAULT_SECONDS {
        return refuse(
            "cannot request a method-less token with an expiration more than a minute in the future",
        );
    }
    Ok(exp)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn audiences_are_dids_with_or_without_a_service() {
        for good in [
            "did:web:example.com",
            "did:web:localhost%3A2583#bsky_appview",
            "did:plc:ewvi7nxzyoun6zhxrhs64oiz",
        ] {
            assert!(is_audience(good), "{good}");
        }
        for bad in [
            "",
            "example.com",
            "did:web:example.com#",
            "did:web:example.com#a#b",
            "did:key:zabc",
            "did:web:example.com#a b",
        ] {
            assert!(!is_audience(bad), "{bad}");
        }
    }

    #[test]
    fn tokens_live_a_minute_or_an_hour_with_a_method() {
        assert_eq!(check_expiry(None, false, 100).unwrap(), 160);
        assert_eq!(check_expiry(Some(160), false, 100).unwrap(), 160);
        assert!(check_expiry(Some(161), false, 100).is_err());
        assert_eq!(check_expiry(Some(3700), true, 100).unwrap(), 3700);
        assert!(check_expiry(Some(3701), true, 100).is_err());
        assert!(check_expiry(Some(99), true, 100).is_err());
        assert!(check_expiry(Some(i64::MAX), true, 100).is_err());
        assert!(check_expiry(Some(i64::MIN), true, 100).is_err());
    }
}
