//! The load of `service.http`: searches for the highest rate that the service can carry, offers
//! half of it, and ends the service. Each part has a fixed time.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::process::parent_id;
use std::thread;
use std::time::Duration;

use anyhow::{Context, ensure};

use super::generator::{self, Loaded, Part, Schedule, Surge, Tally, Threads};
use super::search::{self, Found, Length, Tried};
use super::service_client::{Http, RightChecks};
use super::{LISTEN, Report};
use crate::host::clock::now_ns;
use crate::host::idle::idle_ns;
use crate::host::usage::Usage;
use crate::lane::Order;
use crate::measure::observed::Observed;
use crate::protocol::{Latency, Parameters};
use crate::service::Route;

/// How often a failed try is repeated if the host stopped the generator, and so perhaps the
/// service.
const REPEATS: u32 = 2;
/// One request of this many may be late or refused.
const LATE_OF: u64 = 100;
/// The warm-up is this part of the search's time: one second in the preset.
const WARM_UP_PART: u64 = 5;
/// Requests in progress when the shutdown is requested.
const LAST: u64 = 8;
/// The rates at which latencies are reported, in percent of the highest rate, with their figures.
/// The last is more than the service can carry.
const LEVELS: [(u64, [&str; 3]); 4] = [
    (25, ["at_25_ns_p50", "at_25_ns_p99", "at_25_ns_p999"]),
    (75, ["at_75_ns_p50", "at_75_ns_p99", "at_75_ns_p999"]),
    (100, ["at_100_ns_p50", "at_100_ns_p99", "at_100_ns_p999"]),
    (150, ["at_150_ns_p50", "at_150_ns_p99", "at_150_ns_p999"]),
];
const SURGE_TIMES: u64 = 4;
const NOTHING: &[u8] = b"POST /nothing HTTP/1.1\r\nHost: service\r\nContent-Length: 0\r\n\r\n";

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Plan {
    pub(super) address: SocketAddr,
    pub(super) connections: u64,
    /// How long half of the highest rate is offered.
    pub(super) hold_ns: u64,
    pub(super) try_ns: u64,
    pub(super) search_ns: u64,
    /// The limit for the 99th percentile of latency.
    pub(super) limit_ns: u64,
    pub(super) idle_connections: u64,
    pub(super) steps: u64,
}

/// The address of the service, and all parameters of the workload.
#[derive(Clone, Debug, clap::Args)]
pub struct Arguments {
    /// The server's address.
    #[arg(long)]
    pub address: SocketAddr,
    /// Is the server on another host? Then its use of CPU and memory cannot be read.
    #[arg(long)]
    pub remote: bool,
    /// The parameters of the workload.
    #[command(flatten)]
    pub given: Given,
}

/// The parameters of the workload, as `NAME=VALUE`. Those that are not needed are ignored.
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

impl From<&Parameters> for Given {
    fn from(parameters: &Parameters) -> Self {
        Self {
            parameters: parameters.clone().into_iter().collect(),
        }
    }
}

impl Given {
    fn find(&self, name: &str) -> Option<u64> {
        let mut parameters = self.parameters.iter();
        let found = parameters.find(|(known, _)| known == name);
        found.map(|(_, value)| *value)
    }

    pub(crate) fn get(&self, name: &str) -> anyhow::Result<u64> {
        self.find(name)
            .with_context(|| format!("the parameter {name} is missing"))
    }
}

pub(crate) fn as_arguments(parameters: &Parameters) -> impl Iterator<Item = String> {
    parameters
        .iter()
        .map(|(name, value)| format!("{name}={value}"))
}

/// The time of a load without its hold, roughly: search, four rates, a surge of three tries, idle
/// connections, and settling.
#[must_use]
pub fn around_ns(parameters: &Parameters) -> u64 {
    let get = |name: &str| parameters.get(name).copied().unwrap_or(0);
    get("search_ns") + 12 * get("try_ns") + get("hold_ns")
}

pub(crate) fn arguments(order: &Order, address: SocketAddr) -> Vec<String> {
    let words = ["load-service".to_owned(), "--address".to_owned()];
    let words = words.into_iter().chain([address.to_string()]);
    words.chain(as_arguments(&order.parameters)).collect()
}

