//! The load generator of servers: a separate program, whose work does not count as a lane's.

pub mod echo;
pub mod echo_client;
mod generator;
pub(crate) mod helper;
mod search;
pub mod service;
mod service_client;

pub(crate) use generator::own_cpus;

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::catalogue::Shape;
use crate::host::usage::Usage;
use crate::lane::{Failure, Order, Outcome};
use crate::measure::Measured;
use crate::protocol::Latency;

const PROGRAM: &str = "THREADBARE_LOAD";

/// The load to generate.
#[derive(Clone, Debug, PartialEq, clap::Args)]
pub struct Plan {
    /// The server's address.
    #[arg(long)]
    pub address: SocketAddr,
    /// Connections to open before the clock starts.
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=60_000))]
    pub connections: u64,
    /// Bytes of each request.
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=16_384))]
    pub payload_bytes: u64,
    /// Requests over all connections.
    #[arg(long)]
    pub requests: u64,
    /// Requests a second on a fixed schedule; 0: each connection sends its
    /// next request when it has the answer to its last.
    #[arg(long, default_value_t = 0)]
    pub offered_per_s: u64,
    /// Offer this percentage of the rate that the server answers in a closed loop, which is
    /// measured first; 0: see `offered_per_s`.
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u64).range(..=100))]
    pub load_percent: u64,
    /// Requests that each connection of a closed loop sends at once. It sends the next ones when
    /// all of them are answered.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
    pub burst: u64,
    /// The workload whose handler makes the server's answers; without it they are
    /// echoes.
    #[arg(long)]
    pub workload: Option<String>,
}

/// The generator's report: one line of JSON.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// From the first request to the last answer.
    pub elapsed_ns: u64,
    /// Requests answered.
    pub operations_count: u64,
    /// Requests with a right answer.
    pub checksum: u64,
    /// CPU time of the generator, from its start.
    pub cpu_ns: u64,
    /// Its voluntary context switches.
    pub voluntary_switches_count: u64,
    /// Its involuntary context switches.
    pub involuntary_switches_count: u64,
    /// Latencies of the requests.
    pub latency: Latency,
    /// `load_busy_ratio`: the share of the time in which the generator had work.
    ///
    /// `load_limit_per_s`: the most requests a second that it can send, as the study measured it or
    /// else computed from its CPU time; for `service.http` at most what the backend can answer.
    ///
    /// `load_headroom_ratio`: that limit over the achieved rate. Near 1 the generator is measured,
    /// not the server.
    ///
    /// `capacity_per_s`: the rate of which `load_percent` percent are offered.
    pub metrics: BTreeMap<String, f64>,
}

impl Plan {
    pub(crate) fn new(order: &Order, address: SocketAddr) -> Self {
        Self {
            address,
            connections: order.get("connections_count"),
            payload_bytes: order.get("payload_bytes"),
            requests: order.get("requests_count") * order.iterations,
            offered_per_s: order.or("offered_per_s", 0),
            load_percent: order.or("load_percent", 0),
            burst: order.or("burst_count", 1),
            workload: match order.workload.shape {
                Shape::Handler(_) => Some(order.workload.id.to_owned()),
                _ => None,
            },
        }
    }

    pub(crate) fn arguments(&self) -> Vec<String> {
        let Self {
            address,
            connections,
            payload_bytes,
            requests,
            offered_per_s,
            load_percent,
            burst,
            workload,
        } = self;
        let mut arguments = vec![
            "load".to_owned(),
            "--address".to_owned(),
            address.to_string(),
            "--connections".to_owned(),
            connections.to_string(),
            "--payload-bytes".to_owned(),
            payload_bytes.to_string(),
            "--requests".to_owned(),
            requests.to_string(),
            "--offered-per-s".to_owned(),
            offered_per_s.to_string(),
            "--load-percent".to_owned(),
            load_percent.to_string(),
            "--burst".to_owned(),
            burst.to_string(),
        ];
        if let Some(id) = workload {
            arguments.extend(["--workload".to_owned(), id.clone()]);
        }
        arguments
    }
}

/// The variable with the address at which servers listen, instead of a free port of the loopback.
/// `service.http` then gets its load from another host.
pub const LISTEN: &str = "THREADBARE_LISTEN";

pub(crate) fn server_address() -> SocketAddr {
    let listen_address = std::env::var(LISTEN).ok();
    let listen_address = listen_address.and_then(|address| address.parse().ok());
    listen_address.unwrap_or_else(|| (Ipv4Addr::LOCALHOST, 0).into())
}

/// The program of the load generator, mail server and backend: this one, unless the environment
/// names another.
pub(crate) fn program() -> Result<PathBuf, Failure> {
    let program =
        std::env::var_os(PROGRAM).map_or_else(std::env::current_exe, |path| Ok(path.into()));
    program.map_err(|error| {
        Failure::failed(format!(
            "finding this program's own path: {error}; set {PROGRAM}"
        ))
    })
}

/// Blocks the thread.
pub(crate) fn run(arguments: &[String]) -> Result<Report, Failure> {
    let program = program()?;
    let output = Command::new(&program)
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .map_err(|error| {
            Failure::host(
                format!("starting the load generator {}", program.display()),
                &error,
                "ulimit -u",
            )
        })?;
    if !output.status.success() {
        let message = String::from_utf8_lossy(&output.stderr);
        return Err(Failure::failed(format!(
            "the load generator ended with {}: {}",
            output.status,
            message.trim()
        )));
    }
    serde_json::from_slice(&output.stdout)
        .map_err(|error| Failure::failed(format!("the load generator's report: {error}")))
}

impl Report {
    /// `lane` is the usage of the lane and the generator together.
    pub(crate) fn into_outcome(self, lane: Measured) -> Outcome {
        // The report of `service.http` is about the requests at half of the highest rate. The lane
        // gets their share of the usage.
        let requests_sent = self.metrics.get("load_asked_count");
        let requests_sent =
            requests_sent.map_or(self.operations_count, |&requests_sent| requests_sent as u64);
        let own = Usage {
            cpu_ns: self.cpu_ns,
            voluntary_switches: self.voluntary_switches_count,
            involuntary_switches: self.involuntary_switches_count,
        };
        Outcome {
            measured: Measured {
                elapsed: Duration::from_nanos(self.elapsed_ns),
                usage: lane
                    .usage
                    .minus(own)
                    .share(self.operations_count, requests_sent),
            },
            operations: Some(self.operations_count),
            checksum: self.checksum,
            latency: Some(self.latency),
            metrics: self.metrics,
        }
    }
}
