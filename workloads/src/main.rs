//! The lane program: runs the workloads of one lane and speaks PROTOCOL.md.
#![forbid(unsafe_code)]

use std::io::{self, Write};
use std::time::Duration;

use anyhow::Context;
use clap::{Args, CommandFactory, Parser, Subcommand};
use workloads::host::clock::now_ns;
use workloads::load::{Plan, generator};
use workloads::mail::server;
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
    /// Serve SMTP on the loopback until the input ends; say where, and at
    /// last how many messages were accepted, as lines of JSON.
    Smtp {
        /// How long each answer takes, in nanoseconds.
        #[arg(long)]
        delay_ns: u64,
    },
    /// Write a number, or else the clock's value, as 8 bytes: the program
    /// that the lane process-spawn executes.
    #[command(hide = true)]
    Answer {
        /// The number.
        number: Option<u64>,
    },
}

fn main() -> anyhow::Result<()> {
    let started = now_ns();
    let arguments = Arguments::parse();
    let mut output = io::stdout().lock();
    match (arguments.command, arguments.serve.lane) {
        (Some(Command::Load(plan)), _) => {
            let report = serde_json::to_string(&generator::run(&plan)?)?;
            writeln!(output, "{report}").context("writing the report")
        }
        (Some(Command::Smtp { delay_ns }), _) => {
            server::run(Duration::from_nanos(delay_ns), &mut output)
        }
        (Some(Command::Answer { number }), _) => {
            let number = number.unwrap_or(started);
            output
                .write_all(&number.to_le_bytes())
                .context("handing over the number")?;
            output.flush().context("handing over the number")
        }
        (None, Some(name)) => {
            let entry = lanes::find(&name).with_context(|| format!("there is no lane {name}"))?;
            serve::serve(entry, &mut io::stdin().lock(), &mut output)
        }
        (None, None) => Ok(Arguments::command().print_help()?),
    }
}
