use proptest::prelude::*;

use super::*;
use crate::known;

fn document(defs: &str) -> Document {
    let text = format!(r#"{{"lexicon":1,"id":"com.example.a","defs":{defs}}}"#);
    Document::parse(text.as_bytes()).unwrap()
}

fn object(property: &str) -> Document {
    document(&format!(
        r#"{{"o":{{"type":"object","properties":{{"p":{property}}}}}}}"#
    ))
}

fn changes(old: &str, new: &str) -> Vec<(String, Effect)> {
    let changes = compare(&document(old), &document(new));
    changes
        .into_iter()
        .map(|change| (change.path, change.effect))
        .collect()
}

/// The effect of the one change between two types of a property, and the path below it.
fn change(old: &str, new: &str) -> (String, Effect) {
    let mut changes = compare(&object(old), &object(new));
    assert_eq!(changes.len(), 1, "{old} {new}: {changes:?}");
    let change = changes.remove(0);
    let path = change.path.strip_prefix("defs.o.properties.p").unwrap();
    (path.trim_start_matches('.').to_owned(), change.effect)
}

#[test]
fn a_schema_does_not_differ_from_itself() {
    for id in known::ids() {
        let document = known::document(&id).unwrap();
        assert_eq!(compare(&document, &document), []);
    }
}

#[test]
fn fields_may_come_when_optional_and_stay_when_required() {
    let none = r#"{"o":{"type":"object","properties":{}}}"#;
    let optional = r#"{"o":{"type":"object","properties":{"p":{"type":"string"}}}}"#;
    let required =
        r#"{"o":{"type":"object","required":["p"],"properties":{"p":{"type":"string"}}}}"#;
    let at = "defs.o.properties.p".to_owned();
    for (old, new, effect) in [
        (none, optional, Effect::Compatible),
        (none, required, Effect::Breaking),
        (optional, none, Effect::Loosened),
        (required, none, Effect::Breaking),
        (optional, required, Effect::Breaking),
        (required, optional, Effect::Breaking),
    ] {
        assert_eq!(changes(old, new), [(at.clone(), effect)], "{old} {new}");
    }
}

const BOUNDS: &[(&str, &str, &str, Effect)] = &[
    (
        r#"{"type":"string","maxLength":5}"#,
        r#"{"type":"string","maxLength":4}"#,
        "maxLength",
        Effect::Breaking,
    ),
    (
        r#"{"type":"string","maxLength":5}"#,
        r#"{"type":"string","maxLength":6}"#,
        "maxLength",
        Effect::Loosened,
    ),
    (
        r#"{"type":"string"}"#,
        r#"{"type":"string","maxGraphemes":6}"#,
        "maxGraphemes",
        Effect::Breaking,
    ),
    (
        r#"{"type":"string","maxGraphemes":6}"#,
        r#"{"type":"string"}"#,
        "maxGraphemes",
        Effect::Loosened,
    ),
    (
        r#"{"type":"string"}"#,
        r#"{"type":"string","minLength":1}"#,
        "minLength",
        Effect::Breaking,
    ),
    (
        r#"{"type":"string","minLength":2}"#,
        r#"{"type":"string","minLength":1}"#,
        "minLength",
        Effect::Loosened,
    ),
    (
        r#"{"type":"string"}"#,
        r#"{"type":"string","format":"did"}"#,
        "format",
        Effect::Breaking,
    ),
    (
        r#"{"type":"string","format":"did"}"#,
        r#"{"type":"string"}"#,
        "format",
        Effect::Loosened,
    ),
    (
        r#"{"type":"string","format":"did"}"#,
        r#"{"type":"string","format":"handle"}"#,
        "format",
        Effect::Breaking,
    ),
    (
        r#"{"type":"string"}"#,
        r#"{"type":"string","enum":["a"]}"#,
        "enum",
        Effect::Breaking,
    ),
    (
        r#"{"type":"string","enum":["a"]}"#,
        r#"{"type":"string","enum":["a","b"]}"#,
        "enum",
        Effect::Loosened,
    ),
    (
        r#"{"type":"string","enum":["a","b"]}"#,
        r#"{"type":"string","enum":["a"]}"#,
        "enum",
        Effect::Breaking,
    ),
    (
        r#"{"type":"string"}"#,
        r#"{"type":"string","const":"a"}"#,
        "const",
        Effect::Breaking,
    ),
    (
        r#"{"type":"string","const":"a"}"#,
        r#"{"type":"string"}"#,
        "const",
        Effect::Loosened,
    ),
    (
        r#"{"type":"string"}"#,
        r#"{"type":"string","knownValues":["a"]}"#,
        "knownValues",
        Effect::Compatible,
    ),
    (
        r#"{"type":"string"}"#,
        r#"{"type":"string","default":"a"}"#,
        "default",
        Effect::Loosened,
    ),
    (
        r#"{"type":"integer","maximum":5}"#,
        r#"{"type":"integer","maximum":4}"#,
        "maximum",
        Effect::Breaking,
    ),
    (
        r#"{"type":"integer","minimum":5}"#,
        r#"{"type":"integer"}"#,
        "minimum",
        Effect::Loosened,
    ),
    (
        r#"{"type":"integer","minimum":-5}"#,
        r#"{"type":"integer","minimum":-4}"#,
        "minimum",
        Effect::Breaking,
    ),
    (
        r#"{"type":"boolean"}"#,
        r#"{"type":"boolean","const":true}"#,
        "const",
        Effect::Breaking,
    ),
    (
        r#"{"type":"bytes"}"#,
        r#"{"type":"bytes","maxLength":4}"#,
        "maxLength",
        Effect::Breaking,
    ),
    (
        r#"{"type":"blob","maxSize":5}"#,
        r#"{"type":"blob","maxSize":4}"#,
        "maxSize",
        Effect::Breaking,
    ),
    (
        r#"{"type":"blob","accept":["image/*"]}"#,
        r#"{"type":"blob","accept":["image/png"]}"#,
        "accept",
        Effect::Breaking,
    ),
    (
        r#"{"type":"blob","accept":["image/png"]}"#,
        r#"{"type":"blob","accept":["image/*"]}"#,
        "accept",
        Effect::Loosened,
    ),
    (
        r#"{"type":"blob"}"#,
        r#"{"type":"blob","accept":["image/png"]}"#,
        "accept",
        Effect::Breaking,
    ),
    (
        r#"{"type":"array","items":{"type":"string"}}"#,
        r#"{"type":"array","items":{"type":"integer"}}"#,
        "items",
        Effect::Breaking,
    ),
    (
        r#"{"type":"array","items":{"type":"string"},"maxLength":2}"#,
        r#"{"type":"array","items":{"type":"string"},"maxLength":1}"#,
        "maxLength",
        Effect::Breaking,
    ),
    (
        r#"{"type":"string"}"#,
        r#"{"type":"integer"}"#,
        "",
        Effect::Breaking,
    ),
    (
        r#"{"type":"ref","ref":"a.b.c"}"#,
        r#"{"type":"ref","ref":"a.b.d"}"#,
        "",
        Effect::Breaking,
    ),
    (
        r#"{"type":"union","refs":[]}"#,
        r#"{"type":"union","refs":["a.b.c"]}"#,
        "",
        Effect::Compatible,
    ),
    (
        r#"{"type":"union","refs":["a.b.c"]}"#,
        r#"{"type":"union","refs":[]}"#,
        "",
        Effect::Breaking,
    ),
    (
        r#"{"type":"union","closed":true,"refs":["a.b.c"]}"#,
        r#"{"type":"union","closed":true,"refs":["a.b.c","a.b.d"]}"#,
        "",
        Effect::Breaking,
    ),
    (
        r#"{"type":"union","refs":["a.b.c"]}"#,
        r#"{"type":"union","closed":true,"refs":["a.b.c"]}"#,
        "",
        Effect::Breaking,
    ),
];

#[test]
fn tighter_bounds_break_and_looser_ones_do_not() {
    for (old, new, path, effect) in BOUNDS {
        assert_eq!(
            change(old, new),
            ((*path).to_owned(), *effect),
            "{old} {new}"
        );
    }
    assert_eq!(
        compare(
            &object(r#"{"type":"blob"}"#),
            &object(r#"{"type":"blob","accept":["*/*"]}"#)
        ),
        []
    );
}

#[test]
fn null_and_keys_and_definitions_follow_the_same_rules() {
    use Effect::{Breaking, Compatible, Loosened};
    let object = |more: &str| {
        format!(r#"{{"o":{{"type":"object","properties":{{"p":{{"type":"string"}}}}{more}}}}}"#)
    };
    let (plain, nullable) = (object(""), object(r#","nullable":["p"]"#));
    let at = "defs.o.properties.p".to_owned();
    assert_eq!(changes(&plain, &nullable), [(at.clone(), Loosened)]);
    assert_eq!(changes(&nullable, &plain), [(at, Breaking)]);

    let record = |key: &str| {
        format!(r#"{{"main":{{"type":"record","key":"{key}","record":{{"type":"object"}}}}}}"#)
    };
    assert_eq!(
        changes(&record("any"), &record("tid")),
        [("defs.main.key".to_owned(), Breaking)]
    );
    assert_eq!(
        changes(&record("tid"), &record("any")),
        [("defs.main.key".to_owned(), Loosened)]
    );

    let (one, two) = (
        r#"{"a":{"type":"token"}}"#,
        r#"{"a":{"type":"token"},"b":{"type":"token"}}"#,
    );
    assert_eq!(changes(one, two), [("defs.b".to_owned(), Compatible)]);
    assert_eq!(changes(two, one), [("defs.b".to_owned(), Breaking)]);
    assert_eq!(
        changes(one, r#"{"a":{"type":"string"}}"#),
        [("defs.a".to_owned(), Breaking)]
    );
}

#[test]
fn methods_may_gain_an_optional_parameter_an_output_and_errors() {
    use Effect::{Breaking, Compatible, Loosened};
    let query = |more: &str| format!(r#"{{"main":{{"type":"query"{more}}}}}"#);
    let parameter = |required: &str| {
        query(&format!(
            r#","parameters":{{"type":"params","required":[{required}],"properties":{{"p":{{"type":"string"}}}}}}"#
        ))
    };
    let at = |path: &str, effect| [(format!("defs.main.{path}"), effect)];
    let bare = query("");
    assert_eq!(
        changes(&bare, &parameter("")),
        at("parameters.properties.p", Compatible)
    );
    assert_eq!(
        changes(&bare, &parameter("\"p\"")),
        at("parameters.properties.p", Breaking)
    );
    let output = query(r#","output":{"encoding":"application/json"}"#);
    assert_eq!(changes(&bare, &output), at("output", Compatible));
    assert_eq!(changes(&output, &bare), at("output", Breaking));
    assert_eq!(
        changes(&output, &query(r#","output":{"encoding":"text/plain"}"#)),
        at("output", Breaking)
    );
    let error = query(r#","errors":[{"name":"Gone"}]"#);
    assert_eq!(changes(&bare, &error), at("errors", Compatible));
    assert_eq!(changes(&error, &bare), at("errors", Loosened));
    let procedure = |more: &str| format!(r#"{{"main":{{"type":"procedure"{more}}}}}"#);
    let input = procedure(r#","input":{"encoding":"application/json"}"#);
    assert_eq!(changes(&procedure(""), &input), at("input", Breaking));
}

#[test]
fn another_id_is_another_schema() {
    let old = document(r#"{"a":{"type":"token"}}"#);
    let new =
        Document::parse(br#"{"lexicon":1,"id":"com.example.b","defs":{"a":{"type":"token"}}}"#)
            .unwrap();
    assert_eq!(compare(&old, &new)[0].effect, Effect::Breaking);
}

proptest! {
    /// Whoever takes a change of bounds for no breaking one can rely on it: what was valid stays so.
    #[test]
    fn what_was_valid_stays_valid_unless_the_change_breaks(
        old in (0i64..6, 0i64..6), new in (0i64..6, 0i64..6), value in 0i64..6,
    ) {
        let bounds = |(a, b): (i64, i64)| (a.min(b), a.max(b));
        let (old, new) = (bounds(old), bounds(new));
        let schema = |(minimum, maximum)| {
            object(&format!(r#"{{"type":"integer","minimum":{minimum},"maximum":{maximum}}}"#))
        };
        let changes = compare(&schema(old), &schema(new));
        let breaks = changes.iter().any(|change| change.effect == Effect::Breaking);
        let holds = |(minimum, maximum): (i64, i64)| minimum <= value && value <= maximum;
        prop_assert!(breaks || !holds(old) || holds(new));
        prop_assert_eq!(breaks, new.0 > old.0 || new.1 < old.1);
    }
}
