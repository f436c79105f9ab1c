//! The lanes in other languages, as the study sees them: every workload at
//! the smallest size gives the right answer, and garbage in gives an error out.
//!
//! A toolchain that is not there is a printed skip; `REQUIRE_FOREIGN=go,python`
//! makes it a failure for the languages named.

use std::env;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::OnceLock;

use benches::lane_process::LaneCommand;
use benches::lanes::{self, Missing, Toolbox};
use workloads::catalogue::{self, Size};
use workloads::ledger::Readings;
use workloads::protocol::{
    ErrorKind, Hello, MAX_LINE_BYTES, PROTOCOL_VERSION, Parameters, Request, Response,
};

/// How the lane is started; `None` where its toolchain may be missing and is.
fn command(name: &str) -> Option<LaneCommand> {
    // Cargo builds the lane program, and Go and Java their own, once.
    static TOOLBOX: OnceLock<Toolbox> = OnceLock::new();
    let toolbox = TOOLBOX.get_or_init(|| Toolbox::find().unwrap());
    let lane = lanes::find(name).unwrap_or_else(|| panic!("the table has no lane {name}"));
    let language = lane.foreign.expect("the lane is in another language").name;
    match toolbox.command(&lane) {
        Ok(command) => Some(command),
        Err(missing @ Missing::Toolchain { .. }) if !required(language) => {
            println!("SKIPPED {name}: {missing}");
            None
        }
        Err(error) => panic!("{name}: {error}"),
    }
}

fn required(language: &str) -> bool {
    let list = env::var("REQUIRE_FOREIGN").unwrap_or_default();
    list.split(',').any(|word| word.trim() == language)
}

struct Program {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

impl Program {
    /// Starts a lane and reads its hello.
    fn start(command: &LaneCommand) -> (Self, Hello) {
        let mut child = Command::new(&command.program)
            .args(&command.arguments)
            .envs(command.variables.iter().cloned())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (input, output) = (child.stdin.take(), child.stdout.take().unwrap());
        let mut program = Self {
            child,
            input,
            output: BufReader::new(output),
        };
        match program.answer() {
            Response::Hello(hello) => (program, hello),
            other => panic!("{command:?} began with {other:?}"),
        }
    }

    fn send(&mut self, line: impl AsRef<[u8]>) {
        let input = self.input.as_mut().unwrap();
        input.write_all(line.as_ref()).unwrap();
        input.write_all(b"\n").unwrap();
        input.flush().unwrap();
    }

    fn answer(&mut self) -> Response {
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error} in the answer {line:?}"))
    }

    fn run(&mut self, id: u64, workload: &str, point: &Parameters, iterations: u64) -> Response {
        let request = Request::Run {
            id,
            workload: workload.to_owned(),
            parameters: point.clone(),
            iterations,
        };
        self.send(serde_json::to_string(&request).unwrap());
        let mut readings = Readings::default();
        loop {
            match self.answer() {
                Response::ReadMemory => {
                    readings.take(self.child.id()).unwrap();
                    self.send(serde_json::to_string(&Request::MemoryRead).unwrap());
                }
                Response::Sample(mut sample) => {
                    sample.memory = readings.change(sample.operations_count);
                    return Response::Sample(sample);
                }
                other => return other,
            }
        }
    }

    /// Ends the input; how the program ended, and what else it printed.
    fn end(mut self) -> (ExitStatus, String) {
        drop(self.input.take());
        let mut rest = String::new();
        self.output.read_to_string(&mut rest).unwrap();
        (self.child.wait().unwrap(), rest)
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // Already ended where all went well.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

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
    let mut cells = 0;
    for workload in catalogue::all() {
        let refused = &hello.workloads[workload.id];
        for (id, point) in (1..).zip(workload.points(Size::Tiny, hello.cpus_count as usize)) {
            let cell = format!("{name} {} {point:?}", workload.id);
            let iterations = workload.iterations(Size::Tiny);
            match program.run(id, workload.id, &point, iterations) {
                Response::Sample(sample) => {
                    assert_eq!(*refused, None, "{cell}");
                    assert_eq!(sample.id, id, "{cell}");
                    let one = workload.expected(&point, 1);
                    let checked = workload.check_answer(&sample, &point, iterations, one);
                    assert_eq!(checked, Ok(()), "{cell}");
                    cells += 1;
                }
                Response::Error {
                    kind: ErrorKind::NotSupported,
                    message,
                    ..
                } => {
                    assert!(
                        refused.as_ref().is_none_or(|why| *why == message),
                        "{cell}: {message}, but hello said {refused:?}"
                    );
                    assert!(message.len() > 10, "{cell}: {message}");
                }
                other => panic!("{cell}: {other:?}"),
            }
        }
    }
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

fn lane(name: &str) {
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

/// One test a lane, so that they run side by side.
macro_rules! lanes {
    ($($test:ident: $lane:literal),* $(,)?) => {
        $(#[test]
        fn $test() {
            lane($lane);
        })*
    };
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
