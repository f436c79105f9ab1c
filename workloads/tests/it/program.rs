//! A running lane program of this crate.

use std::process::Command;

use workloads::lane::Program as LaneProgram;
use workloads::lanes;
use workloads::protocol::Hello;

#[path = "../program/mod.rs"]
mod running;

pub(crate) use running::Program;

impl Program {
    /// Starts a lane and reads its hello.
    pub(crate) fn start(lane: &str) -> (Self, Hello) {
        let plain = env!("CARGO_BIN_EXE_threadbare-lane");
        let program = match lanes::find(lane).map(|entry| entry.program) {
            // Without the feature `peers` there is neither this program nor any of its lanes.
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
