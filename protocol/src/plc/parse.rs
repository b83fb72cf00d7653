//! Strict parsing of operations: exactly the fields of the type, nothing twice, nothing more.

use super::data::Service;
use super::error::PlcError;
use super::operation::{LegacyCreate, Operation, PlcOperation, Tombstone, UnsignedOperation};
use crate::data::{Cid, Map, Value, cbor};
use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, Visitor};
use std::{collections::BTreeMap, fmt, marker::PhantomData};

/// Every field of every type; which ones must be there is decided by `type`.
#[derive(Default, serde::Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Fields {
    r#type: Option<String>,
    sig: Option<String>,
    #[serde(default, deserialize_with = "present")]
    prev: Option<Option<String>>,
    rotation_keys: Option<Vec<String>>,
    #[serde(default, deserialize_with = "some_unique")]
    verification_methods: Option<BTreeMap<String, String>>,
    also_known_as: Option<Vec<String>>,
    #[serde(default, deserialize_with = "some_unique")]
    services: Option<BTreeMap<String, Service>>,
    signing_key: Option<String>,
    recovery_key: Option<String>,
    handle: Option<String>,
    service: Option<String>,
}

/// Tells a field that is null from one that is missing.
fn present<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Option<String>>, D::Error> {
    Option::<String>::deserialize(from).map(Some)
}

fn some_unique<'de, D, T>(from: D) -> Result<Option<BTreeMap<String, T>>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    from.deserialize_map(UniqueKeys(PhantomData)).map(Some)
}

/// Reads a map and refuses a key that stands twice.
struct UniqueKeys<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for UniqueKeys<T> {
    type Value = BTreeMap<String, T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Self::Value, A::Error> {
        let mut map = BTreeMap::new();
        while let Some((key, value)) = access.next_entry::<String, T>()? {
            if map.contains_key(&key) {
                return Err(A::Error::custom(format_args!("duplicate key {key:?}")));
            }
            map.insert(key, value);
        }
        Ok(map)
    }
}

pub(super) fn from_json(bytes: &[u8]) -> Result<Operation, PlcError> {
    let fields: Fields =
        serde_json::from_slice(bytes).map_err(|error| refuse(error.to_string()))?;
    fields.into_operation()
}

pub(super) fn from_cbor(bytes: &[u8]) -> Result<Operation, PlcError> {
    let value = cbor::decode(bytes).map_err(|error| refuse(error.to_string()))?;
    let Value::Map(map) = value else {
        return Err(refuse("it is not a map"));
    };
    Fields::from_map(map)?.into_operation()
}

fn refuse(reason: impl Into<String>) -> PlcError {
    PlcError::NotAnOperation(reason.into())
}

impl Fields {
    fn from_map(map: Map) -> Result<Self, PlcError> {
        let mut fields = Self::default();
        for (key, value) in map {
            match key.as_str() {
                "type" => fields.r#type = Some(text(value)?),
                "sig" => fields.sig = Some(text(value)?),
                "prev" => {
                    fields.prev = Some(match value {
                        Value::Null => None,
                        other => Some(text(other)?),
                    });
                }
                "rotationKeys" => fields.rotation_keys = Some(texts(value)?),
                "verificationMethods" => fields.verification_methods = Some(entries(value, text)?),
                "alsoKnownAs" => fields.also_known_as = Some(texts(value)?),
                "services" => fields.services = Some(entries(value, service)?),
                "signingKey" => fields.signing_key = Some(text(value)?),
                "recoveryKey" => fields.recovery_key = Some(text(value)?),
                "handle" => fields.handle = Some(text(value)?),
                "service" => fields.service = Some(text(value)?),
                other => return Err(refuse(format!("unknown field {other:?}"))),
            }
        }
        Ok(fields)
    }

