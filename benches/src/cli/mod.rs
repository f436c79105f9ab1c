//! The `threadbare` program: its arguments and its output.

mod arguments;
mod bench;
mod bisect;
mod choice;
mod collect;
mod compare;
mod doctor;
mod export;
mod gate;
mod history;
mod keep;
mod list;
mod load;
mod merge;
mod new;
mod output;
mod progress;
mod report;
mod run;
mod serve;
mod shell;
mod show;
mod site;
mod stop;
mod verify;

use std::ffi::OsStr;
use std::process::ExitCode;

use clap::Parser;

use crate::lane_program::{self, LaneProgramError};
use crate::lanes::Toolbox;
use crate::say::{ToStdout, say};
use crate::signals;
use crate::study::{Preset, StudyError};

pub use arguments::{
    Arguments, BisectArguments, CollectArguments, Command, CompareArguments, DoctorArguments,
    ExportArguments, Format, GateArguments, HistoryArguments, KeepArguments, ListArguments,
    LoadArguments, MergeArguments, NewArguments, ReportArguments, RunArguments, ServeArguments,
    ShowArguments, SiteArguments, VerifyArguments,
};
pub use bench::bench_main;
pub use run::{Ended, measure};

/// Prints a line first if cargo may take long.
fn toolbox() -> Result<Toolbox, LaneProgramError> {
    if lane_program::is_built_by_cargo() {
        say("bringing the lane program up to date: cargo build --package workloads");
    }
    Toolbox::find()
}

/// The exit status if the reader has closed the pipe, as in shells.
const READER_GONE: u8 = 141;
pub(crate) const FAILED: u8 = 2;

/// Runs the program with the arguments of the process.
#[must_use]
pub fn main() -> ExitCode {
    signals::prepare();
    // These commands use exit status 2 for a verdict.
    let judges = ["gate", "verify"].map(OsStr::new);
    let command = std::env::args_os().nth(1);
    let is_judge = command.is_some_and(|command| judges.contains(&command.as_os_str()));
    let failed = if is_judge { gate::FAILED } else { FAILED };
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(answer) => return explain(&answer, failed),
    };
    let result = match &arguments.command {
        Command::List(arguments) => list::list(arguments),
        Command::Run(arguments) => run::run(arguments, None),
        Command::Peers(arguments) => run::run(arguments, Some(Preset::Peers)),
        Command::Growth(arguments) => run::run(arguments, Some(Preset::Growth)),
        Command::Report(arguments) => report::report(arguments),
        Command::Show(arguments) => show::show(arguments),
        Command::Doctor(arguments) => doctor::doctor(arguments),
        Command::Gate(arguments) => gate::gate(arguments),
        Command::Compare(arguments) => compare::compare(arguments),
        Command::Merge(arguments) => merge::merge(arguments),
        Command::Export(arguments) => export::export(arguments),
        Command::Keep(arguments) => keep::keep(arguments),
        Command::Verify(arguments) => verify::verify(arguments),
        Command::New(arguments) => new::new(arguments),
        Command::Serve(arguments) => serve::serve(arguments),
        Command::Load(arguments) => load::load(arguments),
        Command::Site(arguments) => site::site(arguments),
        Command::Collect(arguments) => collect::collect(arguments),
        Command::History(arguments) => history::history(arguments),
        Command::Bisect(arguments) => bisect::bisect(arguments),
    };
    result.unwrap_or_else(|error| refused(&error, failed))
}

fn explain(answer: &clap::Error, failed: u8) -> ExitCode {
    match answer.print() {
        _ if answer.use_stderr() => ExitCode::from(failed),
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => ExitCode::from(READER_GONE),
        Err(_) => ExitCode::from(failed),
    }
}

/// Prints why a command failed, unless its reader has closed the pipe. Returns the exit status.
fn refused(error: &anyhow::Error, failed: u8) -> ExitCode {
    if ToStdout::is_reader_gone(error) {
        return ExitCode::from(READER_GONE);
    }
    say(format!("threadbare: {error:#}"));
    match error.downcast_ref() {
        Some(StudyError::Stopped) => ExitCode::from(stop::STOPPED),
        _ => ExitCode::from(failed),
    }
}
