//! `rochdale account`: what a member does with an account, from their own machine and at any PDS.

mod migrate;
mod prove;

use std::process::ExitCode;

use clap::Subcommand;

/// Flags of `rochdale account`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Moves an account from one PDS to another, with everything that can be moved.
    #[command(after_long_help = migrate::MORE_HELP)]
    Migrate(Box<migrate::Args>),
    /// Makes the token with which the owner of a did:web signs up.
    Prove(prove::Args),
}

/// Runs the command; the code says how it ended.
pub(crate) async fn run(args: Args) -> ExitCode {
    match args.command {
        Command::Migrate(args) => migrate::run(*args).await,
        Command::Prove(args) => prove::run(&args),
    }
}
