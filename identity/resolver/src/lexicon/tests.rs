use std::time::Duration;

use bytes::Bytes;
use rochdale_lexicons::SCHEMA_COLLECTION;
use rochdale_protocol::{
    crypto::{Curve, SigningKey},
    data::{Cid, Value, cbor, json},
    repo::{NoBlocks, Tree, UnsignedCommit, proof},
    syntax::{Did, RecordPath, Tid},
};
use rochdale_service::clock::ManualClock;

use super::*;
use crate::{
    Config,
    network::{NetworkError, Script},
};

const AUTHOR: &str = "did:web:author.example.com";
const SERVER: &str = "https://pds.example.com";

fn key() -> SigningKey {
    SigningKey::from_bytes(Curve::P256, &[9; 32]).unwrap()
}

fn nsid(text: &str) -> Nsid {
    text.parse().unwrap()
}

/// A record schema with one property.
fn schema(id: &str, property: &str) -> String {
    format!(
        r#"{{"$type":"com.atproto.lexicon.schema","lexicon":1,"id":"{id}","defs":{{"main":{{"type":"record","key":"any",
            "record":{{"type":"object","properties":{{"p":{property}}}}}}}}}}}"#
    )
}

/// The proof that the author's repository holds `text` as the schema `id`.
fn proof_of(id: &str, text: &str, key: &SigningKey) -> Bytes {
    let path: RecordPath = format!("{SCHEMA_COLLECTION}/{id}").parse().unwrap();
    let block = cbor::encode(&json::parse(text.as_bytes()).unwrap());
    let cid = Cid::dag_cbor(&block);
    let mut tree = Tree::from_sorted([(path.to_string(), cid.into())]).unwrap();
    let rev = Tid::next(None, 1_700_000_000_000_000, 0);
    let unsigned = UnsignedCommit {
        did: AUTHOR.parse().unwrap(),
        rev,
        data: tree.root(),
    };
    let commit = unsigned.sign(key);
    let root = commit.cid();
    let file = proof::write(
        &mut tree,
        &NoBlocks,
        (&root, &commit.encode()),
        &path,
        Some((&cid, &block)),
    );
    file.unwrap().into()
}

fn record_url(id: &str) -> String {
    format!(
        "{SERVER}/xrpc/com.atproto.sync.getRecord?did={AUTHOR}&collection={SCHEMA_COLLECTION}&rkey={id}"
    )
}

struct World {
    script: Script,
    clock: ManualClock,
    lexicons: Lexicons,
}

impl World {
    fn new() -> Self {
        Self::with(Library::default())
    }

    fn with(library: Library) -> Self {
        Self::waiting(WAITS, library)
    }

    fn waiting(waits: Waits, library: Library) -> Self {
        let (script, clock) = (Script::default(), ManualClock::at_us(1_700_000_000_000_000));
        let config = Config::new("https://plc.example.com");
        let resolver = Resolver::over(config, Box::new(script.clone()), clock.shared());
        let lexicons = Lexicons::waiting(waits, resolver, library, clock.shared(), Shutdown::new());
        let world = Self {
            script,
            clock,
            lexicons,
        };
        world.author(&key());
        world
    }

    fn author(&self, key: &SigningKey) {
        let multibase = key.public().to_multibase();
        let document = format!(
            r##"{{"id":"{AUTHOR}","verificationMethod":[{{"id":"#atproto","type":"Multikey","controller":"{AUTHOR}",
                "publicKeyMultibase":"{multibase}"}}],"service":[{{"id":"#atproto_pds","type":"AtprotoPersonalDataServer",
                "serviceEndpoint":"{SERVER}"}}]}}"##
        );
        self.script.http(
            "https://author.example.com/.well-known/did.json",
            200,
            document,
        );
    }

    /// `text` as the author's schema `id`, which DNS says is the author's to publish.
    fn publish(&self, id: &str, text: &str) {
        let name = rochdale_lexicons::authority::dns_name(&nsid(id)).unwrap();
        self.script
            .dns(&name, &["v=spf1", &format!("did={AUTHOR}")]);
        self.script
            .http(&record_url(id), 200, proof_of(id, text, &key()));
    }

    async fn brief(&self, id: &str) -> Result<Arc<RecordType>, LexiconError> {
        self.lexicons.record_type(&nsid(id), Patience::Brief).await
    }

    async fn whole(&self, id: &str) -> Result<Arc<RecordType>, LexiconError> {
        self.lexicons.record_type(&nsid(id), Patience::Whole).await
    }

    async fn published(&self, id: &str) -> Result<Arc<Published>, LexiconError> {
        self.lexicons.published(&nsid(id)).await
    }
}

