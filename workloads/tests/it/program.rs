//! A running lane program.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};

use workloads::lane::Program as LaneProgram;
use workloads::lanes;
use workloads::ledger::Readings;
use workloads::protocol::{Hello, Parameters, Request, Response};

pub(crate) struct Program {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

impl Program {
    /// Starts a lane and reads its hello.
    pub(crate) fn start(lane: &str) -> (Self, Hello) {
        let plain = env!("CARGO_BIN_EXE_threadbare-lane");
        let program = match lanes::find(lane).map(|entry| entry.program) {
            // There is none, and no lane of it, without the feature `peers`.
            Some(LaneProgram::Mimalloc) => {
                option_env!("CARGO_BIN_EXE_threadbare-lane-mimalloc").unwrap_or(plain)
            }
            _ => plain,
        };
        let mut child = Command::new(program)
            .args(["--lane", lane])
            .env("THREADBARE_LOAD", plain)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let input = child.stdin.take();
        let output = BufReader::new(child.stdout.take().unwrap());
        let mut program = Self {
            child,
            input,
            output,
        };
        match program.answer() {
            Response::Hello(hello) => (program, hello),
            other => panic!("{lane} began with {other:?}"),
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
        parameters: &Parameters,
        iterations: u64,
    ) -> Response {
        let (workload, parameters) = (workload.to_owned(), parameters.clone());
        self.send(
            serde_json::to_string(&Request::Run {
                id,
                workload,
                parameters,
                iterations,
            })
            .unwrap(),
        );
        self.answer_after_readings()
    }

    /// The answer to a request; takes the readings of memory that the lane asks
    /// for before it.
    fn answer_after_readings(&mut self) -> Response {
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
