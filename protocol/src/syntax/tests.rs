//! Every identifier against the interoperability fixtures, and what they do not cover.

use std::fs;

use proptest::prelude::*;

use super::*;

/// The cases of a fixture file, whose number is asserted.
fn cases(file: &str, count: usize) -> Vec<String> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/fixtures/interop/");
    let text = fs::read_to_string(format!("{folder}{file}")).unwrap();
    let lines = text
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'));
    let cases: Vec<String> = lines.map(str::to_owned).collect();
    assert_eq!(cases.len(), count, "{file}");
    cases
}

/// Checks a pair of files: all valid cases pass, all invalid ones fail.
fn check_pair(name: &str, valid: usize, invalid: usize, accepts: impl Fn(&str) -> bool) {
    for case in cases(&format!("syntax/{name}_syntax_valid.txt"), valid) {
        assert!(accepts(&case), "valid {name} refused: {case:?}");
    }
    for case in cases(&format!("syntax/{name}_syntax_invalid.txt"), invalid) {
        assert!(!accepts(&case), "invalid {name} accepted: {case:?}");
    }
}

fn reason<T: std::str::FromStr<Err = SyntaxError> + std::fmt::Debug>(text: &str) -> &'static str {
    text.parse::<T>().unwrap_err().reason()
}

#[test]
fn identifiers_agree_with_the_interoperability_cases() {
    check_pair("atidentifier", 11, 22, |text| {
        text.parse::<AtIdentifier>().is_ok()
    });
    check_pair("aturi", 23, 72, |text| text.parse::<AtUri>().is_ok());
    check_pair("cid", 8, 10, cid_format);
    check_pair("did", 24, 18, |text| text.parse::<Did>().is_ok());
    check_pair("handle", 71, 48, |text| text.parse::<Handle>().is_ok());
    check_pair("nsid", 25, 27, |text| text.parse::<Nsid>().is_ok());
    check_pair("recordkey", 16, 11, |text| {
        text.parse::<RecordKey>().is_ok()
    });
    check_pair("tid", 4, 9, |text| text.parse::<Tid>().is_ok());
    check_pair("uri", 9, 12, |text| text.parse::<Uri>().is_ok());
}

#[test]
fn datetimes_agree_with_the_interoperability_cases() {
    for case in cases("syntax/datetime_syntax_valid.txt", 35) {
        let datetime: Datetime = case.parse().unwrap();
        assert_eq!(datetime.as_str(), case);
    }
    for case in cases("syntax/datetime_syntax_invalid.txt", 45) {
        assert!(
            !Datetime::is_well_formed(&case),
            "{case:?} has no datetime's shape"
        );
        assert!(case.parse::<Datetime>().is_err(), "{case:?}");
    }
    let senseless = cases("syntax/datetime_parse_invalid.txt", 7);
    let reasons = [
        ("1985-00-12T23:20:50.123Z", "there is no such month"),
        ("1985-04-00T23:20:50.123Z", "there is no such day"),
        ("1985-13-12T23:20:50.123Z", "there is no such month"),
        ("1985-04-12T25:20:50.123Z", "there is no such time of day"),
        ("1985-04-12T23:99:50.123Z", "the time must be HH:MM:SS"),
        ("1985-04-12T23:20:61.123Z", "there is no such time of day"),
        (
            "0000-01-01T00:00:00+01:00",
            "in UTC it lies outside of the years 0000 to 9999",
        ),
    ];
    for (case, (text, why)) in senseless.iter().zip(reasons) {
        assert_eq!(case, text);
        assert_eq!(reason::<Datetime>(case), why, "{case}");
    }
}

#[test]
fn languages_agree_with_the_interoperability_cases() {
    for case in cases("syntax/language_syntax_valid.txt", 18) {
        assert!(case.parse::<Language>().is_ok(), "{case:?}");
    }
    for case in cases("syntax/language_syntax_invalid.txt", 7) {
        assert!(!Language::is_well_formed(&case), "{case:?}");
        assert!(case.parse::<Language>().is_err(), "{case:?}");
    }
    for case in cases("syntax/language_parse_invalid.txt", 4) {
        assert!(Language::is_well_formed(&case), "{case:?}");
        assert!(
            reason::<Language>(&case).ends_with("is repeated"),
            "{case:?}"
        );
    }
}

