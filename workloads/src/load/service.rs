//! The load of `service.http`: looks for the highest rate that the service
//! bears, asks for half of it, and has the service end. Each part has a time of
//! its own, so that a slow service takes no longer than a fast one.

use std::net::SocketAddr;

use anyhow::{Context, ensure};

use super::Report;
use super::generator::{self, Loaded, Part, Schedule, Threads};
use super::service_client::{Http, Rights};
use crate::host::clock::now_ns;
use crate::host::usage::Usage;
use crate::lane::Order;
use crate::protocol::Parameters;

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
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Plan {
    /// The server's address.
    pub(super) address: SocketAddr,
    /// Connections to open before the clock starts.
    pub(super) connections: u64,
    /// For how long half of the highest rate is offered, in nanoseconds.
    pub(super) hold_ns: u64,
    /// For how long each rate is tried.
    pub(super) try_ns: u64,
    /// After so long no other rate is tried.
    pub(super) search_ns: u64,
    /// The 99th percentile of latency that a rate must not exceed.
    pub(super) limit_ns: u64,
    /// Steps of what the service computes.
    pub(super) steps: u64,
}

/// Where the service is, and all parameters of the workload.
#[derive(Clone, Debug, clap::Args)]
pub struct Arguments {
    /// The server's address.
    #[arg(long)]
    pub address: SocketAddr,
    /// The parameters of the workload.
    #[command(flatten)]
    pub given: Given,
}

/// The parameters of the workload, as `NAME=VALUE`. Those that are not needed
/// are passed over.
#[derive(Clone, Debug, clap::Args)]
pub struct Given {
    #[arg(value_parser = name_and_value)]
    parameters: Vec<(String, u64)>,
}

fn name_and_value(text: &str) -> Result<(String, u64), String> {
    let (name, value) = text.split_once('=').ok_or("it is not NAME=VALUE")?;
    let value = value.parse().map_err(|error| format!("{name}: {error}"))?;
    Ok((name.to_owned(), value))
}

impl Given {
    /// The value of a parameter that must be given.
    pub(crate) fn get(&self, name: &str) -> anyhow::Result<u64> {
        let found = self.parameters.iter().find(|(known, _)| known == name);
        let (_, value) = found.with_context(|| format!("the parameter {name} is missing"))?;
        Ok(*value)
    }
}

/// The parameters as a program of this package is given them.
pub(crate) fn as_arguments(parameters: &Parameters) -> impl Iterator<Item = String> {
    parameters
        .iter()
        .map(|(name, value)| format!("{name}={value}"))
}

/// The load of this order on the server at `address`, as arguments.
pub(crate) fn arguments(order: &Order, address: SocketAddr) -> Vec<String> {
    let words = ["load-service".to_owned(), "--address".to_owned()];
    let words = words.into_iter().chain([address.to_string()]);
    words.chain(as_arguments(&order.parameters)).collect()
}

impl Plan {
    fn new(Arguments { address, given }: &Arguments) -> anyhow::Result<Self> {
        let plan = Self {
            address: *address,
            connections: given.get("connections_count")?,
            hold_ns: given.get("hold_ns")?,
            try_ns: given.get("try_ns")?,
            search_ns: given.get("search_ns")?,
            limit_ns: given.get("limit_ns")?,
            steps: given.get("steps_count")?,
        };
        ensure!(
            (1..=60_000).contains(&plan.connections),
            "connections_count must lie in 1 to 60,000"
        );
        Ok(plan)
    }

    /// This rate for so long. What found no connection by its end, and for as
    /// long as an answer may take, is given up: a service that cannot keep up
    /// is not waited for.
    fn schedule(&self, rate: u64, time_ns: u64) -> Schedule {
        let requests = u128::from(rate) * u128::from(time_ns) / 1_000_000_000;
        Schedule {
            requests: (requests as u64).max(1),
            offered_per_s: rate,
            given_up_ns: time_ns.saturating_add(self.limit_ns),
        }
    }
}

/// Generates the load and reports. Blocks the thread.
///
/// # Errors
///
/// When the server refuses connections, when it bears no rate at all, and when
/// it does not end.
pub fn run(arguments: &Arguments) -> anyhow::Result<Report> {
    let plan = &Plan::new(arguments)?;
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
    let until = now_ns().saturating_add(plan.search_ns);
    let is_over = || now_ns() >= until;
    let found = search(is_over, |rate| {
        let load = |parts: &mut [Part<_>], asked: &mut u64| {
            let loaded = threads.load(parts, plan.schedule(rate, plan.try_ns))?;
            *asked += loaded.tally.ended;
            anyhow::Ok(holds(&loaded, plan.limit_ns))
        };
        // A host that was busy with something else for a moment gets a second try.
        Ok(load(&mut parts, &mut asked)? || (!is_over() && load(&mut parts, &mut asked)?))
    })?;
    let Found { highest, gap } = found.with_context(|| {
        format!(
            "at no rate that was tried within {} ms were 99 of 100 answers there within {} ms and all of them right",
            plan.search_ns / 1_000_000,
            plan.limit_ns / 1_000_000
        )
    })?;
    let half = plan.schedule((highest / 2).max(1), plan.hold_ns);
    let before = Usage::now();
    let loaded = threads.load(&mut parts, half)?;
    let after = Usage::now();
    let last = Schedule {
        requests: LAST,
        ..Schedule::default()
    };
    let drained = threads.load(&mut parts, last)?;
    let answered = drained.tally.ended - drained.tally.errors - drained.tally.shed;
    asked += loaded.tally.ended + drained.tally.ended;
    // A refusal is an answer.
    let lost = drained.tally.errors;
    let report = threads.report(
        &loaded,
        half,
        after.minus(before),
        highest as f64,
        [
            ("rate_per_s", highest as f64),
            ("rate_gap_ratio", gap),
            ("load_asked_count", asked as f64),
            ("shed_count", loaded.tally.shed as f64),
            ("errors_count", (loaded.tally.errors + lost) as f64),
            ("lost_count", (drained.tally.ended - answered) as f64),
            ("shutdown_ns", drained.elapsed_ns as f64),
        ],
    )?;
    let all_right = loaded.tally.right == loaded.tally.ended;
    Ok(Report {
        checksum: u64::from(all_right),
        ..report
    })
}

