//! The lane program: runs the workloads of one lane and speaks PROTOCOL.md.
#![forbid(unsafe_code)]

use std::io::{self, Write};

use anyhow::Context;
use clap::{Args, CommandFactory, Parser, Subcommand};
use workloads::load::{Plan, generator};
use workloads::{lanes, serve};

/// Runs the workloads of one lane: reads requests from stdin and answers on
/// stdout, one JSON object a line, as workloads/PROTOCOL.md says.
#[derive(Debug, Parser)]
#[command(version, args_conflicts_with_subcommands = true)]
struct Arguments {
    #[command(flatten)]
    serve: Serve,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Args)]
struct Serve {
    /// The lane to run.
    #[arg(long, value_parser = lanes::ALL.iter().map(|entry| entry.name).collect::<Vec<_>>())]
    lane: Option<String>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Load a TCP echo server and report as one line of JSON.
    Load(Plan),
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    match arguments {
        Arguments {
            command: Some(Command::Load(plan)),
            ..
        } => {
            let report = serde_json::to_string(&generator::run(&plan)?)?;
            writeln!(io::stdout(), "{report}").context("writing the report")
        }
        Arguments {
            serve: Serve { lane: Some(name) },
            ..
        } => {
            let entry = lanes::find(&name).with_context(|| format!("there is no lane {name}"))?;
            serve::serve(entry, &mut io::stdin().lock(), &mut io::stdout().lock())
        }
        Arguments { .. } => Ok(Arguments::command().print_help()?),
    }
}
