use proptest::prelude::*;

use super::*;

fn faults(defs: &str) -> Vec<String> {
    let text = format!(r#"{{"lexicon":1,"id":"com.example.a","defs":{defs}}}"#);
    match Document::parse(text.as_bytes()) {
        Ok(_) => Vec::new(),
        Err(error) => error.faults.iter().map(ToString::to_string).collect(),
    }
}

fn property(schema: &str) -> Vec<String> {
    faults(&format!(
        r#"{{"x":{{"type":"object","properties":{{"p":{schema}}}}}}}"#
    ))
}

const PROPERTY_FAULTS: &[(&str, &str)] = &[
    (
        r#"{"type":"integer","minimum":5,"maximum":4}"#,
        "defs.x.properties.p: 5 is more than 4",
    ),
    (
        r#"{"type":"integer","const":1,"default":1}"#,
        "defs.x.properties.p: `const` and `default`",
    ),
    (
        r#"{"type":"integer","enum":[1,"b"]}"#,
        "defs.x.properties.p.enum: must be a list of integers",
    ),
    (
        r#"{"type":"boolean","default":1}"#,
        "defs.x.properties.p.default: must be true or false",
    ),
    (
        r#"{"type":"string","maxLength":-1}"#,
        "defs.x.properties.p.maxLength: must not be negative",
    ),
    (
        r#"{"type":"string","minGraphemes":3,"maxGraphemes":2}"#,
        "defs.x.properties.p: 3 is more than 2",
    ),
    (
        r#"{"type":"string","format":"email"}"#,
        "defs.x.properties.p.format: `email` is no string format",
    ),
    (
        r##"{"type":"string","knownValues":["#a"]}"##,
        "defs.x.properties.p.knownValues: the token `#a`",
    ),
    (
        r##"{"type":"string","enum":["#a"]}"##,
        "defs.x.properties.p.enum: the token `#a`",
    ),
    (
        r#"{"type":"bytes","minLength":"1"}"#,
        "defs.x.properties.p.minLength: must be an integer",
    ),
    (
        r#"{"type":"blob","accept":["image"]}"#,
        "defs.x.properties.p.accept: `image` is no media type",
    ),
    (
        r#"{"type":"blob","maxSize":0}"#,
        "defs.x.properties.p.maxSize: must be more than zero",
    ),
    (
        r#"{"type":"array"}"#,
        "defs.x.properties.p: `items` is missing",
    ),
    (
        r#"{"type":"array","items":{"type":"token"}}"#,
        "defs.x.properties.p.items: a token may not stand here",
    ),
    (
        r#"{"type":"object","required":["q"]}"#,
        "defs.x.properties.p.required: `q` is not among the properties",
    ),
    (
        r#"{"type":"object","nullable":["q"]}"#,
        "defs.x.properties.p.nullable: `q` is not among the properties",
    ),
    (r#"{"type":"ref"}"#, "defs.x.properties.p: `ref` is missing"),
    (
        r#"{"type":"ref","ref":"a#b#c"}"#,
        "defs.x.properties.p.ref: `a#b#c` is no reference",
    ),
    (
        r#"{"type":"union"}"#,
        "defs.x.properties.p: `refs` is missing",
    ),
    (
        r#"{"type":"union","refs":[],"closed":true}"#,
        "defs.x.properties.p: a closed union without variants",
    ),
    (
        r#"{"type":"float"}"#,
        "defs.x.properties.p.type: `float` is no type",
    ),
    (
        r#"{"type":"record"}"#,
        "defs.x.properties.p: a record may not stand here",
    ),
    (
        r#"{"type":"string","description":1}"#,
        "defs.x.properties.p.description: must be a string",
    ),
    (r#"{}"#, "defs.x.properties.p: `type` is missing"),
    ("7", "defs.x.properties.p: must be an object"),
];

#[test]
fn every_rule_for_a_property_is_named_with_its_place() {
    for (schema, fault) in PROPERTY_FAULTS {
        let found = property(schema);
        assert_eq!(found.len(), 1, "{schema}: {found:?}");
        assert!(found[0].starts_with(fault), "{schema}: {}", found[0]);
    }
    assert_eq!(
        property(r#"{"type":"union","refs":[]}"#),
        Vec::<String>::new()
    );
    assert_eq!(
        property(r#"{"type":"string","unheardOf":{"x":1}}"#),
        Vec::<String>::new()
    );
}

const DEFINITION_FAULTS: &[(&str, &str)] = &[
    ("{}", "defs: must have at least one definition"),
    ("[]", "defs: must be an object"),
    (
        r#"{"a.b":{"type":"token"}}"#,
        "defs: `a.b` cannot name a definition",
    ),
    (
        r#"{"main":{"type":"record","record":{"type":"object"}}}"#,
        "defs.main: `key` is missing",
    ),
    (
        r#"{"main":{"type":"record","key":"literal:a/b","record":{"type":"object"}}}"#,
        "defs.main.key: `literal:a/b` is no record key type",
    ),
    (
        r#"{"main":{"type":"record","key":"any","record":{"type":"string"}}}"#,
        "defs.main.record: a string may not stand here",
    ),
    (
        r#"{"main":{"type":"query","parameters":{"type":"params","properties":{"a":{"type":"object"}}}}}"#,
        "defs.main.parameters.properties.a: a object may not stand here",
    ),
    (
        r#"{"main":{"type":"query","parameters":{"type":"object"}}}"#,
        "defs.main.parameters: a object may not stand here",
    ),
    (
        r#"{"main":{"type":"query","output":{"encoding":"application/json; charset=utf-8"}}}"#,
        "defs.main.output.encoding: `application/json; charset=utf-8` is no media type",
    ),
    (
        r#"{"main":{"type":"query","output":{}}}"#,
        "defs.main.output: `encoding` is missing",
    ),
    (
        r#"{"main":{"type":"procedure","input":{"encoding":"*/*","schema":{"type":"string"}}}}"#,
        "defs.main.input.schema: a string may not stand here",
    ),
    (
        r#"{"main":{"type":"query","errors":[{}]}}"#,
        "defs.main.errors[0]: `name` is missing",
    ),
    (
        r#"{"main":{"type":"subscription"}}"#,
        "defs.main: `message` is missing",
    ),
    (
        r#"{"main":{"type":"subscription","message":{"schema":{"type":"object"}}}}"#,
        "defs.main.message.schema: a object may not stand here",
    ),
    (
        r#"{"main":{"type":"permission-set"}}"#,
        "defs.main: `permissions` is missing",
    ),
    (
        r#"{"main":{"type":"permission-set","title:lang":{"no such":"x"},"permissions":[]}}"#,
        "defs.main.title:lang.no such: `no such` is not a valid language tag",
    ),
    (
        r#"{"main":{"type":"permission-set","permissions":[{"type":"permission"}]}}"#,
        "defs.main.permissions[0]: `resource` is missing",
    ),
];

#[test]
fn every_rule_for_a_definition_is_named_with_its_place() {
    for (defs, fault) in DEFINITION_FAULTS {
        let found = faults(defs);
        assert_eq!(found.len(), 1, "{defs}: {found:?}");
        assert!(found[0].starts_with(fault), "{defs}: {}", found[0]);
    }
}

#[test]
fn all_faults_of_a_document_are_reported_at_once() {
    let text = br##"{"lexicon":2,"id":"com.example.a","$type":"x.y.z","defs":{
        "a":{"type":"nothing"},"b":{"type":"ref","ref":"#a"},"main":{"type":"record"}}}"##;
    let error = Document::parse(text).unwrap_err();
    let paths: Vec<&str> = error
        .faults
        .iter()
        .map(|fault| fault.path.as_str())
        .collect();
    assert_eq!(
        paths,
        [
            "$type",
            "lexicon",
            "defs.a.type",
            "defs.b",
            "defs.main",
            "defs.main"
        ]
    );
    assert!(matches!(error.faults[0].fault, SchemaFault::RecordType(_)));
}

#[test]
fn what_is_no_document_is_refused() {
    for (text, fault) in [
        ("[]", "$: must be an object"),
        ("{", "$: invalid data"),
        (
            r#"{"id":"a.b.c","defs":{"a":{"type":"token"}}}"#,
            "$: `lexicon` is missing",
        ),
        (
            r#"{"lexicon":1,"defs":{"a":{"type":"token"}}}"#,
            "$: `id` is missing",
        ),
        (r#"{"lexicon":1,"id":"a.b.c"}"#, "$: `defs` is missing"),
    ] {
        let error = Document::parse(text.as_bytes()).unwrap_err().to_string();
        assert!(error.starts_with(fault), "{text}: {error}");
    }
}

#[test]
fn types_that_nest_without_end_are_refused_without_a_crash() {
    let mut schema = Value::Map([("type", "boolean")].into_iter().collect());
    for _ in 0..500 {
        let entries = [("type", Value::from("array")), ("items", schema)];
        schema = Value::Map(entries.into_iter().collect());
    }
    let defs = Value::Map([("a", schema)].into_iter().collect());
    let entries = [
        ("lexicon", Value::from(1)),
        ("id", "a.b.c".into()),
        ("defs", defs),
    ];
    let document = Value::Map(entries.into_iter().collect());
    let error = Document::read(&document).unwrap_err();
    assert!(
        matches!(error.faults[0].fault, SchemaFault::Depth),
        "{error}"
    );
}

#[test]
fn a_media_range_ignores_case_and_parameters() {
    let range = |text: &str| MediaRange::parse(text).unwrap();
    assert!(range("image/*").contains("IMAGE/png"));
    assert!(range("Image/PNG").contains("image/png; q=1"));
    assert!(range("*/*").contains("x/y"));
    assert!(!range("image/*").contains("video/mp4"));
    assert!(!range("image/*").contains("image"));
    for bad in ["*/png", "image/", "/", "image/png;x", "a b/c", ""] {
        assert!(MediaRange::parse(bad).is_none(), "{bad}");
    }
}

proptest! {
    #[test]
    fn any_text_is_read_or_refused(text in r#"[\{\}\[\]",:a-z0-9#.]{0,80}"#) {
        drop(Document::parse(text.as_bytes()));
    }

    #[test]
    fn any_schema_shaped_value_is_read_or_refused(
        kind in prop::sample::select(&["object", "array", "string", "union", "ref", "blob", "record", "token", "permission-set"][..]),
        key in prop::sample::select(&["properties", "items", "refs", "ref", "required", "accept", "maxLength", "key", "record", "permissions", "enum"][..]),
        value in prop::sample::select(&["1", "-1", "[]", "{}", "null", "\"x\"", "[1]", "[{}]", "{\"a\":{\"type\":\"string\"}}"][..]),
    ) {
        for name in ["main", "other"] {
            let text = format!(r#"{{"lexicon":1,"id":"com.example.a","defs":{{"{name}":{{"type":"{kind}","{key}":{value}}}}}}}"#);
            if let Err(error) = Document::parse(text.as_bytes()) {
                prop_assert!(error.faults.iter().all(|fault| fault.path.starts_with("defs.")));
            }
        }
    }
}
