//! The identity: made to name the new PDS, with all that the member put into it kept.
//!
//! A did:plc is changed by an operation that the old PDS signs after a mailed code, or the member's
//! own key; a did:web by its owner's hand. Follows the did:plc specification.

use std::path::Path;
use std::time::Duration;

use rochdale_pds::identity::operation::Recommended;
use rochdale_pds::identity::plc::{PlcClientError, PlcState};
use rochdale_protocol::crypto::{Curve, SigningKey};
use rochdale_protocol::plc::{DidData, DidDocument, Operation, UnsignedOperation};
use rochdale_protocol::syntax::Did;
use serde::Deserialize;
use serde_json::json;
use serde_json::value::RawValue;

use super::document::Documents;
use super::error::MigrateError;
use super::remote::{Remote, RemoteError};
use super::survey::Survey;
use super::{Args, Move};

/// How often a did:web is looked at while its owner edits it.
const LOOK_EVERY: Duration = Duration::from_secs(10);
/// Rotation keys that an operation may have.
const ROTATION_KEYS_MAX: usize = 5;

async fn recommended(remote: &Remote) -> Result<Recommended, RemoteError> {
    let nsid = "com.atproto.identity.getRecommendedDidCredentials";
    remote.ask(nsid, &[]).await
}

/// The rotation keys of the old server itself, when it tells them.
async fn keys_of(old: &Remote) -> Option<Vec<String>> {
    let theirs = recommended(old).await.ok()?;
    // A server that recommends the member's keys as well says which are its own.
    if theirs.server_rotation_keys.is_empty() {
        Some(theirs.rotation_keys)
    } else {
        Some(theirs.server_rotation_keys)
    }
}

fn unusable(cause: &PlcClientError) -> MigrateError {
    MigrateError::Identity(format!("{cause} (--plc-url says which directory is asked)"))
}

/// What of the identity stays, and whether it can be changed.
pub(super) async fn look(
    args: &Args,
    survey: &mut Survey,
    documents: &Documents,
    did: &Did,
    old: &Remote,
) -> Result<(), MigrateError> {
    if did.is_web() {
        survey.moves(format!("the identity {did}, when you edit its document"));
        return Ok(());
    }
    let present = documents
        .state(did)
        .await
        .map_err(|cause| unusable(&cause))?
        .data;
    let theirs = keys_of(old).await;
    let own = own_keys(&present, theirs.as_deref());
    if !own.is_empty() {
        survey.moves(format!("{} rotation keys of your own", own.len()));
    }
    for (name, service) in &present.services {
        if name != "atproto_pds" {
            survey.moves(format!("service {name} at {}", service.endpoint));
        }
    }
    for name in present
        .verification_methods
        .keys()
        .filter(|name| *name != "atproto")
    {
        survey.moves(format!("key {name}"));
    }
    match theirs {
        None if present.rotation_keys.len() > 1 => survey.stays(
            "rotation keys: the old PDS does not say which are its own. Give yours with --rotation-key"
                .to_owned(),
        ),
        Some(theirs)
            if args.sign_with.is_none()
                && !present.rotation_keys.iter().any(|key| theirs.contains(key)) =>
        {
            survey.obstacle(
                "the old PDS cannot change the identity, its key is not in it: sign with your own (--sign-with)"
                    .to_owned(),
            );
        }
        None | Some(_) => {}
    }
    Ok(())
}

/// The rotation keys that are not the old server's, when it told its own.
fn own_keys(present: &DidData, theirs: Option<&[String]>) -> Vec<String> {
    let Some(theirs) = theirs else {
        return Vec::new();
    };
    let keys = present.rotation_keys.iter();
    keys.filter(|key| !theirs.contains(key)).cloned().collect()
}

/// The next state: the member's keys above the new server's, its entries, and all others kept.
fn wanted(present: &DidData, own: Vec<String>, new: Recommended) -> Recommended {
    let mut keys: Vec<String> = Vec::new();
    for key in own.iter().chain(&new.rotation_keys) {
        if !keys.contains(key) {
            keys.push(key.clone());
        }
    }
    Recommended {
        rotation_keys: keys,
        server_rotation_keys: Vec::new(),
        ..new
    }
    .keeping(present)
}

/// Whether the identity names the new server and its key already.
fn is_there(present: &DidData, new: &Recommended) -> bool {
    present.services.get("atproto_pds") == new.services.get("atproto_pds")
        && present.verification_methods.get("atproto") == new.verification_methods.get("atproto")
}

