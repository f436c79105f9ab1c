use workloads::protocol::{PROTOCOL_VERSION, Parameters, Response};
use workloads::{catalogue, lanes};

use crate::program::Program;

#[test]
fn hello_names_the_lane_its_versions_and_every_workload() {
    for entry in lanes::ALL {
        let (program, hello) = Program::start(entry.name);
        assert_eq!(
            (hello.protocol, hello.lane.as_str()),
            (PROTOCOL_VERSION, entry.name)
        );
        assert!(hello.language.starts_with("rust 1."), "{}", hello.language);
        assert!(
            hello.runtime.contains(|c: char| c.is_ascii_digit()),
            "{}",
            hello.runtime
        );
        assert!(hello.cpus_count > 0);
        assert_eq!(hello.unoptimised, cfg!(debug_assertions));
        assert_eq!(hello.commit, env!("THREADBARE_GIT_COMMIT"));
        assert_eq!(hello.workloads.len(), catalogue::all().count());
        let (status, rest) = program.end();
        assert!(status.success());
        assert_eq!(rest, "");
    }
}

#[test]
fn quit_and_end_of_input_both_end_the_program_silently() {
    let (mut program, _) = Program::start("thread");
    program.send(r#"{"type":"quit"}"#);
    let (status, rest) = program.end();
    assert!(status.success());
    assert_eq!(rest, "");
}

#[test]
fn lane_continues_after_a_malformed_request() {
    let (mut program, _) = Program::start("thread");
    program.refuses_garbage("thread");
    assert!(
        matches!(program.run(10, "spawn.one", &Parameters::new(), 1), Response::Sample(sample) if sample.id == 10 && sample.checksum == 1)
    );
}
