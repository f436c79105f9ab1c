//! What the load generator does: one epoll loop a thread, over connections
//! that no other thread touches.
//!
//! In an open loop a request is sent when it is due, whether or not earlier
//! ones on its connection were answered, and its latency counts from when it
//! was due: a server that stalls is charged for all that it kept waiting.
//!
//! On CPUs of its own it never sleeps: a server that had to wake it would pay
//! for that, and its latency would hold the way out of the CPU's sleep. What
//! it does with them is then read off its loop: a turn in which nothing was
//! due and nothing had come is idle, and the rest is busy.
//!
//! # Rejected
//!
//! io_uring with multishot receives and batched sends: it saved a fiftieth of
//! the CPU time a request, as nearly all of it is TCP's, and many containers
//! forbid it.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::os::fd::AsFd;
use std::panic::resume_unwind;
use std::sync::Barrier;
use std::thread::{self, ScopedJoinHandle};
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::socket::{setsockopt, sockopt};
use nix::sys::time::TimeSpec;
use nix::time::{ClockId, clock_gettime};

use super::{Plan, Report};
use crate::host::usage::Usage;
use crate::host::{affinity, clock::now_ns, open_files};
use crate::measure::Latencies;

/// The environment variable that holds the CPUs of the generator.
const CPUS: &str = "THREADBARE_LOAD_CPUS";
/// The environment variable that holds what it manages at most, as the study
/// has measured it: requests a second.
const LIMIT: &str = "THREADBARE_LOAD_LIMIT";
/// More threads than this have not been needed to load a server of one host.
const MOST_THREADS: usize = 16;
/// A server that is silent for so long is given up.
const PATIENCE: Duration = Duration::from_secs(10);
/// No byte of a request or an answer repeats before this many.
const PATTERN: usize = 251;
/// After so many sends in a row it looks for answers: they would seem late.
const SENDS: u64 = 16;
/// The most bytes of one burst: no socket's buffer is smaller.
const MOST_BURST_BYTES: u64 = 64 << 10;

/// Generates the load and reports. Blocks the thread.
///
/// # Errors
///
/// When the server refuses connections, closes one, or is silent.
pub fn run(plan: &Plan) -> anyhow::Result<Report> {
    ensure!(
        plan.burst * plan.payload_bytes <= MOST_BURST_BYTES,
        "a burst of {} requests of {} bytes is more than a socket surely takes, which is {MOST_BURST_BYTES} bytes",
        plan.burst,
        plan.payload_bytes
    );
    // Thousands of connections; a refusal shows when one cannot be opened.
    let _ = open_files::raise_limit();
    // Sleeps end when a request is due, not up to 50 µs later; where a filter
    // refuses, the report's own delays show it.
    let _ = nix::sys::prctl::set_timerslack(1);
    let threads = Threads::of(plan)?;
    let mut parts = threads.each(0..threads.count, |index| {
        Part::connect(plan, index, &threads)
    })?;
    let mut schedule = Schedule {
        requests: plan.requests,
        offered_per_s: plan.offered_per_s,
    };
    let mut capacity = None;
    if plan.load_percent > 0 {
        let first = Schedule {
            requests: (plan.requests / 2).max(plan.connections),
            offered_per_s: 0,
        };
        let found = Loaded::of(&threads.load(&mut parts, first)?).achieved_per_s();
        schedule.offered_per_s = (found * plan.load_percent as f64 / 100.0).max(1.0) as u64;
        capacity = Some(("capacity_per_s", found));
    }
    let before = Usage::now();
    let parts = threads.load(&mut parts, schedule)?;
    let usage = Usage::now();
    let loaded = Loaded::of(&parts);
    let (elapsed_ns, answered) = (loaded.elapsed_ns, loaded.latencies.count());
    let offered = (schedule.offered_per_s > 0).then_some(schedule.offered_per_s as f64);
    let achieved_per_s = loaded.achieved_per_s();
    // What it has worked, in CPU time: what other programs took it had not.
    let (busy, worked_ns) = match threads.own {
        Some(_) => (
            parts.iter().map(Done::busy_ratio).sum::<f64>() / threads.count as f64,
            parts
                .iter()
                .map(|part| part.busy_ratio() * part.cpu_ns as f64)
                .sum(),
        ),
        None => {
            let used = usage.minus(before).cpu_ns as f64;
            (used / (elapsed_ns * threads.count as u64) as f64, used)
        }
    };
    let by_work = answered as f64 * threads.count as f64 * 1e9 / worked_ns.max(1.0);
    let limit = limit()?.unwrap_or(by_work);
    Ok(Report {
        elapsed_ns,
        operations_count: answered,
        checksum: parts.iter().map(|part| part.right).sum(),
        cpu_ns: usage.cpu_ns,
        voluntary_switches_count: usage.voluntary_switches,
        involuntary_switches_count: usage.involuntary_switches,
        latency: loaded.latencies.report(offered, achieved_per_s),
        metrics: [
            ("load_busy_ratio", busy),
            ("load_limit_per_s", limit),
            ("load_headroom_ratio", limit / achieved_per_s),
        ]
        .into_iter()
        .chain(capacity)
        .map(|(name, value)| (name.to_owned(), value))
        .collect(),
    })
}

