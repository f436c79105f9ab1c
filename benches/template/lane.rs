//! A lane, as the process that is measured.

fn main() -> std::process::ExitCode {
    workloads::program::own_main(my_load::WORKLOADS)
}
