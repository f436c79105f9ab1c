//! The parts common to all load generators: an epoll loop on each thread, over connections of its
//! own.
//!
//! A request of an open loop is sent when it is due, even if earlier requests of its connection
//! have no answer yet. Its latency counts from when it was due.
//!
//! On CPUs of its own the generator never sleeps. Otherwise the server would spend CPU time to wake
//! it, and the latency would include the time in which the CPU leaves its idle state. So the
//! generator measures its busy share itself: a turn of the loop in which nothing was due and
//! nothing arrived is idle.
//!
//! # Rejected
//!
//! io_uring with multishot receives and batched sends: it saved 2% of the CPU time of a request,
//! because nearly all of that is TCP's. Many containers forbid io_uring.

use std::ffi::OsString;
use std::io::{ErrorKind, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsFd;
use std::panic::resume_unwind;
use std::sync::Barrier;
use std::thread::{self, ScopedJoinHandle};
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::epoll::{Epoll, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::socket::{setsockopt, sockopt};
use nix::sys::time::TimeSpec;
use nix::time::{ClockId, clock_gettime};

use super::Report;
use crate::host::usage::Usage;
use crate::host::{affinity, clock::now_ns, open_files};
use crate::measure::Latencies;

const CPUS: &str = "THREADBARE_LOAD_CPUS";
/// The variable that holds the generator's limit in requests a second, as the study measured it.
const LIMIT: &str = "THREADBARE_LOAD_LIMIT";
const MOST_THREADS: usize = 16;
/// The longest silence of a server.
pub(super) const TIMEOUT: Duration = Duration::from_secs(10);

/// The client on one thread of the generator, with connections of its own.
pub(super) trait Client: Send {
    /// The connections are registered edge-triggered.
    fn poller(&self) -> &Epoll;
    /// Begins a schedule. A closed loop sends its first requests.
    fn begin(&mut self, schedule: Schedule, start: u64) -> anyhow::Result<()>;
    /// Sends some of the due requests. Returns whether it sent any, and when to call it again at
    /// the latest (`None`: after an event).
    fn send_due(&mut self) -> anyhow::Result<(bool, Option<u64>)>;
    fn flush(&mut self, connection: usize) -> anyhow::Result<()>;
    /// Reads until the connection's socket is empty, or to the end of the stream if `ends`.
    fn receive(&mut self, connection: usize, ends: bool, block: &mut [u8]) -> anyhow::Result<()>;
    /// Handles an event. Returns whether it read answers.
    fn ready(&mut self, event: EpollEvent, block: &mut [u8]) -> anyhow::Result<bool> {
        let (index, events) = (event.data() as usize, event.events());
        if events.contains(EpollFlags::EPOLLOUT) {
            self.flush(index)?;
        }
        let has_input = events.intersects(!EpollFlags::EPOLLOUT);
        if has_input {
            let end = EpollFlags::EPOLLRDHUP | EpollFlags::EPOLLHUP | EpollFlags::EPOLLERR;
            self.receive(index, events.intersects(end), block)?;
        }
        Ok(has_input)
    }
    fn left(&self) -> u64;
    fn tally(&mut self) -> Tally;
}

#[derive(Clone, Debug)]
pub(super) struct Tally {
    pub(super) latencies: Latencies,
    pub(super) right: u64,
    /// Requests that an overloaded server refused.
    pub(super) shed: u64,
    pub(super) errors: u64,
    /// Requests never sent, because no connection was free in time; part of `errors`.
    pub(super) given_up: u64,
    pub(super) ended: u64,
    /// From the start to the end of the last request that was late, refused or failed; 0 if there
    /// was no such request.
    pub(super) disturbed_ns: u64,
    /// How long the host stopped the generator: the longest time from when a request was due until
    /// the generator handled it. Only clients that hold requests back measure it.
    pub(super) stopped_ns: u64,
}

impl Tally {
    pub(super) fn new() -> Self {
        Self {
            latencies: Latencies::new(),
            right: 0,
            shed: 0,
            errors: 0,
            given_up: 0,
            ended: 0,
            disturbed_ns: 0,
            stopped_ns: 0,
        }
    }

    fn add(&mut self, other: &Self) {
        self.latencies.add(&other.latencies);
        self.right += other.right;
        self.shed += other.shed;
        self.errors += other.errors;
        self.given_up += other.given_up;
        self.ended += other.ended;
        self.disturbed_ns = self.disturbed_ns.max(other.disturbed_ns);
        self.stopped_ns = self.stopped_ns.max(other.stopped_ns);
    }
}

#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Schedule {
    pub(super) requests: u64,
    /// Requests a second; 0: a closed loop.
    pub(super) offered_per_s: u64,
    /// An unsent request is given up this long after the start; 0: never. Only clients that hold
    /// requests back use it.
    pub(super) given_up_ns: u64,
    pub(super) surge: Surge,
}

/// A time in which an open loop offers `times` times as many requests.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Surge {
    /// From the start.
    pub(super) from_ns: u64,
    /// 0: there is no surge.
    pub(super) for_ns: u64,
    pub(super) times: u64,
}

