//! The `threadbare` program.

fn main() -> std::process::ExitCode {
    benches::cli::main()
}
