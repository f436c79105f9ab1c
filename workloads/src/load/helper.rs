//! A program of this package that serves lanes from its own process. It prints its address, serves
//! until its input ends, and prints a report.

use std::io::{self, BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::lane::Failure;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Listening {
    pub(crate) address: SocketAddr,
}

/// How long the program may take to end, and how often to check.
const TIMEOUT: Duration = Duration::from_secs(1);
const SLICE: Duration = Duration::from_millis(5);

/// Dropping it closes the program's input, and kills the program after [`TIMEOUT`].
#[derive(Debug)]
pub(crate) struct Helper {
    what: &'static str,
    child: Child,
    output: BufReader<ChildStdout>,
    pub(crate) address: SocketAddr,
}

impl Helper {
    pub(crate) fn start(what: &'static str, arguments: &[String]) -> Result<Self, Failure> {
        let program = super::program()?;
        let mut child = Command::new(&program)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| {
                let what = format!("starting the {what} {}", program.display());
                Failure::host(what, &error, "ulimit -u")
            })?;
        let mut output = BufReader::new(child.stdout.take().expect("the output was asked for"));
        match first_line(&mut output) {
            Ok(Listening { address }) => Ok(Self {
                what,
                child,
                output,
                address,
            }),
            Err(error) => {
                let _ = child.kill();
                let _ = child.wait();
                Err(Failure::failed(format!(
                    "the {what} did not say where it listens: {error}"
                )))
            }
        }
    }

    /// Ends the program. Blocks the thread.
    pub(crate) fn finish<T: DeserializeOwned>(mut self) -> Result<T, Failure> {
        drop(self.child.stdin.take());
        let mut last = String::new();
        let report = self
            .output
            .read_to_string(&mut last)
            .and_then(|_| serde_json::from_str(&last).map_err(io::Error::from));
        report.map_err(|error| Failure::failed(format!("the report of the {}: {error}", self.what)))
    }
}

impl Drop for Helper {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let start = Instant::now();
        while matches!(self.child.try_wait(), Ok(None)) {
            if start.elapsed() > TIMEOUT {
                let _ = self.child.kill();
                let _ = self.child.wait();
                return;
            }
            std::thread::sleep(SLICE);
        }
    }
}

fn first_line(output: &mut impl BufRead) -> io::Result<Listening> {
    let mut line = String::new();
    output.read_line(&mut line)?;
    Ok(serde_json::from_str(&line)?)
}
