//! What a post carries, as apps see it: images and links from here, quoted records from the AppView.

use rochdale_protocol::syntax::AtUri;
use serde::Deserialize;
use serde_json::{Value, json};

use super::profile::blob_cid;
use super::{Showing, Unchanged};

/// The embeds that can be shown from here.
#[derive(Deserialize)]
#[serde(tag = "$type")]
enum Embed {
    #[serde(rename = "app.bsky.embed.images")]
    Images { images: Vec<Image> },
    #[serde(rename = "app.bsky.embed.external")]
    External { external: External },
    #[serde(rename = "app.bsky.embed.record")]
    Record { record: Quoted },
    #[serde(rename = "app.bsky.embed.recordWithMedia")]
    RecordWithMedia {
        record: RecordEmbed,
        media: Box<Embed>,
    },
    /// Videos have an address only once they were processed elsewhere.
    #[serde(other)]
    Other,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Image {
    image: Value,
    #[serde(default)]
    alt: String,
    aspect_ratio: Option<Value>,
}

#[derive(Deserialize)]
struct External {
    uri: String,
    #[serde(default)]
    title: String,
    #[serde(default)]
    description: String,
    thumb: Option<Value>,
}

#[derive(Deserialize)]
struct RecordEmbed {
    record: Quoted,
}

#[derive(Deserialize)]
struct Quoted {
    uri: String,
}

/// The view of an embed; nothing when it cannot be shown from here.
pub(super) async fn view(embed: &Value, showing: &Showing<'_>) -> Result<Option<Value>, Unchanged> {
    match Embed::deserialize(embed).map_err(Unchanged::Record)? {
        Embed::Record { record } => {
            let record = quoted(&record.uri, showing).await?;
            Ok(Some(
                json!({ "$type": "app.bsky.embed.record#view", "record": record }),
            ))
        }
        Embed::RecordWithMedia { record, media } => {
            let Some(media) = media_view(&media, showing) else {
                return Ok(None);
            };
            let record = quoted(&record.record.uri, showing).await?;
            Ok(Some(json!({
                "$type": "app.bsky.embed.recordWithMedia#view",
                "record": { "record": record },
                "media": media,
            })))
        }
        media @ (Embed::Images { .. } | Embed::External { .. } | Embed::Other) => {
            Ok(media_view(&media, showing))
        }
    }
}

fn media_view(media: &Embed, showing: &Showing<'_>) -> Option<Value> {
    match media {
        Embed::Images { images } => {
            let images: Option<Vec<Value>> = images
                .iter()
                .map(|image| image_view(image, showing))
                .collect();
            Some(json!({ "$type": "app.bsky.embed.images#view", "images": images? }))
        }
        Embed::External { external } => {
            let mut view = json!({
                "uri": external.uri,
                "title": external.title,
                "description": external.description,
            });
            let thumb = external.thumb.as_ref().and_then(blob_cid);
            if let (Some(fields), Some(cid)) = (view.as_object_mut(), thumb) {
                let url = showing.own.image("feed_thumbnail", cid);
                fields.insert("thumb".to_owned(), url.into());
            }
            Some(json!({ "$type": "app.bsky.embed.external#view", "external": view }))
        }
        Embed::Record { .. } | Embed::RecordWithMedia { .. } | Embed::Other => None,
    }
}

fn image_view(image: &Image, showing: &Showing<'_>) -> Option<Value> {
    let cid = blob_cid(&image.image)?;
    let mut view = json!({
        "thumb": showing.own.image("feed_thumbnail", cid),
        "fullsize": showing.own.image("feed_fullsize", cid),
        "alt": image.alt,
    });
    if let (Some(fields), Some(ratio)) = (view.as_object_mut(), &image.aspect_ratio) {
        fields.insert("aspectRatio".to_owned(), ratio.clone());
    }
    Some(view)
}

#[derive(Deserialize)]
struct Posts {
    posts: Vec<Value>,
}

#[derive(Deserialize)]
struct Generator {
    view: Value,
}

#[derive(Deserialize)]
struct List {
    list: Value,
}

/// A quoted record as the AppView shows it.
async fn quoted(uri: &str, showing: &Showing<'_>) -> Result<Value, Unchanged> {
    let not_found = json!({
        "$type": "app.bsky.embed.record#viewNotFound",
        "uri": uri,
        "notFound": true,
    });
    let parsed: Option<AtUri> = uri.parse().ok();
    let collection = parsed.as_ref().and_then(AtUri::collection);
    let call = showing.call;
    let found = match collection.map(|nsid| nsid.as_str()) {
        Some("app.bsky.feed.post") => {
            let answer: Posts = call.ask("app.bsky.feed.getPosts", &[("uris", uri)]).await?;
            answer.posts.into_iter().next().and_then(post_record)
        }
        Some("app.bsky.feed.generator") => {
            let answer: Generator = call
                .ask("app.bsky.feed.getFeedGenerator", &[("feed", uri)])
                .await?;
            typed(answer.view, "app.bsky.feed.defs#generatorView")
        }
        Some("app.bsky.graph.list") => {
            let answer: List = call
                .ask("app.bsky.graph.getList", &[("list", uri), ("limit", "1")])
                .await?;
            typed(answer.list, "app.bsky.graph.defs#listView")
        }
        Some(_) | None => None,
    };
    Ok(found.unwrap_or(not_found))
}

fn typed(mut view: Value, kind: &str) -> Option<Value> {
    view.as_object_mut()?
        .insert("$type".to_owned(), kind.into());
    Some(view)
}

/// A post view turned into that of a quoted record.
fn post_record(mut post: Value) -> Option<Value> {
    let post = post.as_object_mut()?;
    let mut view = json!({ "$type": "app.bsky.embed.record#viewRecord" });
    let fields = view.as_object_mut()?;
    for (from, to) in [
        ("uri", "uri"),
        ("cid", "cid"),
        ("author", "author"),
        ("record", "value"),
        ("labels", "labels"),
        ("indexedAt", "indexedAt"),
    ] {
        if let Some(value) = post.remove(from) {
            fields.insert(to.to_owned(), value);
        }
    }
    if let Some(embed) = post.remove("embed") {
        fields.insert("embeds".to_owned(), Value::Array(vec![embed]));
    }
    Some(view)
}
