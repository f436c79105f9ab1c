//! The client of `service.http`: HTTP over connections that carry one request at a time. A request
//! waits for the first free connection. Its latency counts from when it was due.

use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::thread;
use std::time::Duration;

use anyhow::{Context, bail};
use nix::sys::epoll::{Epoll, EpollCreateFlags};
use serde::Deserialize;

use super::generator::{self, Client, Schedule, TIMEOUT, Tally};
use super::service::Plan;
use crate::host::clock::now_ns;
use crate::service::api::{Question, right_check};
use crate::service::{DRAIN, Route, secret, user};

/// The most sends before the client reads. With more, it would read answers late and measure too
/// long latencies.
const SENDS: usize = 16;
const READ_TIME: Duration = Duration::from_millis(20);

pub(super) struct RightChecks(Vec<(Route, Vec<u64>)>);

impl RightChecks {
    pub(super) fn new(steps: u64) -> Self {
        let of = |route: Route| {
            let items = 0..route.items_count();
            (
                route,
                items.map(|item| right_check(route, item, steps)).collect(),
            )
        };
        Self(Route::ALL.into_iter().map(of).collect())
    }

    fn of(&self, route: Route, item: u64) -> Option<u64> {
        let (_, right_checks) = self.0.iter().find(|(known, _)| *known == route)?;
        right_checks.get(item as usize).copied()
    }
}

pub(super) struct Http<'a> {
    plan: &'a Plan,
    right_checks: &'a RightChecks,
    poller: Epoll,
    connections: Vec<Connection>,
    /// Connections without a request, the longest idle first.
    idle: VecDeque<usize>,
    /// Number and due time of requests without a connection.
    backlog: VecDeque<(u64, u64)>,
    /// When requests expire, with the connection and its `turn` at the send.
    deadlines: VecDeque<(u64, usize, u64)>,
    schedule: Schedule,
    start: u64,
    next: u64,
    first: u64,
    threads: u64,
    /// The service is ending, so connections that it closes stay closed.
    is_draining: bool,
    left: u64,
    tally: Tally,
}

struct Connection {
    stream: Option<TcpStream>,
    /// Number and due time of the request without an answer.
    waiting: Option<(u64, u64)>,
    /// Counts this connection's requests and closes. A deadline of an earlier `turn` has no effect.
    turn: u64,
    received: Vec<u8>,
    unsent: Vec<u8>,
}

impl<'a> Http<'a> {
    pub(super) fn connect(
        plan: &'a Plan,
        right_checks: &'a RightChecks,
        first: u64,
        threads: u64,
    ) -> anyhow::Result<Self> {
        let mut client = Self {
            plan,
            right_checks,
            poller: Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?,
            connections: Vec::new(),
            idle: VecDeque::new(),
            backlog: VecDeque::new(),
            deadlines: VecDeque::new(),
            schedule: Schedule::default(),
            start: 0,
            next: 0,
            first,
            threads,
            is_draining: false,
            left: 0,
            tally: Tally::new(),
        };
        for index in 0..(first..plan.connections).step_by(threads as usize).count() {
            client.connections.push(Connection {
                stream: None,
                waiting: None,
                turn: 0,
                received: Vec::new(),
                unsent: Vec::new(),
            });
            client.open(index)?;
        }
        Ok(client)
    }

    fn open(&mut self, index: usize) -> anyhow::Result<()> {
        let stream = generator::connect(self.plan.address, &self.poller, index as u64)?;
        self.connections[index].stream = Some(stream);
        self.idle.push_back(index);
        Ok(())
    }

    /// Ends a connection, and its request with an error. Opens another connection unless the
    /// service is ending.
    fn close(&mut self, index: usize) -> anyhow::Result<()> {
        let connection = &mut self.connections[index];
        // The drop also removes the connection from the poller.
        if connection.stream.take().is_none() {
            return Ok(());
        }
        connection.turn += 1;
        connection.received.clear();
        connection.unsent.clear();
        if connection.waiting.take().is_some() {
            self.tally.errors += 1;
            self.note_disturbance(now_ns());
            self.count_ended();
        }
        self.idle.retain(|&idle| idle != index);
        if self.is_draining {
            self.left -= 1;
            return Ok(());
        }
        self.open(index)
    }

    fn count_ended(&mut self) {
        self.tally.ended += 1;
        if !self.is_draining {
            self.left -= 1;
        }
    }

