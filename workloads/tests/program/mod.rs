//! A program of lanes, spoken to by the protocol. The tests of `benches` have it too.
#![allow(dead_code, reason = "no program of tests uses all of it")]

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};

use workloads::ledger::Readings;
use workloads::protocol::{Hello, Parameters, Request, Response};

pub(crate) struct Program {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

impl Program {
    /// Starts it and reads its hello.
    pub(crate) fn spawn(command: &mut Command) -> (Self, Hello) {
        let mut child = command
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

    /// Requests a sample.
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
