//! Inter-service tokens: a short-lived JWT by which an account, through its repository signing key,
//! calls one method of another service (atproto XRPC spec, "Inter-Service Authentication").
//!
//! Parsing, claims and signature are separate steps because the key is known only after the issuer
//! was resolved. Replay protection (`jti`) belongs to the receiving service.

#[cfg(test)]
mod tests;

use super::names;
use crate::crypto::{Curve, PublicKey, Signature, SigningKey};
use crate::syntax::Did;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL};
use serde::{Deserialize, Serialize};

/// No honest token is longer; bounds the work a stranger can cause.
pub const TOKEN_LIMIT_BYTES: usize = 8 * 1024;

/// Token types that are valid elsewhere and must never pass as service authentication.
const FOREIGN_TYPES: [&str; 4] = [
    "at+jwt",
    "refresh+jwt",
    "dpop+jwt",
    "atproto-client-attestation+jwt",
];

/// What a service-auth token says. Times are Unix seconds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claims {
    /// When the token was made; older implementations leave it out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub iat: Option<i64>,
    /// The DID of the account that calls, or `did#service` of a service that calls for itself.
    pub iss: String,
    /// The service that is called: `did#service`, or a bare DID in the older form.
    pub aud: String,
    /// When the token ends.
    pub exp: i64,
    /// The method that may be called; without it the token is good for any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lxm: Option<String>,
    /// A value that is used once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jti: Option<String>,
}

#[derive(Serialize, Deserialize)]
struct Header {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    typ: Option<String>,
    alg: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    kid: Option<String>,
}

/// Why a token was refused. Every variant is answered with status 401.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ServiceAuthError {
    /// Not three base64url parts of JSON and a 64-byte signature.
    #[error("service token is malformed: {0}")]
    Malformed(&'static str),
    /// `typ` names a token that is meant for something else.
    #[error("token type {0:?} is not accepted for service authentication")]
    WrongType(String),
    /// `iss` is not a DID, with or without the name of one of its services.
    #[error("token issuer {0:?} is not a DID")]
    Issuer(String),
    /// `kid` names a key that is not accepted here.
    #[error("token is signed with key {0:?}, only \"#atproto\" is accepted")]
    KeyId(String),
    /// `exp` has passed.
    #[error("token expired at {exp}, it is now {now} (Unix seconds)")]
    Expired {
        /// End of the token.
        exp: i64,
        /// The time at the receiver.
        now: i64,
    },
    /// `exp` or `iat` lie too far from now.
    #[error("token times are out of range: {0}")]
    Times(&'static str),
    /// `aud` names another service.
    #[error("token audience {0:?} is not this service")]
    Audience(String),
    /// `lxm` names another method, or none where one is needed.
    #[error("token is for method {found:?}, not {wanted:?}")]
    Method {
        /// The token's `lxm`.
        found: Option<String>,
        /// The method that was called.
        wanted: String,
    },
    /// The signature does not verify under the issuer's key, or `alg` does not fit that key.
    #[error("token signature does not verify under the issuer's signing key")]
    Signature,
}

impl ServiceAuthError {
    /// The XRPC error name of this refusal.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Malformed(_) | Self::Times(_) | Self::KeyId(_) => names::BAD_JWT,
            Self::WrongType(_) => names::BAD_JWT_TYPE,
            Self::Issuer(_) => names::BAD_JWT_ISS,
            Self::Expired { .. } => names::JWT_EXPIRED,
            Self::Audience(_) => names::BAD_JWT_AUDIENCE,
            Self::Method { .. } => names::BAD_JWT_LEXICON_METHOD,
            Self::Signature => names::BAD_JWT_SIGNATURE,
        }
    }
}

/// Signs a token.
#[must_use]
pub fn mint(key: &SigningKey, claims: &Claims) -> String {
    let header = Header {
        typ: Some("JWT".into()),
        alg: key.curve().jwt_algorithm().into(),
        kid: None,
    };
    let mut token = encode_json(&header);
    token.push('.');
    token.push_str(&encode_json(claims));
    let signature = key.sign(token.as_bytes());
    token.push('.');
    token.push_str(&BASE64URL.encode(signature.as_bytes()));
    token
}

fn encode_json(value: &impl Serialize) -> String {
    #[expect(
        clippy::expect_used,
        reason = "structs of strings and integers always serialise"
    )]
    let json = serde_json::to_vec(value).expect("plain struct");
    BASE64URL.encode(json)
}

/// A token whose signature has not been checked yet.
#[derive(Clone, Debug)]
pub struct Unverified {
    claims: Claims,
    issuer: Did,
    service: Option<String>,
    algorithm: String,
    signed: String,
    signature: Signature,
}

/// What the receiver accepts.
#[derive(Clone, Copy, Debug)]
pub struct Expected<'a> {
    /// Accepted values of `aud`, compared exactly.
    pub audiences: &'a [&'a str],
    /// The method that was called; `None` when no single method is meant.
    pub method: Option<&'a str>,
    /// Refuse a token without `lxm`.
    pub method_required: bool,
    /// The receiver's clock, Unix seconds.
    pub now: i64,
}

/// How far `iat` may lie in the future, seconds.
const CLOCK_SKEW_SECONDS: i64 = 300;
/// Longest life of a token bound to a method, seconds.
const LIFE_WITH_METHOD_SECONDS: i64 = 3600;
/// Longest life of a token for any method, seconds.
const LIFE_WITHOUT_METHOD_SECONDS: i64 = 60;