/// Whether the service has borne what it was asked.
fn holds(loaded: &Loaded, limit_ns: u64) -> bool {
    let tally = &loaded.tally;
    tally.errors == 0 && tally.shed * SHED_OF <= tally.ended && tally.latencies.p99_ns() <= limit_ns
}

/// What a search came to.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Found {
    /// The highest rate that held.
    highest: u64,
    /// The lowest rate that did not hold, or that was not tried for lack of
    /// time, over that.
    gap: f64,
}

/// The highest rate at which `holds` is true, within [`CLOSE`]: doubles from
/// one that any host bears, then halves the way between. `None` for none.
/// Tries no further rate once the time `is_over`.
fn search(
    is_over: impl Fn() -> bool,
    mut holds: impl FnMut(u64) -> anyhow::Result<bool>,
) -> anyhow::Result<Option<Found>> {
    let (mut low, mut high) = (0, FIRST_PER_S);
    while (low == 0 || !is_over()) && holds(high)? {
        (low, high) = (high, high * 2);
        ensure!(high < MOST_PER_S, "no rate is too high for the service");
    }
    while low == 0 && high > 1 && !is_over() {
        let rate = high / 2;
        match holds(rate)? {
            true => low = rate,
            false => high = rate,
        }
    }
    while low > 0 && high as f64 > low as f64 * CLOSE && !is_over() {
        let rate = (low as f64 * high as f64).sqrt().round() as u64;
        if rate == low || rate == high {
            break;
        }
        match holds(rate)? {
            true => low = rate,
            false => high = rate,
        }
    }
    Ok((low > 0).then(|| Found {
        highest: low,
        gap: high as f64 / low as f64,
    }))
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    fn never() -> bool {
        false
    }

    #[test]
    fn the_highest_rate_is_found_within_a_twentieth_from_below() {
        for bearable in [1, 2, 7, 150, 200, 201, 3_999, 123_456] {
            let mut tries = 0;
            let found = search(never, |rate| {
                tries += 1;
                Ok(rate <= bearable)
            });
            let Found { highest, gap } = found.unwrap().unwrap();
            assert!(highest <= bearable, "{highest} of {bearable}");
            let next = (highest as f64 * CLOSE).floor().max(highest as f64 + 1.0);
            assert!(
                next as u64 > bearable || bearable < 30,
                "{highest} of {bearable}"
            );
            assert!(gap <= CLOSE || bearable < 30, "{gap} at {bearable}");
            assert!(tries <= 20, "{tries} for {bearable}");
        }
    }

    #[test]
    fn no_rate_at_all_is_told_and_one_without_end_is_refused() {
        assert_eq!(search(never, |_| Ok(false)).unwrap(), None);
        assert!(search(never, |_| Ok(true)).is_err());
    }

    #[test]
    fn search_whose_time_is_over_says_how_far_it_came() {
        let search_for = |bearable: u64, tries: u64| {
            let left = Cell::new(tries);
            search(
                || left.get() == 0,
                |rate| {
                    left.set(left.get().saturating_sub(1));
                    Ok(rate <= bearable)
                },
            )
            .unwrap()
        };
        // The first rate is always tried.
        assert_eq!(
            search_for(3_999, 0),
            Some(Found {
                highest: 200,
                gap: 2.0
            })
        );
        assert_eq!(search_for(30, 0), None);
        let found = |highest, gap| Some(Found { highest, gap });
        // 200 and 400 held, and 800 was not tried.
        assert_eq!(search_for(3_999, 2), found(400, 2.0));
        // 3,200 held, 6,400 did not, nor did 4,525.
        assert_eq!(search_for(3_999, 7), found(3_200, 4_525.0 / 3_200.0));
        // Downwards, too: 200 and 100 did not hold, 50 was not tried.
        assert_eq!(search_for(30, 2), None);
        assert_eq!(search_for(30, 4), found(25, 2.0));
    }

    #[test]
    fn parameters_survive_as_arguments_and_what_is_none_is_refused() {
        let parameters = Parameters::from([("a_count".to_owned(), 1), ("b_ns".to_owned(), 20)]);
        let given = Given {
            parameters: as_arguments(&parameters)
                .map(|text| name_and_value(&text).unwrap())
                .collect(),
        };
        assert_eq!(given.get("b_ns").unwrap(), 20);
        assert!(given.get("c_ns").is_err());
        for text in ["a_count", "a_count=", "a_count=-1", "a_count=x"] {
            assert!(name_and_value(text).is_err(), "{text}");
        }
    }
}
