//! Mail for `io.email`: the client library of the lanes, and their server, a separate program.

pub mod server;

use std::net::SocketAddr;

use lettre::transport::smtp::extension::ClientId;
use lettre::{
    AsyncSmtpTransport, AsyncTransport, Message, SmtpTransport, Tokio1Executor, Transport,
};
use serde::{Deserialize, Serialize};

use crate::lane::{Failure, Outcome};
use crate::load::helper::Helper;
use crate::measure::Measured;

/// The last line that the server prints.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Accepted {
    /// Messages accepted.
    pub accepted_count: u64,
    /// CPU time of the server.
    pub cpu_ns: u64,
}

impl Accepted {
    pub(crate) fn into_outcome(self, measured: Measured) -> Outcome {
        let busy = self.cpu_ns as f64 / measured.elapsed.as_nanos().max(1) as f64;
        Outcome::new(measured, self.accepted_count).with("load_busy_ratio", busy)
    }
}

/// A server that answers each command after `delay_ns` and reports [`Accepted`]. Blocks the thread.
pub(crate) fn start(delay_ns: u64) -> Result<Helper, Failure> {
    let arguments = ["smtp", "--delay-ns", &delay_ns.to_string()].map(str::to_owned);
    Helper::start("mail server", &arguments)
}

/// Sends message `number` over a new connection. Blocks the thread.
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
