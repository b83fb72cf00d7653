//! A post of the caller as apps see posts: `app.bsky.feed.defs#postView`.

use futures::future::try_join_all;
use serde_json::{Value, json};

use super::own::OwnPost;
use super::{Showing, Unchanged, embed, profile};

/// The post, with its embed and without any reactions: nobody has seen it yet.
pub(super) async fn view(post: &OwnPost, showing: &Showing<'_>) -> Result<Value, Unchanged> {
    let mut view = json!({
        "$type": "app.bsky.feed.defs#postView",
        "uri": post.uri,
        "cid": post.cid.to_string(),
        "author": profile::author(showing.own),
        "record": post.record,
        "replyCount": 0,
        "repostCount": 0,
        "likeCount": 0,
        "quoteCount": 0,
        "indexedAt": post.indexed_at,
    });
    let embed = match post.record.get("embed") {
        Some(embed) => embed::view(embed, showing).await?,
        None => None,
    };
    if let (Some(fields), Some(embed)) = (view.as_object_mut(), embed) {
        fields.insert("embed".to_owned(), embed);
    }
    Ok(view)
}

/// The views of several posts, in their order.
pub(super) async fn views(
    posts: Vec<&OwnPost>,
    showing: &Showing<'_>,
) -> Result<Vec<Value>, Unchanged> {
    try_join_all(posts.into_iter().map(|post| view(post, showing))).await
}

/// A text of a reply's record: `root` or `parent` and the URI there.
pub(super) fn reply_to<'a>(record: &'a Value, end: &str) -> Option<&'a str> {
    record.get("reply")?.get(end)?.get("uri")?.as_str()
}
