//! The lane program: runs the workloads of one lane and speaks PROTOCOL.md.
#![forbid(unsafe_code)]

use workloads::lane::Program;
use workloads::program;

fn main() -> anyhow::Result<()> {
    program::run(Program::Plain)
}
