//! The `rochdale` binary: one subcommand a file, each of which parses, loads configuration, composes
//! and runs. What the services do is theirs.

mod account;
mod config;
mod demo;
mod lexicon;
mod run;
mod single;
mod up;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// A co-operative's own AT Protocol stack: PDS, relay and DID service.
#[derive(Debug, Parser)]
#[command(version, about, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Starts PDS, relay and DID service together on this machine, with nothing to configure.
    Up(up::Args),
    /// Starts the PDS alone.
    Pds(single::Args),
    /// Starts the DID service alone.
    Identity(single::Args),
    /// Starts the relay alone.
    Relay(single::Args),
    /// Checks, compares and publishes schemas.
    Lexicon(lexicon::Args),
    /// Moves an account between two PDSes.
    Account(account::Args),
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    // The TLS library takes the first provider that is installed; there is no other.
    drop(rustls::crypto::ring::default_provider().install_default());
    let outcome = match cli.command {
        Command::Up(args) => run::to_end(up::run(args)),
        Command::Pds(args) => run::to_end(single::pds(args)),
        Command::Identity(args) => run::to_end(single::identity(args)),
        Command::Relay(args) => run::to_end(single::relay(args)),
        Command::Lexicon(args) => return lexicon::run(args),
        Command::Account(args) => return run::to_code(account::run(args)),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            run::explain(&error);
            ExitCode::FAILURE
        }
    }
}
