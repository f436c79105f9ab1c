//! The client of the echo servers.

use std::collections::VecDeque;
use std::io::{ErrorKind, Read};
use std::net::TcpStream;

use anyhow::{bail, ensure};
use nix::sys::epoll::{Epoll, EpollCreateFlags};

use super::generator::{self, Client, Schedule, Tally, Threads};
use super::{Plan, Report};
use crate::catalogue::{self, Shape};
use crate::host::clock::now_ns;
use crate::host::usage::Usage;

/// The bytes of requests and answers repeat after this many.
const PATTERN: usize = 251;
/// The most sends before the client reads. With more, it would read answers late and measure too
/// long latencies.
const SENDS: u64 = 16;
/// Every socket's buffer has room for a burst of this size.
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
    let answers = answers(plan)?;
    generator::prepare();
    let own = generator::own_cpus()?;
    let spins = own.is_some();
    let threads = Threads::of(plan.connections, own, spins);
    let mut parts =
        threads.connect(|index| Echo::connect(plan, &answers, index, threads.count as u64))?;
    let mut schedule = Schedule {
        requests: plan.requests,
        offered_per_s: plan.offered_per_s,
        ..Schedule::default()
    };
    let mut capacity = None;
    if plan.load_percent > 0 {
        let first = Schedule {
            requests: (plan.requests / 2).max(plan.connections),
            ..Schedule::default()
        };
        let found = threads.load(&mut parts, first)?.achieved_per_s();
        schedule.offered_per_s = (found * plan.load_percent as f64 / 100.0).max(1.0) as u64;
        capacity = Some(("capacity_per_s", found));
    }
    let before = Usage::now();
    let loaded = threads.load(&mut parts, schedule)?;
    let meanwhile = Usage::now().minus(before);
    let achieved_per_s = loaded.achieved_per_s();
    let rates = [achieved_per_s, f64::INFINITY];
    threads.report(&loaded, schedule, meanwhile, rates, capacity)
}

/// Request `number` begins at byte `number % PATTERN`.
fn pattern(plan: &Plan) -> Vec<u8> {
    let size = PATTERN + plan.payload_bytes as usize;
    (0..size).map(|at| (at % PATTERN) as u8).collect()
}

fn answers(plan: &Plan) -> anyhow::Result<Vec<u8>> {
    let Some(id) = &plan.workload else {
        return Ok(Vec::new());
    };
    let Some(Shape::Handler(handler)) = catalogue::find(id).map(|workload| workload.shape) else {
        bail!("{id} is no workload with a handler");
    };
    let requests = pattern(plan);
    let requests = requests.windows(plan.payload_bytes as usize).take(PATTERN);
    Ok(requests
        .flat_map(|request| handler.right(request))
        .collect())
}

struct Echo<'a> {
    plan: &'a Plan,
    schedule: Schedule,
    start: u64,
    connections: Vec<Connection>,
    poller: Epoll,
    /// The next request of an open loop, numbered over all threads.
    next: u64,
    first: u64,
    threads: u64,
    tally: Tally,
    left: u64,
    pattern: Vec<u8>,
    /// The answers to requests 0 to 250; empty if each answer equals its request.
    answers: &'a [u8],
    outgoing: Vec<u8>,
}

struct Connection {
    stream: TcpStream,
    /// Number and due time of each request without an answer.
    waiting: VecDeque<(u64, u64)>,
    /// How many bytes of the first waiting request's answer have arrived.
    received: usize,
    right: bool,
    unsent: VecDeque<u8>,
    next: u64,
}

