//! The `threadbare` program.

use std::panic::resume_unwind;
use std::process::ExitCode;
use std::thread;

/// The default size of the first thread's stack; `ulimit -s` may set it below the need
/// of the command line's parser.
const STACK: usize = 8 << 20;

fn main() -> ExitCode {
    let thread = thread::Builder::new().name("main".into()).stack_size(STACK);
    match thread.spawn(benches::cli::main) {
        Ok(main) => main.join().unwrap_or_else(|panic| resume_unwind(panic)),
        // No other thread is allowed: this does as much as one thread can.
        Err(_) => benches::cli::main(),
    }
}