impl Plan {
    fn new(Arguments { address, given, .. }: &Arguments) -> anyhow::Result<Self> {
        let plan = Self {
            address: *address,
            connections: given.get("connections_count")?,
            hold_ns: given.get("hold_ns")?,
            try_ns: given.get("try_ns")?,
            search_ns: given.get("search_ns")?,
            limit_ns: given.get("limit_ns")?,
            idle_connections: given.get("idle_count")?,
            steps: given.get("steps_count")?,
        };
        ensure!(
            (1..=60_000).contains(&plan.connections),
            "connections_count must lie in 1 to 60,000"
        );
        Ok(plan)
    }

    /// A request is given up if it has no connection when the schedule has ended and the latency
    /// limit has passed. The first request is of the slow route and does not count for the latency,
    /// so a schedule has at least two requests, and lasts longer if necessary.
    fn schedule(&self, rate: u64, time_ns: u64) -> Schedule {
        let requests = u128::from(rate) * u128::from(time_ns) / 1_000_000_000;
        let schedule = Schedule {
            requests: (requests as u64).max(2),
            offered_per_s: rate,
            ..Schedule::default()
        };
        let last_ns = schedule.due_at(0, schedule.requests - 1);
        Schedule {
            given_up_ns: time_ns.max(last_ns).saturating_add(self.limit_ns),
            ..schedule
        }
    }

    fn surge(&self, rate: u64) -> Schedule {
        let surge = Surge {
            from_ns: self.try_ns / 2,
            for_ns: self.try_ns / 2,
            times: SURGE_TIMES,
        };
        let time_ns = surge.from_ns + surge.for_ns + 2 * self.try_ns;
        let added = Schedule::count(rate * (SURGE_TIMES - 1), surge.for_ns);
        Schedule {
            requests: Schedule::count(rate, time_ns) + added,
            surge,
            ..self.schedule(rate, time_ns)
        }
    }
}

/// Generates the load and reports. If the load comes from another host, waits until the service has
/// ended. Blocks the thread.
///
/// # Errors
///
/// When the server refuses connections, can carry no rate, or does not end.
pub fn run(arguments: &Arguments) -> anyhow::Result<Report> {
    if !arguments.remote && std::env::var_os(LISTEN).is_some() {
        return wait_for_end(arguments.address);
    }
    let plan = &Plan::new(arguments)?;
    generator::prepare();
    let right_checks = RightChecks::new(plan.steps);
    // The backend has the last CPU. If that is the only one, the generator shares it, and sleeps
    // when it has nothing to do.
    let own = generator::own_cpus()?;
    let backend_cpu = own.as_ref().and_then(|cpus| cpus.last().copied());
    let spins = own.as_ref().is_some_and(|cpus| cpus.len() > 1);
    let own = own.map(|mut cpus| {
        cpus.truncate(cpus.len().saturating_sub(1).max(1));
        cpus
    });
    let threads = Threads::of(plan.connections, own, spins);
    let parts =
        threads.connect(|first| Http::connect(plan, &right_checks, first, threads.count as u64))?;
    let mut load = Load {
        plan,
        threads: &threads,
        parts,
        lane: (!arguments.remote).then(parent_id),
        backend_cpu,
        requests_sent: 0,
    };
    match arguments.given.find("offered_per_s") {
        Some(rate) => load.measure_fixed_rate(rate),
        None => load.measure_all(pool_per_s(&arguments.given)),
    }
}

struct Load<'a> {
    plan: &'a Plan,
    threads: &'a Threads,
    parts: Vec<Part<Http<'a>>>,
    /// The process of a service on this host.
    lane: Option<u32>,
    /// The CPU of the backend; `None` if it runs on the server's CPUs.
    backend_cpu: Option<usize>,
    requests_sent: u64,
}

struct Tries<'a, 'b> {
    load: &'a mut Load<'b>,
    until: u64,
    last: Tally,
}

impl search::Service for Tries<'_, '_> {
    fn carry(&mut self, rate: u64, length: Length) -> anyhow::Result<Tried> {
        let plan = self.load.plan;
        let time_ns = match length {
            Length::Short => plan.try_ns / 4,
            Length::Whole => plan.try_ns,
        };
        let schedule = plan.schedule(rate, time_ns);
        let mut repeats = 0..REPEATS;
        loop {
            self.last = self.load.offer(schedule)?.tally;
            let tried = tried(&self.last, plan.limit_ns, schedule.given_up_ns);
            let was_stopped = self.last.stopped_ns > plan.limit_ns / 4;
            if tried != Tried::Failed || !was_stopped || self.is_over() || repeats.next().is_none()
            {
                return Ok(tried);
            }
            self.load.settle((rate / 4).max(1))?;
        }
    }

