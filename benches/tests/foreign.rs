//! The lanes in other languages: each gives the right answer to every workload at the smallest
//! size, and answers an invalid request with an error.
//!
//! A missing toolchain skips its test, or fails it if `REQUIRE_FOREIGN=go,python` names the
//! language.

#[macro_use]
mod lane;

use std::path::Path;
use std::process::Command;

use benches::lanes;
use workloads::catalogue;
use workloads::protocol::{Hello, PROTOCOL_VERSION, Parameters, Response};

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
        lane::skipped(&format!("{name}: {}", why.map_or("", String::as_str)));
    }
}

fn whole(name: &str) {
    let Some(command) = command(name) else { return };
    let (mut program, hello) = Program::start(&command);
    says_hello_by_the_protocol(name, &hello);
    every_cell_is_right_or_says_why_not(name, &mut program, &hello);
    program.refuses_garbage(name);
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
fn go_program_is_formatted_and_vetted_and_passes_its_tests() {
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
    let (passed, said) = run(&go, &["test", "."]);
    assert!(passed, "{said}");
    let (_, root) = run(&go, &["env", "GOROOT"]);
    let gofmt = Path::new(&root).join("bin/gofmt");
    if !gofmt.is_file() {
        lane::skipped(&format!("this Go has no {}", gofmt.display()));
        return;
    }
    // gofmt prints the files that it would change.
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
