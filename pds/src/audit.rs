//! What operators and moderators asked for, and when.
//!
//! An entry is durable before the act begins, so nothing is done that is not in the log; an act
//! that was refused afterwards stands there too. Must not hold secrets: details name what changes,
//! never a password or a code.

use crate::app::App;
use crate::store::StoreError;

/// Details are cut at this length.
const DETAIL_CHARS_MAX: usize = 500;

/// One entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its number, in the order of time.
    pub id: i64,
    /// When, Unix ms.
    pub at_ms: i64,
    /// Name of the operator, or DID of the moderation service.
    pub who: String,
    /// The method or route that was called.
    pub method: String,
    /// The account, record, blob or code it is about.
    pub subject: String,
    /// What was to become of it.
    pub detail: String,
}

impl App {
    /// Notes that `who` asks `method` for something.
    ///
    /// # Errors
    /// When the store fails; the act must not happen then.
    pub async fn note(
        &self,
        who: &str,
        method: &str,
        subject: impl ToString,
        detail: impl AsRef<str>,
    ) -> Result<(), StoreError> {
        let entry = Entry {
            id: 0,
            at_ms: self.now_ms(),
            who: who.to_owned(),
            method: method.to_owned(),
            subject: subject.to_string(),
            detail: detail.as_ref().chars().take(DETAIL_CHARS_MAX).collect(),
        };
        tracing::info!(
            who = entry.who,
            method = entry.method,
            subject = entry.subject,
            detail = entry.detail,
            "an operator acts"
        );
        self.store.audit.add(entry).await
    }
}
