//! `app.bsky.feed.getTimeline`: the caller's own new posts among those of the people they follow.

use serde_json::Value;

use super::Unchanged;
use super::feed::{self, Parameters};
use super::own::{Own, OwnPost};

/// What the caller wrote, on the first page.
pub(super) fn posts<'a>(own: &'a Own, query: &str) -> Vec<&'a OwnPost> {
    if Parameters::parse(query).is_first_page() {
        own.posts.iter().collect()
    } else {
        Vec::new()
    }
}

/// Adds the views of what the caller wrote.
pub(super) fn show(value: &mut Value, own: &Own, posts: Vec<Value>) -> Result<(), Unchanged> {
    let items = feed::items(value)?;
    feed::show_authors(items, own);
    feed::insert(items, posts);
    Ok(())
}
