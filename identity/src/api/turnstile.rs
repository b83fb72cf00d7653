//! How often one address may submit: every accepted operation is kept for ever.

use http::HeaderMap;
use rochdale_service::clock::SharedClock;
use rochdale_service::config::Secret;
use rochdale_service::xrpc::{Budget, ClientIp, LimitsConfig, RateLimits};

use super::error::ApiError;

const SUBMISSIONS: Budget = Budget {
    name: "plc-submit",
    points: 1_000,
    seconds: 300,
};

const BYPASS: &str = "x-ratelimit-bypass";

/// Lets submissions through until an address has used up its budget.
#[derive(Debug)]
pub(crate) struct Turnstile {
    limits: RateLimits,
    bypass_key: Option<Secret>,
}

impl Turnstile {
    pub(crate) fn new(config: &LimitsConfig, clock: SharedClock) -> Self {
        Self {
            limits: RateLimits::new(config, clock),
            bypass_key: config.bypass_key.clone(),
        }
    }

    pub(super) fn enter(&self, client: ClientIp, headers: &HeaderMap) -> Result<(), ApiError> {
        let key = self.bypass_key.as_ref().zip(headers.get(BYPASS));
        if key.is_some_and(|(key, sent)| key.matches(sent.as_bytes()))
            || self.limits.take(&SUBMISSIONS, client.key(), 1)
        {
            return Ok(());
        }
        Err(ApiError::TooManySubmissions(SUBMISSIONS.seconds))
    }
}