/// The TypeScript implementation keeps its own copies of some files. Where they disagree with the
/// interoperability repository, the repository is followed; these are all the differences.
#[test]
fn differences_to_the_typescript_cases_are_known() {
    let wrong = |cases: Vec<String>, accepts: bool, parse: fn(&str) -> bool| -> Vec<String> {
        cases
            .into_iter()
            .filter(|case| parse(case) != accepts)
            .collect()
    };
    let none: [&str; 0] = [];

    let datetime = |text: &str| text.parse::<Datetime>().is_ok();
    let valid = cases("atproto-ts/syntax/datetime_syntax_valid.txt", 33);
    assert_eq!(wrong(valid, true, datetime), none);
    let invalid = cases("atproto-ts/syntax/datetime_parse_invalid.txt", 6);
    assert_eq!(wrong(invalid, false, datetime), none);
    let invalid = cases("atproto-ts/syntax/datetime_syntax_invalid.txt", 46);
    assert_eq!(wrong(invalid.clone(), false, datetime), none);
    // Refused there by shape, here for what it means.
    assert_eq!(
        wrong(invalid, false, Datetime::is_well_formed),
        ["0000-01-01T00:00:00+01:00"]
    );

    let language = |text: &str| text.parse::<Language>().is_ok();
    let invalid = cases("atproto-ts/syntax/language_syntax_invalid.txt", 6);
    assert_eq!(wrong(invalid, false, language), none);
    let repeated = cases("atproto-ts/syntax/language_parse_invalid.txt", 6);
    assert_eq!(wrong(repeated.clone(), false, language), none);
    // Well-formed there, if not parseable; here they are not even well-formed.
    assert_eq!(
        wrong(repeated, true, Language::is_well_formed),
        ["JA", "jaja"]
    );

    let tid = |text: &str| text.parse::<Tid>().is_ok();
    assert_eq!(
        wrong(
            cases("atproto-ts/syntax/tid_syntax_valid.txt", 6),
            true,
            tid
        ),
        none
    );
    assert_eq!(
        wrong(
            cases("atproto-ts/syntax/tid_syntax_invalid.txt", 7),
            false,
            tid
        ),
        none
    );
}

#[test]
fn invalid_identifiers_fail_for_the_rule_they_break() {
    assert_eq!(reason::<Did>("DID:method:val"), "it must start with `did:`");
    assert_eq!(
        reason::<Did>("did:m123:val"),
        "the method must be one or more letters a-z"
    );
    assert_eq!(
        reason::<Did>("did:method:val%"),
        "it may not end with `:` or `%`"
    );
    assert_eq!(
        reason::<Did>("did:method:"),
        "the identifier after the method is empty"
    );
    assert_eq!(reason::<Handle>("john..test"), "a label is empty");
    assert_eq!(
        reason::<Handle>("john.0"),
        "the last label must start with a letter"
    );
    assert_eq!(reason::<Handle>("john"), "it needs at least two labels");
    assert_eq!(
        reason::<Handle>("-john.test"),
        "a label may not start or end with a hyphen"
    );
    assert_eq!(
        reason::<Nsid>("com.example"),
        "it needs at least three segments"
    );
    assert_eq!(
        reason::<Nsid>("com.example.3"),
        "the name may not start with a digit"
    );
    assert_eq!(
        reason::<Nsid>("a-0.b-1.c-o"),
        "the name may hold only letters and digits"
    );
    assert_eq!(reason::<RecordKey>(".."), "`.` and `..` are not allowed");
    assert_eq!(reason::<Tid>("222"), "it must be 13 digits long");
    assert_eq!(
        reason::<Tid>("kjzfcijpj2z2a"),
        "the first digit must be one of 2-7 and a-j"
    );
    let slash = "it has an empty part or a slash at its end";
    assert_eq!(reason::<AtUri>("at://did:plc:asdf123/"), slash);
    let fragment = "a query or a fragment is not allowed";
    assert_eq!(reason::<AtUri>("at://did:plc:asdf123#a"), fragment);
    assert_eq!(reason::<Uri>("http:"), "nothing follows the scheme");
}

#[test]
fn length_limits_are_exact() {
    let did = |length: usize| format!("did:m:{}", "v".repeat(length - 6)).parse::<Did>();
    assert!(did(MAX_DID_BYTES).is_ok() && did(MAX_DID_BYTES + 1).is_err());
    let key = |length| "k".repeat(length).parse::<RecordKey>();
    assert!(key(MAX_RECORD_KEY_BYTES).is_ok() && key(MAX_RECORD_KEY_BYTES + 1).is_err());
    let uri = |length: usize| format!("a:{}", "x".repeat(length - 2)).parse::<Uri>();
    assert!(uri(MAX_URI_BYTES).is_ok() && uri(MAX_URI_BYTES + 1).is_err());
    let handle = |length: usize| {
        let label = "l".repeat(length - 250);
        format!("{}{label}.{}", "abcdefghi.".repeat(20), "t".repeat(49)).parse::<Handle>()
    };
    assert!(handle(MAX_HANDLE_BYTES).is_ok() && handle(MAX_HANDLE_BYTES + 1).is_err());
}

