//! What the lane program answers to requests, good and bad.

use workloads::protocol::{ErrorKind, MAX_LINE_BYTES, PROTOCOL_VERSION, Parameters, Response};
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
fn garbage_is_answered_as_a_bad_request_and_the_lane_goes_on() {
    let (mut program, _) = Program::start("thread");
    let unknown = r#"{"type":"run","id":9,"workload":"no.such","parameters":{},"iterations":1}"#;
    let no_parameters =
        r#"{"type":"run","id":9,"workload":"spawn.batch","parameters":{},"iterations":1}"#;
    let no_iterations =
        r#"{"type":"run","id":9,"workload":"spawn.one","parameters":{},"iterations":0}"#;
    let two_ledgers = r#"{"type":"run","id":9,"workload":"memory.parked","parameters":{"tasks_count":1,"wait_ns":1},"iterations":2}"#;
    let wrong_type = r#"{"type":"run","id":9,"workload":7}"#;
    let lines = [
        ("nonsense", 0, "no request"),
        ("", 0, "no request"),
        ("[1,2]", 0, "no request"),
        ("{\"type\":\"dance\",\"id\":9}", 9, "dance"),
        (unknown, 9, "no.such"),
        (no_parameters, 9, "tasks_count"),
        (no_iterations, 9, "iterations"),
        (two_ledgers, 9, "iterations"),
        (wrong_type, 9, "no request"),
    ];
    for (line, expected_id, part) in lines {
        program.send(line);
        match program.answer() {
            Response::Error {
                id,
                kind: ErrorKind::BadRequest,
                message,
            } => {
                assert_eq!(id, expected_id, "{line}");
                assert!(message.contains(part), "{line}: {message}");
            }
            other => panic!("{line}: {other:?}"),
        }
    }
    assert!(
        matches!(program.run(10, "spawn.one", &Parameters::new(), 1), Response::Sample(sample) if sample.id == 10 && sample.checksum == 1)
    );
}

#[test]
fn line_beyond_the_limit_is_refused_and_skipped() {
    let (mut program, _) = Program::start("thread");
    program.send("x".repeat(3 * MAX_LINE_BYTES));
    assert!(
        matches!(program.answer(), Response::Error { id: 0, kind: ErrorKind::BadRequest, message } if message.contains("longer"))
    );
    assert!(matches!(
        program.run(1, "spawn.one", &Parameters::new(), 1),
        Response::Sample(_)
    ));
}

#[test]
fn bytes_that_are_no_text_are_a_bad_request() {
    let (mut program, _) = Program::start("thread");
    program.send(b"\xff\xfe\x00{");
    assert!(matches!(
        program.answer(),
        Response::Error {
            kind: ErrorKind::BadRequest,
            ..
        }
    ));
}
