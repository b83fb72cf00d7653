//! `rochdale up`: the whole stack on loopback, with nothing to configure. What differs from a
//! production set-up is listed in [`overrides`]; all else is the same code with the same defaults.

use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::PathBuf;

use serde_json::json;

use crate::config::{Raw, admin_password};
use crate::demo;
use crate::run::{RunError, environment, until_stopped};

/// Flags of `rochdale up`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Folder for databases, blobs, keys and the outbox; made when missing.
    #[arg(long, value_name = "DIR", default_value = "rochdale-data")]
    data: PathBuf,
    /// Port of the PDS; 0 picks a free one.
    #[arg(long, value_name = "N", default_value_t = 2583)]
    pds_port: u16,
    /// Port of the DID service; 0 picks a free one.
    #[arg(long, value_name = "N", default_value_t = 2582)]
    identity_port: u16,
    /// Port of the relay; 0 picks a free one.
    #[arg(long, value_name = "N", default_value_t = 2470)]
    relay_port: u16,
    /// Port for Prometheus metrics; none are served without it.
    #[arg(long, value_name = "N")]
    metrics_port: Option<u16>,
    /// Signing up takes an invite code.
    #[arg(long)]
    invites: bool,
    /// Turns on request limits and the relay's limits per host, as in production.
    #[arg(long)]
    limits: bool,
    /// Adds two members and some posts, unless the folder has accounts already.
    #[arg(long)]
    demo: bool,
    /// What is logged, such as "info,rochdale_relay=debug".
    #[arg(long, value_name = "FILTER")]
    log: Option<String>,
}

/// A port to listen on: the one asked for if it is free, or a free one for 0.
fn port(asked: u16, flag: &'static str) -> Result<u16, RunError> {
    let taken = |_cause| RunError::Port { port: asked, flag };
    // Dropping the listener frees the port for the service that is started next.
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, asked)).map_err(taken)?;
    Ok(listener.local_addr().map_err(taken)?.port())
}

/// The ports in use, once chosen.
struct Ports {
    pds: u16,
    identity: u16,
    relay: u16,
}

/// The settings in which `up` differs from production.
fn overrides(args: &Args, ports: &Ports) -> toml::Table {
    let data = args.data.to_string_lossy().into_owned();
    let pds = format!("http://localhost:{}", ports.pds);
    let identity = format!("http://localhost:{}", ports.identity);
    let relay = format!("http://localhost:{}", ports.relay);
    let settings = json!({
        "pds": {
            "port": ports.pds,
            "data_dir": data,
            "plc_url": identity,
            "handle_domains": [".test"],
            "invites_required": args.invites,
            "crawlers": [relay],
        },
        "identity": { "port": ports.identity, "data_dir": data },
        "relay": {
            "port": ports.relay,
            "data_dir": data,
            "hosts": [format!("localhost:{}", ports.pds)],
        },
        "resolver": { "plc_url": identity, "local": { ".test": pds } },
        "limits": { "enabled": args.limits },
        "telemetry": { "dev": true },
    });
    toml::Table::try_from(settings).unwrap_or_default()
}

/// Runs the stack until it is told to stop.
///
/// # Errors
/// A port, folder, key file or database that cannot be used, with what to do.
pub(crate) async fn run(args: Args) -> Result<(), RunError> {
    let ports = Ports {
        pds: port(args.pds_port, "--pds-port")?,
        identity: port(args.identity_port, "--identity-port")?,
        relay: port(args.relay_port, "--relay-port")?,
    };
    let mut raw = Raw::load(None, overrides(&args, &ports))?;
    let metrics = args
        .metrics_port
        .map(|port| SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
    let env = environment(
        args.log.as_deref().unwrap_or(&raw.telemetry.log),
        metrics,
        true,
    )
    .await?;

    let (resolver, limits) = (raw.resolver()?, raw.limits());
    let configured = raw.pds.admin_password.take();
    let (password, _file) = admin_password(configured.as_ref(), &args.data, "admin.password")?;
    raw.pds.admin_password = Some(password.clone());
    raw.relay.admin_password = Some(password.clone());

    let config = rochdale_identity::config::Config::validate(raw.identity, limits.clone())?;
    let identity = rochdale_identity::start(config, env.clone()).await?;
    let shared = rochdale_pds::config::Shared {
        resolver: resolver.clone(),
        limits: limits.clone(),
    };
    let config = rochdale_pds::config::Config::validate(raw.pds, shared)?;
    let pds = rochdale_pds::start(config, env.clone()).await?;
    let shared = rochdale_relay::config::Shared {
        resolver,
        limits,
        dev: true,
    };
    let config = rochdale_relay::config::Config::validate(raw.relay, shared)?;
    let relay = rochdale_relay::start(config, env.clone()).await?;

    if args.demo {
        demo::fill(&pds.url, &env.outbound).await?;
    }
    let ready = json!({
        "pds": pds.url,
        "identity": identity.url,
        "relay": relay.url,
        "admin_password": password.expose(),
    });
    let mut out = std::io::stdout().lock();
    writeln!(out, "{ready}")?;
    out.flush()?;
    drop(out);
    until_stopped(&env.shutdown).await
}
