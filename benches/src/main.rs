//! The `threadbare` program.

use std::panic::resume_unwind;
use std::process::ExitCode;
use std::thread;

/// The usual size of the first thread's stack. With a small `ulimit -s` the parser of the command
/// line would not fit on that stack, so the program runs on another thread.
const STACK: usize = 8 << 20;

fn main() -> ExitCode {
    let thread = thread::Builder::new().name("main".into()).stack_size(STACK);
    match thread.spawn(benches::cli::main) {
        Ok(main) => main.join().unwrap_or_else(|panic| resume_unwind(panic)),
        // No thread can be started.
        Err(_) => benches::cli::main(),
    }
}