impl Schedule {
    pub(super) fn due_at(self, start: u64, number: u64) -> u64 {
        let Surge {
            from_ns,
            for_ns,
            times,
        } = self.surge;
        let time = |count, rate| (u128::from(count) * 1_000_000_000 / u128::from(rate)) as u64;
        let (rate, peak) = (self.offered_per_s, self.offered_per_s * times);
        let before = Self::count(rate, from_ns);
        let within = Self::count(peak, for_ns);
        let after = match number {
            _ if for_ns == 0 || number < before => time(number, rate),
            _ if number < before + within => from_ns + time(number - before, peak),
            _ => from_ns + for_ns + time(number - before - within, rate),
        };
        start + after
    }

    pub(super) fn count(rate: u64, time_ns: u64) -> u64 {
        (u128::from(rate) * u128::from(time_ns)).div_ceil(1_000_000_000) as u64
    }

    /// The first request of an open loop that is not due yet.
    pub(super) fn due_by(self, start: u64, now: u64) -> u64 {
        let Surge {
            from_ns,
            for_ns,
            times,
        } = self.surge;
        let (rate, passed) = (self.offered_per_s, now.saturating_sub(start));
        let due = |rate, time| (u128::from(rate) * u128::from(time) / 1_000_000_000) as u64 + 1;
        let (before, within) = (
            Self::count(rate, from_ns),
            Self::count(rate * times, for_ns),
        );
        let count = match passed {
            _ if for_ns == 0 || passed < from_ns => due(rate, passed),
            _ if passed < from_ns + for_ns => {
                before + due(rate * times, passed - from_ns).min(within)
            }
            _ => before + within + due(rate, passed - from_ns - for_ns),
        };
        count.min(self.requests)
    }
}

pub(super) struct Loaded {
    pub(super) tally: Tally,
    pub(super) elapsed_ns: u64,
    parts: Vec<ThreadResult>,
}

impl Loaded {
    fn of(parts: Vec<ThreadResult>) -> Self {
        let mut tally = Tally::new();
        parts.iter().for_each(|part| tally.add(&part.tally));
        // The threads noted these times; this thread may have had to wait for a CPU.
        let start = parts.iter().map(|part| part.start).min().unwrap_or(0);
        let end = parts.iter().map(|part| part.end).max().unwrap_or(start);
        Self {
            elapsed_ns: end.saturating_sub(start).max(1),
            tally,
            parts,
        }
    }

    pub(super) fn achieved_per_s(&self) -> f64 {
        self.tally.ended as f64 * 1e9 / self.elapsed_ns as f64
    }
}

fn limit() -> anyhow::Result<Option<f64>> {
    let Ok(text) = std::env::var(LIMIT) else {
        return Ok(None);
    };
    let limit: f64 = text
        .parse()
        .with_context(|| format!("{LIMIT}={text} is no number"))?;
    ensure!(
        limit.is_finite() && limit > 0.0,
        "{LIMIT}={text} is no number of requests a second"
    );
    Ok(Some(limit))
}

pub(super) fn prepare() {
    // If the host refuses, opening a connection fails later.
    let _ = open_files::raise_limit();
    // Lets sleeps end when a request is due, not up to 50 µs later. If a seccomp filter refuses,
    // the report includes the delays.
    let _ = nix::sys::prctl::set_timerslack(1);
}

/// The CPUs of the generator and the load's other programs; `None` if they share the server's CPUs.
pub(crate) fn own_cpus() -> anyhow::Result<Option<Vec<usize>>> {
    std::env::var(CPUS)
        .ok()
        .map(|list| affinity::parse(&list).map_err(|message| anyhow::anyhow!("{CPUS}: {message}")))
        .transpose()
}

pub(super) struct Threads {
    pub(super) count: usize,
    /// A CPU for each thread; `None` if the generator shares the server's CPUs.
    own: Option<Vec<usize>>,
    /// Whether the generator never sleeps, because nothing else runs on these CPUs.
    spins: bool,
}

impl Threads {
    /// One thread for each of the generator's own CPUs, or for every two CPUs that it shares with
    /// the server; at most one for each connection.
    pub(super) fn of(connections: u64, own: Option<Vec<usize>>, spins: bool) -> Self {
        let cpus = match &own {
            Some(cpus) => cpus.len(),
            None => affinity::allowed().len() / 2,
        };
        let count = cpus.clamp(1, MOST_THREADS).min(connections as usize);
        Self { count, own, spins }
    }

