//! Mail for `io.email`: the client library that lanes call, and the server
//! that they talk to, a program of its own.

pub mod server;

use std::io::{self, BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::process::{Child, ChildStdout, Command, Stdio};

use lettre::transport::smtp::extension::ClientId;
use lettre::{
    AsyncSmtpTransport, AsyncTransport, Message, SmtpTransport, Tokio1Executor, Transport,
};
use serde::{Deserialize, Serialize};

use crate::lane::{Failure, Outcome};
use crate::load;
use crate::measure::Measured;

/// The server's first line: where it listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listening {
    /// The address on the loopback.
    pub address: SocketAddr,
}

/// The server's last line, when its input has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Accepted {
    /// Messages accepted.
    pub accepted_count: u64,
    /// CPU time of the server.
    pub cpu_ns: u64,
}

impl Accepted {
    /// The outcome of a lane that has measured the sending.
    pub(crate) fn into_outcome(self, measured: Measured) -> Outcome {
        let busy = self.cpu_ns as f64 / measured.elapsed.as_nanos().max(1) as f64;
        Outcome::new(measured, self.accepted_count).with("load_busy_ratio", busy)
    }
}

/// A running server. Dropping it ends it.
#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
    output: BufReader<ChildStdout>,
    pub(crate) address: SocketAddr,
}

impl Server {
    /// Starts a server that answers each command after `delay_ns`.
    pub(crate) fn start(delay_ns: u64) -> Result<Self, Failure> {
        let program = load::program()?;
        let mut child = Command::new(&program)
            .args(["smtp", "--delay-ns", &delay_ns.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| {
                Failure::host(
                    format!("starting the mail server {}", program.display()),
                    &error,
                    "ulimit -u",
                )
            })?;
        let mut output = BufReader::new(child.stdout.take().expect("the output was asked for"));
        match first_line(&mut output) {
            Ok(Listening { address }) => Ok(Self {
                child,
                output,
                address,
            }),
            Err(error) => {
                let _ = child.kill();
                let _ = child.wait();
                Err(Failure::failed(format!(
                    "the mail server did not say where it listens: {error}"
                )))
            }
        }
    }

    /// Ends the server; what it says last.
    pub(crate) fn finish(mut self) -> Result<Accepted, Failure> {
        drop(self.child.stdin.take());
        let mut last = String::new();
        let report = self
            .output
            .read_to_string(&mut last)
            .and_then(|_| serde_json::from_str::<Accepted>(&last).map_err(io::Error::from));
        report.map_err(|error| Failure::failed(format!("the mail server's report: {error}")))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It has ended already where all went well.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn first_line(output: &mut impl BufRead) -> io::Result<Listening> {
    let mut line = String::new();
    output.read_line(&mut line)?;
    Ok(serde_json::from_str(&line)?)
}

/// Sends message `number` over a connection of its own. Blocks the thread.
pub(crate) fn send(server: SocketAddr, number: u64) -> Result<u64, Failure> {
    let transport = SmtpTransport::builder_dangerous(server.ip().to_string())
        .port(server.port())
        .hello_name(client())
        .build();
    transport
        .send(&message(number)?)
        .map_err(|error| refused(number, &error))?;
    Ok(1)
}

/// Sends message `number` over a connection of its own, in a task of tokio.
pub(crate) async fn send_async(server: SocketAddr, number: u64) -> Result<u64, Failure> {
    let builder = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(server.ip().to_string());
    let transport = builder.port(server.port()).hello_name(client()).build();
    transport
        .send(message(number)?)
        .await
        .map_err(|error| refused(number, &error))?;
    Ok(1)
}

fn client() -> ClientId {
    ClientId::Domain("threadbare.invalid".to_owned())
}

fn message(number: u64) -> Result<Message, Failure> {
    let address = |name: &str| format!("{name} <{name}@threadbare.invalid>").parse();
    let parts = address("sender").and_then(|from| address("receiver").map(|to| (from, to)));
    let (from, to) = parts.map_err(|error| Failure::failed(format!("a mail address: {error}")))?;
    let builder = Message::builder()
        .from(from)
        .to(to)
        .subject(format!("message {number}"));
    builder
        .body(format!("This is message {number}.\r\n"))
        .map_err(|error| Failure::failed(format!("message {number}: {error}")))
}

fn refused(number: u64, error: &lettre::transport::smtp::Error) -> Failure {
    Failure::failed(format!("message {number} was not sent: {error}"))
}