/// So many requests over all connections, all at once or at times.
#[derive(Clone, Copy)]
struct Schedule {
    requests: u64,
    /// Requests a second; 0: a closed loop.
    offered_per_s: u64,
}

/// What all threads have done together.
struct Loaded {
    elapsed_ns: u64,
    latencies: Latencies,
}

impl Loaded {
    fn of(parts: &[Done]) -> Self {
        let mut latencies = Latencies::new();
        parts.iter().for_each(|part| latencies.add(&part.latencies));
        // By the threads' own clocks: this one may have to wait for a CPU.
        let start = parts.iter().map(|part| part.start).min().unwrap_or(0);
        let end = parts.iter().map(|part| part.end).max().unwrap_or(start);
        Self {
            elapsed_ns: end.saturating_sub(start).max(1),
            latencies,
        }
    }

    fn achieved_per_s(&self) -> f64 {
        self.latencies.count() as f64 * 1e9 / self.elapsed_ns as f64
    }
}

/// What the study has found that the generator manages at most, if it has.
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

/// Where the generator runs.
struct Threads {
    count: usize,
    /// Its own CPUs; `None` where it shares those of the server.
    own: Option<Vec<usize>>,
}

impl Threads {
    /// One for each of its own CPUs, else for half of those that it shares
    /// with the server.
    fn of(plan: &Plan) -> anyhow::Result<Self> {
        let own = std::env::var(CPUS)
            .ok()
            .map(|list| {
                affinity::parse(&list).map_err(|message| anyhow::anyhow!("{CPUS}: {message}"))
            })
            .transpose()?;
        let cpus = match &own {
            Some(cpus) => cpus.len(),
            None => affinity::allowed().len() / 2,
        };
        let count = cpus.clamp(1, MOST_THREADS).min(plan.connections as usize);
        Ok(Self { count, own })
    }

