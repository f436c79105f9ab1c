//! The lane program's command line.

use std::io::{self, Write};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use clap::{Args, CommandFactory, Parser, Subcommand};

use crate::catalogue::{self, Workload};
use crate::host::affinity;
use crate::host::clock::now_ns;
use crate::lane::Program;
use crate::load::{self, Plan, echo, echo_client};
use crate::mail::server;
use crate::service::backend;
use crate::{lanes, serve};

/// Runs the workloads of one lane: reads requests from stdin and answers on
/// stdout, one JSON object a line, by workloads/PROTOCOL.md.
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
    #[arg(long)]
    lane: Option<String>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Load a TCP echo server and report as one line of JSON.
    Load(Plan),
    /// Search for the highest rate that an HTTP service can carry and report as one line of JSON.
    LoadService(load::service::Arguments),
    /// Echo the bytes of this many TCP connections, until they are closed;
    /// print the address as one line of JSON.
    Echo {
        /// Connections to accept.
        #[arg(long, value_parser = clap::value_parser!(u64).range(1..=60_000))]
        connections: u64,
        /// The CPUs to serve them on, such as `0-3,8`.
        #[arg(long)]
        cpus: String,
    },
    /// Serve SMTP on the loopback until the input ends; print its address, and
    /// at the end how many messages were accepted, as lines of JSON.
    Smtp {
        /// How long each answer takes, in nanoseconds.
        #[arg(long)]
        delay_ns: u64,
    },
    /// Run a backend that speaks RESP on the loopback until the input ends; print the address as
    /// one line of JSON.
    Backend(load::service::Given),
    /// Write a number, or else the clock's value, as 8 bytes: the program
    /// that the lane process-spawn executes.
    #[command(hide = true)]
    Answer {
        /// The number.
        number: Option<u64>,
    },
}

/// The main function of the lane program with workloads of a crate outside the suite.
#[must_use]
pub fn own_main(workloads: &'static [Workload]) -> ExitCode {
    let done = catalogue::register(workloads).map_err(anyhow::Error::msg);
    match done.and_then(|()| run(Program::Plain)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("Error: {error:?}");
            ExitCode::FAILURE
        }
    }
}

/// Runs the command line of `program`.
///
/// # Errors
///
/// When the lane is not one of this program's or cannot be started, or when its output is not read.
pub fn run(program: Program) -> anyhow::Result<()> {
    let started = now_ns();
    let arguments = Arguments::parse();
    let mut output = io::stdout().lock();
    match (arguments.command, arguments.serve.lane) {
        (Some(Command::Load(plan)), _) => {
            let report = serde_json::to_string(&echo_client::run(&plan)?)?;
            writeln!(output, "{report}").context("writing the report")
        }
        (Some(Command::LoadService(arguments)), _) => {
            let report = serde_json::to_string(&load::service::run(&arguments)?)?;
            writeln!(output, "{report}").context("writing the report")
        }
        (Some(Command::Echo { connections, cpus }), _) => {
            let cpus = affinity::parse(&cpus).map_err(anyhow::Error::msg)?;
            echo::run(connections as usize, &cpus, &mut output)
        }
        (Some(Command::Smtp { delay_ns }), _) => {
            server::run(Duration::from_nanos(delay_ns), &mut output)
        }
        (Some(Command::Backend(given)), _) => backend::run(&given, &mut output),
        (Some(Command::Answer { number }), _) => {
            // The number is written at once, so writes of other children cannot split it. `output`
            // would write a number that contains a byte 10, the end of a line, in two parts.
            let bytes = number.unwrap_or(started).to_le_bytes();
            let written = nix::unistd::write(&output, &bytes).context("handing over the number")?;
            anyhow::ensure!(written == bytes.len(), "the pipe took {written} bytes of 8");
            Ok(())
        }
        (None, Some(name)) => {
            let own = lanes::find(&name).filter(|entry| entry.program == program);
            let entry = own.with_context(|| {
                let lanes = lanes::ALL.iter().filter(|entry| entry.program == program);
                let names: Vec<_> = lanes.map(|entry| entry.name).collect();
                format!(
                    "there is no lane {name} in {}; it has {}",
                    program.file_name(),
                    names.join(", ")
                )
            })?;
            serve::serve(entry, &mut io::stdin().lock(), &mut output)
        }
        (None, None) => Ok(Arguments::command().print_help()?),
    }
}
