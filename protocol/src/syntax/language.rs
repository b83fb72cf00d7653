//! Language tags, as the `language` string format of Lexicon takes them: well-formed BCP 47
//! (RFC 5646), with a lower-case primary language.

use std::sync::Arc;

use super::text::text_identifier;

/// A language tag, kept as it was written.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Language(Arc<str>);

text_identifier!(Language, "a language tag");

/// Tags from before RFC 4646 that its grammar does not cover.
const GRANDFATHERED: [&str; 26] = [
    "en-GB-oed",
    "i-ami",
    "i-bnn",
    "i-default",
    "i-enochian",
    "i-hak",
    "i-klingon",
    "i-lux",
    "i-mingo",
    "i-navajo",
    "i-pwn",
    "i-tao",
    "i-tay",
    "i-tsu",
    "sgn-BE-FR",
    "sgn-BE-NL",
    "sgn-CH-DE",
    "art-lojban",
    "cel-gaulish",
    "no-bok",
    "no-nyn",
    "zh-guoyu",
    "zh-hakka",
    "zh-min",
    "zh-min-nan",
    "zh-xiang",
];

impl Language {
    /// Whether the text follows the grammar, with no regard to repeated variants and extensions.
    pub fn is_well_formed(text: &str) -> bool {
        parse(text).is_ok()
    }

    fn check(text: &str) -> Result<Arc<str>, &'static str> {
        let tag = parse(text)?;
        if repeats(&tag.variants) {
            return Err("a variant is repeated");
        }
        if repeats(&tag.singletons) {
            return Err("an extension is repeated");
        }
        Ok(text.into())
    }
}

/// The subtags that may not be repeated.
#[derive(Default)]
struct Tag<'a> {
    variants: Vec<&'a str>,
    singletons: Vec<&'a str>,
}

fn repeats(subtags: &[&str]) -> bool {
    let mut seen: Vec<String> = subtags
        .iter()
        .map(|subtag| subtag.to_ascii_lowercase())
        .collect();
    seen.sort_unstable();
    seen.windows(2).any(|pair| pair.first() == pair.last())
}

fn parse(text: &str) -> Result<Tag<'_>, &'static str> {
    if text.len() > super::MAX_LANGUAGE_BYTES {
        return Err("it is longer than 128 bytes");
    }
    if GRANDFATHERED.contains(&text) {
        return Ok(Tag::default());
    }
    let mut subtags = text.split('-').peekable();
    if text.starts_with(['x', 'X']) {
        return private_use(subtags).map(|()| Tag::default());
    }
    let language = subtags.next().unwrap_or_default();
    if !((2..=3).contains(&language.len()) && language.bytes().all(|b| b.is_ascii_lowercase())) {
        return Err("the language must be two or three letters a-z");
    }
    for _ in 0..3 {
        subtags.next_if(|subtag| letters(subtag, 3));
    }
    subtags.next_if(|subtag| letters(subtag, 4));
    subtags.next_if(|subtag| letters(subtag, 2) || digits(subtag, 3));
    let mut tag = Tag::default();
    while let Some(variant) = subtags.next_if(|subtag| is_variant(subtag)) {
        tag.variants.push(variant);
    }
    while let Some(singleton) = subtags.next_if(|subtag| is_singleton(subtag)) {
        tag.singletons.push(singleton);
        let mut parts = 0_u32;
        while subtags
            .next_if(|part| (2..=8).contains(&part.len()) && alphanumeric(part))
            .is_some()
        {
            parts += 1;
        }
        if parts == 0 {
            return Err("an extension has no subtag of 2 to 8 letters or digits");
        }
    }
    match subtags.peek() {
        None => Ok(tag),
        Some(_) => private_use(subtags).map(|()| tag),
    }
}

/// `x-` and one or more subtags of 1 to 8 letters or digits, to the end.
fn private_use<'a>(mut subtags: impl Iterator<Item = &'a str>) -> Result<(), &'static str> {
    if !subtags
        .next()
        .is_some_and(|subtag| subtag.eq_ignore_ascii_case("x"))
    {
        return Err("a subtag is out of place or malformed");
    }
    let mut parts = 0_u32;
    for part in subtags {
        if !((1..=8).contains(&part.len()) && alphanumeric(part)) {
            return Err("a private-use subtag must be 1 to 8 letters or digits");
        }
        parts += 1;
    }
    if parts == 0 {
        Err("a private-use subtag is missing after `x`")
    } else {
        Ok(())
    }
}

fn letters(subtag: &str, length: usize) -> bool {
    subtag.len() == length && subtag.bytes().all(|b| b.is_ascii_alphabetic())
}

fn digits(subtag: &str, length: usize) -> bool {
    subtag.len() == length && subtag.bytes().all(|b| b.is_ascii_digit())
}

fn alphanumeric(subtag: &str) -> bool {
    subtag.bytes().all(|b| b.is_ascii_alphanumeric())
}

fn is_variant(subtag: &str) -> bool {
    let long = (5..=8).contains(&subtag.len());
    let short = subtag.len() == 4 && subtag.starts_with(|c: char| c.is_ascii_digit());
    (long || short) && alphanumeric(subtag)
}

fn is_singleton(subtag: &str) -> bool {
    subtag.len() == 1 && alphanumeric(subtag) && !subtag.eq_ignore_ascii_case("x")
}
