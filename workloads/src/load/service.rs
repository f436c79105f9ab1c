//! The load of `service.http`: looks for the highest rate that the service
//! bears, asks for half of it, and has the service end.

use std::net::SocketAddr;

use anyhow::{Context, ensure};

use super::Report;
use super::generator::{self, Loaded, Part, Schedule, Threads};
use super::service_client::{Http, Rights};
use crate::host::usage::Usage;
use crate::lane::Order;

/// The rate that is tried first: any host bears it.
const FIRST_PER_S: u64 = 200;
/// No host bears it.
const MOST_PER_S: u64 = 1 << 24;
/// How close the highest rate that holds and the lowest that does not must be.
const CLOSE: f64 = 1.05;
/// Of so many requests one may be refused.
const SHED_OF: u64 = 1_000;
/// Requests under way when the service is told to end.
const LAST: u64 = 8;

/// What to look for.
#[derive(Clone, Debug, PartialEq, clap::Args)]
pub struct Plan {
    /// The server's address.
    #[arg(long)]
    pub address: SocketAddr,
    /// Connections to open before the clock starts.
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=60_000))]
    pub connections: u64,
    /// Requests at half of the highest rate.
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..))]
    pub requests: u64,
    /// For how long each rate is tried, in nanoseconds.
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..))]
    pub try_ns: u64,
    /// The 99th percentile of latency that a rate must not exceed.
    #[arg(long)]
    pub limit_ns: u64,
    /// Steps of what the service computes.
    #[arg(long)]
    pub steps: u64,
}

impl Plan {
    pub(crate) fn new(order: &Order, address: SocketAddr) -> Self {
        Self {
            address,
            connections: order.get("connections_count"),
            requests: order.get("requests_count") * order.iterations,
            try_ns: order.get("try_ns"),
            limit_ns: order.get("limit_ns"),
            steps: order.get("steps_count"),
        }
    }

    pub(crate) fn arguments(&self) -> Vec<String> {
        let numbers = [
            ("--connections", self.connections),
            ("--requests", self.requests),
            ("--try-ns", self.try_ns),
            ("--limit-ns", self.limit_ns),
            ("--steps", self.steps),
        ];
        let words = ["load-service".to_owned(), "--address".to_owned()];
        let numbers = numbers.map(|(name, value)| [name.to_owned(), value.to_string()]);
        words
            .into_iter()
            .chain([self.address.to_string()])
            .chain(numbers.into_iter().flatten())
            .collect()
    }
}

/// Generates the load and reports. Blocks the thread.
///
/// # Errors
///
/// When the server refuses connections, when it bears no rate at all, and when
/// it does not end.
pub fn run(plan: &Plan) -> anyhow::Result<Report> {
    generator::prepare();
    let rights = Rights::new(plan.steps);
    // The last of its CPUs is the backend's. Where that is its only one, both
    // share it, and the generator sleeps when it has nothing to do.
    let own = generator::own_cpus()?;
    let spins = own.as_ref().is_some_and(|cpus| cpus.len() > 1);
    let own = own.map(|mut cpus| {
        cpus.truncate(cpus.len().saturating_sub(1).max(1));
        cpus
    });
    let threads = Threads::of(plan.connections, own, spins);
    let mut parts =
        threads.connect(|first| Http::connect(plan, &rights, first, threads.count as u64))?;
    let mut asked = 0;
    let highest = highest(|rate| {
        let load = |parts: &mut [Part<_>], asked: &mut u64| {
            let requests = (u128::from(rate) * u128::from(plan.try_ns) / 1_000_000_000).max(1);
            let schedule = Schedule {
                requests: requests as u64,
                offered_per_s: rate,
            };
            let loaded = threads.load(parts, schedule)?;
            *asked += loaded.tally.ended;
            anyhow::Ok(holds(&loaded, plan.limit_ns))
        };
        // A host that was busy with something else for a moment gets a second try.
        Ok(load(&mut parts, &mut asked)? || load(&mut parts, &mut asked)?)
    })?;
    let highest = highest.with_context(|| {
        format!(
            "at no rate were 99 of 100 answers there within {} ms and all of them right",
            plan.limit_ns / 1_000_000
        )
    })?;
    let half = Schedule {
        requests: plan.requests,
        offered_per_s: (highest / 2).max(1),
    };
    let before = Usage::now();
    let loaded = threads.load(&mut parts, half)?;
    let after = Usage::now();
    let last = Schedule {
        requests: LAST.min(plan.connections),
        offered_per_s: 0,
    };
    let drained = threads.load(&mut parts, last)?;
    let answered = drained.tally.ended - drained.tally.errors - drained.tally.shed;
    asked += loaded.tally.ended + drained.tally.ended;
    // A refusal is an answer.
    let lost = drained.tally.errors;
    threads.report(
        &loaded,
        half,
        after.minus(before),
        highest as f64,
        [
            ("rate_per_s", highest as f64),
            ("asked_count", asked as f64),
            ("shed_count", loaded.tally.shed as f64),
            ("errors_count", (loaded.tally.errors + lost) as f64),
            ("drained_count", answered as f64),
            ("shutdown_ns", drained.elapsed_ns as f64),
        ],
    )
}

/// Whether the service has borne what it was asked.
fn holds(loaded: &Loaded, limit_ns: u64) -> bool {
    let tally = &loaded.tally;
    tally.errors == 0 && tally.shed * SHED_OF <= tally.ended && tally.latencies.p99_ns() <= limit_ns
}

/// The highest rate at which `holds` is true, within [`CLOSE`]: doubles from
/// one that any host bears, then halves the way between. `None` for none.
fn highest(mut holds: impl FnMut(u64) -> anyhow::Result<bool>) -> anyhow::Result<Option<u64>> {
    let (mut low, mut high) = (0, FIRST_PER_S);
    while holds(high)? {
        (low, high) = (high, high * 2);
        ensure!(high < MOST_PER_S, "no rate is too high for the service");
    }
    while low == 0 && high > 1 {
        let rate = high / 2;
        match holds(rate)? {
            true => low = rate,
            false => high = rate,
        }
    }
    while low > 0 && high as f64 > low as f64 * CLOSE {
        let rate = (low as f64 * high as f64).sqrt().round() as u64;
        if rate == low || rate == high {
            break;
        }
        match holds(rate)? {
            true => low = rate,
            false => high = rate,
        }
    }
    Ok((low > 0).then_some(low))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_highest_rate_is_found_within_a_twentieth_from_below() {
        for bearable in [1, 2, 7, 150, 200, 201, 3_999, 123_456] {
            let mut tries = 0;
            let found = highest(|rate| {
                tries += 1;
                Ok(rate <= bearable)
            });
            let found = found.unwrap().unwrap();
            assert!(found <= bearable, "{found} of {bearable}");
            let next = (found as f64 * CLOSE).floor().max(found as f64 + 1.0);
            assert!(
                next as u64 > bearable || bearable < 30,
                "{found} of {bearable}"
            );
            assert!(tries <= 20, "{tries} for {bearable}");
        }
    }

    #[test]
    fn no_rate_at_all_is_told_and_one_without_end_is_refused() {
        assert_eq!(highest(|_| Ok(false)).unwrap(), None);
        assert!(highest(|_| Ok(true)).is_err());
    }
}
