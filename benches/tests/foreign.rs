//! The lanes in other languages, as the study sees them: every workload at
//! the smallest size gives the right answer, and garbage in gives an error out.
//!
//! A toolchain that is not there is a printed skip; `REQUIRE_FOREIGN=go,python`
//! makes it a failure for the languages named.

#[macro_use]
mod lane;

use std::path::Path;
use std::process::Command;

use benches::lanes;
use workloads::catalogue;
use workloads::protocol::{
    ErrorKind, Hello, MAX_LINE_BYTES, PROTOCOL_VERSION, Parameters, Response,
};

use lane::{Program, command};

fn says_hello_by_the_protocol(name: &str, hello: &Hello) {
    assert_eq!(
        (hello.protocol, hello.lane.as_str()),
        (PROTOCOL_VERSION, name)
    );
    for version in [&hello.language, &hello.runtime] {
        assert!(
            version.contains(|c: char| c.is_ascii_digit()),
            "{name}: {version}"
        );
    }
    let cpus = benches::cpus::Cpus::allowed().unwrap().count();
    assert_eq!(hello.cpus_count as usize, cpus, "{name}");
    for workload in catalogue::all() {
        assert!(
            hello.workloads.contains_key(workload.id),
            "{name} neither runs {} nor says why not",
            workload.id
        );
    }
}

fn every_cell_is_right_or_says_why_not(name: &str, program: &mut Program, hello: &Hello) {
    let cells = program.checked_cells(name, hello);
    let refuses_all = hello.workloads.values().all(Option::is_some);
    assert!(cells > 1 || refuses_all, "{name} runs next to nothing");
    if refuses_all {
        let why = hello.workloads.values().flatten().next();
        println!("SKIPPED {name}: {}", why.map_or("", String::as_str));
    }
}

fn garbage_is_a_bad_request_and_the_lane_goes_on(name: &str, program: &mut Program) {
    let run = |rest: &str| format!(r#"{{"type":"run","id":9,"workload":{rest}}}"#).into_bytes();
    let lines = [
        (b"nonsense".to_vec(), 0, ""),
        (Vec::new(), 0, ""),
        (b"[1,2]".to_vec(), 0, ""),
        (b"null".to_vec(), 0, ""),
        (b"\xff\xfe\x00{".to_vec(), 0, ""),
        (br#"{"type":"dance","id":9}"#.to_vec(), 9, "dance"),
        (
            run(r#""no.such","parameters":{},"iterations":1"#),
            9,
            "no.such",
        ),
        (
            run(r#""spawn.batch","parameters":{},"iterations":1"#),
            9,
            "tasks_count",
        ),
        (
            run(r#""spawn.batch","parameters":{"tasks_count":0},"iterations":1"#),
            9,
            "tasks_count",
        ),
        (
            run(r#""spawn.batch","parameters":{"tasks_count":"1"},"iterations":1"#),
            9,
            "",
        ),
        (
            run(r#""spawn.one","parameters":{},"iterations":0"#),
            9,
            "iterations",
        ),
        (run(r#""spawn.one","parameters":{}"#), 9, "iterations"),
        (
            run(r#""memory.parked","parameters":{"tasks_count":1,"wait_ns":1},"iterations":2"#),
            9,
            "iterations",
        ),
        (run("7"), 9, ""),
        (vec![b'x'; 3 * MAX_LINE_BYTES], 0, "longer"),
    ];
    for (line, expected_id, part) in lines {
        program.send(&line);
        let shown = String::from_utf8_lossy(&line[..line.len().min(80)]);
        match program.answer() {
            Response::Error {
                id,
                kind: ErrorKind::BadRequest,
                message,
            } => {
                assert_eq!(id, expected_id, "{name} to {shown}: {message}");
                assert!(message.contains(part), "{name} to {shown}: {message}");
            }
            other => panic!("{name} to {shown}: {other:?}"),
        }
    }
}

fn whole(name: &str) {
    let Some(command) = command(name) else { return };
    let (mut program, hello) = Program::start(&command);
    says_hello_by_the_protocol(name, &hello);
    every_cell_is_right_or_says_why_not(name, &mut program, &hello);
    garbage_is_a_bad_request_and_the_lane_goes_on(name, &mut program);
    if hello.workloads["spawn.one"].is_none() {
        let answer = program.run(10, "spawn.one", &Parameters::new(), 2);
        let right =
            matches!(&answer, Response::Sample(sample) if sample.id == 10 && sample.checksum == 2);
        assert!(right, "{name}: {answer:?}");
    }
    let (status, rest) = program.end();
    assert!(status.success(), "{name} ended with {status}");
    assert_eq!(rest, "", "{name}");

    let (mut program, _) = Program::start(&command);
    program.send(r#"{"type":"quit"}"#);
    let (status, rest) = program.end();
    assert!(status.success(), "{name} ended with {status}");
    assert_eq!(rest, "", "{name}");
}

#[test]
fn go_program_is_formatted_and_vetted() {
    let Some(_) = command("go") else { return };
    let language = lanes::find("go").unwrap().foreign.unwrap();
    let go = language.toolchain().unwrap();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../workloads/foreign/go");
    let run = |program: &Path, arguments: &[&str]| {
        let output = Command::new(program)
            .args(arguments)
            .current_dir(&folder)
            .env("GOTOOLCHAIN", "local")
            .output()
            .unwrap_or_else(|error| panic!("{}: {error}", program.display()));
        let text = [output.stdout, output.stderr].concat();
        (
            output.status.success(),
            String::from_utf8_lossy(&text).trim().to_owned(),
        )
    };
    assert_eq!(run(&go, &["vet", "."]), (true, String::new()));
    let (_, root) = run(&go, &["env", "GOROOT"]);
    let gofmt = Path::new(&root).join("bin/gofmt");
    if !gofmt.is_file() {
        println!("SKIPPED: this Go has no {}", gofmt.display());
        return;
    }
    // It names the files that it would change.
    assert_eq!(run(&gofmt, &["-l", "."]), (true, String::new()));
}

lanes! {
    go: "go",
    java_threads: "java-thread",
    java_virtual_threads: "java-virtual",
    python_threads: "python-thread",
    python_processes: "python-process",
    python_asyncio: "python-asyncio",
    node_promises: "node-async",
    node_workers: "node-worker",
    php_processes: "php-fork",
    php_fibers: "php-fiber",
}
