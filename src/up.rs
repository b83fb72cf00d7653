//! `rochdale up`: the whole stack on loopback, with nothing to configure. What differs from a
//! production set-up is listed in [`proposed`]; all else is the same code with the same defaults.

use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::PathBuf;

use rochdale_service::config::{Setting, Sources};
use serde_json::json;

use crate::config::{Raw, admin_password};
use crate::demo;
use crate::run::{RunError, environment, until_stopped};

/// Where everything is kept.
const DATA: &str = "rochdale-data";

/// Flags of `rochdale up`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Folder for databases, blobs, keys and the outbox; made when missing [default: rochdale-data].
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Port of the PDS; 0 picks a free one [default: 2583].
    #[arg(long, value_name = "N")]
    pds_port: Option<u16>,
    /// Port of the DID service; 0 picks a free one [default: 2582].
    #[arg(long, value_name = "N")]
    identity_port: Option<u16>,
    /// Port of the relay; 0 picks a free one [default: 2470].
    #[arg(long, value_name = "N")]
    relay_port: Option<u16>,
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

/// In what `up` differs from production, unless the environment or a flag says otherwise.
fn proposed(ports: &Ports) -> Vec<Setting> {
    let pds = format!("http://localhost:{}", ports.pds);
    let identity = format!("http://localhost:{}", ports.identity);
    let relay = format!("http://localhost:{}", ports.relay);
    vec![
        ("pds.data_dir", json!(DATA)),
        ("pds.plc_url", json!(identity)),
        ("pds.handle_domains", json!([".test"])),
        ("pds.invites_required", json!(false)),
        ("pds.crawlers", json!([relay])),
        ("identity.data_dir", json!(DATA)),
        ("relay.data_dir", json!(DATA)),
        ("relay.hosts", json!([format!("localhost:{}", ports.pds)])),
        ("resolver.plc_url", json!(identity)),
        ("resolver.local", json!({ ".test": pds })),
        ("limits.enabled", json!(false)),
        ("telemetry.dev", json!(true)),
    ]
}

/// What the command line says.
fn flags(args: &Args) -> Vec<Setting> {
    let mut flags = Vec::new();
    if let Some(folder) = &args.data {
        let folder = folder.to_string_lossy();
        for key in ["pds.data_dir", "identity.data_dir", "relay.data_dir"] {
            flags.push((key, json!(folder)));
        }
    }
    for (key, port) in [
        ("pds.port", args.pds_port),
        ("identity.port", args.identity_port),
        ("relay.port", args.relay_port),
    ] {
        flags.extend(port.map(|port| (key, json!(port))));
    }
    let metrics = args
        .metrics_port
        .map(|port| SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
    flags.extend(metrics.map(|address| ("telemetry.metrics", json!(address))));
    flags.extend(args.log.as_ref().map(|log| ("telemetry.log", json!(log))));
    if args.invites {
        flags.push(("pds.invites_required", json!(true)));
    }
    if args.limits {
        flags.push(("limits.enabled", json!(true)));
    }
    flags
}

/// Reads the configuration, with a free port for each service that is to have one.
fn configuration(args: &Args) -> Result<Raw, RunError> {
    let load = |proposed| {
        Raw::load(Sources {
            proposed,
            file: None,
            flags: flags(args),
        })
    };
    let asked = load(Vec::new())?;
    let ports = Ports {
        pds: port(asked.pds.port, "--pds-port")?,
        identity: port(asked.identity.port, "--identity-port")?,
        relay: port(asked.relay.port, "--relay-port")?,
    };
    let mut raw = load(proposed(&ports))?;
    raw.pds.port = ports.pds;
    raw.identity.port = ports.identity;
    raw.relay.port = ports.relay;
    Ok(raw)
}

/// Runs the stack until it is told to stop.
///
/// # Errors
/// A port, folder, key file or database that cannot be used, with what to do.
pub(crate) async fn run(args: Args) -> Result<(), RunError> {
    let mut raw = configuration(&args)?;
    let env = environment(&raw.telemetry).await?;

    let (resolver, limits) = (raw.resolver()?, raw.limits.clone());
    let configured = raw.pds.admin_password.as_ref();
    let (password, _file) = admin_password(configured, &raw.pds.data_dir, "admin.password")?;
    raw.pds.admin_password = Some(password.clone());
    raw.relay
        .admin_password
        .get_or_insert_with(|| password.clone());

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
        dev: env.dev,
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
