//! Texts: their lengths in bytes and in graphemes, and the grammars they are bound to.

use rochdale_protocol::data::Value;
use rochdale_protocol::syntax::{
    AtIdentifier, AtUri, Datetime, Did, Handle, Language, Nsid, RecordKey, SyntaxError, Tid, Uri,
    cid_format,
};

use super::Reason;
use super::graphemes::more_than;
use crate::schema::{Format, Limits, Text};

pub(super) fn check(wanted: &Text, value: &Value) -> Result<(), Reason> {
    let text = value.as_text().ok_or(Reason::NotText)?;
    if let Some(constant) = wanted
        .constant
        .as_ref()
        .filter(|constant| ***constant != *text)
    {
        return Err(Reason::Constant(constant.to_string()));
    }
    if let Some(options) = &wanted.options
        && !options.iter().any(|option| **option == *text)
    {
        return Err(Reason::NotAnOption(options.join("|")));
    }
    let bytes = text.len() as u64;
    if let Some(most) = wanted.bytes.maximum.filter(|most| bytes > *most) {
        return Err(Reason::TooLong(most));
    }
    if let Some(least) = wanted.bytes.minimum.filter(|least| bytes < *least) {
        return Err(Reason::TooShort(least));
    }
    graphemes(wanted.graphemes, text)?;
    match wanted.format {
        None => Ok(()),
        Some(format) => follows(format, text).map_err(|cause| Reason::Format { format, cause }),
    }
}

fn graphemes(limits: Limits, text: &str) -> Result<(), Reason> {
    let has_more_than = |count: u64| more_than(text, usize::try_from(count).unwrap_or(usize::MAX));
    if let Some(most) = limits.maximum.filter(|most| has_more_than(*most)) {
        return Err(Reason::TooManyGraphemes(most));
    }
    match limits.minimum {
        Some(least) if least > 0 && !has_more_than(least - 1) => {
            Err(Reason::TooFewGraphemes(least))
        }
        _ => Ok(()),
    }
}

/// Whether a text follows a grammar, or the rule that it breaks.
fn follows(format: Format, text: &str) -> Result<(), &'static str> {
    let broken = |error: SyntaxError| error.reason();
    match format {
        Format::AtIdentifier => text.parse::<AtIdentifier>().map(drop).map_err(broken),
        Format::AtUri => text.parse::<AtUri>().map(drop).map_err(broken),
        Format::Cid if cid_format(text) => Ok(()),
        Format::Cid => Err("it is no CID in text form"),
        Format::Datetime => text.parse::<Datetime>().map(drop).map_err(broken),
        Format::Did => text.parse::<Did>().map(drop).map_err(broken),
        Format::Handle => text.parse::<Handle>().map(drop).map_err(broken),
        Format::Nsid => text.parse::<Nsid>().map(drop).map_err(broken),
        Format::Tid => text.parse::<Tid>().map(drop).map_err(broken),
        Format::RecordKey => text.parse::<RecordKey>().map(drop).map_err(broken),
        Format::Uri => text.parse::<Uri>().map(drop).map_err(broken),
        Format::Language => text.parse::<Language>().map(drop).map_err(broken),
    }
}
