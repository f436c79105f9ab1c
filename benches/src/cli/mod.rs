//! The `threadbare` program: what it understands and what it prints.

mod arguments;
mod bench;
mod choice;
mod compare;
mod doctor;
mod export;
mod gate;
mod list;
mod merge;
mod progress;
mod report;
mod run;
mod show;
mod stop;

use std::process::ExitCode;

use clap::Parser;

use crate::lane_program::{self, LaneProgramError};
use crate::lanes::Toolbox;
use crate::study::Preset;

pub use arguments::{
    Arguments, Command, CompareArguments, DoctorArguments, ExportArguments, Format, GateArguments,
    ListArguments, MergeArguments, ReportArguments, RunArguments, ShowArguments,
};
pub use bench::bench_main;
pub use run::{Ended, measure};

/// What lanes are started with; says so where cargo may take its time for it.
fn toolbox() -> Result<Toolbox, LaneProgramError> {
    if lane_program::is_built_by_cargo() {
        eprintln!("bringing the lane program up to date: cargo build --package workloads");
    }
    Toolbox::find()
}

/// Runs the program with the arguments that it was given.
#[must_use]
pub fn main() -> ExitCode {
    let arguments = Arguments::parse();
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
    };
    result.unwrap_or_else(|error| {
        eprintln!("threadbare: {error:#}");
        ExitCode::from(2)
    })
}
