//! What of a file a request asks for: conditions and ranges (RFC 9110, sections 13 and 14).
//!
//! Files here never change under their name, so the tag is all there is to compare.

use std::ops::Range;

use http::header::{IF_NONE_MATCH, IF_RANGE, RANGE};
use http::{HeaderMap, Method};

/// What is to be answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Wanted {
    /// 304: the client has it.
    Unchanged,
    /// 200 with all of it.
    Whole,
    /// 206 with these bytes.
    Part(Range<u64>),
    /// 416: nothing of it lies in the range.
    Outside,
}

/// What of a file of `size` bytes with the strong entity tag `tag` is wanted. A header that makes
/// no sense is as good as none, and so are several ranges at once.
pub(super) fn wanted(method: &Method, headers: &HeaderMap, tag: &str, size: u64) -> Wanted {
    if is_known(headers, tag) {
        return Wanted::Unchanged;
    }
    // A date, a weak tag or another one: the client's part may be of another file.
    let same = headers.get(IF_RANGE).is_none_or(|value| value == tag);
    let mut ranges = headers.get_all(RANGE).iter();
    match (ranges.next(), ranges.next()) {
        (Some(range), None) if same && method == Method::GET => range
            .to_str()
            .map_or(Wanted::Whole, |text| part(text, size)),
        _ => Wanted::Whole,
    }
}

fn is_known(headers: &HeaderMap, tag: &str) -> bool {
    let lists = headers.get_all(IF_NONE_MATCH).iter();
    let mut known = lists
        .filter_map(|value| value.to_str().ok())
        .flat_map(|text| text.split(','))
        .map(|one| one.trim().trim_start_matches("W/"));
    known.any(|one| one == tag || one == "*")
}

fn part(text: &str, size: u64) -> Wanted {
    let spec = text.split_once('=').and_then(|(unit, spec)| {
        let bytes = unit.trim().eq_ignore_ascii_case("bytes");
        bytes.then(|| spec.split_once('-')).flatten()
    });
    let Some((first, last)) = spec else {
        return Wanted::Whole;
    };
    let (first, last) = (first.trim(), last.trim());
    let bytes = match (number(first), number(last)) {
        (Some(first), Some(last)) if first <= last => first..last.saturating_add(1).min(size),
        (Some(first), None) if last.is_empty() => first..size,
        (None, Some(suffix)) if first.is_empty() => size.saturating_sub(suffix)..size,
        _ => return Wanted::Whole,
    };
    if bytes.is_empty() {
        return Wanted::Outside;
    }
    Wanted::Part(bytes)
}

/// Digits only; what does not fit is larger than any file.
fn number(text: &str) -> Option<u64> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    const TAG: &str = "\"tag\"";

    fn asked(lines: &[(&'static str, &'static str)]) -> Wanted {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, HeaderValue::from_static(value));
        }
        wanted(&Method::GET, &headers, TAG, 100)
    }

    #[test]
    fn one_range_is_a_part_and_what_makes_no_sense_is_the_whole() {
        for (range, expected) in [
            ("bytes=0-0", Wanted::Part(0..1)),
            ("bytes=10-19", Wanted::Part(10..20)),
            ("Bytes = 10 - 19", Wanted::Part(10..20)),
            ("bytes=90-", Wanted::Part(90..100)),
            ("bytes=90-1000", Wanted::Part(90..100)),
            ("bytes=0-99999999999999999999999", Wanted::Part(0..100)),
            ("bytes=-1", Wanted::Part(99..100)),
            ("bytes=-1000", Wanted::Part(0..100)),
            ("bytes=100-", Wanted::Outside),
            ("bytes=100-200", Wanted::Outside),
            ("bytes=99999999999999999999999-", Wanted::Outside),
            ("bytes=-0", Wanted::Outside),
            ("bytes=0-1,3-4", Wanted::Whole),
            ("bytes=5-4", Wanted::Whole),
            ("bytes=-", Wanted::Whole),
            ("bytes=a-b", Wanted::Whole),
            ("bytes=+1-2", Wanted::Whole),
            ("bytes", Wanted::Whole),
            ("lines=1-2", Wanted::Whole),
        ] {
            assert_eq!(asked(&[("range", range)]), expected, "{range}");
        }
        let twice = [("range", "bytes=0-1"), ("range", "bytes=3-4")];
        assert_eq!(asked(&twice), Wanted::Whole);
        let headers = HeaderMap::from_iter([(RANGE, HeaderValue::from_static("bytes=0-1"))]);
        let head = wanted(&Method::HEAD, &headers, TAG, 100);
        assert_eq!(head, Wanted::Whole, "only GET has ranges");
        assert_eq!(wanted(&Method::GET, &headers, TAG, 0), Wanted::Outside);
    }

    #[test]
    fn a_range_counts_only_for_the_file_the_client_knows() {
        let range = ("range", "bytes=0-1");
        assert_eq!(asked(&[range, ("if-range", TAG)]), Wanted::Part(0..2));
        for other in ["W/\"tag\"", "\"other\"", "Tue, 15 Nov 1994 12:45:26 GMT"] {
            assert_eq!(asked(&[range, ("if-range", other)]), Wanted::Whole);
        }
    }

    #[test]
    fn a_file_that_the_client_has_is_not_sent_again() {
        for list in ["\"tag\"", "W/\"tag\"", "\"a\", \"tag\"", "*"] {
            let lines = [("if-none-match", list), ("range", "bytes=0-1")];
            assert_eq!(asked(&lines), Wanted::Unchanged, "{list}");
        }
        for list in ["\"a\"", "tag", ""] {
            assert_eq!(asked(&[("if-none-match", list)]), Wanted::Whole, "{list}");
        }
    }
}
