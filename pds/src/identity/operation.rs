//! PLC operations that a member asks for: what we recommend, what we sign, what we pass on.
//!
//! Pure rules over directory states. Follows the account migration guide: we sign whatever the
//! member wants (also another server's address, or their own keys first), but we pass on only what
//! keeps the account working here.

use std::collections::BTreeMap;

use rochdale_protocol::plc::{DidData, Operation, Service, UnsignedOperation};
use rochdale_protocol::syntax::Handle;
use serde::{Deserialize, Serialize};

/// What this server puts into a DID document of an account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credentials {
    /// Rotation keys, strongest first.
    pub rotation_keys: Vec<String>,
    /// `at://` and the handle.
    pub also_known_as: Vec<String>,
    /// The repository signing key.
    pub signing_key: String,
    /// This server.
    pub service: Service,
}

/// Fields of an operation that the member sets; the rest stays as it is.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    /// Rotation keys, strongest first.
    pub rotation_keys: Option<Vec<String>>,
    /// Names.
    pub also_known_as: Option<Vec<String>>,
    /// Keys by name.
    pub verification_methods: Option<BTreeMap<String, String>>,
    /// Services by name.
    pub services: Option<BTreeMap<String, Service>>,
}

/// Why an operation is not passed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OperationFault {
    /// Not an update.
    #[error("operation must be a plc_operation")]
    Kind,
    /// It takes the server its key.
    #[error("Rotation keys do not include server's rotation key")]
    RotationKey,
    /// The PDS entry is of another type.
    #[error("Incorrect type on atproto_pds service")]
    ServiceType,
    /// The PDS entry names another server.
    #[error("Incorrect endpoint on atproto_pds service")]
    ServiceEndpoint,
    /// The signing key is another.
    #[error("Incorrect signing key")]
    SigningKey,
    /// The first name is not the handle.
    #[error("Incorrect handle in alsoKnownAs")]
    Handle,
}

impl Credentials {
    /// Checks that an operation keeps the account working here.
    ///
    /// # Errors
    /// The first thing that would break it.
    pub fn check(&self, operation: &Operation, own_key: &str) -> Result<(), OperationFault> {
        let Operation::Plc(operation) = operation else {
            return Err(OperationFault::Kind);
        };
        let UnsignedOperation {
            rotation_keys,
            verification_methods,
            also_known_as,
            services,
            prev: _,
        } = &operation.content;
        if !rotation_keys.iter().any(|key| key == own_key) {
            return Err(OperationFault::RotationKey);
        }
        let service = services.get("atproto_pds");
        if service.is_none_or(|service| service.kind != self.service.kind) {
            return Err(OperationFault::ServiceType);
        }
        if service.is_none_or(|service| service.endpoint != self.service.endpoint) {
            return Err(OperationFault::ServiceEndpoint);
        }
        if verification_methods.get("atproto") != Some(&self.signing_key) {
            return Err(OperationFault::SigningKey);
        }
        if also_known_as.first() != self.also_known_as.first() {
            return Err(OperationFault::Handle);
        }
        Ok(())
    }
}

/// The state of a DID as a server recommends it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Recommended {
    /// Rotation keys, strongest first.
    pub rotation_keys: Vec<String>,
    /// Names, the handle first.
    pub also_known_as: Vec<String>,
    /// Keys by name.
    pub verification_methods: BTreeMap<String, String>,
    /// Services by name.
    pub services: BTreeMap<String, Service>,
    /// Which of the rotation keys are the server's own: whoever moves the account away keeps the
    /// others. Not in the published schema, which allows more fields.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub server_rotation_keys: Vec<String>,
}

