//! `rochdale account prove`: a token that proves to a PDS whose a DID is.
//!
//! Whoever moves gets such a token from the server they leave; the owner of a did:web who signs up
//! for the first time has nobody to ask. Follows the XRPC specification, inter-service tokens.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use rochdale_protocol::crypto::{CryptoError, Curve, SigningKey};
use rochdale_protocol::syntax::Did;
use rochdale_protocol::xrpc::service_auth::{self, Claims};
use rochdale_service::clock::{Clock as _, SystemClock, random};
use rochdale_service::config::{KeyFileError, read_or_create_key_file};

/// What the token allows.
const METHOD: &str = "com.atproto.server.createAccount";
/// How long the token is good for, in seconds: the longest that servers take.
const SECONDS: i64 = 3_600;

/// Flags of `rochdale account prove`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The DID that signs up, such as did:web:ada.example.
    #[arg(long, value_name = "DID")]
    did: Did,
    /// The DID of the PDS, as its describeServer says, such as did:web:pds.example.
    #[arg(long, value_name = "DID")]
    pds: Did,
    /// File of a secret key of yours; made when missing. Your DID document names its public half as
    /// #atproto until the PDS has told you its own key.
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
}

/// Why there is no token.
#[derive(Debug, thiserror::Error)]
enum ProveError {
    /// The file cannot be used.
    #[error(transparent)]
    File(#[from] KeyFileError),
    /// What the file holds is no key.
    #[error("the file does not hold a k256 key: {0}")]
    Key(#[from] CryptoError),
    /// The token cannot be shown.
    #[error("the token cannot be written: {0}")]
    Output(#[from] std::io::Error),
}

/// Prints the token on standard output, and on standard error what the DID document must say.
pub(crate) fn run(args: &Args) -> ExitCode {
    match prove(args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            crate::run::explain(&error);
            ExitCode::FAILURE
        }
    }
}

fn prove(args: &Args) -> Result<(), ProveError> {
    let secret = read_or_create_key_file(&args.key)?;
    let key = SigningKey::from_bytes(Curve::K256, &secret)?;
    let now = i64::try_from(SystemClock.now_ms() / 1_000).unwrap_or(i64::MAX - SECONDS);
    writeln!(
        std::io::stderr().lock(),
        "The document of {} must have this in verificationMethod before you use the token:\n\
         {{\"id\":\"{}#atproto\",\"type\":\"Multikey\",\"controller\":\"{}\",\
         \"publicKeyMultibase\":\"{}\"}}\n\
         The token below goes with createAccount as \"Authorization: Bearer TOKEN\", within an hour.",
        args.did,
        args.did,
        args.did,
        key.public().to_multibase(),
    )?;
    writeln!(
        std::io::stdout().lock(),
        "{}",
        token(&key, &args.did, &args.pds, now)
    )?;
    Ok(())
}

fn token(key: &SigningKey, did: &Did, pds: &Did, now: i64) -> String {
    let id: String = random::<16>()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let claims = Claims {
        iat: Some(now),
        iss: did.to_string(),
        aud: pds.to_string(),
        exp: now + SECONDS,
        lxm: Some(METHOD.to_owned()),
        jti: Some(id),
    };
    service_auth::mint(key, &claims)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rochdale_protocol::xrpc::service_auth::Expected;

    #[test]
    fn the_token_is_good_for_one_server_one_method_and_an_hour() {
        let key = SigningKey::from_bytes(Curve::K256, &[7; 32]).unwrap();
        let did: Did = "did:web:ada.example".parse().unwrap();
        let pds: Did = "did:web:pds.example".parse().unwrap();
        let token = token(&key, &did, &pds, 1_000);
        let parsed = service_auth::parse(&token).unwrap();
        parsed.verify(key.public()).unwrap();
        assert_eq!(parsed.issuer(), &did);
        let check = |audience: &str, method, now| {
            let audiences = [audience];
            parsed.check_claims(&Expected {
                audiences: &audiences,
                method: Some(method),
                method_required: true,
                now,
            })
        };
        check(pds.as_str(), METHOD, 1_000).unwrap();
        check(pds.as_str(), METHOD, 4_599).unwrap();
        assert!(check(pds.as_str(), METHOD, 4_600).is_err());
        assert!(check("did:web:other.example", METHOD, 1_000).is_err());
        assert!(check(pds.as_str(), "com.example.other", 1_000).is_err());
    }
}