    /// Requests that found no connection count as failed, but not as wrong answers.
    fn give_up(&mut self, now: u64) {
        while let Some((number, due)) = self.backlog.pop_front() {
            if Route::of(number) != Route::Slow {
                self.tally.latencies.record(now.saturating_sub(due));
            }
            self.tally.errors += 1;
            self.tally.given_up += 1;
            self.tally.right += 1;
            self.note_disturbance(now);
            self.count_ended();
        }
    }

    fn note_disturbance(&mut self, now: u64) {
        self.tally.disturbed_ns = now.saturating_sub(self.start);
    }

    fn send(&mut self, index: usize, number: u64, due: u64) -> anyhow::Result<()> {
        let route = Route::of(number);
        let item = route.item(number);
        let connection = &mut self.connections[index];
        connection.waiting = Some((number, due));
        connection.turn += 1;
        self.deadlines
            .push_back((now_ns() + TIMEOUT.as_nanos() as u64, index, connection.turn));
        let body = serde_json::to_vec(&Question { item })?;
        let user = user(number);
        write!(
            connection.unsent,
            "POST /{} HTTP/1.1\r\nHost: service\r\nAuthorization: Bearer {user}:{}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
            route.name(),
            secret(&user),
            body.len()
        )?;
        connection.unsent.extend_from_slice(&body);
        self.flush(index)
    }

    fn expire(&mut self, now: u64) -> anyhow::Result<()> {
        while let Some(&(deadline, index, turn)) = self.deadlines.front() {
            let connection = &self.connections[index];
            let is_waiting = connection.turn == turn && connection.waiting.is_some();
            if is_waiting && now < deadline {
                return Ok(());
            }
            self.deadlines.pop_front();
            if is_waiting {
                self.close(index)?;
            }
        }
        Ok(())
    }

    fn take(&mut self, index: usize) -> anyhow::Result<()> {
        let connection = &mut self.connections[index];
        let answer = match Answer::parse(&connection.received) {
            Some(Ok(answer)) => answer,
            None => return Ok(()),
            Some(Err(())) => return self.close(index),
        };
        let Some((number, due)) = connection.waiting.take() else {
            return self.close(index);
        };
        let body = &connection.received[answer.body.clone()];
        let now = now_ns();
        let latency = now.saturating_sub(due);
        let route = Route::of(number);
        let right = self.right_checks.of(route, route.item(number));
        if answer.status != 200 || (latency > self.plan.limit_ns && route != Route::Slow) {
            self.tally.disturbed_ns = now.saturating_sub(self.start);
        }
        match answer.status {
            200 if right.is_some() && check(body) == right => {
                self.tally.right += 1;
                if route != Route::Slow {
                    self.tally.latencies.record(latency);
                }
            }
            503 => {
                self.tally.right += 1;
                self.tally.shed += 1;
            }
            502 | 504 => {
                self.tally.right += 1;
                self.tally.errors += 1;
            }
            _ => self.tally.errors += 1,
        }
        connection.received.drain(..answer.body.end);
        self.count_ended();
        if answer.closes || !self.connections[index].received.is_empty() {
            return self.close(index);
        }
        self.idle.push_back(index);
        Ok(())
    }

    /// The first thread sends the last requests, at most one on each connection, which the service
    /// must answer; then it requests the service's end.
    fn drain(&mut self) -> anyhow::Result<()> {
        self.is_draining = true;
        self.left = self.connections.len() as u64;
        if self.first > 0 {
            return Ok(());
        }
        for _ in 0..self.schedule.requests {
            if let Some(index) = self.idle.pop_front() {
                // Requests of the slow route are in progress when the shutdown begins.
                self.send(index, 0, self.start)?;
            }
        }
        // Meanwhile the service reads the requests.
        thread::sleep(READ_TIME);
        let mut stream = TcpStream::connect_timeout(&self.plan.address, TIMEOUT)?;
        stream.set_read_timeout(Some(TIMEOUT))?;
        write!(
            stream,
            "POST {DRAIN} HTTP/1.1\r\nHost: service\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
        )?;
        let mut answer = Vec::new();
        stream
            .read_to_end(&mut answer)
            .context("waiting for the service to begin its end")?;
        if !answer.starts_with(b"HTTP/1.1 200") {
            bail!("the service refused to end: {}", answer.escape_ascii());
        }
        Ok(())
    }
}