/// As [`is_there`], of a document.
fn names_new(document: &DidDocument, new: &Recommended) -> bool {
    let pds = new
        .services
        .get("atproto_pds")
        .map(|service| service.endpoint.as_str());
    let key = document.signing_key().map(|key| key.to_did_key());
    document.pds() == pds && key.as_ref() == new.verification_methods.get("atproto")
}

/// Checks that a signed operation is the one that was asked for.
fn check_signed(signed: &Operation, state: &PlcState, wanted: &Recommended) -> Result<(), String> {
    if signed.prev() != Some(&state.head) {
        return Err("it does not follow the present state".to_owned());
    }
    let Some(data) = signed.data(&state.data.did) else {
        return Err("it ends the identity".to_owned());
    };
    let same = data.rotation_keys == wanted.rotation_keys
        && data.also_known_as == wanted.also_known_as
        && data.verification_methods == wanted.verification_methods
        && data.services == wanted.services;
    if same {
        Ok(())
    } else {
        Err("it says something else".to_owned())
    }
}

fn read_key(path: &Path) -> Result<SigningKey, MigrateError> {
    let refuse = || MigrateError::KeyFile(path.to_owned());
    let text = std::fs::read_to_string(path)?;
    let digits = text.trim().as_bytes();
    let mut bytes = [0; 32];
    if digits.len() != 64 {
        return Err(refuse());
    }
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks(2)) {
        let pair = std::str::from_utf8(pair).map_err(|_text| refuse())?;
        *byte = u8::from_str_radix(pair, 16).map_err(|_digits| refuse())?;
    }
    SigningKey::from_bytes(Curve::K256, &bytes).map_err(|_range| refuse())
}

