use std::process::Command;

use workloads::lane::Program as LaneProgram;
use workloads::lanes;
use workloads::protocol::Hello;

#[path = "../program/mod.rs"]
mod running;

pub(crate) use running::Program;

impl Program {
    pub(crate) fn start(lane: &str) -> (Self, Hello) {
        let plain = env!("CARGO_BIN_EXE_threadbare-lane");
        let program = match lanes::find(lane).map(|entry| entry.program) {
            // Without the feature `peers` the program and its lanes do not exist.
            Some(LaneProgram::Mimalloc) => {
                option_env!("CARGO_BIN_EXE_threadbare-lane-mimalloc").unwrap_or(plain)
            }
            _ => plain,
        };
        Self::spawn(
            Command::new(program)
                .args(["--lane", lane])
                .env("THREADBARE_LOAD", plain),
        )
    }
}
