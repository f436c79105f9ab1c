use std::process::Command;

use workloads::protocol::{ErrorKind, Parameters, Response};

use crate::program::Program;

fn status(process: u32, name: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with(name)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[test]
fn sieve_whose_source_cannot_start_leaves_no_filter() {
    let (mut program, hello) = Program::start("thread");
    // There is room for the stack of one thread more.
    let limit = (status(hello.pid, "VmSize") << 10) + (3 << 20);
    let limited = Command::new("prlimit")
        .args([format!("--pid={}", hello.pid), format!("--as={limit}")])
        .status();
    assert!(limited.unwrap().success());
    let case = Parameters::from([("limit_count".to_owned(), 2)]);
    match program.run(1, "share.sieve", &case, 1) {
        Response::Error { kind, message, .. } => assert_eq!(kind, ErrorKind::Limit, "{message}"),
        other => panic!("{other:?}"),
    }
    assert_eq!(status(hello.pid, "Threads"), 1);
}