    /// Does `work` on each of `inputs` on a thread of its own, which begin together.
    fn each<I: Send, T: Send>(
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
                        let settled = self.settle(index);
                        ready.wait();
                        settled?;
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

    /// Loads the server by all parts, each on its thread.
    fn load(&self, parts: &mut [Part<'_>], schedule: Schedule) -> anyhow::Result<Vec<Done>> {
        self.each(parts, |part| part.run(schedule))
    }

    /// Pins the calling thread, number `index`, to a CPU of its own, if there
    /// is one.
    fn settle(&self, index: usize) -> anyhow::Result<()> {
        let Some(cpu) = self.own.as_ref().map(|cpus| cpus[index]) else {
            return Ok(());
        };
        affinity::pin_where_allowed(&[cpu])
            .with_context(|| format!("pinning the generator to CPU {cpu} of {CPUS}"))
    }
}

/// One thread's connections and requests.
struct Part<'a> {
    plan: &'a Plan,
    schedule: Schedule,
    connections: Vec<Connection>,
    poller: Epoll,
    /// The next request of an open loop, whosever it is.
    next: u64,
    first: u64,
    threads: u64,
    never_sleeps: bool,
    latencies: Latencies,
    right: u64,
    left: u64,
    /// What requests are slices of: see [`Part::request`].
    pattern: Vec<u8>,
    /// What is written next.
    outgoing: Vec<u8>,
}

/// What a thread has to report.
struct Done {
    latencies: Latencies,
    right: u64,
    start: u64,
    end: u64,
    /// For how long nothing was due and nothing had come; only of a thread
    /// that never sleeps.
    idle_ns: u64,
    /// What the thread used meanwhile, idle turns included.
    cpu_ns: u64,
}

impl Done {
    fn busy_ratio(&self) -> f64 {
        let elapsed = self.end.saturating_sub(self.start).max(1) as f64;
        (1.0 - self.idle_ns as f64 / elapsed).clamp(0.0, 1.0)
    }
}

struct Connection {
    stream: TcpStream,
    /// Requests that wait for their answers: number, and when they were due.
    waiting: VecDeque<(u64, u64)>,
    /// Bytes of the first waiting request's answer that have come.
    come: usize,
    right: bool,
    /// What the socket has not taken yet.
    unsent: VecDeque<u8>,
    /// The next request of a closed loop.
    next: u64,
}

impl<'a> Part<'a> {
    fn connect(plan: &'a Plan, first: usize, threads: &Threads) -> anyhow::Result<Self> {
        let poller = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        let size = PATTERN + plan.payload_bytes as usize;
        let mut part = Self {
            plan,
            schedule: Schedule {
                requests: 0,
                offered_per_s: 0,
            },
            connections: Vec::new(),
            poller,
            next: 0,
            first: first as u64,
            threads: threads.count as u64,
            never_sleeps: threads.own.is_some(),
            latencies: Latencies::new(),
            right: 0,
            left: 0,
            pattern: (0..size).map(|at| (at % PATTERN) as u8).collect(),
            outgoing: Vec::new(),
        };
        for number in (part.first..plan.connections).step_by(threads.count) {
            let stream = TcpStream::connect_timeout(&plan.address, PATIENCE)
                .with_context(|| format!("connection {number} to {}", plan.address))?;
            stream.set_nodelay(true)?;
            stream.set_nonblocking(true)?;
            // The cheapest, where the host allows it: the host's own choice,
            // which the server keeps, may pace each request by a timer.
            let _ = setsockopt(&stream, sockopt::TcpCongestion, &OsString::from("reno"));
            let flags = EpollFlags::EPOLLIN
                | EpollFlags::EPOLLOUT
                | EpollFlags::EPOLLRDHUP
                | EpollFlags::EPOLLET;
            part.poller.add(
                &stream,
                EpollEvent::new(flags, part.connections.len() as u64),
            )?;
            part.connections.push(Connection {
                stream,
                waiting: VecDeque::new(),
                come: 0,
                right: true,
                unsent: VecDeque::new(),
                next: 0,
            });
        }
        Ok(part)
    }

