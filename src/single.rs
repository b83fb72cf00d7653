//! `rochdale pds`, `rochdale identity`, `rochdale relay`: one service, from one configuration file.

use std::path::PathBuf;

use rochdale_service::Env;
use rochdale_service::config::Sources;

use crate::config::{Raw, admin_password};
use crate::run::{RunError, environment, until_stopped};

/// Flags of a service that runs alone.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Configuration file. Every key can be overridden by a variable: ROCHDALE_PDS__PORT is pds.port.
    #[arg(long, value_name = "FILE", default_value = "rochdale.toml")]
    config: PathBuf,
}

async fn prepare(args: &Args) -> Result<(Raw, Env), RunError> {
    let raw = Raw::load(Sources {
        file: Some(&args.config),
        ..Sources::default()
    })?;
    let env = environment(&raw.telemetry).await?;
    Ok((raw, env))
}

fn name_password_file(file: Option<PathBuf>) {
    if let Some(file) = file {
        tracing::info!(file = %file.display(), "the password of user admin stands in this file");
    }
}

/// Runs the PDS.
///
/// # Errors
/// A configuration, port, folder or database that cannot be used.
pub(crate) async fn pds(args: Args) -> Result<(), RunError> {
    let (mut raw, env) = prepare(&args).await?;
    let shared = rochdale_pds::config::Shared {
        resolver: raw.resolver()?,
        limits: raw.limits.clone(),
    };
    let (password, file) = admin_password(
        raw.pds.admin_password.as_ref(),
        &raw.pds.data_dir,
        "pds-admin.password",
    )?;
    name_password_file(file);
    raw.pds.admin_password = Some(password);
    let config = rochdale_pds::config::Config::validate(raw.pds, shared)?;
    rochdale_pds::start(config, env.clone()).await?;
    until_stopped(&env.shutdown).await
}

/// Runs the DID service.
///
/// # Errors
/// As [`pds`].
pub(crate) async fn identity(args: Args) -> Result<(), RunError> {
    let (raw, env) = prepare(&args).await?;
    let config = rochdale_identity::config::Config::validate(raw.identity, raw.limits)?;
    rochdale_identity::start(config, env.clone()).await?;
    until_stopped(&env.shutdown).await
}

/// Runs the relay.
///
/// # Errors
/// As [`pds`].
pub(crate) async fn relay(args: Args) -> Result<(), RunError> {
    let (mut raw, env) = prepare(&args).await?;
    let shared = rochdale_relay::config::Shared {
        resolver: raw.resolver()?,
        limits: raw.limits.clone(),
        dev: raw.telemetry.dev,
    };
    let (password, file) = admin_password(
        raw.relay.admin_password.as_ref(),
        &raw.relay.data_dir,
        "relay-admin.password",
    )?;
    name_password_file(file);
    raw.relay.admin_password = Some(password);
    let config = rochdale_relay::config::Config::validate(raw.relay, shared)?;
    rochdale_relay::start(config, env.clone()).await?;
    until_stopped(&env.shutdown).await
}