/// Splits and decodes an account's token; checks its type, issuer and key id, not its times or its
/// signature.
///
/// # Errors
/// What is malformed, or that a service calls and not an account.
pub fn parse(token: &str) -> Result<Unverified, ServiceAuthError> {
    let unverified = parse_of_any_issuer(token)?;
    match unverified.service {
        None => Ok(unverified),
        Some(_) => Err(ServiceAuthError::Issuer(unverified.claims.iss)),
    }
}

/// As [`parse`], also for a token whose issuer is a service of a DID, such as a labeler.
///
/// # Errors
/// What is malformed.
pub fn parse_of_any_issuer(token: &str) -> Result<Unverified, ServiceAuthError> {
    use ServiceAuthError::Malformed;
    if token.len() > TOKEN_LIMIT_BYTES {
        return Err(Malformed("it is longer than 8 KiB"));
    }
    let (signed, signature) = token
        .rsplit_once('.')
        .ok_or(Malformed("it does not have three parts"))?;
    let (header, claims) = signed
        .split_once('.')
        .ok_or(Malformed("it does not have three parts"))?;
    if claims.contains('.') {
        return Err(Malformed("it does not have three parts"));
    }
    let decode = |part: &str| {
        BASE64URL
            .decode(part)
            .map_err(|_| Malformed("a part is not unpadded base64url"))
    };
    let header: Header = serde_json::from_slice(&decode(header)?)
        .map_err(|_| Malformed("the header is not a JSON object with alg"))?;
    if let Some(typ) = header.typ.as_deref() {
        let typ = typ.to_ascii_lowercase();
        if FOREIGN_TYPES.contains(&typ.as_str()) || typ.starts_with("atproto-space-") {
            return Err(ServiceAuthError::WrongType(typ));
        }
    }
    if let Some(kid) = header.kid.filter(|kid| kid != "#atproto") {
        return Err(ServiceAuthError::KeyId(kid));
    }
    let claims: Claims = serde_json::from_slice(&decode(claims)?)
        .map_err(|_| Malformed("the claims are not a JSON object with iss, aud and exp"))?;
    let (did, service) = match claims.iss.split_once('#') {
        Some((did, service)) if !service.is_empty() => (did, Some(service.to_owned())),
        _ => (claims.iss.as_str(), None),
    };
    let Ok(issuer) = did.parse() else {
        return Err(ServiceAuthError::Issuer(claims.iss));
    };
    let signature = Signature::from_bytes(&decode(signature)?)
        .map_err(|_| Malformed("the signature is not 64 bytes"))?;
    Ok(Unverified {
        claims,
        issuer,
        service,
        algorithm: header.alg,
        signed: signed.to_owned(),
        signature,
    })
}

impl Unverified {
    /// The claims, not yet backed by a signature.
    #[must_use]
    pub const fn claims(&self) -> &Claims {
        &self.claims
    }

    /// The DID to resolve for the key that must verify the token.
    #[must_use]
    pub const fn issuer(&self) -> &Did {
        &self.issuer
    }

    /// The service of the issuer that calls, such as `atproto_labeler`; `None` for the account itself.
    #[must_use]
    pub fn service(&self) -> Option<&str> {
        self.service.as_deref()
    }

    /// Checks times, audience and method.
    pub fn check_claims(&self, expected: &Expected<'_>) -> Result<(), ServiceAuthError> {
        let Claims {
            iat, aud, exp, lxm, ..
        } = &self.claims;
        let now = expected.now;
        if *exp <= now {
            return Err(ServiceAuthError::Expired { exp: *exp, now });
        }
        if iat.is_some_and(|iat| iat > now.saturating_add(CLOCK_SKEW_SECONDS)) {
            return Err(ServiceAuthError::Times("iat lies in the future"));
        }
        let longest = if lxm.is_some() {
            LIFE_WITH_METHOD_SECONDS
        } else {
            LIFE_WITHOUT_METHOD_SECONDS
        };
        if *exp
            > now
                .saturating_add(longest)
                .saturating_add(CLOCK_SKEW_SECONDS)
        {
            return Err(ServiceAuthError::Times(
                "exp lies more than an hour (a minute without lxm) ahead",
            ));
        }
        if !expected.audiences.contains(&aud.as_str()) {
            return Err(ServiceAuthError::Audience(aud.clone()));
        }
        let fits = match (lxm.as_deref(), expected.method) {
            (Some(found), Some(wanted)) => found == wanted,
            (None, Some(_)) => !expected.method_required,
            (_, None) => true,
        };
        if fits {
            return Ok(());
        }
        Err(ServiceAuthError::Method {
            found: lxm.clone(),
            wanted: expected.method.unwrap_or_default().to_owned(),
        })
    }

    /// Checks the signature and that `alg` fits the key. High-S signatures pass, as elsewhere.
    pub fn verify(&self, key: &PublicKey) -> Result<&Claims, ServiceAuthError> {
        let fits = match key.curve() {
            Curve::K256 => self.algorithm == "ES256K",
            Curve::P256 => self.algorithm == "ES256",
        };
        if !fits
            || key
                .verify_malleable(self.signed.as_bytes(), &self.signature)
                .is_err()
        {
            return Err(ServiceAuthError::Signature);
        }
        Ok(&self.claims)
    }
}