    fn run(&mut self, schedule: Schedule) -> anyhow::Result<Done> {
        let all = self.plan.connections;
        (self.schedule, self.next, self.left, self.right) = (schedule, 0, 0, 0);
        self.latencies = Latencies::new();
        for (number, connection) in (self.first..)
            .step_by(self.threads as usize)
            .zip(&mut self.connections)
        {
            connection.next = number;
            self.left += (schedule.requests + all - 1 - number) / all;
        }
        let (start, cpu_before) = (now_ns(), thread_cpu_ns()?);
        let (mut end, mut idle_ns) = (start, 0);
        if schedule.offered_per_s == 0 {
            for index in 0..self.connections.len() {
                self.send_burst(index, start)?;
            }
        }
        let mut events = vec![EpollEvent::empty(); 256];
        let mut block = vec![0; 64 << 10];
        let mut turn = now_ns();
        while self.left > 0 {
            let (sent, due) = self.send_due(start)?;
            let mut count = self.poller.wait(&mut events, EpollTimeout::ZERO)?;
            if count == 0 && !sent {
                if self.never_sleeps {
                    self.check_patience(due, turn, end)?;
                } else {
                    self.sleep(due, end)?;
                    count = self.poller.wait(&mut events, EpollTimeout::ZERO)?;
                }
            }
            for event in &events[..count] {
                let index = event.data() as usize;
                if event.events().contains(EpollFlags::EPOLLOUT) {
                    self.flush(index)?;
                }
                if event.events().intersects(!EpollFlags::EPOLLOUT) {
                    self.receive(index, &mut block)?;
                    end = now_ns();
                }
            }
            let now = now_ns();
            if count == 0 && !sent {
                idle_ns += now - turn;
            }
            turn = now;
        }
        Ok(Done {
            latencies: std::mem::replace(&mut self.latencies, Latencies::new()),
            right: self.right,
            start,
            end,
            idle_ns,
            cpu_ns: thread_cpu_ns()?.saturating_sub(cpu_before),
        })
    }

    /// Sends of an open loop what is due by now, but not too much at a time:
    /// whether anything was, and when the next is due, if there is one.
    fn send_due(&mut self, start: u64) -> anyhow::Result<(bool, Option<u64>)> {
        let connections = self.plan.connections;
        let Schedule {
            requests,
            offered_per_s,
        } = self.schedule;
        if offered_per_s == 0 || self.next >= requests {
            return Ok((false, None));
        }
        let per_second = u128::from(offered_per_s);
        let due_at = |number: u64| start + (u128::from(number) * 1_000_000_000 / per_second) as u64;
        let passed = u128::from(now_ns().saturating_sub(start));
        // The first request that is not due yet.
        let mut end = ((passed * per_second / 1_000_000_000) as u64 + 1).min(requests);
        if end < self.next + connections {
            end = end.min(self.next + SENDS * self.threads);
        }
        let mut sent = false;
        // One write a connection, for all of its requests that are due.
        for number in self.next..end.min(self.next + connections) {
            let connection = number % connections;
            if connection % self.threads != self.first {
                continue;
            }
            let numbers = (number..end).step_by(connections as usize);
            self.send(
                (connection / self.threads) as usize,
                numbers.map(|number| (number, due_at(number))),
            )?;
            sent = true;
        }
        self.next = self.next.max(end);
        Ok((sent, (self.next < requests).then(|| due_at(self.next))))
    }

    /// Refuses to wait longer than [`PATIENCE`] for an answer that came `last`.
    fn check_patience(&self, due: Option<u64>, now: u64, last: u64) -> anyhow::Result<Duration> {
        let patience = PATIENCE.saturating_sub(Duration::from_nanos(now.saturating_sub(last)));
        ensure!(
            !patience.is_zero() || due.is_some(),
            "{} requests were not answered within {PATIENCE:?}",
            self.left
        );
        Ok(patience)
    }

    /// Waits for an event, or until the next request is due.
    fn sleep(&self, due: Option<u64>, last: u64) -> anyhow::Result<()> {
        let now = now_ns();
        let patience = self.check_patience(due, now, last)?;
        let time = due.map_or(patience, |due| {
            Duration::from_nanos(due.saturating_sub(now))
        });
        let mut waited = [PollFd::new(self.poller.0.as_fd(), PollFlags::POLLIN)];
        match ppoll(&mut waited, Some(TimeSpec::from_duration(time)), None) {
            Ok(_) | Err(nix::errno::Errno::EINTR) => Ok(()),
            Err(errno) => bail!("waiting for answers: {errno}"),
        }
    }

