//! The audit logs of the did:plc project, replayed with the times they give.

use crate::crypto::CryptoError;
use crate::plc::{
    ChainEntry, LimitError, Limits, Operation, PlcError, SignatureFault, check_limits,
    validate_next,
};
use crate::syntax::{Datetime, Did};
use std::collections::{BTreeMap, BTreeSet};

#[derive(serde::Deserialize)]
#[serde(rename_all = "camelCase")]
struct LogEntry {
    did: Did,
    operation: Box<serde_json::value::RawValue>,
    cid: String,
    nullified: bool,
    created_at: Datetime,
}

fn logs(kind: &str) -> BTreeMap<String, Vec<LogEntry>> {
    let folder = format!(
        "{}/../tests/fixtures/interop/plc/{kind}",
        env!("CARGO_MANIFEST_DIR")
    );
    let read = |entry: std::io::Result<std::fs::DirEntry>| {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        (
            name,
            serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap(),
        )
    };
    let logs: BTreeMap<_, _> = std::fs::read_dir(folder).unwrap().map(read).collect();
    assert_eq!(logs.len(), 10, "{kind}");
    logs
}

/// Replays a log; gives the nullified CIDs, or the position and cause of the refusal.
fn replay(log: &[LogEntry]) -> Result<BTreeSet<String>, (usize, PlcError)> {
    let mut chain: Vec<ChainEntry> = Vec::new();
    let mut nullified = BTreeSet::new();
    for (position, entry) in log.iter().enumerate() {
        let operation = Operation::from_json(entry.operation.get().as_bytes()).unwrap();
        assert_eq!(operation.cid().to_string(), entry.cid);
        assert_eq!(
            Operation::from_cbor(&operation.to_cbor()).as_ref(),
            Ok(&operation)
        );
        assert_eq!(
            Operation::from_json(operation.to_json().as_bytes()).as_ref(),
            Ok(&operation)
        );
        let created_at_ms = entry.created_at.unix_ms();
        let accepted = check_limits(&operation, &Limits::lenient_ingest())
            .map_err(PlcError::from)
            .and_then(|()| validate_next(&entry.did, &chain, &operation, created_at_ms))
            .map_err(|error| (position, error))?;
        nullified.extend(
            chain
                .drain(accepted.nullifies)
                .map(|entry| entry.cid.to_string()),
        );
        let cid = operation.cid();
        let signer_key = accepted.signer_key;
        chain.push(ChainEntry {
            cid,
            operation,
            created_at_ms,
            signer_key,
        });
    }
    Ok(nullified)
}

#[test]
fn every_valid_log_is_accepted_and_nullifies_what_it_says() {
    for (name, log) in logs("valid") {
        let nullified = replay(&log).unwrap_or_else(|refusal| panic!("{name}: {refusal:?}"));
        let expected: BTreeSet<_> = log
            .iter()
            .filter(|entry| entry.nullified)
            .map(|entry| entry.cid.clone())
            .collect();
        assert_eq!(nullified, expected, "{name}");
        let first = Operation::from_json(log[0].operation.get().as_bytes()).unwrap();
        assert_eq!(first.founded_did(), log[0].did, "{name}");
    }
}

#[test]
fn every_invalid_log_is_refused_at_its_last_operation_for_the_reason_it_is_named_for() {
    for (name, log) in logs("invalid") {
        let (position, error) = replay(&log).expect_err(&name);
        assert_eq!(position, log.len() - 1, "{name}");
        let fault = match &error {
            PlcError::InvalidSignature { fault, .. } => Some(fault),
            _ => None,
        };
        match name.as_str() {
            "log_invalid_nullification_reused_key" => {
                assert_eq!(fault, Some(&SignatureFault::NoKey));
            }
            "log_invalid_nullification_too_slow" => {
                assert_eq!(error, PlcError::LateRecovery(72 * 3_600_000 + 1000));
            }
            "log_invalid_sig_b64_newline"
            | "log_invalid_sig_b64_padding_bits"
            | "log_invalid_sig_b64_padding_chars" => {
                assert_eq!(fault, Some(&SignatureFault::Encoding), "{name}");
            }
            "log_invalid_sig_der" => assert_eq!(fault, Some(&SignatureFault::Der)),
            "log_invalid_sig_k256_high_s" | "log_invalid_sig_p256_high_s" => {
                assert_eq!(
                    fault,
                    Some(&SignatureFault::Form(CryptoError::HighS)),
                    "{name}"
                );
            }
            "log_invalid_update_nullified" | "log_invalid_update_tombstoned" => {
                assert_eq!(error, PlcError::Misordered, "{name}");
            }
            other => panic!("unknown log {other}"),
        }
    }
}

#[test]
fn logs_that_only_ingest_accepts_are_refused_on_submission() {
    let mut refused = Vec::new();
    for (name, log) in logs("valid") {
        for entry in log {
            let operation = Operation::from_json(entry.operation.get().as_bytes()).unwrap();
            if let Err(error) = check_limits(&operation, &Limits::strict_submit()) {
                refused.push((name.clone(), error));
            }
        }
    }
    let kinds: BTreeMap<&str, &LimitError> = refused
        .iter()
        .map(|(name, error)| (name.as_str(), error))
        .collect();
    assert_eq!(kinds.len(), 4, "{kinds:?}");
    assert!(matches!(
        kinds["log_duplicate_rotation_keys"],
        LimitError::DuplicateRotationKey(_)
    ));
    assert!(matches!(
        kinds["log_empty_rotation_keys"],
        LimitError::NoRotationKey
    ));
    assert!(matches!(kinds["log_legacy_dholms"], LimitError::LegacyType));
}

#[test]
fn the_legacy_genesis_has_the_known_bytes_and_identifiers() {
    use sha2::Digest as _;
    let log = &logs("valid")["log_legacy_dholms"];
    let operation = Operation::from_json(log[0].operation.get().as_bytes()).unwrap();
    let digest = sha2::Sha256::digest(operation.unsigned_bytes());
    let expected = "70cecff08bfce653d3401f8cd927e2b337e5097ec11cb8dbef045fafc78ef0f4";
    assert_eq!(data_encoding::HEXLOWER.encode(&digest), expected);
    assert!(operation.to_cbor().starts_with(b"\xa7\x63sig\x78\x56"));
    let cid = "bafyreigcxay6ucqlwowfpu35alyxqtv3c4vsj7gmdtmnidsnqs6nblyarq";
    assert_eq!(operation.cid().to_string(), cid);
    let did = operation.founded_did();
    assert_eq!(did.as_str(), "did:plc:yk4dd2qkboz2yv6tpubpc6co");
    let data = operation.data(&did).unwrap();
    assert_eq!(data.rotation_keys, operation.rotation_keys());
    assert!(data.also_known_as[0].starts_with("at://"));
    assert!(
        data.services["atproto_pds"]
            .endpoint
            .starts_with("https://")
    );
    assert_eq!(data.verification_methods["atproto"], data.rotation_keys[1]);
}
