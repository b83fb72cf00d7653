//! Service tokens that were used: each is good once.

use rochdale_protocol::syntax::Did;

/// Tokens remembered at most; a token lives at most an hour, so this bounds memory, not safety of
/// the usual 60-second ones.
const REMEMBERED_MAX: u64 = 100_000;
const REMEMBERED_SECONDS: u64 = 3_700;

/// Remembers the `jti` of service tokens.
#[derive(Debug)]
pub struct ReplayGuard {
    seen: moka::sync::Cache<(Did, String), ()>,
}

impl Default for ReplayGuard {
    fn default() -> Self {
        let seen = moka::sync::Cache::builder()
            .max_capacity(REMEMBERED_MAX)
            .time_to_live(std::time::Duration::from_secs(REMEMBERED_SECONDS))
            .build();
        Self { seen }
    }
}

impl ReplayGuard {
    /// Whether this is the first use of `jti` by `issuer`.
    pub fn first_use(&self, issuer: &Did, jti: &str) -> bool {
        let key = (issuer.clone(), jti.to_owned());
        self.seen.entry(key).or_insert_with(|| ()).is_fresh()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_good_once_and_only_for_its_issuer() {
        let guard = ReplayGuard::default();
        let ada: Did = "did:plc:ewvi7nxzyoun6zhxrhs64oiz".parse().unwrap();
        let bob: Did = "did:plc:44ybard66vv44zksje25o7dz".parse().unwrap();
        assert!(guard.first_use(&ada, "1"));
        assert!(!guard.first_use(&ada, "1"));
        assert!(guard.first_use(&bob, "1"));
        assert!(guard.first_use(&ada, "2"));
    }
}
