//! The lane program: each process of it runs one lane and is measured.

fn main() -> std::process::ExitCode {
    workloads::program::own_main(my_load::WORKLOADS)
}
