//! `app.bsky.feed.getAuthorFeed`: the caller's own new posts in their own feed, as the filter says.

use serde::Deserialize;
use serde_json::Value;

use super::feed::{self, Parameters};
use super::own::{Own, OwnPost};
use super::{Unchanged, post};

/// What the caller wrote and the filter lets through, on the first page of their own feed.
pub(super) fn posts<'a>(own: &'a Own, query: &str) -> Vec<&'a OwnPost> {
    let asked = Parameters::parse(query);
    if !own.is(&asked.actor) || !asked.is_first_page() {
        return Vec::new();
    }
    let posts = own.posts.iter();
    posts
        .filter(|post| passes(post, &asked.filter, own))
        .collect()
}

/// Adds the views of what the caller wrote.
pub(super) fn show(value: &mut Value, own: &Own, posts: Vec<Value>) -> Result<(), Unchanged> {
    let items = feed::items(value)?;
    feed::show_authors(items, own);
    feed::insert(items, posts);
    Ok(())
}

/// The kind of an embed, and of the media beside a quoted record.
#[derive(Deserialize)]
struct Kinds<'a> {
    #[serde(rename = "$type", borrow)]
    kind: &'a str,
    #[serde(borrow)]
    media: Option<Box<Kinds<'a>>>,
}

fn passes(post: &OwnPost, filter: &str, own: &Own) -> bool {
    let to = |end| post::reply_to(&post.record, end);
    let is_reply = post.record.get("reply").is_some();
    let embed = post.record.get("embed");
    let kinds = embed.and_then(|embed| Kinds::deserialize(embed).ok());
    let carries = |wanted: &[&str]| {
        kinds.as_ref().is_some_and(|embed| {
            let media = embed.media.as_ref().map_or(embed.kind, |media| media.kind);
            wanted.contains(&media)
        })
    };
    const IMAGES: &str = "app.bsky.embed.images";
    const VIDEO: &str = "app.bsky.embed.video";
    match filter {
        "posts_no_replies" => !is_reply,
        "posts_with_media" => carries(&[IMAGES, VIDEO]),
        "posts_with_video" => carries(&[VIDEO]),
        "posts_and_author_threads" => {
            !is_reply
                || ["root", "parent"]
                    .iter()
                    .all(|end| to(end).is_some_and(|uri| own.own_uri(uri).is_some()))
        }
        // `posts_with_replies`, and whatever comes later.
        _ => true,
    }
}