    pub(super) fn on_each_thread<I: Send, T: Send>(
        &self,
        inputs: impl IntoIterator<Item = I>,
        work: impl Fn(I) -> anyhow::Result<T> + Sync,
    ) -> anyhow::Result<Vec<T>> {
        let ready = Barrier::new(self.count);
        thread::scope(|scope| {
            let handles: Vec<_> = inputs
                .into_iter()
                .enumerate()
                .map(|(index, input)| {
                    let (ready, work) = (&ready, &work);
                    scope.spawn(move || {
                        let pinned = self.pin_thread(index);
                        ready.wait();
                        pinned?;
                        work(input)
                    })
                })
                .collect();
            let join = |handle: ScopedJoinHandle<'_, _>| {
                handle
                    .join()
                    .unwrap_or_else(|payload| resume_unwind(payload))
            };
            handles.into_iter().map(join).collect()
        })
    }

    pub(super) fn connect<C: Client>(
        &self,
        connect: impl Fn(u64) -> anyhow::Result<C> + Sync,
    ) -> anyhow::Result<Vec<Part<C>>> {
        self.on_each_thread(0..self.count, |index| {
            Ok(Part {
                client: connect(index as u64)?,
                never_sleeps: self.spins,
            })
        })
    }

    pub(super) fn load<C: Client>(
        &self,
        parts: &mut [Part<C>],
        schedule: Schedule,
    ) -> anyhow::Result<Loaded> {
        Ok(Loaded::of(
            self.on_each_thread(parts, |part| part.run(schedule))?,
        ))
    }

    /// The headroom is the generator's limit over `highest_per_s`. The generator's limit is at most
    /// `most_per_s`, the limit of the load's other programs.
    pub(super) fn report(
        &self,
        loaded: &Loaded,
        schedule: Schedule,
        process_usage: Usage,
        [highest_per_s, most_per_s]: [f64; 2],
        further_figures: impl IntoIterator<Item = (&'static str, f64)>,
    ) -> anyhow::Result<Report> {
        let usage = Usage::now();
        let Loaded {
            tally, elapsed_ns, ..
        } = loaded;
        let offered = (schedule.offered_per_s > 0).then_some(schedule.offered_per_s as f64);
        let achieved_per_s = loaded.achieved_per_s();
        // The busy share and its CPU time. Time in which other programs had the CPU does not count.
        let (busy, worked_ns) = match self.spins {
            true => (
                loaded
                    .parts
                    .iter()
                    .map(ThreadResult::busy_ratio)
                    .sum::<f64>()
                    / self.count as f64,
                loaded
                    .parts
                    .iter()
                    .map(|part| part.busy_ratio() * part.cpu_ns as f64)
                    .sum(),
            ),
            false => {
                let used = process_usage.cpu_ns as f64;
                (used / (elapsed_ns * self.count as u64) as f64, used)
            }
        };
        let computed_limit = tally.ended as f64 * self.count as f64 * 1e9 / worked_ns.max(1.0);
        let limit = limit()?.unwrap_or(computed_limit).min(most_per_s);
        let own = [
            ("load_busy_ratio", busy),
            ("load_limit_per_s", limit),
            ("load_headroom_ratio", limit / highest_per_s),
        ];
        Ok(Report {
            elapsed_ns: *elapsed_ns,
            operations_count: tally.ended,
            checksum: tally.right,
            cpu_ns: usage.cpu_ns,
            voluntary_switches_count: usage.voluntary_switches,
            involuntary_switches_count: usage.involuntary_switches,
            latency: tally.latencies.report(offered, achieved_per_s),
            metrics: own
                .into_iter()
                .chain(further_figures)
                .map(|(name, value)| (name.to_owned(), value))
                .collect(),
        })
    }

    fn pin_thread(&self, index: usize) -> anyhow::Result<()> {
        let Some(cpu) = self.own.as_ref().map(|cpus| cpus[index]) else {
            return Ok(());
        };
        affinity::pin_where_allowed(&[cpu])
            .with_context(|| format!("pinning the generator to CPU {cpu} of {CPUS}"))
    }
}

pub(super) struct Part<C> {
    pub(super) client: C,
    never_sleeps: bool,
}

struct ThreadResult {
    tally: Tally,
    start: u64,
    end: u64,
    /// Only for a thread that never sleeps.
    idle_ns: u64,
    /// CPU time of the thread, with its idle turns.
    cpu_ns: u64,
}

impl ThreadResult {
    fn busy_ratio(&self) -> f64 {
        let elapsed = self.end.saturating_sub(self.start).max(1) as f64;
        (1.0 - self.idle_ns as f64 / elapsed).clamp(0.0, 1.0)
    }
}

