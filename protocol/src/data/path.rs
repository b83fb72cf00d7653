//! Places in a value, as error messages name them: `$.embed.images[0].size`.
//!
//! A path is built from its end while an error travels outwards, so that it costs nothing as long
//! as there is none.

use std::fmt::Write as _;

/// Longest part of a key that a path repeats, in characters.
const MAX_KEY_CHARS: usize = 64;

/// Puts the key of the enclosing map before a path.
pub(super) fn prepend_key(path: &mut String, key: &str) {
    let mut segment = String::from(".");
    segment.extend(key.chars().take(MAX_KEY_CHARS));
    if key.chars().nth(MAX_KEY_CHARS).is_some() {
        segment.push('…');
    }
    path.insert_str(0, &segment);
}

/// Puts the place in the enclosing array before a path.
pub(super) fn prepend_index(path: &mut String, index: usize) {
    let mut segment = String::new();
    // Writing to a `String` cannot fail.
    let _ = write!(segment, "[{index}]");
    path.insert_str(0, &segment);
}

/// Completes a path with the root.
pub(super) fn prepend_root(path: &mut String) {
    path.insert(0, '$');
}