impl Move<'_> {
    /// Makes the identity name the new PDS.
    pub(super) async fn move_identity(&mut self) -> Result<(), MigrateError> {
        let new = recommended(&self.new).await?;
        if self.journal.did().is_web() {
            self.move_document(&new).await
        } else {
            self.move_plc(new).await
        }
    }

    async fn state(&self) -> Result<PlcState, MigrateError> {
        let state = self.documents.state(self.journal.did()).await;
        state.map_err(|cause| unusable(&cause))
    }

    async fn move_plc(&mut self, new: Recommended) -> Result<(), MigrateError> {
        let state = self.state().await?;
        if is_there(&state.data, &new) {
            return self.journal.set_operation(None);
        }
        let kept = self.journal.operation().map(RawValue::to_owned);
        let still_fits = kept.filter(|kept| {
            let operation = Operation::from_json(kept.get().as_bytes());
            operation.is_ok_and(|operation| operation.prev() == Some(&state.head))
        });
        let operation = match still_fits {
            Some(operation) => operation,
            None => {
                let signed = self.signed(&state, new.clone()).await?;
                // Noted before it is used: another code would be needed for another one.
                self.journal.set_operation(Some(signed.clone()))?;
                signed
            }
        };
        let body = format!("{{\"operation\":{}}}", operation.get());
        let nsid = "com.atproto.identity.submitPlcOperation";
        match self.new.hand_in(nsid, &body).await {
            Err(error) if error.is_final() => {
                self.journal.set_operation(None)?;
                return Err(error.into());
            }
            done => done?,
        }
        if !is_there(&self.state().await?.data, &new) {
            let why = "the directory does not show it yet: run this again in a minute";
            return Err(MigrateError::Identity(why.to_owned()));
        }
        self.journal.set_operation(None)
    }

    /// The operation that moves the identity, signed by the old PDS or by the member.
    async fn signed(
        &self,
        state: &PlcState,
        new: Recommended,
    ) -> Result<Box<RawValue>, MigrateError> {
        let theirs = keys_of(&self.old).await;
        let mut own = self.args.rotation_keys.clone();
        own.extend(own_keys(&state.data, theirs.as_deref()));
        let key = self.args.sign_with.as_deref().map(read_key).transpose()?;
        if let Some(key) = &key {
            own.push(key.public().to_did_key());
        }
        let wanted = wanted(&state.data, own, new);
        if wanted.rotation_keys.len() > ROTATION_KEYS_MAX {
            let why = format!("it would have more than {ROTATION_KEYS_MAX} rotation keys");
            return Err(MigrateError::Identity(why));
        }
        let Some(key) = key else {
            return self.signed_by_old(state, &wanted).await;
        };
        if !state
            .data
            .rotation_keys
            .contains(&key.public().to_did_key())
        {
            let why = "the key of --sign-with is not among its rotation keys";
            return Err(MigrateError::Identity(why.to_owned()));
        }
        let operation = UnsignedOperation {
            rotation_keys: wanted.rotation_keys,
            verification_methods: wanted.verification_methods,
            also_known_as: wanted.also_known_as,
            services: wanted.services,
            prev: Some(state.head),
        };
        let json = Operation::Plc(operation.sign(&key)).to_json();
        RawValue::from_string(json).map_err(|cause| MigrateError::Identity(cause.to_string()))
    }

    async fn signed_by_old(
        &self,
        state: &PlcState,
        wanted: &Recommended,
    ) -> Result<Box<RawValue>, MigrateError> {
        #[derive(Deserialize)]
        struct Answer {
            operation: Box<RawValue>,
        }
        let mut given = self.args.code.clone();
        loop {
            let code = match given.take() {
                Some(code) => code,
                None => {
                    let nsid = "com.atproto.identity.requestPlcOperationSignature";
                    self.old.tell(nsid).await?;
                    let what = "The old PDS has mailed a code to the address of the account";
                    self.talk.code("--code", what)?
                }
            };
            let mut body = serde_json::to_value(wanted).unwrap_or_default();
            if let Some(fields) = body.as_object_mut() {
                fields.insert("token".to_owned(), json!(code.trim()));
            }
            let nsid = "com.atproto.identity.signPlcOperation";
            let answer: Answer = match self.old.call(nsid, &body).await {
                Ok(answer) => answer,
                Err(error) if error.is("InvalidToken") || error.is("ExpiredToken") => {
                    let why = format!("the code is not good: {}", error.reason());
                    if !self.talk.can_ask() {
                        let what = format!("{why}. Run this without --code to be mailed another");
                        return Err(MigrateError::Waiting(what));
                    }
                    self.talk.say(&why);
                    continue;
                }
                Err(error) => return Err(error.into()),
            };
            let refused = |why: String| {
                MigrateError::Identity(format!("what the old PDS signed is not used: {why}"))
            };
            let signed = Operation::from_json(answer.operation.get().as_bytes());
            let signed = signed.map_err(|cause| refused(cause.to_string()))?;
            check_signed(&signed, state, wanted).map_err(refused)?;
            return Ok(answer.operation);
        }
    }

    /// A did:web: its owner edits the document.
    async fn move_document(&self, new: &Recommended) -> Result<(), MigrateError> {
        let did = self.journal.did();
        let mut told = false;
        loop {
            let found = self.documents.now(did).await;
            if found.is_ok_and(|document| names_new(&document, new)) {
                return Ok(());
            }
            if !told {
                self.talk.print(&instructions(did, new))?;
                told = true;
            }
            if !self.talk.can_ask() {
                let what = format!(
                    "the document of {did} does not name the new PDS yet: run this again when it does"
                );
                return Err(MigrateError::Waiting(what));
            }
            self.talk
                .say(&format!("  waiting for the document of {did}"));
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }
}

/// What the owner of a did:web has to write.
fn instructions(did: &Did, new: &Recommended) -> String {
    let host = did
        .as_str()
        .trim_start_matches("did:web:")
        .replace("%3A", ":");
    let text = |value: Option<&String>| value.cloned().unwrap_or_default();
    let key = text(new.verification_methods.get("atproto"));
    let key = key.trim_start_matches("did:key:");
    let endpoint = text(
        new.services
            .get("atproto_pds")
            .map(|service| &service.endpoint),
    );
    let name = text(new.also_known_as.first());
    format!(
        "Edit https://{host}/.well-known/did.json so that it says this; leave the rest as it is:
  \"alsoKnownAs\": [\"{name}\"],
  \"verificationMethod\": [{{ \"id\": \"{did}#atproto\", \"type\": \"Multikey\",
    \"controller\": \"{did}\", \"publicKeyMultibase\": \"{key}\" }}],
  \"service\": [{{ \"id\": \"#atproto_pds\", \"type\": \"AtprotoPersonalDataServer\",
    \"serviceEndpoint\": \"{endpoint}\" }}]"
    )
}
