use super::*;

fn document(id: &str, defs: &str) -> Arc<Document> {
    let text = format!(r#"{{"lexicon":1,"id":"{id}","defs":{defs}}}"#);
    Arc::new(Document::parse(text.as_bytes()).unwrap())
}

fn record(id: &str, property: &str) -> Arc<Document> {
    let record = format!(r#"{{"type":"object","properties":{{"p":{property}}}}}"#);
    document(
        id,
        &format!(r#"{{"main":{{"type":"record","key":"tid","record":{record}}}}}"#),
    )
}

const OTHER: &str = r#"{
    "object": {"type":"object","properties":{"next":{"type":"ref","ref":"com.example.third"}}},
    "text": {"type":"string","maxLength":3},
    "token": {"type":"token"}
}"#;

fn link(property: &str, found: &[&Arc<Document>]) -> Result<RecordType, LinkError> {
    RecordType::link(&record("com.example.first", property), |id| {
        found
            .iter()
            .find(|document| document.id() == id)
            .map(|document| Arc::clone(document))
    })
}

#[test]
fn a_record_reaches_through_other_documents_and_names_those_that_are_missing() {
    let other = document("com.example.other", OTHER);
    let property = r#"{"type":"ref","ref":"com.example.other#object"}"#;
    let linked = link(property, &[&other]).unwrap();
    assert_eq!(
        linked.missing(),
        ["com.example.third".parse::<Nsid>().unwrap()]
    );
    assert_eq!(linked.definitions(), 2);
    let third = document("com.example.third", r#"{"main":{"type":"object"}}"#);
    let linked = link(property, &[&other, &third]).unwrap();
    assert!(linked.missing().is_empty());
    assert_eq!(linked.definitions(), 3);
    let nothing = link(property, &[]).unwrap();
    assert_eq!(
        nothing.missing(),
        ["com.example.other".parse::<Nsid>().unwrap()]
    );
}

#[test]
fn a_reference_to_nothing_or_to_no_value_is_named_with_its_place() {
    let other = document("com.example.other", OTHER);
    for (property, fault) in [
        (
            r#"{"type":"ref","ref":"com.example.other#gone"}"#,
            "refers to com.example.other#gone, which does not exist",
        ),
        (
            r#"{"type":"ref","ref":"com.example.other#token"}"#,
            "refers to com.example.other#token, which is no type of a value",
        ),
        (
            r#"{"type":"union","refs":["com.example.other#text"]}"#,
            "refers to com.example.other#text, which is no object, as variants of a union must be",
        ),
    ] {
        let error = link(property, &[&other]).unwrap_err().to_string();
        let place = "com.example.first at record.properties.p: ";
        assert_eq!(error, format!("{place}{fault}"));
        let (faults, missing) = check_references(&record("com.example.first", property), |_| {
            Some(Arc::clone(&other))
        });
        assert_eq!(faults.len(), 1);
        assert_eq!(
            faults[0].to_string(),
            format!("defs.main.record.properties.p: {fault}")
        );
        assert!(missing.is_empty());
    }
    assert!(
        link(
            r#"{"type":"ref","ref":"com.example.other#text"}"#,
            &[&other]
        )
        .is_ok()
    );
}

#[test]
fn a_document_that_is_not_known_is_a_note_and_no_fault() {
    let first = record(
        "com.example.first",
        r#"{"type":"ref","ref":"com.example.gone#a"}"#,
    );
    let (faults, missing) = check_references(&first, |_| None);
    assert!(faults.is_empty());
    assert_eq!(missing, ["com.example.gone".parse::<Nsid>().unwrap()]);
}

#[test]
fn only_a_record_makes_a_record_type_and_not_without_end() {
    let other = document("com.example.other", OTHER);
    let error = RecordType::link(&other, |_| None).unwrap_err();
    assert!(matches!(error, LinkError::NotARecord(_)));

    let many: Vec<String> = (0..=MAX_DEFINITIONS)
        .map(|i| format!(r##""d{i}":{{"type":"object","properties":{{"n":{{"type":"ref","ref":"#d{}"}}}}}}"##, i + 1))
        .chain([format!(r#""d{}":{{"type":"object"}}"#, MAX_DEFINITIONS + 1)])
        .collect();
    let defs = format!(
        r##"{{"main":{{"type":"record","key":"any","record":{{"type":"object","properties":{{"p":{{"type":"ref","ref":"#d0"}}}}}}}},{}}}"##,
        many.join(",")
    );
    let error = RecordType::link(&document("com.example.many", &defs), |_| None).unwrap_err();
    assert!(matches!(error, LinkError::TooMany(_)));
}

#[test]
fn references_in_a_circle_link() {
    let defs = r##"{
        "main":{"type":"record","key":"any","record":{"type":"object","properties":{"n":{"type":"ref","ref":"#node"}}}},
        "node":{"type":"object","properties":{"next":{"type":"ref","ref":"#node"},"all":{"type":"ref","ref":"#list"}}},
        "list":{"type":"array","items":{"type":"ref","ref":"#list"}}
    }"##;
    let linked = RecordType::link(&document("com.example.circle", defs), |_| None).unwrap();
    assert_eq!(linked.definitions(), 3);
}
