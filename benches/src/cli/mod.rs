//! The `threadbare` program: what it understands and what it prints.

mod arguments;
mod bench;
mod choice;
mod compare;
mod doctor;
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

pub use arguments::{
    Arguments, Command, CompareArguments, DoctorArguments, Format, GateArguments, ListArguments,
    MergeArguments, ReportArguments, RunArguments, ShowArguments,
};
pub use bench::bench_main;
pub use run::{Ended, measure};

/// Runs the program with the arguments that it was given.
#[must_use]
pub fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let result = match &arguments.command {
        Command::List(arguments) => list::list(arguments),
        Command::Run(arguments) => run::run(arguments),
        Command::Report(arguments) => report::report(arguments),
        Command::Show(arguments) => show::show(arguments),
        Command::Doctor(arguments) => doctor::doctor(arguments),
        Command::Gate(arguments) => gate::gate(arguments),
        Command::Compare(arguments) => compare::compare(arguments),
        Command::Merge(arguments) => merge::merge(arguments),
    };
    result.unwrap_or_else(|error| {
        eprintln!("threadbare: {error:#}");
        ExitCode::from(2)
    })
}
