//! A lane program, driven by the protocol. The tests of `benches` use this file too.
#![allow(dead_code, reason = "no program of tests uses all of it")]

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};

use workloads::catalogue::{self, Size};
use workloads::ledger::Readings;
use workloads::protocol::{ErrorKind, Hello, MAX_LINE_BYTES, Parameters, Request, Response};

pub(crate) struct Program {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

impl Program {
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
        case: &Parameters,
        iterations: u64,
    ) -> Response {
        self.send_run(id, workload, case, iterations);
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

    pub(crate) fn send_run(&mut self, id: u64, workload: &str, case: &Parameters, iterations: u64) {
        let request = Request::Run {
            id,
            workload: workload.to_owned(),
            parameters: case.clone(),
            iterations,
        };
        self.send(serde_json::to_string(&request).unwrap());
    }

    /// Runs every workload at the smallest size. Each cell gives the right answer, or the reason of
    /// the hello. Returns how many cells gave a sample.
    pub(crate) fn checked_cells(&mut self, lane: &str, hello: &Hello) -> usize {
        let mut cells = 0;
        for workload in catalogue::all() {
            let refused = &hello.workloads[workload.id];
            for (id, case) in (1..).zip(workload.cases(Size::Tiny, hello.cpus_count as usize)) {
                let cell = format!("{lane} {} {case:?}", workload.id);
                let iterations = workload.iterations(Size::Tiny);
                match self.run(id, workload.id, &case, iterations) {
                    Response::Sample(sample) => {
                        assert_eq!(*refused, None, "{cell}");
                        assert_eq!(sample.id, id, "{cell}");
                        let one = workload.expected(&case, 1);
                        let checked = workload.check_answer(&sample, &case, iterations, one);
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
        cells
    }

    pub(crate) fn refuses_garbage(&mut self, lane: &str) {
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
            self.send(&line);
            let shown = String::from_utf8_lossy(&line[..line.len().min(80)]);
            match self.answer() {
                Response::Error {
                    id,
                    kind: ErrorKind::BadRequest,
                    message,
                } => {
                    assert_eq!(id, expected_id, "{lane} to {shown}: {message}");
                    assert!(message.contains(part), "{lane} to {shown}: {message}");
                }
                other => panic!("{lane} to {shown}: {other:?}"),
            }
        }
    }

    pub(crate) fn end(mut self) -> (ExitStatus, String) {
        drop(self.input.take());
        let mut rest = String::new();
        self.output.read_to_string(&mut rest).unwrap();
        (self.child.wait().unwrap(), rest)
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // If the test passed, the program has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