    /// A closed loop's next requests on a connection that waits for none.
    fn send_burst(&mut self, index: usize, now: u64) -> anyhow::Result<()> {
        let Plan {
            connections, burst, ..
        } = *self.plan;
        let requests = self.schedule.requests;
        let next = self.connections[index].next;
        let end = requests.min(next + burst * connections);
        if next < requests {
            self.connections[index].next += burst * connections;
            let numbers = (next..end).step_by(connections as usize);
            self.send(index, numbers.map(|number| (number, now)))?;
        }
        Ok(())
    }

    /// Sends these requests, each a number and when it was due, by one write.
    fn send(
        &mut self,
        index: usize,
        requests: impl Iterator<Item = (u64, u64)>,
    ) -> anyhow::Result<()> {
        let mut outgoing = std::mem::take(&mut self.outgoing);
        outgoing.clear();
        for (number, due) in requests {
            self.connections[index].waiting.push_back((number, due));
            outgoing.extend_from_slice(self.request(number));
        }
        let connection = &mut self.connections[index];
        let mut sent = 0;
        if connection.unsent.is_empty() {
            sent = write(&mut connection.stream, &outgoing)?;
        }
        connection.unsent.extend(&outgoing[sent..]);
        self.outgoing = outgoing;
        Ok(())
    }

    /// Goes on with what the socket would not take before.
    fn flush(&mut self, index: usize) -> anyhow::Result<()> {
        let connection = &mut self.connections[index];
        while !connection.unsent.is_empty() {
            let unsent = connection.unsent.make_contiguous();
            match write(&mut connection.stream, unsent)? {
                0 => break,
                sent => drop(connection.unsent.drain(..sent)),
            }
        }
        Ok(())
    }

    /// What a request holds.
    fn request(&self, number: u64) -> &[u8] {
        let from = (number % PATTERN as u64) as usize;
        &self.pattern[from..from + self.plan.payload_bytes as usize]
    }

    /// Reads until the socket is empty, which a short read shows.
    fn receive(&mut self, index: usize, block: &mut [u8]) -> anyhow::Result<()> {
        loop {
            let size = match self.connections[index].stream.read(block) {
                Ok(0) => bail!(
                    "the server closed a connection with {} requests open",
                    self.connections[index].waiting.len()
                ),
                Ok(size) => size,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => bail!("reading an answer: {error}"),
            };
            self.take(index, &block[..size], now_ns())?;
            if size < block.len() {
                return Ok(());
            }
        }
    }

    /// Compares what has come at `now` with what was sent.
    fn take(&mut self, index: usize, mut rest: &[u8], now: u64) -> anyhow::Result<()> {
        let payload = self.plan.payload_bytes as usize;
        while !rest.is_empty() {
            let connection = &self.connections[index];
            let come = connection.come;
            let Some(&(number, due)) = connection.waiting.front() else {
                bail!("the server sent {} bytes that nobody asked for", rest.len());
            };
            let (part, others) = rest.split_at((payload - come).min(rest.len()));
            rest = others;
            let right = part == &self.request(number)[come..come + part.len()];
            let connection = &mut self.connections[index];
            connection.right &= right;
            connection.come += part.len();
            if connection.come == payload {
                self.right += u64::from(connection.right);
                connection.waiting.pop_front();
                (connection.come, connection.right) = (0, true);
                let is_last = connection.waiting.is_empty();
                self.latencies.record(now.saturating_sub(due));
                self.left -= 1;
                if self.schedule.offered_per_s == 0 && is_last {
                    self.send_burst(index, now)?;
                }
            }
        }
        Ok(())
    }
}

/// The CPU time of the calling thread.
fn thread_cpu_ns() -> nix::Result<u64> {
    let used = clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID)?;
    Ok(used.tv_sec() as u64 * 1_000_000_000 + used.tv_nsec() as u64)
}

/// Writes what the socket takes.
fn write(stream: &mut TcpStream, bytes: &[u8]) -> anyhow::Result<usize> {
    loop {
        match stream.write(bytes) {
            Ok(size) => return Ok(size),
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(0),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => bail!("sending a request: {error}"),
        }
    }
}
