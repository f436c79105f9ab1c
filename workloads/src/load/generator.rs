//! What the load generator does: one epoll loop a thread, over connections
//! that no other thread touches.
//!
//! In an open loop a request is sent when it is due, whether or not earlier
//! ones on its connection were answered, and its latency counts from when it
//! was due: a server that stalls is charged for all that it kept waiting.

use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::os::fd::AsFd;
use std::sync::Barrier;
use std::thread;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::time::TimeSpec;

use super::{Plan, Report};
use crate::host::usage::Usage;
use crate::host::{affinity, clock::now_ns, open_files};
use crate::measure::Latencies;

/// The environment variable that holds the CPUs of the generator.
const CPUS: &str = "THREADBARE_LOAD_CPUS";
/// More threads than this have not been needed to load a server of one host.
const MOST_THREADS: usize = 4;
/// A server that is silent for so long is given up.
const PATIENCE: Duration = Duration::from_secs(10);
/// No byte of a request or an answer repeats before this many.
const PATTERN: u64 = 251;

/// Generates the load and reports. Blocks the thread.
///
/// # Errors
///
/// When the server refuses connections, closes one, or is silent.
pub fn run(plan: &Plan) -> anyhow::Result<Report> {
    // Thousands of connections; a refusal shows when one cannot be opened.
    let _ = open_files::raise_limit();
    // Sleeps end when a request is due, not up to 50 µs later.
    nix::sys::prctl::set_timerslack(1)?;
    let threads = threads(plan)?;
    let ready = Barrier::new(threads + 1);
    let (parts, start, before) = thread::scope(|scope| {
        let handles: Vec<_> = (0..threads)
            .map(|index| {
                let ready = &ready;
                scope.spawn(move || {
                    let connected = Part::connect(plan, index as u64, threads as u64);
                    ready.wait();
                    connected?.run()
                })
            })
            .collect();
        ready.wait();
        let (start, before) = (now_ns(), Usage::now());
        let parts: anyhow::Result<Vec<_>> = handles
            .into_iter()
            .map(|handle| {
                handle
                    .join()
                    .unwrap_or_else(|payload| std::panic::resume_unwind(payload))
            })
            .collect();
        (parts, start, before)
    });
    let parts = parts?;
    let usage = Usage::now();
    let mut latencies = Latencies::new();
    parts.iter().for_each(|part| latencies.add(&part.latencies));
    let end = parts.iter().map(|part| part.end).max().unwrap_or(start);
    let elapsed_ns = end.saturating_sub(start).max(1);
    let answered = latencies.count();
    let offered = (plan.offered_per_s > 0).then_some(plan.offered_per_s as f64);
    let busy = usage.minus(before).cpu_ns as f64 / (elapsed_ns * threads as u64) as f64;
    let achieved_per_s = answered as f64 * 1e9 / elapsed_ns as f64;
    Ok(Report {
        elapsed_ns,
        operations_count: answered,
        checksum: parts.iter().map(|part| part.right).sum(),
        cpu_ns: usage.cpu_ns,
        voluntary_switches_count: usage.voluntary_switches,
        involuntary_switches_count: usage.involuntary_switches,
        latency: latencies.report(offered, achieved_per_s),
        metrics: [
            ("load_busy_ratio".to_owned(), busy),
            (
                "load_limit_per_s".to_owned(),
                achieved_per_s / busy.max(1e-6),
            ),
        ]
        .into(),
    })
}

/// Pins the generator if it is told to, and says how many threads it takes:
/// all of its own CPUs, else half of those that it shares with the server.
fn threads(plan: &Plan) -> anyhow::Result<usize> {
    let cpus = match std::env::var(CPUS) {
        Ok(list) => {
            let cpus =
                affinity::parse(&list).map_err(|message| anyhow::anyhow!("{CPUS}: {message}"))?;
            affinity::pin(&cpus)
                .with_context(|| format!("pinning the generator to {CPUS}={list}"))?;
            cpus.len()
        }
        Err(_) => affinity::allowed()?.len() / 2,
    };
    Ok(cpus.clamp(1, MOST_THREADS).min(plan.connections as usize))
}