#[test]
fn handles_and_authorities_are_kept_in_lower_case() {
    let handle: Handle = "XX.LCS.Mit.EDU".parse().unwrap();
    assert_eq!(handle, "xx.lcs.mit.edu");
    let nsid: Nsid = "COM.Example.fooBar".parse().unwrap();
    assert_eq!(nsid, "com.example.fooBar");
    assert_eq!((nsid.authority(), nsid.name()), ("com.example", "fooBar"));
    let uri: AtUri = "at://User.Example.COM/Com.example.fooBar/Key"
        .parse()
        .unwrap();
    assert_eq!(uri, "at://user.example.com/com.example.fooBar/Key");
    assert!(
        "did:plc:7IZA6DE2DWAP2SBCBZ27ZIXN"
            .parse::<Did>()
            .is_ok_and(|did| !did.is_plc())
    );
}

#[test]
fn dids_tell_their_method() {
    let did: Did = "did:plc:ewvi7nxzyoun6zhxrhs64oiz".parse().unwrap();
    assert_eq!(
        (did.method(), did.identifier()),
        ("plc", "ewvi7nxzyoun6zhxrhs64oiz")
    );
    assert!(did.is_plc() && !did.is_web());
    for short in [
        "did:plc:7iza6de2dwap2sbcbz27zixn1",
        "did:plc:7iza6de",
        "did:web:a.example",
    ] {
        assert!(!short.parse::<Did>().unwrap().is_plc(), "{short}");
    }
    let host = |text: &str| text.parse::<Did>().unwrap().web_host();
    assert_eq!(
        host("did:web:coop.example.com").as_deref(),
        Some("coop.example.com")
    );
    assert_eq!(host("did:web:localhost").as_deref(), Some("localhost"));
    assert_eq!(
        host("did:web:localhost%3A2583").as_deref(),
        Some("localhost:2583")
    );
    let path_and_port = [
        "a.example:path",
        "a.example%3A80",
        "localhost%3Ax",
        "localhost:80",
    ];
    let bad_port = [
        "localhost%3A99999",
        "localhost%3A080",
        "localhost%3A-1",
        "a",
    ];
    for refused in path_and_port.into_iter().chain(bad_port) {
        assert_eq!(host(&format!("did:web:{refused}")), None, "{refused}");
    }
}

#[test]
fn handles_know_the_domains_that_never_resolve() {
    let disallowed = |text: &str| text.parse::<Handle>().unwrap().is_disallowed_tld();
    for tld in [
        "alt",
        "arpa",
        "example",
        "internal",
        "invalid",
        "local",
        "localhost",
        "ONION",
    ] {
        assert!(disallowed(&format!("a.{tld}")), "{tld}");
    }
    assert!(!disallowed("a.test") && !disallowed("local.com"));
    assert!(Handle::invalid().is_disallowed_tld() == Handle::invalid().is_invalid());
}

#[test]
fn at_uris_give_their_parts() {
    let uri: AtUri = "at://did:plc:asdf123/com.example.post/3k2".parse().unwrap();
    assert_eq!(uri.authority().as_did().unwrap(), &"did:plc:asdf123");
    assert_eq!(
        uri.record_path().unwrap().to_string(),
        "com.example.post/3k2"
    );
    let built = AtUri::record(uri.authority().clone(), &uri.record_path().unwrap());
    assert_eq!(built, uri);
    let account: AtUri = "at://a.test".parse().unwrap();
    assert_eq!((account.collection(), account.rkey()), (None, None));
    assert_eq!(AtUri::account("a.test".parse::<Handle>().unwrap()), account);
}

#[test]
fn record_paths_are_ordered_as_their_bytes() {
    let path = |text: &str| text.parse::<RecordPath>().unwrap();
    assert!(path("com.example-a.b/z") < path("com.example.b/a"));
    assert!(path("com.example.bb/a") > path("com.example.b/z"));
    assert!("Com.example.b/a".parse::<RecordPath>().is_err());
    for text in [
        "com.example.b",
        "com.example.b/",
        "com.example.b/a/b",
        "/com.example.b/a",
    ] {
        assert!(text.parse::<RecordPath>().is_err(), "{text}");
    }
}

