//! Session tokens: HS256 JWTs that are opaque to clients.
//!
//! Owns minting and checking. Knows no database: whether a refresh token was used or revoked is
//! the session store's business. Claims and lifetimes are those of the reference PDS, plus a `jti`
//! in access tokens so that two tokens are never equal.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use rochdale_protocol::syntax::Did;
use rochdale_service::clock;
use serde::{Deserialize, Serialize};
use sha2::Sha256;

/// How long an access token is good for, in seconds.
pub const ACCESS_SECONDS: i64 = 2 * 60 * 60;
/// How long an unused refresh token is good for, in milliseconds.
pub const REFRESH_MS: i64 = 90 * 24 * 60 * 60 * 1000;
/// How long a refresh token may be used again after its first use, in milliseconds.
pub const REFRESH_GRACE_MS: i64 = 2 * 60 * 60 * 1000;
/// No token of ours is near this long; longer ones are not even decoded.
const TOKEN_BYTES_MAX: usize = 2048;

/// What an access token allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// Signed in with the main password.
    Full,
    /// Signed in with an app password.
    AppPassword {
        /// Whether it reaches private messages and account migration too.
        privileged: bool,
    },
    /// A taken-down account that may only appeal and move out.
    TakenDown,
}

impl Scope {
    /// The value of the `scope` claim.
    #[must_use]
    pub fn claim(self) -> &'static str {
        match self {
            Self::Full => "com.atproto.access",
            Self::AppPassword { privileged: true } => "com.atproto.appPassPrivileged",
            Self::AppPassword { privileged: false } => "com.atproto.appPass",
            Self::TakenDown => "com.atproto.takendown",
        }
    }

    fn from_claim(claim: &str) -> Option<Self> {
        [
            Self::Full,
            Self::AppPassword { privileged: true },
            Self::AppPassword { privileged: false },
            Self::TakenDown,
        ]
        .into_iter()
        .find(|scope| scope.claim() == claim)
    }
}

const REFRESH_SCOPE: &str = "com.atproto.refresh";
const ACCESS_TYPE: &str = "at+jwt";
const REFRESH_TYPE: &str = "refresh+jwt";

/// Why a token was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// Not three base64url parts of JSON, or too long.
    #[error("Token could not be verified")]
    Malformed,
    /// Signed with another key, or altered.
    #[error("Token could not be verified")]
    BadSignature,
    /// A token of another kind, such as a refresh token where an access token is expected.
    #[error("Bad token type")]
    WrongType,
    /// Made for another server.
    #[error("Bad token audience")]
    WrongAudience,
    /// The scope is not one that this use accepts.
    #[error("Bad token scope")]
    WrongScope,
    /// Past its end.
    #[error("Token has expired")]
    Expired,
    /// A refresh token without `jti`.
    #[error("Token has no id")]
    MissingTokenId,
}

/// A verified access token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccessToken {
    /// Whose session it is.
    pub subject: Did,
    /// What it allows.
    pub scope: Scope,
}

/// A verified refresh token. Whether it may still be used, the session store knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefreshToken {
    /// Whose session it is.
    pub subject: Did,
    /// Its one id.
    pub jti: String,
}

#[derive(Serialize, Deserialize)]
struct Header {
    typ: String,
    alg: String,
}

#[derive(Serialize, Deserialize)]
struct Claims {
    scope: String,
    aud: String,
    sub: String,
    iat: i64,
    exp: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    jti: Option<String>,
    // Present in service-auth and sender-bound tokens, which are never session tokens.
    #[serde(default, skip_serializing)]
    lxm: Option<serde_json::Value>,
    #[serde(default, skip_serializing)]
    cnf: Option<serde_json::Value>,
}

/// Mints and checks the session tokens of this server.
#[derive(Clone)]
pub struct TokenSigner {
    mac: Hmac<Sha256>,
    audience: Did,
}

impl std::fmt::Debug for TokenSigner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TokenSigner")
            .field("audience", &self.audience)
            .finish_non_exhaustive()
    }
}

impl TokenSigner {
    /// A signer whose tokens are for `audience`, this server's DID.
    #[must_use]
    pub fn new(secret: &[u8; 32], audience: Did) -> Self {
        #[expect(clippy::expect_used, reason = "HMAC takes keys of any length")]
        let mac = Hmac::new_from_slice(secret).expect("a key of 32 bytes");
        Self { mac, audience }
    }

    /// An access token for `subject` that ends [`ACCESS_SECONDS`] after `now_ms`.
    #[must_use]
    pub fn access(&self, subject: &Did, scope: Scope, now_ms: i64) -> String {
        let now = now_ms / 1000;
        let claims = self.claims(subject, scope.claim(), now, now + ACCESS_SECONDS, new_jti());
        self.sign(ACCESS_TYPE, &claims)
    }