impl<C: Client> Part<C> {
    fn run(&mut self, schedule: Schedule) -> anyhow::Result<ThreadResult> {
        let (start, cpu_before) = (now_ns(), thread_cpu_ns()?);
        let (mut end, mut idle_ns) = (start, 0);
        self.client.begin(schedule, start)?;
        let mut events = vec![EpollEvent::empty(); 256];
        let mut block = vec![0; 64 << 10];
        let mut turn_start = now_ns();
        while self.client.left() > 0 {
            let (sent, due) = self.client.send_due()?;
            let mut count = self.client.poller().wait(&mut events, EpollTimeout::ZERO)?;
            if count == 0 && !sent {
                if self.never_sleeps {
                    self.check_timeout(due, turn_start, end)?;
                } else {
                    self.sleep(due, end)?;
                    count = self.client.poller().wait(&mut events, EpollTimeout::ZERO)?;
                }
            }
            for &event in &events[..count] {
                if self.client.ready(event, &mut block)? {
                    end = now_ns();
                }
            }
            let now = now_ns();
            if count == 0 && !sent {
                idle_ns += now - turn_start;
            }
            turn_start = now;
        }
        Ok(ThreadResult {
            tally: self.client.tally(),
            start,
            end,
            idle_ns,
            cpu_ns: thread_cpu_ns()?.saturating_sub(cpu_before),
        })
    }

    /// How much longer to wait for an answer, up to [`TIMEOUT`] after the last answer. Fails if
    /// that time is over and no request is due.
    fn check_timeout(
        &self,
        due: Option<u64>,
        now: u64,
        last_answer: u64,
    ) -> anyhow::Result<Duration> {
        let timeout = TIMEOUT.saturating_sub(Duration::from_nanos(now.saturating_sub(last_answer)));
        ensure!(
            !timeout.is_zero() || due.is_some(),
            "{} requests were not answered within {TIMEOUT:?}",
            self.client.left()
        );
        Ok(timeout)
    }

    fn sleep(&self, due: Option<u64>, last_answer: u64) -> anyhow::Result<()> {
        let now = now_ns();
        let timeout = self.check_timeout(due, now, last_answer)?;
        let time = due.map_or(timeout, |due| Duration::from_nanos(due.saturating_sub(now)));
        let poller = self.client.poller().0.as_fd();
        let mut waited = [PollFd::new(poller, PollFlags::POLLIN)];
        match ppoll(&mut waited, Some(TimeSpec::from_duration(time)), None) {
            Ok(_) | Err(nix::errno::Errno::EINTR) => Ok(()),
            Err(errno) => bail!("waiting for answers: {errno}"),
        }
    }
}

pub(super) fn connect(
    address: SocketAddr,
    poller: &Epoll,
    index: u64,
) -> anyhow::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&address, TIMEOUT)
        .with_context(|| format!("a connection to {address}"))?;
    stream.set_nodelay(true)?;
    stream.set_nonblocking(true)?;
    // The cheapest congestion control, if allowed. The host's default may delay requests by a
    // timer.
    let _ = setsockopt(&stream, sockopt::TcpCongestion, &OsString::from("reno"));
    let flags =
        EpollFlags::EPOLLIN | EpollFlags::EPOLLOUT | EpollFlags::EPOLLRDHUP | EpollFlags::EPOLLET;
    poller.add(&stream, EpollEvent::new(flags, index))?;
    Ok(stream)
}

fn thread_cpu_ns() -> nix::Result<u64> {
    let used = clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID)?;
    Ok(used.tv_sec() as u64 * 1_000_000_000 + used.tv_nsec() as u64)
}

pub(super) fn write(stream: &mut TcpStream, bytes: &[u8]) -> anyhow::Result<usize> {
    loop {
        match stream.write(bytes) {
            Ok(size) => return Ok(size),
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(0),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => bail!("sending a request: {error}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_due_at_the_rate_and_in_a_surge_at_several_times_the_rate() {
        let schedule = Schedule {
            requests: 1_000,
            offered_per_s: 100,
            given_up_ns: 0,
            surge: Surge {
                from_ns: 1_000_000_000,
                for_ns: 500_000_000,
                times: 4,
            },
        };
        let at_ms = |number| schedule.due_at(7, number).saturating_sub(7) / 1_000_000;
        let all = [0, 99, 100, 102, 299, 300, 301].map(at_ms);
        assert_eq!(all, [0, 990, 1_000, 1_005, 1_497, 1_500, 1_510]);
        for number in 0..999 {
            let due = schedule.due_at(7, number);
            assert!(schedule.due_by(7, due) > number, "{number}");
            assert!(schedule.due_by(7, due - 1) <= number + 1, "{number}");
        }
        let plain = Schedule {
            surge: Surge::default(),
            ..schedule
        };
        assert_eq!(plain.due_at(0, 250), 2_500_000_000);
        assert_eq!(plain.due_by(0, 2_499_999_999), 250);
        assert_eq!(plain.due_by(0, u64::MAX), 1_000);
    }
}