impl<'a> Echo<'a> {
    fn connect(
        plan: &'a Plan,
        answers: &'a [u8],
        first: u64,
        threads: u64,
    ) -> anyhow::Result<Self> {
        let mut client = Self {
            plan,
            schedule: Schedule::default(),
            start: 0,
            connections: Vec::new(),
            poller: Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?,
            next: 0,
            first,
            threads,
            tally: Tally::new(),
            left: 0,
            pattern: pattern(plan),
            answers,
            outgoing: Vec::new(),
        };
        for index in 0..(first..plan.connections).step_by(threads as usize).count() {
            let stream = generator::connect(plan.address, &client.poller, index as u64)?;
            client.connections.push(Connection {
                stream,
                waiting: VecDeque::new(),
                received: 0,
                right: true,
                unsent: VecDeque::new(),
                next: 0,
            });
        }
        Ok(client)
    }

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
            sent = generator::write(&mut connection.stream, &outgoing)?;
        }
        connection.unsent.extend(&outgoing[sent..]);
        self.outgoing = outgoing;
        Ok(())
    }

    fn request(&self, number: u64) -> &[u8] {
        let from = (number % PATTERN as u64) as usize;
        &self.pattern[from..from + self.plan.payload_bytes as usize]
    }

    fn answer(&self, number: u64) -> &[u8] {
        let size = self.plan.payload_bytes as usize;
        match self.answers {
            [] => self.request(number),
            answers => &answers[(number % PATTERN as u64) as usize * size..][..size],
        }
    }

    fn take(&mut self, index: usize, mut rest: &[u8], now: u64) -> anyhow::Result<()> {
        let payload = self.plan.payload_bytes as usize;
        while !rest.is_empty() {
            let connection = &self.connections[index];
            let received = connection.received;
            let Some(&(number, due)) = connection.waiting.front() else {
                bail!(
                    "the server sent {} bytes that were not requested",
                    rest.len()
                );
            };
            let (part, remaining) = rest.split_at((payload - received).min(rest.len()));
            rest = remaining;
            let right = part == &self.answer(number)[received..received + part.len()];
            let connection = &mut self.connections[index];
            connection.right &= right;
            connection.received += part.len();
            if connection.received == payload {
                self.tally.right += u64::from(connection.right);
                connection.waiting.pop_front();
                (connection.received, connection.right) = (0, true);
                let is_last = connection.waiting.is_empty();
                self.tally.ended += 1;
                self.tally.latencies.record(now.saturating_sub(due));
                self.left -= 1;
                if self.schedule.offered_per_s == 0 && is_last {
                    self.send_burst(index, now)?;
                }
            }
        }
        Ok(())
    }
}

impl Client for Echo<'_> {
    fn poller(&self) -> &Epoll {
        &self.poller
    }

    fn begin(&mut self, schedule: Schedule, start: u64) -> anyhow::Result<()> {
        let all = self.plan.connections;
        (self.schedule, self.start) = (schedule, start);
        (self.next, self.left, self.tally) = (0, 0, Tally::new());
        for (number, connection) in (self.first..)
            .step_by(self.threads as usize)
            .zip(&mut self.connections)
        {
            connection.next = number;
            self.left += (schedule.requests + all - 1 - number) / all;
        }
        if schedule.offered_per_s == 0 {
            for index in 0..self.connections.len() {
                self.send_burst(index, start)?;
            }
        }
        Ok(())
    }

    fn send_due(&mut self) -> anyhow::Result<(bool, Option<u64>)> {
        let connections = self.plan.connections;
        let (schedule, start) = (self.schedule, self.start);
        if schedule.offered_per_s == 0 || self.next >= schedule.requests {
            return Ok((false, None));
        }
        let mut end = schedule.due_by(start, now_ns());
        if end < self.next + connections {
            end = end.min(self.next + SENDS * self.threads);
        }
        let mut sent = false;
        for number in self.next..end.min(self.next + connections) {
            let connection = number % connections;
            if connection % self.threads != self.first {
                continue;
            }
            let numbers = (number..end).step_by(connections as usize);
            self.send(
                (connection / self.threads) as usize,
                numbers.map(|number| (number, schedule.due_at(start, number))),
            )?;
            sent = true;
        }
        self.next = self.next.max(end);
        let has_more = self.next < schedule.requests;
        Ok((sent, has_more.then(|| schedule.due_at(start, self.next))))
    }

    fn flush(&mut self, index: usize) -> anyhow::Result<()> {
        let connection = &mut self.connections[index];
        while !connection.unsent.is_empty() {
            let unsent = connection.unsent.make_contiguous();
            match generator::write(&mut connection.stream, unsent)? {
                0 => break,
                sent => drop(connection.unsent.drain(..sent)),
            }
        }
        Ok(())
    }

    fn receive(&mut self, index: usize, _ends: bool, block: &mut [u8]) -> anyhow::Result<()> {
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

    fn left(&self) -> u64 {
        self.left
    }

    fn tally(&mut self) -> Tally {
        std::mem::replace(&mut self.tally, Tally::new())
    }
}