impl Client for Http<'_> {
    fn poller(&self) -> &Epoll {
        &self.poller
    }

    fn begin(&mut self, schedule: Schedule, start: u64) -> anyhow::Result<()> {
        (self.schedule, self.start, self.next) = (schedule, start, self.first);
        self.tally = Tally::new();
        if schedule.offered_per_s == 0 {
            return self.drain();
        }
        self.left = (self.first..schedule.requests)
            .step_by(self.threads as usize)
            .count() as u64;
        Ok(())
    }

    fn send_due(&mut self) -> anyhow::Result<(bool, Option<u64>)> {
        let now = now_ns();
        self.expire(now)?;
        let (schedule, start) = (self.schedule, self.start);
        if !self.is_draining {
            let end = schedule.due_by(start, now);
            while self.next < end {
                let due = schedule.due_at(start, self.next);
                self.backlog.push_back((self.next, due));
                self.tally.stopped_ns = self.tally.stopped_ns.max(now.saturating_sub(due));
                self.next += self.threads;
            }
        }
        if schedule.given_up_ns > 0 && now >= start.saturating_add(schedule.given_up_ns) {
            self.give_up(now);
        }
        let mut sent = 0;
        while sent < SENDS && !self.idle.is_empty() {
            let Some((number, due)) = self.backlog.pop_front() else {
                break;
            };
            if let Some(index) = self.idle.pop_front() {
                self.send(index, number, due)?;
                sent += 1;
            }
        }
        let has_more = !self.is_draining && self.next < schedule.requests;
        let next = has_more.then(|| schedule.due_at(start, self.next));
        let next_deadline = self.deadlines.front().map(|&(deadline, ..)| deadline);
        Ok((sent > 0, next.into_iter().chain(next_deadline).min()))
    }

    fn flush(&mut self, index: usize) -> anyhow::Result<()> {
        let connection = &mut self.connections[index];
        let Some(stream) = connection.stream.as_mut() else {
            return Ok(());
        };
        while !connection.unsent.is_empty() {
            match generator::write(stream, &connection.unsent) {
                Ok(0) => return Ok(()),
                Ok(sent) => drop(connection.unsent.drain(..sent)),
                Err(_) => return self.close(index),
            }
        }
        Ok(())
    }

    fn receive(&mut self, index: usize, ends: bool, block: &mut [u8]) -> anyhow::Result<()> {
        loop {
            let connection = &mut self.connections[index];
            let Some(stream) = connection.stream.as_mut() else {
                return Ok(());
            };
            match stream.read(block) {
                Ok(0) => return self.close(index),
                Ok(size) => {
                    connection.received.extend_from_slice(&block[..size]);
                    self.take(index)?;
                    if size < block.len() && !ends {
                        return Ok(());
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return self.close(index),
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

struct Answer {
    status: u16,
    body: std::ops::Range<usize>,
    closes: bool,
}

impl Answer {
    fn parse(bytes: &[u8]) -> Option<Result<Self, ()>> {
        let mut headers = [httparse::EMPTY_HEADER; 32];
        let mut head = httparse::Response::new(&mut headers);
        let from = match head.parse(bytes) {
            Ok(httparse::Status::Complete(from)) => from,
            Ok(httparse::Status::Partial) => return None,
            Err(_) => return Some(Err(())),
        };
        let value = |name: &str| {
            let mut headers = head.headers.iter();
            let header = headers.find(|header| header.name.eq_ignore_ascii_case(name))?;
            std::str::from_utf8(header.value).ok()
        };
        let Some(length) = value("content-length").and_then(|text| text.parse::<usize>().ok())
        else {
            return Some(Err(()));
        };
        let body = from..from.checked_add(length)?;
        (body.end <= bytes.len()).then(|| {
            Ok(Self {
                status: head.code.unwrap_or_default(),
                closes: value("connection")
                    .is_some_and(|value| value.eq_ignore_ascii_case("close")),
                body,
            })
        })
    }
}

fn check(body: &[u8]) -> Option<u64> {
    #[derive(Deserialize)]
    struct Checked {
        check: u64,
    }
    let checked: Checked = serde_json::from_slice(body).ok()?;
    Some(checked.check)
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::net::{SocketAddr, TcpListener};
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;
    use crate::load::generator::Threads;
    use crate::service::http::{self, Target};
    use crate::service::{Record, api};

    fn plan(address: SocketAddr, connections: u64) -> Plan {
        Plan {
            address,
            connections,
            hold_ns: 1,
            try_ns: 1,
            search_ns: 1,
            limit_ns: 1,
            idle_connections: 0,
            steps: 3,
        }
    }

    /// Answers requests right except the first four: closes the connection, refuses, reports a
    /// missing backend, and gives a wrong answer.
    fn answer(mut stream: TcpStream, count: &AtomicU64) -> io::Result<()> {
        let (mut received, mut block) = (Vec::new(), [0; 1 << 10]);
        loop {
            let Ok(Some(request)) = http::parse(&received) else {
                match stream.read(&mut block)? {
                    0 => return Ok(()),
                    size => received.extend_from_slice(&block[..size]),
                }
                continue;
            };
            let Target::Route(route) = request.target else {
                return Ok(());
            };
            let item = api::item(&received[request.body.clone()]).unwrap();
            received.drain(..request.body.end);
            let records = route.items(item).map(Record::of);
            let values: Vec<_> = records
                .map(|one| serde_json::to_vec(&one).unwrap())
                .collect();
            let computed = api::compute(route, item, 3);
            let right = api::answer(route, "u1", item, computed, &values).unwrap();
            let (status, body) = match count.fetch_add(1, Ordering::Relaxed) {
                0 => return Ok(()),
                1 => (503, b"{}".to_vec()),
                2 => (502, b"{}".to_vec()),
                3 => (200, br#"{"check":1}"#.to_vec()),
                _ => (200, right),
            };
            let mut out = Vec::new();
            http::respond(&mut out, status, &body, false);
            // In two parts, so the client must wait for the second.
            let (first, second) = out.split_at(out.len() / 2);
            stream.write_all(first)?;
            stream.flush()?;
            stream.write_all(second)?;
        }
    }

    #[test]
    fn answers_that_are_cut_refused_failed_or_wrong_are_counted_and_none_is_lost() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let plan = plan(listener.local_addr().unwrap(), 3);
        thread::spawn(move || {
            let count = AtomicU64::new(0);
            thread::scope(|scope| {
                for stream in listener.incoming() {
                    let (stream, count) = (stream.unwrap(), &count);
                    scope.spawn(move || answer(stream, count));
                }
            });
        });
        let right_checks = RightChecks::new(3);
        let threads = Threads::of(3, None, false);
        let connect = |first| Http::connect(&plan, &right_checks, first, threads.count as u64);
        let mut parts = threads.connect(connect).unwrap();
        let schedule = Schedule {
            requests: 400,
            offered_per_s: 20_000,
            ..Schedule::default()
        };
        let tally = threads.load(&mut parts, schedule).unwrap().tally;
        assert_eq!((tally.ended, tally.shed, tally.errors), (400, 1, 3));
        assert_eq!(tally.right, 400 - 2);
        // Requests 0 and 200 are of the slow route and do not count.
        assert!((394..=396).contains(&tally.latencies.count()), "{tally:?}");
    }

    #[test]
    fn time_for_which_the_generator_was_stopped_is_reported() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let plan = plan(listener.local_addr().unwrap(), 1);
        let right_checks = RightChecks::new(3);
        let mut client = Http::connect(&plan, &right_checks, 0, 1).unwrap();
        let schedule = Schedule {
            requests: 10,
            offered_per_s: 100,
            ..Schedule::default()
        };
        // The requests of 0, 10, 20 and 30 ms are due already.
        const LATE_NS: u64 = 35_000_000;
        client.begin(schedule, now_ns() - LATE_NS).unwrap();
        client.send_due().unwrap();
        assert!(client.tally().stopped_ns >= LATE_NS);
    }

    #[test]
    fn requests_that_found_no_connection_in_time_are_given_up_and_counted() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let plan = plan(listener.local_addr().unwrap(), 1);
        // The first answer comes when the time for all requests is over.
        let time = Duration::from_millis(30);
        let server = thread::spawn(move || {
            let (stream, _) = listener.accept().unwrap();
            thread::sleep(3 * time);
            let _ = answer(stream, &AtomicU64::new(4));
        });
        let right_checks = RightChecks::new(3);
        let threads = Threads::of(1, None, false);
        let connect = |first| Http::connect(&plan, &right_checks, first, 1);
        let mut parts = threads.connect(connect).unwrap();
        let schedule = Schedule {
            requests: 100,
            offered_per_s: 10_000,
            given_up_ns: time.as_nanos() as u64,
            ..Schedule::default()
        };
        let tally = threads.load(&mut parts, schedule).unwrap().tally;
        assert_eq!((tally.ended, tally.right, tally.errors), (100, 100, 99));
        assert_eq!(tally.given_up, 99);
        assert!(tally.disturbed_ns >= time.as_nanos() as u64, "{tally:?}");
        // The first request is of the slow route.
        assert_eq!(tally.latencies.count(), 99);
        assert!(tally.latencies.median_ns() >= 20e6, "{tally:?}");
        drop(parts);
        server.join().unwrap();
    }
}
