//! One call in a member's name: checked, given a token, sent.

use axum::body::Body;
use axum::response::Response;
use http::header::ACCEPT;
use http::request::Parts;
use http::{HeaderValue, Request};
use rochdale_protocol::crypto::SigningKey;
use rochdale_protocol::syntax::Did;
use rochdale_protocol::xrpc::service_auth::{self, Claims};
use rochdale_service::clock;
use serde::de::DeserializeOwned;

use super::target::{self, Origin};
use super::{ProxyError, ServiceName, forward, is_privileged, is_protected};
use crate::app::App;
use crate::auth::Member;

/// How long the token of one call is good for, in seconds.
const TOKEN_SECONDS: i64 = 60;

/// A call that one service is to answer.
#[derive(Debug)]
pub struct Call<'a> {
    pds: &'a App,
    origin: Origin,
    signed: Option<Signed<'a>>,
}

/// Who vouches for a call, to whom, for what.
#[derive(Debug)]
struct Signed<'a> {
    caller: &'a Member,
    service: Did,
    audience: Did,
    method: &'a str,
}

impl<'a> Call<'a> {
    /// A call of `method` in the caller's name.
    ///
    /// # Errors
    /// A method that is not passed on, or not for this session; a service that is not found.
    pub async fn new(
        pds: &'a App,
        caller: &'a Member,
        service: &ServiceName,
        method: &'a str,
    ) -> Result<Self, ProxyError> {
        if is_protected(method) {
            return Err(ProxyError::Protected(method.to_owned()));
        }
        if is_privileged(method) && !caller.is_privileged() {
            return Err(ProxyError::Privileged(method.to_owned()));
        }
        let signed = Signed {
            caller,
            service: service.did.clone(),
            audience: service.did.clone(),
            method,
        };
        Ok(Self {
            pds,
            origin: target::origin(pds, service).await?,
            signed: Some(signed),
        })
    }

    /// A call in nobody's name.
    ///
    /// # Errors
    /// A service that is not found.
    pub async fn unsigned(pds: &'a App, service: &ServiceName) -> Result<Self, ProxyError> {
        Ok(Self {
            pds,
            origin: target::origin(pds, service).await?,
            signed: None,
        })
    }

    /// The same call with a token that somebody else is to see: `audience`, for `method`.
    #[must_use]
    pub fn vouched_to(mut self, audience: Did, method: &'a str) -> Self {
        if let Some(signed) = &mut self.signed {
            signed.audience = audience;
            signed.method = method;
        }
        self
    }

    /// Sends the member's request and streams the answer.
    ///
    /// # Errors
    /// The service's refusal, or why it gave no answer.
    pub async fn send(&self, parts: Parts, body: Body) -> Result<Response, ProxyError> {
        let token = match &self.signed {
            Some(signed) => Some(self.token(signed.caller, &signed.audience, signed.method)?),
            None => None,
        };
        forward::send(self.pds, &self.origin, parts, body, token.as_deref()).await
    }

    /// Asks the same service a question of our own, in the same name.
    ///
    /// # Errors
    /// As [`Self::send`], or an answer of another shape.
    pub async fn ask<T: DeserializeOwned>(
        &self,
        method: &str,
        query: &[(&str, &str)],
    ) -> Result<T, ProxyError> {
        let query = url::form_urlencoded::Serializer::new(String::new())
            .extend_pairs(query)
            .finish();
        let mut request = Request::new(());
        *request.uri_mut() = format!("/xrpc/{method}?{query}")
            .parse()
            .map_err(|_syntax| ProxyError::NotAMethod(method.to_owned()))?;
        let json = HeaderValue::from_static("application/json");
        request.headers_mut().insert(ACCEPT, json);
        let token = match &self.signed {
            Some(signed) => Some(self.token(signed.caller, &signed.service, method)?),
            None => None,
        };
        let (parts, ()) = request.into_parts();
        let answer = forward::send(
            self.pds,
            &self.origin,
            parts,
            Body::empty(),
            token.as_deref(),
        )
        .await?;
        let body = forward::whole(answer.into_body()).await?;
        serde_json::from_slice(&body).map_err(|_shape| ProxyError::Answer(method.to_owned()))
    }

    fn token(&self, caller: &Member, audience: &Did, method: &str) -> Result<String, ProxyError> {
        let now_s = self.pds.now_ms() / 1000;
        let key = self.pds.keys.signing_key(&caller.account)?;
        let exp_s = now_s + TOKEN_SECONDS;
        let audience = audience.as_str();
        Ok(mint(
            &key,
            caller.did(),
            audience,
            Some(method),
            now_s,
            exp_s,
        ))
    }
}

/// A service token: the member `issuer` calls `aud`, for `lxm` alone if it is given.
#[must_use]
pub fn mint(
    key: &SigningKey,
    issuer: &Did,
    aud: &str,
    lxm: Option<&str>,
    now_s: i64,
    exp_s: i64,
) -> String {
    let claims = Claims {
        iat: Some(now_s),
        iss: issuer.to_string(),
        aud: aud.to_owned(),
        exp: exp_s,
        lxm: lxm.map(str::to_owned),
        jti: Some(data_encoding::HEXLOWER.encode(&clock::random::<16>())),
    };
    service_auth::mint(key, &claims)
}