    /// A refresh token for `subject` with the id and end of its session row.
    #[must_use]
    pub fn refresh(&self, subject: &Did, jti: String, now_ms: i64, expires_at_ms: i64) -> String {
        let claims = self.claims(
            subject,
            REFRESH_SCOPE,
            now_ms / 1000,
            expires_at_ms / 1000,
            jti,
        );
        self.sign(REFRESH_TYPE, &claims)
    }

    fn claims(&self, subject: &Did, scope: &str, iat: i64, exp: i64, jti: String) -> Claims {
        Claims {
            scope: scope.to_owned(),
            aud: self.audience.to_string(),
            sub: subject.to_string(),
            iat,
            exp,
            jti: Some(jti),
            lxm: None,
            cnf: None,
        }
    }

    fn sign(&self, typ: &str, claims: &Claims) -> String {
        let header = Header {
            typ: typ.to_owned(),
            alg: "HS256".to_owned(),
        };
        let mut token = encode_json(&header);
        token.push('.');
        token.push_str(&encode_json(claims));
        let mut mac = self.mac.clone();
        mac.update(token.as_bytes());
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(mac.finalize().into_bytes(), &mut token);
        token
    }

    /// Checks an access token at `now_ms`.
    ///
    /// # Errors
    /// The first rule that the token breaks; [`TokenError::Expired`] only for a genuine one.
    pub fn check_access(&self, token: &str, now_ms: i64) -> Result<AccessToken, TokenError> {
        let claims = self.open(token, ACCESS_TYPE)?;
        let scope = Scope::from_claim(&claims.scope).ok_or(TokenError::WrongScope)?;
        if claims.exp <= now_ms / 1000 {
            return Err(TokenError::Expired);
        }
        let subject = claims
            .sub
            .parse()
            .map_err(|_syntax| TokenError::Malformed)?;
        Ok(AccessToken { subject, scope })
    }

    /// Checks a refresh token at `now_ms`; `None` accepts an expired one, as signing out does.
    ///
    /// # Errors
    /// The first rule that the token breaks.
    pub fn check_refresh(
        &self,
        token: &str,
        now_ms: Option<i64>,
    ) -> Result<RefreshToken, TokenError> {
        let claims = self.open(token, REFRESH_TYPE)?;
        if claims.scope != REFRESH_SCOPE {
            return Err(TokenError::WrongScope);
        }
        if now_ms.is_some_and(|now_ms| claims.exp <= now_ms / 1000) {
            return Err(TokenError::Expired);
        }
        let subject = claims
            .sub
            .parse()
            .map_err(|_syntax| TokenError::Malformed)?;
        let jti = claims.jti.ok_or(TokenError::MissingTokenId)?;
        Ok(RefreshToken { subject, jti })
    }

    fn open(&self, token: &str, typ: &str) -> Result<Claims, TokenError> {
        if token.len() > TOKEN_BYTES_MAX {
            return Err(TokenError::Malformed);
        }
        let (signed, signature) = token.rsplit_once('.').ok_or(TokenError::Malformed)?;
        let (header, claims) = signed.split_once('.').ok_or(TokenError::Malformed)?;
        let header: Header = decode_json(header)?;
        if header.alg != "HS256" {
            return Err(TokenError::BadSignature);
        }
        let signature = URL_SAFE_NO_PAD
            .decode(signature)
            .map_err(|_base64| TokenError::Malformed)?;
        let mut mac = self.mac.clone();
        mac.update(signed.as_bytes());
        mac.verify_slice(&signature)
            .map_err(|_mismatch| TokenError::BadSignature)?;
        if header.typ != typ {
            return Err(TokenError::WrongType);
        }
        let claims: Claims = decode_json(claims)?;
        if claims.lxm.is_some() || claims.cnf.is_some() {
            return Err(TokenError::WrongType);
        }
        if claims.aud != self.audience.as_str() {
            return Err(TokenError::WrongAudience);
        }
        Ok(claims)
    }
}

/// 32 random bytes as base64url: the id of a token.
#[must_use]
pub fn new_jti() -> String {
    URL_SAFE_NO_PAD.encode(clock::random::<32>())
}

fn encode_json<T: Serialize>(value: &T) -> String {
    #[expect(
        clippy::expect_used,
        reason = "structs of strings and integers always serialise"
    )]
    let json = serde_json::to_vec(value).expect("claims serialise");
    URL_SAFE_NO_PAD.encode(json)
}