impl Recommended {
    /// The same beside the other names, keys and services that the DID has at `present`. Rotation
    /// keys are left as they are.
    #[must_use]
    pub fn keeping(mut self, present: &DidData) -> Self {
        // The first handle is the one that counts: the recommended one takes its place.
        let names = &present.also_known_as;
        let handle = names.iter().find(|name| name.starts_with("at://"));
        for name in names.iter().filter(|name| Some(*name) != handle) {
            if !self.also_known_as.contains(name) {
                self.also_known_as.push(name.clone());
            }
        }
        for (name, key) in &present.verification_methods {
            let entry = self.verification_methods.entry(name.clone());
            entry.or_insert_with(|| key.clone());
        }
        for (name, service) in &present.services {
            let entry = self.services.entry(name.clone());
            entry.or_insert_with(|| service.clone());
        }
        self
    }
}

impl Credentials {
    /// Our entries beside all that the member put into the DID. Of a DID that lives here already the
    /// rotation keys stay too, in the member's order; of one on its way here nobody can tell the
    /// member's keys from those of the server it leaves.
    #[must_use]
    pub fn recommend(self, present: Option<&DidData>) -> Recommended {
        let own = Recommended {
            rotation_keys: self.rotation_keys.clone(),
            also_known_as: self.also_known_as,
            verification_methods: BTreeMap::from([("atproto".to_owned(), self.signing_key)]),
            services: BTreeMap::from([("atproto_pds".to_owned(), self.service)]),
            server_rotation_keys: self.rotation_keys,
        };
        let Some(present) = present else {
            return own;
        };
        let mut wanted = own.keeping(present);
        if present.services.get("atproto_pds") == wanted.services.get("atproto_pds") {
            let ours = std::mem::take(&mut wanted.rotation_keys);
            let missing = ours.into_iter();
            let missing = missing.filter(|key| !present.rotation_keys.contains(key));
            wanted.rotation_keys = present
                .rotation_keys
                .iter()
                .cloned()
                .chain(missing)
                .collect();
        }
        wanted
    }
}

/// The name of a handle in a DID document.
#[must_use]
pub fn at_name(handle: &Handle) -> String {
    format!("at://{handle}")
}

