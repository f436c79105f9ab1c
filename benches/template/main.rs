//! Started by `threadbare run --with`.

fn main() -> std::process::ExitCode {
    benches::own::main(my_load::WORKLOADS)
}