#[test]
fn the_next_tid_is_later_even_when_the_clock_is_not() {
    let first = Tid::next(None, 1_000_000, 7);
    assert_eq!((first.micros(), first.clock_id()), (1_000_000, 7));
    let second = Tid::next(Some(first), 999_999, 3);
    assert_eq!((second.micros(), second.clock_id()), (1_000_001, 3));
    assert_eq!(Tid::next(Some(second), 2_000_000, 3).micros(), 2_000_000);
    let last = Tid::from_u64(u64::MAX);
    assert_eq!(Tid::next(Some(last), 0, 0), last);
    assert!(Tid::next(Some(Tid::from_u64(u64::MAX - 5)), 0, 0) > Tid::from_u64(u64::MAX - 5));
    assert_eq!(Tid::new(1 << 53, 0), None);
    assert_eq!(Tid::new(0, 1024), None);
    assert_eq!(Tid::new(0, 0).unwrap().to_string(), "2222222222222");
}

#[test]
fn datetimes_convert_to_and_from_unix_time() {
    let ms = |text: &str| text.parse::<Datetime>().unwrap().unix_ms();
    assert_eq!(ms("1970-01-01T00:00:00Z"), 0);
    assert_eq!(ms("2026-11-24T23:39:26.5Z"), 1_795_563_566_500);
    assert_eq!(ms("1969-12-31T23:00:00.0009-01:00"), 0);
    assert_eq!(ms("2024-02-29T12:00:00+12:00"), 1_709_164_800_000);
    assert!("2023-02-29T12:00:00Z".parse::<Datetime>().is_err());
    let text = Datetime::from_unix_ms(1_795_563_566_500);
    assert_eq!(text, "2026-11-24T23:39:26.500Z");
    assert_eq!(Datetime::from_unix_ms(i64::MIN), "0000-01-01T00:00:00.000Z");
    assert_eq!(Datetime::from_unix_ms(i64::MAX), "9999-12-31T23:59:59.999Z");
}

#[test]
fn serde_validates() {
    assert_eq!(
        serde_json::from_str::<Handle>("\"A.Test\"").unwrap(),
        "a.test"
    );
    let error = serde_json::from_str::<Nsid>("\"com.example\"")
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("`com.example` is not a valid NSID: it needs at least three"),
        "{error}"
    );
    let tid: Tid = serde_json::from_str("\"3jzfcijpj2z2a\"").unwrap();
    assert_eq!(serde_json::to_string(&tid).unwrap(), "\"3jzfcijpj2z2a\"");
    assert!(serde_json::from_str::<Tid>("7").is_err());
}

#[test]
fn errors_repeat_only_the_start_of_a_long_text() {
    let error = "é".repeat(100_000).parse::<Did>().unwrap_err();
    assert!(error.to_string().chars().count() < 200);
}

proptest! {
    #[test]
    fn a_tid_reads_back_and_its_text_has_its_order(a in any::<u64>(), b in any::<u64>()) {
        let (a, b) = (Tid::from_u64(a), Tid::from_u64(b));
        prop_assert_eq!(a.to_string().parse::<Tid>().unwrap(), a);
        prop_assert_eq!(Tid::from_bytes(a.to_bytes()), a);
        prop_assert_eq!(a.cmp(&b), a.to_string().cmp(&b.to_string()));
        prop_assert_eq!(a.cmp(&b), a.to_bytes().cmp(&b.to_bytes()));
    }

    #[test]
    fn the_next_tid_is_greater(prev in 0..u64::MAX, now_us in any::<u64>(), clock in any::<u16>()) {
        let prev = Tid::from_u64(prev);
        prop_assert!(Tid::next(Some(prev), now_us, clock) > prev);
    }

    #[test]
    fn a_datetime_reads_back(unix_ms in -62_167_219_200_000..253_402_300_800_000_i64) {
        let text = Datetime::from_unix_ms(unix_ms);
        prop_assert_eq!(text.as_str().parse::<Datetime>().unwrap().unix_ms(), unix_ms);
        // An independent calendar.
        let oracle = jiff::Timestamp::from_millisecond(unix_ms.max(-62_000_000_000_000)).unwrap();
        let text = Datetime::from_unix_ms(oracle.as_millisecond());
        prop_assert_eq!(text.as_str(), format!("{oracle:.3}"));
    }

    #[test]
    fn no_text_makes_a_parser_panic(text in "(at://|did:|[a-z2-7.:/-]{0,30})\\PC{0,30}") {
        let _ = (text.parse::<AtUri>(), text.parse::<AtIdentifier>(), text.parse::<Nsid>());
        let _ = (text.parse::<Tid>(), text.parse::<RecordPath>(), text.parse::<Language>());
        let _ = (text.parse::<Datetime>(), text.parse::<Uri>(), cid_format(&text));
        if let Ok(did) = text.parse::<Did>() {
            let _ = (did.is_plc(), did.web_host());
        }
    }
}