/// `next` with what the member wants.
#[must_use]
pub fn with_wanted(next: UnsignedOperation, wanted: Wanted) -> UnsignedOperation {
    UnsignedOperation {
        rotation_keys: wanted.rotation_keys.unwrap_or(next.rotation_keys),
        also_known_as: wanted.also_known_as.unwrap_or(next.also_known_as),
        verification_methods: wanted
            .verification_methods
            .unwrap_or(next.verification_methods),
        services: wanted.services.unwrap_or(next.services),
        prev: next.prev,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::Keyring;

    fn credentials() -> Credentials {
        Credentials {
            rotation_keys: vec!["did:key:own".to_owned()],
            also_known_as: vec!["at://ada.test".to_owned()],
            signing_key: "did:key:sign".to_owned(),
            service: Service {
                kind: "AtprotoPersonalDataServer".to_owned(),
                endpoint: "https://pds.test".to_owned(),
            },
        }
    }

    fn fault(change: impl FnOnce(&mut UnsignedOperation)) -> Result<(), OperationFault> {
        let own = credentials();
        let mut content = UnsignedOperation {
            rotation_keys: vec!["did:key:ada".to_owned(), "did:key:own".to_owned()],
            also_known_as: vec!["at://ada.test".to_owned(), "https://ada.org".to_owned()],
            verification_methods: BTreeMap::from([("atproto".to_owned(), own.signing_key.clone())]),
            services: BTreeMap::from([("atproto_pds".to_owned(), own.service.clone())]),
            prev: None,
        };
        change(&mut content);
        let signed = content.sign(&Keyring::generate());
        own.check(&Operation::Plc(signed), "did:key:own")
    }

    #[test]
    fn an_operation_that_keeps_the_account_here_is_passed_on() {
        assert_eq!(fault(|_| {}), Ok(()));
    }

    #[test]
    fn each_way_to_break_the_account_is_refused_by_name() {
        assert_eq!(
            fault(|op| op.rotation_keys.truncate(1)),
            Err(OperationFault::RotationKey)
        );
        assert_eq!(
            fault(|op| op.services.get_mut("atproto_pds").unwrap().kind = "X".to_owned()),
            Err(OperationFault::ServiceType)
        );
        assert_eq!(
            fault(|op| op.services.clear()),
            Err(OperationFault::ServiceType)
        );
        assert_eq!(
            fault(|op| op
                .services
                .get_mut("atproto_pds")
                .unwrap()
                .endpoint
                .push('x')),
            Err(OperationFault::ServiceEndpoint)
        );
        assert_eq!(
            fault(|op| op.verification_methods.clear()),
            Err(OperationFault::SigningKey)
        );
        assert_eq!(
            fault(|op| op.also_known_as.reverse()),
            Err(OperationFault::Handle)
        );
    }

    #[test]
    fn what_the_member_does_not_set_stays() {
        let next = UnsignedOperation {
            rotation_keys: vec!["a".to_owned()],
            also_known_as: vec!["at://x.y".to_owned()],
            verification_methods: BTreeMap::new(),
            services: BTreeMap::new(),
            prev: None,
        };
        let wanted = Wanted {
            rotation_keys: Some(vec!["b".to_owned()]),
            ..Wanted::default()
        };
        let signed = with_wanted(next.clone(), wanted);
        assert_eq!(signed.rotation_keys, ["b"]);
        assert_eq!(signed.also_known_as, next.also_known_as);
    }

    fn service(endpoint: &str) -> Service {
        Service {
            kind: "AtprotoPersonalDataServer".to_owned(),
            endpoint: endpoint.to_owned(),
        }
    }

    #[test]
    fn what_a_member_put_into_the_did_is_recommended_too() {
        let own = Credentials {
            rotation_keys: vec!["recovery".to_owned(), "server".to_owned()],
            also_known_as: vec!["at://ada.new".to_owned()],
            signing_key: "did:key:signing".to_owned(),
            service: service("https://new.example.org"),
        };
        let present = DidData {
            did: "did:plc:ewvi7nxzyoun6zhxrhs64oiz".parse().unwrap(),
            rotation_keys: vec!["member".to_owned(), "old".to_owned()],
            verification_methods: BTreeMap::from([
                ("atproto".to_owned(), "did:key:before".to_owned()),
                ("atproto_label".to_owned(), "did:key:labels".to_owned()),
            ]),
            also_known_as: ["at://ada.old", "https://ada.example", "at://second.example"]
                .map(str::to_owned)
                .to_vec(),
            services: BTreeMap::from([
                ("atproto_pds".to_owned(), service("https://old.example.org")),
                (
                    "atproto_labeler".to_owned(),
                    service("https://labels.example.org"),
                ),
            ]),
        };
        let wanted = own.clone().recommend(Some(&present));
        assert_eq!(wanted.rotation_keys, ["recovery", "server"]);
        assert_eq!(
            wanted.also_known_as,
            ["at://ada.new", "https://ada.example", "at://second.example"]
        );
        assert_eq!(wanted.verification_methods["atproto"], "did:key:signing");
        assert_eq!(
            wanted.verification_methods["atproto_label"],
            "did:key:labels"
        );
        assert_eq!(
            wanted.services["atproto_pds"].endpoint,
            "https://new.example.org"
        );
        assert_eq!(wanted.services.len(), 2);
        let here = own.clone().service;
        let mut at_home = present.clone();
        at_home.services.insert("atproto_pds".to_owned(), here);
        at_home.rotation_keys = vec!["member".to_owned(), "server".to_owned()];
        let wanted = own.clone().recommend(Some(&at_home));
        assert_eq!(wanted.rotation_keys, ["member", "server", "recovery"]);
        assert_eq!(wanted.server_rotation_keys, ["recovery", "server"]);
        assert_eq!(own.recommend(None).services.len(), 1);
    }
}
