//! Blob references: finding them in a value without a schema (atproto "Blob" specification).

use super::{Cid, Codec, Map, Value};

/// A reference to a blob, of the current form.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct BlobRef {
    /// The CID of the blob's bytes.
    pub cid: Cid,
    /// The media type.
    pub mime: String,
    /// The length of the blob, in bytes.
    pub size: u64,
}

impl BlobRef {
    /// The reference as a value of the data model.
    pub fn to_value(&self) -> Value {
        let size = i64::try_from(self.size).unwrap_or(i64::MAX);
        let entries: [(&str, Value); 4] = [
            ("$type", "blob".into()),
            ("mimeType", self.mime.as_str().into()),
            ("ref", self.cid.into()),
            ("size", size.into()),
        ];
        Value::Map(entries.into_iter().collect())
    }

    /// The reference that a map is, or the reason why it is none. The map has `$type: "blob"`.
    pub(super) fn from_map(map: &Map) -> Result<Self, &'static str> {
        if map.len() != 4 {
            return Err("a blob must have exactly the keys `$type`, `ref`, `mimeType` and `size`");
        }
        let Some(Value::Link(link)) = map.get("ref") else {
            return Err("the `ref` of a blob must be a link");
        };
        let cid = link.as_cid().filter(|cid| cid.codec() == Codec::Raw);
        let cid = cid.ok_or("the `ref` of a blob must be a CID with the codec raw")?;
        let mime = map
            .get("mimeType")
            .and_then(Value::as_text)
            .filter(|mime| mime.contains('/'));
        let mime = mime
            .ok_or("the `mimeType` of a blob must be a media type")?
            .to_owned();
        let size = map.get("size").and_then(Value::as_integer);
        let size = size.and_then(|size| u64::try_from(size).ok());
        let size = size.ok_or("the `size` of a blob must be an integer, zero or more")?;
        Ok(Self { cid, mime, size })
    }
}

/// A reference of the legacy form, which says no size: the oldest records have it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct LegacyRef {
    /// The CID of the blob's bytes.
    pub cid: Cid,
    /// The media type.
    pub mime: String,
}

/// All references to blobs in a value, in canonical order, repeated as often as they occur.
/// Malformed ones and those of the legacy form are left out.
pub fn find(value: &Value) -> Vec<BlobRef> {
    let mut found = Vec::new();
    visit(value, &mut |map| {
        let is_blob = is_blob(map);
        if is_blob {
            found.extend(BlobRef::from_map(map).ok());
        }
        is_blob
    });
    found
}

/// All references of the legacy form in a value, as [`find`] answers the others.
pub fn find_legacy(value: &Value) -> Vec<LegacyRef> {
    let mut found = Vec::new();
    visit(value, &mut |map| {
        let legacy = legacy_of(map);
        let is_blob = legacy.is_some() || is_blob(map);
        found.extend(legacy);
        is_blob
    });
    found
}

/// The reference of the legacy form that a value is.
pub fn legacy(value: &Value) -> Option<LegacyRef> {
    legacy_of(value.as_map()?)
}

/// Shows `leaf` every map that is not inside of one for which it answered true.
fn visit(value: &Value, leaf: &mut impl FnMut(&Map) -> bool) {
    match value {
        Value::Array(elements) => elements.iter().for_each(|element| visit(element, leaf)),
        Value::Map(map) if leaf(map) => {}
        Value::Map(map) => map.iter().for_each(|(_, value)| visit(value, leaf)),
        Value::Null
        | Value::Bool(_)
        | Value::Integer(_)
        | Value::Text(_)
        | Value::Bytes(_)
        | Value::Link(_) => {}
    }
}

/// Whether a map says that it is a blob.
pub(super) fn is_blob(map: &Map) -> bool {
    map.get("$type").and_then(Value::as_text) == Some("blob")
}

/// Whether a map is a reference of the legacy form: exactly `cid` and `mimeType`, both text.
pub(super) fn is_legacy(map: &Map) -> bool {
    let text = |key| map.get(key).and_then(Value::as_text);
    map.len() == 2
        && text("mimeType").is_some()
        && text("cid").is_some_and(|cid| cid.parse::<super::Link>().is_ok())
}

fn legacy_of(map: &Map) -> Option<LegacyRef> {
    if !is_legacy(map) {
        return None;
    }
    let cid: Cid = map.get("cid")?.as_text()?.parse().ok()?;
    let mime = map.get("mimeType")?.as_text()?.to_owned();
    (cid.codec() == Codec::Raw).then_some(LegacyRef { cid, mime })
}
