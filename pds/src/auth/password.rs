//! Password hashing in a bounded pool.
//!
//! New hashes are argon2id; scrypt hashes in the form `salt:hash` (hex, N=16384 r=8 p=1) of
//! accounts that came from a reference PDS are verified too. Hashing never runs on a runtime
//! thread, never more at once than the pool has slots, and the queue in front is short.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use argon2::password_hash::phc::PasswordHash;
use argon2::{Algorithm, Argon2, Params, PasswordVerifier, Version};
use data_encoding::HEXLOWER_PERMISSIVE;
use rochdale_service::clock;
use subtle::ConstantTimeEq;
use tokio::sync::Semaphore;

/// Longest password that signing in looks at, in bytes.
pub const LOGIN_BYTES_MAX: usize = 512;
/// Longest new password, in bytes.
pub const NEW_BYTES_MAX: usize = 256;

/// Why a password could not be hashed or checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PasswordError {
    /// Too many are waiting already.
    #[error("too many passwords are being checked at the moment, try again in a few seconds")]
    Busy,
    /// The hash function refused its parameters, or the worker died.
    #[error("the password could not be hashed")]
    Failed,
}

/// What one hash costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cost {
    /// Memory in KiB.
    pub memory_kib: u32,
    /// Passes over that memory.
    pub passes: u32,
}

impl Cost {
    /// About 100 ms on one core of a small server.
    pub const DEFAULT: Self = Self {
        memory_kib: 32 * 1024,
        passes: 3,
    };
}

/// Hashes and verifies passwords, a few at a time.
#[derive(Debug)]
pub struct PasswordPool {
    slots: Arc<Semaphore>,
    waiting: AtomicUsize,
    waiting_max: usize,
    cost: Cost,
    /// Verified when the account is unknown, so that both answers take the same work.
    decoy: String,
}

impl PasswordPool {
    /// A pool that hashes `slots` passwords at once and lets `waiting_max` more wait.
    ///
    /// # Errors
    /// [`PasswordError::Failed`] when `cost` is not one that argon2 accepts.
    pub fn new(slots: usize, waiting_max: usize, cost: Cost) -> Result<Self, PasswordError> {
        Ok(Self {
            slots: Arc::new(Semaphore::new(slots.max(1))),
            waiting: AtomicUsize::new(0),
            waiting_max,
            cost,
            decoy: hash(cost, b"")?,
        })
    }

    /// Hashes a new password to a PHC string.
    ///
    /// # Errors
    /// [`PasswordError::Busy`] when the queue is full.
    pub async fn hash(&self, password: String) -> Result<String, PasswordError> {
        let cost = self.cost;
        self.run(move || hash(cost, password.as_bytes())).await?
    }

    /// Whether `password` is the one behind `stored`; with `None` the same work, and no.
    ///
    /// # Errors
    /// [`PasswordError::Busy`] when the queue is full.
    pub async fn verify(
        &self,
        password: String,
        stored: Option<String>,
    ) -> Result<bool, PasswordError> {
        let known = stored.is_some();
        let stored = stored.unwrap_or_else(|| self.decoy.clone());
        let matches = self
            .run(move || verify(password.as_bytes(), &stored))
            .await?;
        Ok(matches && known)
    }

    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, PasswordError> {
        let _place = Place::take(&self.waiting, self.waiting_max)?;
        let slot = Arc::clone(&self.slots)
            .acquire_owned()
            .await
            .map_err(|_closed| PasswordError::Failed)?;
        tokio::task::spawn_blocking(move || {
            // The slot goes with the work: a caller that leaves does not free it early.
            let _slot = slot;
            work()
        })
        .await
        .map_err(|_panicked| PasswordError::Failed)
    }
}

/// One place in the queue, given back when dropped.
struct Place<'a>(&'a AtomicUsize);

impl<'a> Place<'a> {
    fn take(waiting: &'a AtomicUsize, max: usize) -> Result<Self, PasswordError> {
        let place = Self(waiting);
        if waiting.fetch_add(1, Ordering::Relaxed) >= max {
            return Err(PasswordError::Busy);
        }
        Ok(place)
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

fn hash(cost: Cost, password: &[u8]) -> Result<String, PasswordError> {
    let params = Params::new(cost.memory_kib, cost.passes, 1, None)
        .map_err(|_range| PasswordError::Failed)?;
    let hasher = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    let salt = clock::random::<16>();
    let hash = argon2::PasswordHasher::hash_password_with_salt(&hasher, password, &salt)
        .map_err(|_parameters| PasswordError::Failed)?;
    Ok(hash.to_string())
}

fn verify(password: &[u8], stored: &str) -> bool {
    if !stored.starts_with('$') {
        return verify_scrypt(password, stored);
    }
    PasswordHash::new(stored)
        .is_ok_and(|hash| Argon2::default().verify_password(password, &hash).is_ok())
}

/// The reference PDS uses the salt's hex text, not its bytes, as the salt.
fn verify_scrypt(password: &[u8], stored: &str) -> bool {
    let Some((salt, expected)) = stored.split_once(':') else {
        return false;
    };
    let Ok(expected) = HEXLOWER_PERMISSIVE.decode(expected.as_bytes()) else {
        return false;
    };
    let Ok(params) = scrypt::Params::new(14, 8, 1) else {
        return false;
    };
    let mut actual = [0u8; 64];
    scrypt::scrypt(password, salt.as_bytes(), &params, &mut actual).is_ok()
        && bool::from(actual.as_slice().ct_eq(&expected))
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHEAP: Cost = Cost {
        memory_kib: 64,
        passes: 1,
    };

    #[tokio::test]
    async fn the_right_password_verifies_and_nothing_else_does() {
        let pool = PasswordPool::new(1, 4, CHEAP).unwrap();
        let stored = pool.hash("correct horse".to_owned()).await.unwrap();
        assert!(stored.starts_with("$argon2id$v=19$"));
        assert!(
            pool.verify("correct horse".to_owned(), Some(stored.clone()))
                .await
                .unwrap()
        );
        assert!(
            !pool
                .verify("correct horsf".to_owned(), Some(stored))
                .await
                .unwrap()
        );
        assert!(!pool.verify(String::new(), None).await.unwrap());
        assert!(
            !pool
                .verify(String::new(), Some("gibberish".to_owned()))
                .await
                .unwrap()
        );
    }

    #[tokio::test]
    async fn a_full_queue_refuses_instead_of_growing() {
        let pool = PasswordPool::new(1, 0, CHEAP).unwrap();
        assert_eq!(pool.hash("x".to_owned()).await, Err(PasswordError::Busy));
        assert_eq!(pool.waiting.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn scrypt_hashes_of_a_reference_server_verify() {
        // Made with Node's `crypto.scryptSync(password, salt, 64)`.
        let stored = "00112233445566778899aabbccddeeff:\
            67bf50310292c39d1895ee3bf25c3ac2535ab2d2645950e4ade8ed0c9c8ec168\
            02e3950e7be8c5dd813e97b2f90ff8f64637abb6898d92fd8a16d09be91ed861";
        assert!(verify(b"hunter2", stored));
        assert!(!verify(b"hunter3", stored));
        assert!(!verify(b"hunter2", "nocolon"));
    }
}