fn decode_json<T: for<'de> Deserialize<'de>>(part: &str) -> Result<T, TokenError> {
    let json = URL_SAFE_NO_PAD
        .decode(part)
        .map_err(|_base64| TokenError::Malformed)?;
    serde_json::from_slice(&json).map_err(|_json| TokenError::Malformed)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW_MS: i64 = 1_800_000_000_000;

    fn signer() -> TokenSigner {
        TokenSigner::new(&[7; 32], "did:web:pds.example".parse().unwrap())
    }

    fn ada() -> Did {
        "did:plc:ewvi7nxzyoun6zhxrhs64oiz".parse().unwrap()
    }

    #[test]
    fn an_access_token_is_good_for_two_hours_and_keeps_its_scope() {
        let signer = signer();
        for scope in [
            Scope::Full,
            Scope::AppPassword { privileged: true },
            Scope::AppPassword { privileged: false },
            Scope::TakenDown,
        ] {
            let token = signer.access(&ada(), scope, NOW_MS);
            let last = NOW_MS + ACCESS_SECONDS * 1000 - 1;
            let opened = signer.check_access(&token, last).unwrap();
            assert_eq!(
                opened,
                AccessToken {
                    subject: ada(),
                    scope
                }
            );
            assert_eq!(
                signer.check_access(&token, last + 1),
                Err(TokenError::Expired)
            );
        }
    }

    #[test]
    fn two_access_tokens_of_one_second_differ() {
        let signer = signer();
        assert_ne!(
            signer.access(&ada(), Scope::Full, NOW_MS),
            signer.access(&ada(), Scope::Full, NOW_MS)
        );
    }

    #[test]
    fn a_refresh_token_is_no_access_token_and_the_reverse() {
        let signer = signer();
        let refresh = signer.refresh(&ada(), "one".to_owned(), NOW_MS, NOW_MS + REFRESH_MS);
        assert_eq!(
            signer.check_access(&refresh, NOW_MS),
            Err(TokenError::WrongType)
        );
        let access = signer.access(&ada(), Scope::Full, NOW_MS);
        assert_eq!(
            signer.check_refresh(&access, Some(NOW_MS)),
            Err(TokenError::WrongType)
        );
    }

    #[test]
    fn an_expired_refresh_token_still_signs_out() {
        let signer = signer();
        let token = signer.refresh(&ada(), "one".to_owned(), NOW_MS, NOW_MS + 1000);
        let late = NOW_MS + 2000;
        assert_eq!(
            signer.check_refresh(&token, Some(late)),
            Err(TokenError::Expired)
        );
        assert_eq!(signer.check_refresh(&token, None).unwrap().jti, "one");
    }

    #[test]
    fn tokens_of_another_server_or_key_and_altered_ones_are_refused() {
        let signer = signer();
        let token = signer.access(&ada(), Scope::Full, NOW_MS);
        let elsewhere = TokenSigner::new(&[7; 32], "did:web:other.example".parse().unwrap());
        assert_eq!(
            elsewhere.check_access(&token, NOW_MS),
            Err(TokenError::WrongAudience)
        );
        let forger = TokenSigner::new(&[8; 32], "did:web:pds.example".parse().unwrap());
        assert_eq!(
            forger.check_access(&token, NOW_MS),
            Err(TokenError::BadSignature)
        );
        assert_eq!(
            signer.check_access(&format!("x{token}"), NOW_MS),
            Err(TokenError::Malformed)
        );
        assert_eq!(signer.check_access("", NOW_MS), Err(TokenError::Malformed));
        assert_eq!(
            signer.check_access("a.b.c.d", NOW_MS),
            Err(TokenError::Malformed)
        );
        assert_eq!(
            signer.check_access(&"a".repeat(5000), NOW_MS),
            Err(TokenError::Malformed)
        );
    }

    #[test]
    fn unsigned_and_service_tokens_are_refused() {
        let signer = signer();
        let claims = signer.claims(&ada(), "com.atproto.access", 0, i64::MAX, "x".to_owned());
        let header = Header {
            typ: ACCESS_TYPE.to_owned(),
            alg: "none".to_owned(),
        };
        let unsigned = format!("{}.{}.", encode_json(&header), encode_json(&claims));
        assert_eq!(
            signer.check_access(&unsigned, NOW_MS),
            Err(TokenError::BadSignature)
        );
        let bound = serde_json::json!({
            "scope": "com.atproto.access", "aud": "did:web:pds.example", "sub": ada().as_str(),
            "iat": 0, "exp": i64::MAX, "lxm": "com.atproto.server.getSession",
        });
        let header = Header {
            typ: ACCESS_TYPE.to_owned(),
            alg: "HS256".to_owned(),
        };
        let mut token = format!("{}.{}", encode_json(&header), encode_json(&bound));
        let mut mac = signer.mac.clone();
        mac.update(token.as_bytes());
        token.push('.');
        token.push_str(&URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes()));
        assert_eq!(
            signer.check_access(&token, NOW_MS),
            Err(TokenError::WrongType)
        );
    }
}
