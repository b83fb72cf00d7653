//! The `cid` string format of Lexicon, which is far laxer than a CID in the data model.

/// Whether a text passes as a `cid` string: 8 to 256 letters, digits, `+` and `=`, not version 0.
///
/// A link of the data model is stricter: see [`crate::data::Link`].
pub fn cid_format(text: &str) -> bool {
    (8..=256).contains(&text.len())
        && !text.starts_with("Qm")
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'='))
}