    fn settle(&mut self, light: u64) -> anyhow::Result<()> {
        self.load.settle(light)
    }

    fn warm_up(&mut self, rate: u64) -> anyhow::Result<()> {
        let plan = self.load.plan;
        let schedule = plan.schedule(rate, plan.search_ns / WARM_UP_PART);
        self.load.offer(schedule).map(drop)
    }

    fn is_over(&self) -> bool {
        now_ns() >= self.until
    }
}

type Figures = Vec<(&'static str, f64)>;

impl Load<'_> {
    fn offer(&mut self, schedule: Schedule) -> anyhow::Result<Loaded> {
        let loaded = self.threads.load(&mut self.parts, schedule)?;
        self.requests_sent += loaded.tally.ended;
        Ok(loaded)
    }

    /// Offers one rate for the time of the hold, without a search and without ending the service.
    fn measure_fixed_rate(&mut self, rate: u64) -> anyhow::Result<Report> {
        let schedule = Schedule {
            given_up_ns: self.plan.hold_ns,
            ..self.plan.schedule(rate, self.plan.hold_ns)
        };
        let before = Usage::now();
        let loaded = self.offer(schedule)?;
        let used = Usage::now().minus(before);
        let tally = &loaded.tally;
        let answered = (tally.ended - tally.given_up) as f64 * 1e9 / loaded.elapsed_ns as f64;
        let figures = [
            ("answered_per_s", answered),
            ("shed_count", tally.shed as f64),
            ("errors_count", (tally.errors - tally.given_up) as f64),
        ];
        self.threads
            .report(&loaded, schedule, used, [answered, f64::INFINITY], figures)
    }

    /// Searches for the highest rate, measures at half of it and at other rates, and ends the
    /// service. The connections to the backend carry at most `pool_per_s` requests a second.
    fn measure_all(&mut self, pool_per_s: f64) -> anyhow::Result<Report> {
        let plan = self.plan;
        let Found { highest, gap } = self.search()?;
        let at_half_rate = plan.schedule((highest / 2).max(1), plan.hold_ns);
        let (before, seen_before) = (Usage::now(), self.observed()?);
        let loaded = self.offer(at_half_rate)?;
        let (after, seen) = (Usage::now(), self.observed()?);
        let mut figures = vec![
            ("rate_per_s", highest as f64),
            ("rate_gap_ratio", gap),
            ("shed_count", loaded.tally.shed as f64),
        ];
        if let Some((before, seen)) = seen_before.zip(seen) {
            let cpu_ns = seen.cpu_ns.saturating_sub(before.cpu_ns);
            figures.extend([
                ("request_cpu_ns", cpu_ns as f64 / loaded.tally.ended as f64),
                ("threads_count", seen.threads as f64),
                ("memory_bytes", seen.bytes as f64),
            ]);
        }
        let (levels, backend_per_s) = self.levels(highest)?;
        figures.extend(levels);
        figures.push(("recovery_ns", self.recovery_ns(highest)? as f64));
        figures.extend(self.idle()?);
        // The service may still be closing idle connections, and must read the last requests at
        // once.
        self.settle((highest / 4).max(1))?;
        let drained = self.offer(Schedule {
            requests: LAST,
            ..Schedule::default()
        })?;
        // A refused request is no error, but is lost here: the service should have completed it.
        let lost = drained.tally.errors;
        figures.extend([
            ("errors_count", (loaded.tally.errors + lost) as f64),
            ("lost_count", (lost + drained.tally.shed) as f64),
            ("shutdown_ns", drained.elapsed_ns as f64),
            ("load_asked_count", self.requests_sent as f64),
        ]);
        let used = after.minus(before);
        let backend_per_s = backend_per_s.unwrap_or(f64::INFINITY).min(pool_per_s);
        let rates = [highest as f64, backend_per_s];
        let report = self
            .threads
            .report(&loaded, at_half_rate, used, rates, figures)?;
        Ok(Report {
            checksum: u64::from(loaded.tally.right == loaded.tally.ended),
            ..report
        })
    }

    fn observed(&self) -> anyhow::Result<Option<Observed>> {
        Ok(self.lane.map(Observed::of).transpose()?)
    }

    fn search(&mut self) -> anyhow::Result<Found> {
        let plan = self.plan;
        let mut tries = Tries {
            until: now_ns().saturating_add(plan.search_ns),
            load: self,
            last: Tally::new(),
        };
        let found = search::search(&mut tries)?;
        let Tally {
            ended,
            shed,
            errors,
            ..
        } = tries.last;
        found.with_context(|| {
            format!(
                "at no rate that was tried within {} ms were 99 of 100 answers there within {} ms and all of them right; of the last {ended} requests {errors} failed and {shed} were refused",
                plan.search_ns / 1_000_000,
                plan.limit_ns / 1_000_000
            )
        })
    }

    /// Offers a low rate until no request is late or fails, for at most the time of four tries:
    /// work of ended requests may be left in the service.
    fn settle(&mut self, light: u64) -> anyhow::Result<()> {
        let until = now_ns().saturating_add(4 * self.plan.try_ns);
        let schedule = self.plan.schedule(light, self.plan.try_ns / 4);
        loop {
            let tally = self.offer(schedule)?.tally;
            if tally.disturbed_ns == 0 || now_ns() >= until {
                return Ok(());
            }
        }
    }

    /// Offers the rates of [`LEVELS`]. Also returns the rate at which the backend's CPU would have
    /// no idle time.
    fn levels(&mut self, highest: u64) -> anyhow::Result<(Figures, Option<f64>)> {
        let (mut figures, mut backend_per_s) = (Vec::new(), None);
        for (percent, names) in LEVELS {
            let rate = (highest * percent / 100).max(1);
            let schedule = self.plan.schedule(rate, self.plan.try_ns);
            let (idle_before, start) = (self.backend_idle_ns(), now_ns());
            let tally = self.offer(schedule)?.tally;
            if percent == 100 {
                // At lower rates each request would wake the backend's CPU and use more of its
                // time.
                backend_per_s = (self.backend_idle_ns().zip(idle_before)).map(|(idle, before)| {
                    let busy_ns = (now_ns() - start).saturating_sub(idle.saturating_sub(before));
                    tally.ended as f64 * 1e9 / busy_ns.max(1) as f64
                });
            }
            let reported = names.into_iter().zip([0.5, 0.99, 0.999]);
            figures.extend(reported.filter_map(|(name, share)| {
                Some((name, tally.latencies.percentile_ns(share)? as f64))
            }));
            if percent > 100 {
                let share = |count: u64| count as f64 / tally.ended as f64;
                figures.extend([
                    ("beyond_shed_ratio", share(tally.shed)),
                    ("beyond_failed_ratio", share(tally.errors)),
                ]);
            }
            if tally.disturbed_ns > 0 {
                self.settle((highest / 4).max(1))?;
            }
        }
        Ok((figures, backend_per_s))
    }

    /// `None` if the backend has no CPU of its own.
    fn backend_idle_ns(&self) -> Option<u64> {
        self.backend_cpu.and_then(idle_ns)
    }

    /// How long a surge disturbs the service after its end.
    fn recovery_ns(&mut self, highest: u64) -> anyhow::Result<u64> {
        let schedule = self.plan.surge((highest / 2).max(1));
        let disturbed = self.offer(schedule)?.tally.disturbed_ns;
        Ok(disturbed.saturating_sub(schedule.surge.from_ns + schedule.surge.for_ns))
    }

    /// What idle connections cost the lane. Each has received one answer. If the time of the hold
    /// is over first, fewer connections than planned are opened.
    fn idle(&self) -> anyhow::Result<Figures> {
        let plan = self.plan;
        let until = now_ns().saturating_add(plan.hold_ns);
        let before = self.observed()?;
        let mut open = Vec::new();
        while (open.len() as u64) < plan.idle_connections {
            let time = Duration::from_nanos(until.saturating_sub(now_ns()));
            if time.is_zero() {
                break;
            }
            match open_idle(plan.address, time) {
                Ok(stream) => open.push(stream),
                Err(_) => break,
            }
        }
        if open.is_empty() {
            return Ok(Vec::new());
        }
        let mut figures = vec![("load_idle_count", open.len() as f64)];
        if let Some((before, after)) = before.zip(self.observed()?) {
            let added = after.bytes.saturating_sub(before.bytes);
            figures.extend([
                ("idle_memory_bytes", after.bytes as f64),
                ("idle_connection_bytes", added as f64 / open.len() as f64),
            ]);
        }
        Ok(figures)
    }
}

