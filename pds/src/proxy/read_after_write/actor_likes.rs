//! `app.bsky.feed.getActorLikes`: likes are the AppView's to show, the caller's profile is ours.

use serde_json::Value;

use super::own::Own;
use super::{Unchanged, feed};

/// Puts the new profile beside the caller's posts.
pub(super) fn show(value: &mut Value, own: &Own) -> Result<(), Unchanged> {
    feed::show_authors(feed::items(value)?, own);
    Ok(())
}
