//! A lane in tests, in Rust or another language, used through the protocol.
#![allow(
    dead_code,
    unused_macros,
    reason = "no program of tests uses all of it"
)]

use std::env;
use std::io::{self, Write};
use std::process::Command;
use std::sync::OnceLock;

use benches::lane_process::LaneCommand;
use benches::lanes::{self, Missing, Toolbox};
use workloads::protocol::Hello;

#[path = "../../../workloads/tests/program/mod.rs"]
mod program;

pub(crate) use program::Program;

/// `None` if the lane's toolchain is missing and not required.
pub(crate) fn command(name: &str) -> Option<LaneCommand> {
    // Lane programs are built once.
    static TOOLBOX: OnceLock<Toolbox> = OnceLock::new();
    let toolbox = TOOLBOX.get_or_init(|| Toolbox::find().unwrap());
    let lane = lanes::find(name).unwrap_or_else(|| panic!("the table has no lane {name}"));
    let language = lane.foreign.map_or("rust", |language| language.name);
    match toolbox.command(&lane) {
        Ok(command) => Some(command),
        Err(missing @ Missing::Toolchain { .. }) if !required(language) => {
            skipped(&format!("{name}: {missing}"));
            None
        }
        Err(error) => panic!("{name}: {error}"),
    }
}

/// Prints what a test leaves out, directly to stderr, because the test harness hides the output of
/// a test that passes.
pub(crate) fn skipped(what: &str) {
    let _ = writeln!(io::stderr(), "SKIPPED: {what}");
}

fn required(language: &str) -> bool {
    let list = env::var("REQUIRE_FOREIGN").unwrap_or_default();
    list.split(',').any(|word| word.trim() == language)
}

impl Program {
    /// Starts the lane and reads its hello.
    pub(crate) fn start(command: &LaneCommand) -> (Self, Hello) {
        Self::spawn(
            Command::new(&command.program)
                .args(&command.arguments)
                .envs(command.variables.iter().cloned()),
        )
    }
}

/// A test for each lane, which calls `whole`. The tests run at the same time.
macro_rules! lanes {
    ($($test:ident: $lane:literal),* $(,)?) => {
        $(#[test]
        fn $test() {
            whole($lane);
        })*
    };
}