/// The most requests a second that the connections to the suite's own backend carry; infinite for
/// other backends, whose delays are unknown. A request takes one connection for each of its calls.
fn pool_per_s(given: &Given) -> f64 {
    /// After this many requests the routes repeat.
    const ROUND: u64 = 200;
    let known = || {
        let ns = |name| given.find(name).map(|ns| ns as f64);
        let (pool, slow_ns) = (given.find("pool_count")?, ns("slow_ns")?);
        let usual_ns = ns("delay_ns")? + ns("spread_ns")? / 2.0;
        let held_ns = |number| {
            let route = Route::of(number);
            let each_ns = match route {
                Route::Slow => slow_ns,
                _ => usual_ns,
            };
            route.items(0).count() as f64 * each_ns
        };
        let all_ns: f64 = (0..ROUND).map(held_ns).sum();
        Some((pool * ROUND) as f64 * 1e9 / all_ns)
    };
    let is_own = given.find("backend") == Some(0);
    known().filter(|_| is_own).unwrap_or(f64::INFINITY)
}

/// Waits until the service refuses a connection, because it has ended. Reports the most threads and
/// memory that it used.
fn wait_for_end(address: SocketAddr) -> anyhow::Result<Report> {
    const SLICE: Duration = Duration::from_millis(500);
    let start = now_ns();
    let (mut threads, mut bytes) = (0, 0);
    while TcpStream::connect(address).is_ok() {
        let seen = Observed::of(parent_id())?;
        threads = seen.threads.max(threads);
        bytes = seen.bytes.max(bytes);
        thread::sleep(SLICE);
    }
    let used = Usage::now();
    let metrics = [
        ("threads_count", threads),
        ("memory_bytes", bytes),
        ("load_asked_count", 1),
    ];
    Ok(Report {
        elapsed_ns: now_ns() - start,
        operations_count: 1,
        checksum: 1,
        cpu_ns: used.cpu_ns,
        voluntary_switches_count: used.voluntary_switches,
        involuntary_switches_count: used.involuntary_switches,
        latency: Latency::default(),
        metrics: metrics
            .map(|(name, value)| (name.to_owned(), value as f64))
            .into(),
    })
}