/// One thread's connections and requests.
struct Part<'a> {
    plan: &'a Plan,
    connections: Vec<Connection>,
    poller: Epoll,
    /// The next request of an open loop that is this thread's to send.
    next: u64,
    first: u64,
    threads: u64,
    latencies: Latencies,
    right: u64,
    left: u64,
}

/// What a thread has to report.
struct Done {
    latencies: Latencies,
    right: u64,
    end: u64,
}

struct Connection {
    stream: TcpStream,
    /// Requests that wait for their answers: number, and when they were due.
    waiting: VecDeque<(u64, u64)>,
    /// Bytes of the first waiting request's answer that have come.
    come: u64,
    right: bool,
    /// What the socket has not taken yet.
    unsent: VecDeque<u8>,
    /// The next request of a closed loop.
    next: u64,
}

impl<'a> Part<'a> {
    fn connect(plan: &'a Plan, first: u64, threads: u64) -> anyhow::Result<Self> {
        let poller = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        let mut part = Self {
            plan,
            connections: Vec::new(),
            poller,
            next: first,
            first,
            threads,
            latencies: Latencies::new(),
            right: 0,
            left: 0,
        };
        for number in (first..plan.connections).step_by(threads as usize) {
            let stream = TcpStream::connect_timeout(&plan.address, PATIENCE)
                .with_context(|| format!("connection {number} to {}", plan.address))?;
            stream.set_nodelay(true)?;
            stream.set_nonblocking(true)?;
            let flags = EpollFlags::EPOLLIN | EpollFlags::EPOLLRDHUP;
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
                next: number,
            });
            part.left += (plan.requests + plan.connections - 1 - number) / plan.connections;
        }
        Ok(part)
    }

    fn run(mut self) -> anyhow::Result<Done> {
        let start = now_ns();
        let mut end = start;
        if self.plan.offered_per_s == 0 {
            for index in 0..self.connections.len() {
                self.send_next(index, start)?;
            }
        }
        let mut events = vec![EpollEvent::empty(); 256];
        let mut block = vec![0; 64 << 10];
        while self.left > 0 {
            let due = self.send_due(start)?;
            let count = match self.poller.wait(&mut events, EpollTimeout::ZERO)? {
                0 => {
                    self.sleep(due, end)?;
                    self.poller.wait(&mut events, EpollTimeout::ZERO)?
                }
                count => count,
            };
            for event in &events[..count] {
                let index = event.data() as usize;
                if event.events().contains(EpollFlags::EPOLLOUT) {
                    self.flush(index)?;
                }
                self.receive(index, &mut block)?;
                end = now_ns();
            }
        }
        Ok(Done {
            latencies: self.latencies,
            right: self.right,
            end,
        })
    }

    /// Sends what is due by now; when the next is due, if there is one.
    fn send_due(&mut self, start: u64) -> anyhow::Result<Option<u64>> {
        if self.plan.offered_per_s == 0 {
            return Ok(None);
        }
        loop {
            if self.next >= self.plan.requests {
                return Ok(None);
            }
            let due = start
                + (u128::from(self.next) * 1_000_000_000 / u128::from(self.plan.offered_per_s))
                    as u64;
            if due > now_ns() {
                return Ok(Some(due));
            }
            let connection = self.next % self.plan.connections;
            self.send((connection / self.threads) as usize, self.next, due)?;
            // The next request whose connection is this thread's: its number
            // modulo the connections is `first` modulo the threads.
            self.next += 1;
            while self.next % self.plan.connections % self.threads != self.first {
                self.next += 1;
            }
        }
    }

    /// Waits for an event, or until the next request is due.
    fn sleep(&self, due: Option<u64>, last: u64) -> anyhow::Result<()> {
        let now = now_ns();
        let patience = PATIENCE.saturating_sub(Duration::from_nanos(now.saturating_sub(last)));
        ensure!(
            !patience.is_zero() || due.is_some(),
            "{} requests were not answered within {PATIENCE:?}",
            self.left
        );
        let time = due.map_or(patience, |due| {
            Duration::from_nanos(due.saturating_sub(now))
        });
        let mut waited = [PollFd::new(self.poller.0.as_fd(), PollFlags::POLLIN)];
        match ppoll(&mut waited, Some(TimeSpec::from_duration(time)), None) {
            Ok(_) | Err(nix::errno::Errno::EINTR) => Ok(()),
            Err(errno) => bail!("waiting for answers: {errno}"),
        }
    }

    /// A closed loop's next request on a connection.
    fn send_next(&mut self, index: usize, now: u64) -> anyhow::Result<()> {
        let connection = &mut self.connections[index];
        let number = connection.next;
        if number < self.plan.requests {
            connection.next += self.plan.connections;
            self.send(index, number, now)?;
        }
        Ok(())
    }

    fn send(&mut self, index: usize, number: u64, due: u64) -> anyhow::Result<()> {
        let connection = &mut self.connections[index];
        connection.waiting.push_back((number, due));
        let payload: Vec<u8> = (0..self.plan.payload_bytes)
            .map(|at| byte(number, at))
            .collect();
        let mut sent = 0;
        if connection.unsent.is_empty() {
            sent = write(&mut connection.stream, &payload)?;
        }
        if sent < payload.len() {
            let was_empty = connection.unsent.is_empty();
            connection.unsent.extend(&payload[sent..]);
            if was_empty {
                self.watch(index, true)?;
            }
        }
        Ok(())
    }

    /// Goes on with what the socket would not take before.
    fn flush(&mut self, index: usize) -> anyhow::Result<()> {
        let connection = &mut self.connections[index];
        let sent = write(&mut connection.stream, connection.unsent.make_contiguous())?;
        connection.unsent.drain(..sent);
        if connection.unsent.is_empty() {
            self.watch(index, false)?;
        }
        Ok(())
    }

    fn watch(&self, index: usize, writable: bool) -> anyhow::Result<()> {
        let flags = EpollFlags::EPOLLIN
            | EpollFlags::EPOLLRDHUP
            | if writable {
                EpollFlags::EPOLLOUT
            } else {
                EpollFlags::empty()
            };
        let mut event = EpollEvent::new(flags, index as u64);
        Ok(self
            .poller
            .modify(&self.connections[index].stream, &mut event)?)
    }

    fn receive(&mut self, index: usize, block: &mut [u8]) -> anyhow::Result<()> {
        let size = match self.connections[index].stream.read(block) {
            Ok(0) => bail!(
                "the server closed a connection with {} requests open",
                self.connections[index].waiting.len()
            ),
            Ok(size) => size,
            Err(error)
                if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) =>
            {
                return Ok(());
            }
            Err(error) => bail!("reading an answer: {error}"),
        };
        let now = now_ns();
        let mut rest = &block[..size];
        while !rest.is_empty() {
            let connection = &mut self.connections[index];
            let Some(&(number, due)) = connection.waiting.front() else {
                bail!("the server sent {} bytes that nobody asked for", rest.len());
            };
            let length = (self.plan.payload_bytes - connection.come).min(rest.len() as u64);
            let (part, others) = rest.split_at(length as usize);
            rest = others;
            connection.right &= part
                .iter()
                .zip(connection.come..)
                .all(|(&got, at)| got == byte(number, at));
            connection.come += length;
            if connection.come == self.plan.payload_bytes {
                self.right += u64::from(connection.right);
                connection.waiting.pop_front();
                (connection.come, connection.right) = (0, true);
                self.latencies.record(now.saturating_sub(due));
                self.left -= 1;
                if self.plan.offered_per_s == 0 {
                    self.send_next(index, now)?;
                }
            }
        }
        Ok(())
    }
}

/// What a request holds.
fn byte(number: u64, at: u64) -> u8 {
    ((number + at) % PATTERN) as u8
}

/// Writes what the socket takes.
fn write(stream: &mut TcpStream, bytes: &[u8]) -> anyhow::Result<usize> {
    match stream.write(bytes) {
        Ok(size) => Ok(size),
        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {
            Ok(0)
        }
        Err(error) => bail!("sending a request: {error}"),
    }
}