fn accepts(kind: &RecordType, value: &str) -> bool {
    let text = format!(r#"{{"$type":"{}","p":{value}}}"#, kind.id());
    kind.validate(&json::parse(text.as_bytes()).unwrap())
        .is_ok()
}

const A: &str = "com.example.lab.a";

#[tokio::test]
async fn a_schema_is_found_by_dns_and_proven_by_its_repository() {
    let world = World::new();
    let text = schema(A, r#"{"type":"integer"}"#);
    world.publish(A, &text);
    let published = world.published(A).await.unwrap();
    assert_eq!(
        published.uri.as_str(),
        format!("at://{AUTHOR}/{SCHEMA_COLLECTION}/{A}")
    );
    assert_eq!(
        cbor::decode(&published.record).unwrap(),
        json::parse(text.as_bytes()).unwrap()
    );
    assert_eq!(published.cid, Cid::dag_cbor(&published.record));
    assert_eq!(
        world.script.asked(),
        [
            "TXT _lexicon.lab.example.com",
            "https://author.example.com/.well-known/did.json",
            &record_url(A)
        ]
    );
    let kind = world.whole(A).await.unwrap();
    assert!(accepts(&kind, "1") && !accepts(&kind, "\"1\""));
    // Nothing was asked again for it.
    assert!(world.script.asked().is_empty());
}

#[tokio::test]
async fn what_is_at_hand_is_never_asked_for() {
    let document = Document::parse(schema(A, r#"{"type":"string"}"#).as_bytes()).unwrap();
    let world = World::with(Library::new(vec![document]).unwrap());
    world.publish(A, &schema(A, r#"{"type":"integer"}"#));
    let kind = world.whole(A).await.unwrap();
    assert!(accepts(&kind, "\"1\"") && !accepts(&kind, "1"));
    assert!(world.brief("app.bsky.feed.post").await.is_ok());
    let no_record = world.brief("com.atproto.repo.strongRef").await;
    assert!(matches!(no_record, Err(LexiconError::NotARecord(_))));
    assert!(world.script.asked().is_empty());
}

#[tokio::test]
async fn dns_must_name_exactly_one_account_for_the_very_authority() {
    let world = World::new();
    world.publish(A, &schema(A, r#"{"type":"integer"}"#));
    // Neither a parent's nor a child's record counts.
    for id in ["com.example.other", "com.example.lab.deep.other"] {
        let error = world.published(id).await.unwrap_err();
        assert!(
            matches!(error, LexiconError::NotPublished { .. }),
            "{error}"
        );
    }
    for (records, reason) in [
        (
            &["did=did:web:a.example.com", "did=did:web:b.example.com"][..],
            "more than one TXT record",
        ),
        (&["v=spf1"][..], "has a did="),
        (&["did=nothing"][..], "is not a valid DID"),
    ] {
        let world = World::new();
        world.script.dns("_lexicon.lab.example.com", records);
        let error = world.published(A).await.unwrap_err().to_string();
        assert!(error.contains(reason), "{error}");
    }
    let reserved = world
        .published("local.printer.status")
        .await
        .unwrap_err()
        .to_string();
    assert!(reserved.contains("never resolved"), "{reserved}");
}

#[tokio::test]
async fn what_is_not_proven_or_no_such_schema_is_refused() {
    let good = schema(A, r#"{"type":"integer"}"#);
    let stranger = SigningKey::from_bytes(Curve::P256, &[3; 32]).unwrap();
    for (proof, reason) in [
        (proof_of(A, &good, &stranger), "signature does not hold"),
        (
            proof_of("com.example.lab.b", &good, &key()),
            "has no record of it",
        ),
        (Bytes::from_static(b"nothing"), "cannot be used"),
        (
            proof_of(A, &good.replace(A, "com.example.lab.b"), &key()),
            "its id is com.example.lab.b",
        ),
        (
            proof_of(A, &good.replace("lexicon.schema", "lexicon.other"), &key()),
            "its $type is not",
        ),
        (
            proof_of(A, &good.replace("integer", "decimal"), &key()),
            "`decimal` is no type",
        ),
    ] {
        let world = World::new();
        world.publish(A, &good);
        world.script.http(&record_url(A), 200, proof);
        let error = world.published(A).await.unwrap_err();
        assert!(error.to_string().contains(reason), "{error}");
        assert!(!error.is_transient(), "{error}");
    }
}

#[tokio::test]
async fn a_key_that_changed_is_asked_for_once_more() {
    let world = World::new();
    let text = schema(A, r#"{"type":"integer"}"#);
    world.publish(A, &text);
    let did: Did = AUTHOR.parse().unwrap();
    world
        .lexicons
        .inner
        .resolver
        .did_document(&did)
        .await
        .unwrap();
    let newer = SigningKey::from_bytes(Curve::P256, &[3; 32]).unwrap();
    world.author(&newer);
    world
        .script
        .http(&record_url(A), 200, proof_of(A, &text, &newer));
    assert!(world.published(A).await.is_ok());
}

#[tokio::test]
async fn a_server_that_is_down_is_told_apart_from_one_that_says_no() {
    let world = World::new();
    world.publish(A, &schema(A, r#"{"type":"integer"}"#));
    world.script.http(&record_url(A), 503, "");
    assert!(world.published(A).await.unwrap_err().is_transient());
    let world = World::new();
    world.publish(A, &schema(A, r#"{"type":"integer"}"#));
    world.script.http(&record_url(A), 400, "");
    assert!(!world.published(A).await.unwrap_err().is_transient());
}

#[tokio::test]
async fn references_are_followed_and_one_that_is_missing_affects_only_those_who_use_it() {
    let world = World::new();
    let (b, gone) = ("com.example.lab.b", "com.example.gone.c");
    let property =
        format!(r#"{{"type":"union","refs":["{b}","{gone}","com.atproto.repo.strongRef"]}}"#);
    world.publish(A, &schema(A, &property));
    world.publish(b, &schema(b, &format!(r#"{{"type":"ref","ref":"{A}"}}"#)));
    let kind = world.whole(A).await.unwrap();
    assert_eq!(kind.missing(), [nsid(gone)]);
    assert!(accepts(&kind, &format!(r#"{{"$type":"{b}"}}"#)));
    let value = format!(r#"{{"$type":"{A}","p":{{"$type":"{gone}"}}}}"#);
    let value: Value = json::parse(value.as_bytes()).unwrap();
    assert!(kind.validate(&value).unwrap_err().missing_schema());
    let asked = world.script.asked();
    assert_eq!(
        asked
            .iter()
            .filter(|asked| **asked == record_url(A))
            .count(),
        1
    );
    assert!(!asked.iter().any(|asked| asked.contains("strongRef")));
}

#[tokio::test]
async fn an_old_type_is_used_while_it_is_fetched_again_behind_the_callers_back() {
    let world = World::new();
    world.publish(A, &schema(A, r#"{"type":"integer"}"#));
    assert!(accepts(&world.whole(A).await.unwrap(), "1"));
    world.publish(A, &schema(A, r#"{"type":"string"}"#));
    world.clock.advance(Duration::from_secs(299));
    assert!(accepts(&world.brief(A).await.unwrap(), "1"));
    world.clock.advance(Duration::from_secs(1));
    // Answered at once with the older version; the newer one is on its way.
    assert!(accepts(&world.brief(A).await.unwrap(), "1"));
    assert!(accepts(&world.whole(A).await.unwrap(), "\"a\""));

    // While the network is down the last version serves for a day, and then no longer.
    world
        .script
        .http_fails(&record_url(A), NetworkError::Transport("down".into()));
    world.clock.advance(Duration::from_secs(3600));
    assert!(accepts(&world.whole(A).await.unwrap(), "\"a\""));
    world.clock.advance(Duration::from_secs(24 * 3600));
    assert!(world.whole(A).await.unwrap_err().is_transient());

    // A definite no ends it at once.
    world.publish(A, &schema(A, r#"{"type":"string"}"#));
    world.clock.advance(Duration::from_secs(301));
    assert!(world.whole(A).await.is_ok());
    world.script.dns("_lexicon.lab.example.com", &[]);
    world.clock.advance(Duration::from_secs(301));
    assert!(matches!(
        world.whole(A).await,
        Err(LexiconError::NotPublished { .. })
    ));
}

#[tokio::test]
async fn a_failure_is_remembered_and_then_asked_again_without_waiting() {
    let world = World::new();
    assert!(world.brief(A).await.is_err());
    assert_eq!(world.script.asked(), ["TXT _lexicon.lab.example.com"]);
    assert!(world.whole(A).await.is_err());
    assert!(world.script.asked().is_empty());
    world.publish(A, &schema(A, r#"{"type":"integer"}"#));
    world.clock.advance(Duration::from_secs(301));
    assert!(world.brief(A).await.is_err(), "the last answer, at once");
    assert!(world.whole(A).await.is_ok());
}

/// Short enough for a test, far enough apart to tell which of them ended a wait.
const SHORT: Waits = Waits {
    brief: Duration::from_millis(300),
    fetch: Duration::from_millis(1_500),
};

#[tokio::test]
async fn a_network_that_is_silent_holds_nobody_longer_than_the_patience() {
    let world = World::waiting(SHORT, Library::default());
    world.script.dns_is_silent("_lexicon.lab.example.com");
    let began = Instant::now();
    let first = world.brief(A).await.unwrap_err();
    assert!(matches!(first, LexiconError::Pending(_)), "{first}");
    assert!(began.elapsed() >= SHORT.brief);
    // The time counts from the first who asked, so nobody else waits for it.
    let again = Instant::now();
    assert!(matches!(
        world.brief(A).await,
        Err(LexiconError::Pending(_))
    ));
    assert!(again.elapsed() < SHORT.brief / 2);
    assert!(began.elapsed() < SHORT.fetch);
    let whole = world.whole(A).await.unwrap_err();
    assert!(matches!(whole, LexiconError::Unreachable { .. }), "{whole}");
    assert!(began.elapsed() >= SHORT.fetch);
    assert_eq!(world.script.asked().len(), 1, "one fetch for all of them");
    // From then on nobody waits: the last answer is given at once.
    world.clock.advance(Duration::from_secs(301));
    assert!(matches!(
        world.brief(A).await,
        Err(LexiconError::Unreachable { .. })
    ));
}

#[tokio::test]
async fn fetches_at_a_time_are_bounded() {
    let world = World::waiting(SHORT, Library::default());
    for number in 0..FLIGHTS {
        world
            .script
            .dns_is_silent(&format!("_lexicon.x{number}.example.com"));
        let id = nsid(&format!("com.example.x{number}.a"));
        let lexicons = world.lexicons.clone();
        tokio::spawn(async move { lexicons.record_type(&id, Patience::Whole).await });
    }
    tokio::task::yield_now().await;
    let refused = world.whole("com.example.more.a").await;
    assert!(matches!(refused, Err(LexiconError::Busy(_))), "{refused:?}");
    tokio::time::sleep(2 * SHORT.fetch).await;
    let later = world.whole("com.example.more.a").await;
    assert!(
        matches!(later, Err(LexiconError::NotPublished { .. })),
        "{later:?}"
    );
}

#[test]
fn an_operators_folder_is_read_whole_and_its_first_fault_named() {
    let folder = tempfile::tempdir().unwrap();
    let deep = folder.path().join("com/example");
    std::fs::create_dir_all(&deep).unwrap();
    std::fs::write(
        deep.join("a.json"),
        schema("com.example.a", r#"{"type":"string"}"#),
    )
    .unwrap();
    std::fs::write(folder.path().join("README.md"), "not a schema").unwrap();
    let library = folder::library(Some(folder.path())).unwrap();
    assert!(library.record_type(&nsid("com.example.a")).is_some());
    assert!(library.record_type(&nsid("app.bsky.feed.like")).is_some());

    std::fs::write(
        deep.join("b.json"),
        schema("com.example.b", r#"{"type":"float"}"#),
    )
    .unwrap();
    let error = folder::library(Some(folder.path()))
        .unwrap_err()
        .to_string();
    let place = "com/example/b.json: defs.main.record.properties.p.type: `float` is no type";
    assert!(error.contains(place), "{error}");

    std::fs::write(
        deep.join("b.json"),
        schema("com.example.a", r#"{"type":"string"}"#),
    )
    .unwrap();
    let error = folder::library(Some(folder.path()))
        .unwrap_err()
        .to_string();
    assert!(error.ends_with("com.example.a is there twice"), "{error}");
    let gone = folder::library(Some(&folder.path().join("gone")))
        .unwrap_err()
        .to_string();
    assert!(gone.starts_with("cannot read "), "{gone}");
}
