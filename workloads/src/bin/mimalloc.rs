//! The lane program with mimalloc instead of the system's allocator.
#![forbid(unsafe_code)]

use mimalloc::MiMalloc;
use workloads::lane::Program;
use workloads::program;

#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> anyhow::Result<()> {
    program::run(Program::Mimalloc)
}