/// Opens a connection on which the service has answered one request.
fn open_idle(address: SocketAddr, time: Duration) -> io::Result<TcpStream> {
    let mut stream = TcpStream::connect_timeout(&address, time)?;
    stream.set_read_timeout(Some(time))?;
    stream.write_all(NOTHING)?;
    // The answer is small and arrives in one piece.
    match stream.read(&mut [0; 4 << 10])? {
        0 => Err(ErrorKind::UnexpectedEof.into()),
        _ => Ok(stream),
    }
}

/// A try held if no request failed and 99 of 100 were answered within the limit; a refused request
/// counts as late. The rate was far too high if more than a tenth were refused, failed or given up.
fn tried(tally: &Tally, limit_ns: u64, given_up_ns: u64) -> Tried {
    let missing = tally.errors + tally.shed;
    let answered = tally.ended.saturating_sub(missing);
    let late = tally.latencies.count_above(limit_ns) + tally.shed;
    if tally.errors == 0 && late * LATE_OF <= tally.ended {
        Tried::Held
    } else if missing * 10 > tally.ended {
        let per_s = u128::from(answered) * 1_000_000_000 / u128::from(given_up_ns.max(1));
        Tried::Answered(per_s as u64)
    } else {
        Tried::Failed
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use super::*;

    #[test]
    fn try_of_a_low_rate_has_two_requests_and_time_for_them() {
        let plan = Plan {
            address: ([127, 0, 0, 1], 1).into(),
            connections: 1,
            hold_ns: 1,
            try_ns: 20_000_000,
            search_ns: 1,
            limit_ns: 7,
            idle_connections: 0,
            steps: 1,
        };
        let of = |rate| {
            let schedule = plan.schedule(rate, plan.try_ns);
            (schedule.requests, schedule.given_up_ns)
        };
        assert_eq!(of(1), (2, 1_000_000_007));
        assert_eq!(of(40), (2, 25_000_007));
        assert_eq!(of(1_000), (20, 20_000_007));
    }

    #[test]
    fn try_holds_or_fails_or_its_rate_is_far_too_high() {
        const LIMIT_NS: u64 = 20_000_000;
        const TIME_NS: u64 = 500_000_000;
        let of = |late, shed, errors| {
            let mut tally = Tally::new();
            (tally.ended, tally.shed, tally.errors) = (1_000, shed, errors);
            for number in 0..1_000 - shed - errors {
                let ns = if number < late { 2 * LIMIT_NS } else { 1_000 };
                tally.latencies.record(ns);
            }
            tried(&tally, LIMIT_NS, TIME_NS)
        };
        assert_eq!(of(10, 0, 0), Tried::Held);
        assert_eq!(of(0, 10, 0), Tried::Held);
        assert_eq!(of(4, 6, 0), Tried::Held);
        assert_eq!(of(11, 0, 0), Tried::Failed);
        assert_eq!(of(0, 11, 0), Tried::Failed);
        assert_eq!(of(5, 6, 0), Tried::Failed);
        assert_eq!(of(0, 0, 1), Tried::Failed);
        assert_eq!(of(0, 0, 100), Tried::Failed);
        assert_eq!(of(0, 100, 100), Tried::Answered(1_600));
        assert_eq!(of(0, 0, 1_000), Tried::Answered(0));
    }

    #[derive(Clone, Copy, Debug)]
    struct Design {
        in_flight: usize,
        /// One request of this many may be refused.
        refused_of: u64,
        try_ns: f64,
        search_ns: f64,
        warm_up_ns: f64,
        processes: u64,
    }

    const DESIGN: Design = Design {
        in_flight: 192,
        refused_of: LATE_OF,
        try_ns: 3e8,
        search_ns: 5e9,
        warm_up_ns: 5e9 / WARM_UP_PART as f64,
        processes: 10,
    };

    /// The former design: the service refused so early that the limit of latency had no effect.
    const FORMER_DESIGN: Design = Design {
        in_flight: 64,
        refused_of: 1_000,
        try_ns: 5e8,
        search_ns: 9.5e9,
        warm_up_ns: 0.0,
        processes: 5,
    };

    /// One CPU, on which a request takes 60 µs and each twentieth 560 µs; the backend takes 2.5 ms.
    struct Simulated {
        design: Design,
        speed: f64,
        now_ns: f64,
        random: u64,
    }

    const LIMIT_NS: f64 = 2e7;
    /// How many times a second the host stops the service, and how long at most.
    const STOPS: f64 = 2.0;
    const STOP_NS: f64 = 8e6;

    impl Simulated {
        fn new(design: Design, seed: u64) -> Self {
            Self {
                design,
                speed: 1.0,
                now_ns: 0.0,
                random: seed,
            }
        }

        fn next(&mut self) -> f64 {
            self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut mixed = self.random;
            mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            (mixed ^ (mixed >> 31)) as f64 / u64::MAX as f64
        }

        fn offer(&mut self, rate: u64, time_ns: f64) -> Tally {
            let mut tally = Tally::new();
            let mut in_progress = VecDeque::new();
            let mut free_ns = 0.0_f64;
            for number in 0..(rate as f64 * time_ns / 1e9).max(2.0) as u64 {
                let due_ns = number as f64 * 1e9 / rate as f64;
                if self.next() * (rate as f64) < STOPS {
                    free_ns = free_ns.max(due_ns) + STOP_NS * self.next();
                }
                while in_progress.front().is_some_and(|&done| done <= due_ns) {
                    in_progress.pop_front();
                }
                tally.ended += 1;
                if in_progress.len() == self.design.in_flight {
                    tally.shed += 1;
                    continue;
                }
                let work_ns = if number % 20 == 5 { 560e3 } else { 60e3 };
                free_ns = free_ns.max(due_ns) + work_ns / self.speed;
                let done_ns = free_ns + 2.5e6;
                in_progress.push_back(done_ns);
                tally.latencies.record((done_ns - due_ns) as u64);
            }
            self.now_ns += time_ns + LIMIT_NS;
            tally
        }
    }

    impl search::Service for Simulated {
        fn carry(&mut self, rate: u64, length: Length) -> anyhow::Result<Tried> {
            let Design {
                refused_of, try_ns, ..
            } = self.design;
            let time_ns = match length {
                Length::Short => try_ns / 4.0,
                Length::Whole => try_ns,
            };
            let tally = self.offer(rate, time_ns);
            let tried = tried(&tally, LIMIT_NS as u64, (time_ns + LIMIT_NS) as u64);
            let is_refused = tally.shed * refused_of > tally.ended;
            Ok(match tried {
                Tried::Held if is_refused => Tried::Failed,
                tried => tried,
            })
        }

        fn settle(&mut self, light: u64) -> anyhow::Result<()> {
            self.offer(light, self.design.try_ns / 4.0);
            Ok(())
        }

        fn warm_up(&mut self, rate: u64) -> anyhow::Result<()> {
            if self.design.warm_up_ns > 0.0 {
                self.offer(rate, self.design.warm_up_ns);
            }
            Ok(())
        }

        fn is_over(&self) -> bool {
            self.now_ns >= self.design.search_ns
        }
    }

    /// The median of the rates that `searches` searches find, and both ends of the middle 95%,
    /// divided by this median; then the same of `runs` runs, each of which is a median over
    /// processes.
    fn found_by(design: Design, [searches, runs]: [u64; 2]) -> [[f64; 3]; 2] {
        let found = |seed, speed| {
            let mut service = Simulated::new(design, seed);
            service.speed = speed;
            search::search(&mut service).unwrap().unwrap().highest as f64
        };
        let sorted = |mut all: Vec<f64>| {
            all.sort_by(f64::total_cmp);
            all
        };
        let spread = |all: Vec<f64>| {
            let at = |share: f64| all[(share * (all.len() - 1) as f64) as usize];
            [at(0.5), at(0.025) / at(0.5), at(0.975) / at(0.5)]
        };
        let run = |run: u64| {
            let process = |process: u64| {
                let seed = 1_000 + run * 100 + process;
                let mut dice = Simulated::new(design, !seed);
                let shift = dice.next() + dice.next() + dice.next() - 1.5;
                found(seed, 1.0 + 0.12 * shift)
            };
            let all = sorted((0..design.processes).map(process).collect());
            f64::midpoint(all[(all.len() - 1) / 2], all[all.len() / 2])
        };
        let searches = (0..searches).map(|seed| found(seed, 1.0)).collect();
        let runs = (0..runs).map(run).collect();
        [searches, runs].map(|all| spread(sorted(all)))
    }

    #[test]
    fn rate_of_a_service_that_the_host_stops_for_milliseconds_is_found_again() {
        let [now, before] = [DESIGN, FORMER_DESIGN].map(|design| found_by(design, [24, 8]));
        // The service can do 11,765 requests a second, but some requests still wait when a short
        // try ends.
        let [one, run] = now;
        assert!((11_000.0..13_000.0).contains(&one[0]), "{one:?}");
        assert!(one[1] > 0.95 && one[2] < 1.05, "{one:?}");
        assert!(run[1] > 0.95 && run[2] < 1.05, "{run:?}");
        let width = |spread: [f64; 3]| spread[2] - spread[1];
        assert!(width(one) < width(before[0]), "{one:?} {before:?}");
        assert!(width(run) < width(before[1]), "{run:?} {before:?}");
    }

    /// The table of `METHOD.md`.
    #[test]
    #[ignore = "takes minutes, and is for a reader"]
    fn long_form() {
        let all = [
            FORMER_DESIGN,
            Design {
                in_flight: 192,
                ..FORMER_DESIGN
            },
            Design {
                processes: 5,
                search_ns: 9.5e9,
                warm_up_ns: 0.0,
                ..DESIGN
            },
            DESIGN,
        ];
        for design in all {
            let found = found_by(design, [100, 40]);
            println!(
                "{design:?}: one search {:.3?}, a run {:.3?}",
                found[0], found[1]
            );
        }
    }

    #[test]
    fn rate_of_the_pool_follows_from_the_delays_of_the_backend() {
        let of = |backend: u64, spread_ns: u64| {
            let given = [
                ("backend", backend),
                ("pool_count", 64),
                ("delay_ns", 2_000_000),
                ("spread_ns", spread_ns),
                ("slow_ns", 50_000_000),
            ];
            pool_per_s(&Given {
                parameters: given.map(|(name, value)| (name.to_owned(), value)).into(),
            })
        };
        // 179 requests take 2.5 ms once, 20 three times, and one takes 50 ms: 3.2375 ms each.
        assert_eq!(of(0, 1_000_000).round(), 19_768.0);
        assert!(of(0, 0) > of(0, 1_000_000));
        assert!(of(1, 1_000_000).is_infinite());
    }

    #[test]
    fn parameters_survive_as_arguments_and_malformed_ones_are_refused() {
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