    fn into_operation(mut self) -> Result<Operation, PlcError> {
        let kind = take(&mut self.r#type, "type")?;
        let sig = take(&mut self.sig, "sig")?;
        let prev = match take(&mut self.prev, "prev")? {
            Some(text) => Some(parse_prev(&text)?),
            None => None,
        };
        let operation = match kind.as_str() {
            "plc_operation" => Operation::Plc(PlcOperation {
                content: UnsignedOperation {
                    rotation_keys: take(&mut self.rotation_keys, "rotationKeys")?,
                    verification_methods: take(
                        &mut self.verification_methods,
                        "verificationMethods",
                    )?,
                    also_known_as: take(&mut self.also_known_as, "alsoKnownAs")?,
                    services: take(&mut self.services, "services")?,
                    prev,
                },
                sig,
            }),
            "plc_tombstone" => {
                let prev = prev.ok_or_else(|| refuse("prev of a tombstone is null"))?;
                Operation::Tombstone(Tombstone { prev, sig })
            }
            "create" => {
                if prev.is_some() {
                    return Err(refuse("prev of a create is not null"));
                }
                Operation::LegacyCreate(LegacyCreate {
                    signing_key: take(&mut self.signing_key, "signingKey")?,
                    recovery_key: take(&mut self.recovery_key, "recoveryKey")?,
                    handle: take(&mut self.handle, "handle")?,
                    service: take(&mut self.service, "service")?,
                    sig,
                })
            }
            other => return Err(refuse(format!("unknown type {other:?}"))),
        };
        self.refuse_leftovers(&kind)?;
        Ok(operation)
    }

    /// A field that belongs to another type is as unknown as any.
    fn refuse_leftovers(&self, kind: &str) -> Result<(), PlcError> {
        let leftovers = [
            ("rotationKeys", self.rotation_keys.is_some()),
            ("verificationMethods", self.verification_methods.is_some()),
            ("alsoKnownAs", self.also_known_as.is_some()),
            ("services", self.services.is_some()),
            ("signingKey", self.signing_key.is_some()),
            ("recoveryKey", self.recovery_key.is_some()),
            ("handle", self.handle.is_some()),
            ("service", self.service.is_some()),
        ];
        match leftovers.iter().find(|(_, is_left)| *is_left) {
            Some((name, _)) => Err(refuse(format!(
                "field {name:?} does not belong to {kind:?}"
            ))),
            None => Ok(()),
        }
    }
}

fn take<T>(field: &mut Option<T>, name: &str) -> Result<T, PlcError> {
    field
        .take()
        .ok_or_else(|| refuse(format!("field {name:?} is missing")))
}

/// The text is signed, so only the one canonical spelling of a CID will do.
fn parse_prev(text: &str) -> Result<Cid, PlcError> {
    let refused = || refuse("prev is not a CID of the blessed form (bafyrei…)");
    let cid: Cid = text.parse().map_err(|_| refused())?;
    if cid.to_string() == text {
        Ok(cid)
    } else {
        Err(refused())
    }
}

fn text(value: Value) -> Result<String, PlcError> {
    match value {
        Value::Text(text) => Ok(text),
        _ => Err(refuse("a value that must be text is not")),
    }
}

fn texts(value: Value) -> Result<Vec<String>, PlcError> {
    match value {
        Value::Array(elements) => elements.into_iter().map(text).collect(),
        _ => Err(refuse("a value that must be an array is not")),
    }
}

fn entries<T>(
    value: Value,
    each: impl Fn(Value) -> Result<T, PlcError>,
) -> Result<BTreeMap<String, T>, PlcError> {
    match value {
        Value::Map(map) => map
            .into_iter()
            .map(|(key, value)| Ok((key, each(value)?)))
            .collect(),
        _ => Err(refuse("a value that must be a map is not")),
    }
}

fn service(value: Value) -> Result<Service, PlcError> {
    let mut fields = entries(value, text)?;
    let (kind, endpoint) = (fields.remove("type"), fields.remove("endpoint"));
    match (kind, endpoint, fields.is_empty()) {
        (Some(kind), Some(endpoint), true) => Ok(Service { kind, endpoint }),
        _ => Err(refuse("a service has exactly type and endpoint")),
    }
}
