//! Everybody's operations, a page at a time: by number, or by time for older clients.

use std::time::Duration;

use super::{Directory, push_audit, push_sequenced};
use crate::store::StoreError;

/// Lines of a page at most.
pub(crate) const MAX_PAGE: usize = 1000;

/// A clock that still shows the millisecond of the newest operation is waited for this often, one
/// millisecond each; only a clock that stands still takes longer.
const PATIENCE: u32 = 20;

/// Where a page begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum After {
    /// After this number; lines carry numbers.
    Seq(i64),
    /// After this time, Unix milliseconds; lines carry `nullified`.
    Time(Option<i64>),
}

impl Directory {
    /// One page: lines separated, not ended, by `\n`. Empty at the end.
    pub(crate) async fn page(&self, after: After, count: usize) -> Result<String, StoreError> {
        match after {
            After::Seq(seq) => self.page_by_seq(seq, count).await,
            After::Time(after_ms) => self.page_by_time(after_ms, count).await,
        }
    }

    async fn page_by_seq(&self, after: i64, count: usize) -> Result<String, StoreError> {
        let visit = |page: &mut String, row: &crate::store::Row<'_>| {
            if !page.is_empty() {
                page.push('\n');
            }
            push_sequenced(page, row)?;
            Ok(true)
        };
        self.store.by_seq(after, count, String::new(), visit).await
    }

    /// A page must not end in a time that may still get operations: who asks for what is later than
    /// the last line would miss them. So when a page reaches the newest operation, its time is made
    /// final first and the page read again up to there.
    async fn page_by_time(
        &self,
        after_ms: Option<i64>,
        count: usize,
    ) -> Result<String, StoreError> {
        let make = |row: &crate::store::Row<'_>| {
            let mut line = String::with_capacity(row.bytes.len() * 2);
            push_audit(&mut line, row)?;
            Ok(line)
        };
        let mut page = self.store.by_time(after_ms, i64::MAX, count, make).await?;
        if let Some(newest_ms) = page.reached_ms {
            for _ in 0..PATIENCE {
                if self.now_ms() != newest_ms {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            // Operations that were given this time may still be on their way to the disk.
            self.store.settle().await?;
            page = self.store.by_time(after_ms, newest_ms, count, make).await?;
        }
        Ok(page.items.join("\n"))
    }
}
