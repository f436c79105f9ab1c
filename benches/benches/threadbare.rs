//! The study, as the last target of `cargo bench`.

fn main() -> std::process::ExitCode {
    benches::cli::bench_main()
}
