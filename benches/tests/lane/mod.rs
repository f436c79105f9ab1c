//! A lane in tests: in Rust or another language, spoken to by the protocol.
#![allow(dead_code, reason = "no program of tests uses all of it")]

use std::env;
use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::OnceLock;

use benches::lane_process::LaneCommand;
use benches::lanes::{self, Missing, Toolbox};
use workloads::ledger::Readings;
use workloads::protocol::{Hello, Parameters, Request, Response};

/// How the lane is started; `None` where its toolchain may be missing and is.
pub(crate) fn command(name: &str) -> Option<LaneCommand> {
    // Cargo builds the lane program, and Go and Java their own, once.
    static TOOLBOX: OnceLock<Toolbox> = OnceLock::new();
    let toolbox = TOOLBOX.get_or_init(|| Toolbox::find().unwrap());
    let lane = lanes::find(name).unwrap_or_else(|| panic!("the table has no lane {name}"));
    let language = lane.foreign.map_or("rust", |language| language.name);
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

pub(crate) struct Program {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

impl Program {
    /// Starts a lane and reads its hello.
    pub(crate) fn start(command: &LaneCommand) -> (Self, Hello) {
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

    pub(crate) fn send(&mut self, line: impl AsRef<[u8]>) {
        let input = self.input.as_mut().unwrap();
        input.write_all(line.as_ref()).unwrap();
        input.write_all(b"\n").unwrap();
        input.flush().unwrap();
    }

    pub(crate) fn answer(&mut self) -> Response {
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error} in the answer {line:?}"))
    }

    pub(crate) fn run(
        &mut self,
        id: u64,
        workload: &str,
        point: &Parameters,
        iterations: u64,
    ) -> Response {
        self.send_run(id, workload, point, iterations);
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

    /// Asks for a sample.
    pub(crate) fn send_run(
        &mut self,
        id: u64,
        workload: &str,
        point: &Parameters,
        iterations: u64,
    ) {
        let request = Request::Run {
            id,
            workload: workload.to_owned(),
            parameters: point.clone(),
            iterations,
        };
        self.send(serde_json::to_string(&request).unwrap());
    }

    /// Ends the input; how the program ended, and what else it printed.
    pub(crate) fn end(mut self) -> (ExitStatus, String) {
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
