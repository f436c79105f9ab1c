//! The suite's own backend: values by key, over RESP, with delayed answers. One thread serves all
//! connections. On a host with two CPUs the backend shares a CPU with the load generator, and a
//! thread for each connection would need two more context switches for each request.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::time::TimeSpec;
use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};

use super::PAUSE;
use super::resp;
use crate::host::backlog;
use crate::kernels::lehmer;

/// Events of the listener and the timer. Smaller numbers are connections.
const LISTENER: u64 = u64::MAX;
const TIMER: u64 = u64::MAX - 1;

#[derive(Clone, Copy, Debug)]
pub(super) struct Delays {
    pub(super) delay_ns: u64,
    /// The longest additional delay.
    pub(super) spread_ns: u64,
    pub(super) slow_ns: u64,
}

impl Delays {
    fn of(self, key: &[u8], number: u64) -> Duration {
        let ns = match key.starts_with(b"slow:") {
            true => self.slow_ns,
            // Evenly spread, by a random generator with the seed `number`.
            false => self.delay_ns + lehmer::after(number, 2) % (self.spread_ns + 1),
        };
        Duration::from_nanos(ns)
    }
}

/// Serves in a thread until the process ends.
pub(super) fn start(delays: Delays) -> anyhow::Result<SocketAddr> {
    let listener =
        TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("listening on the loopback")?;
    backlog::lengthen(&listener)?;
    let address = listener.local_addr()?;
    listener.set_nonblocking(true)?;
    let poller = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
    let timer = TimerFd::new(
        ClockId::CLOCK_MONOTONIC,
        TimerFlags::TFD_CLOEXEC | TimerFlags::TFD_NONBLOCK,
    )?;
    poller.add(&listener, EpollEvent::new(EpollFlags::EPOLLIN, LISTENER))?;
    // Edge-triggered, so the timer can be armed again without reading its count.
    let edges = EpollFlags::EPOLLIN | EpollFlags::EPOLLET;
    poller.add(&timer, EpollEvent::new(edges, TIMER))?;
    let mut store = Store {
        delays,
        listener,
        poller,
        timer,
        armed: None,
        accepts_again: None,
        values: HashMap::new(),
        reads: 0,
        connections: Vec::new(),
        free: Vec::new(),
        due: BinaryHeap::new(),
    };
    thread::Builder::new().spawn(move || {
        if let Err(error) = store.serve() {
            eprintln!("the backend ends: {error:#}");
            std::process::exit(1);
        }
    })?;
    Ok(address)
}

struct Store {
    delays: Delays,
    listener: TcpListener,
    poller: Epoll,
    timer: TimerFd,
    armed: Option<Instant>,
    /// When connections are accepted again, if the process had no descriptor for one.
    accepts_again: Option<Instant>,
    values: HashMap<Vec<u8>, Vec<u8>>,
    reads: u64,
    /// The connections by number. The numbers of closed connections are in `free`.
    connections: Vec<Option<Connection>>,
    free: Vec<usize>,
    /// When answers are due, by connection. A closed connection's number may belong to another
    /// connection, whose check then has no effect.
    due: BinaryHeap<Reverse<(Instant, usize)>>,
}

struct Connection {
    stream: TcpStream,
    received: Vec<u8>,
    /// Unsent answers, without limit if the client does not read.
    answers: Vec<u8>,
    /// When to send the answers. Answers to commands that arrived together are sent together.
    due: Instant,
    ended: bool,
}

impl Store {
    fn serve(&mut self) -> anyhow::Result<()> {
        let (mut events, mut block) = ([EpollEvent::empty(); 64], vec![0; 16 << 10]);
        loop {
            let limit = match self.accepts_again {
                None => EpollTimeout::NONE,
                Some(_) => EpollTimeout::try_from(PAUSE)?,
            };
            let count = match self.poller.wait(&mut events, limit) {
                Err(nix::errno::Errno::EINTR) => continue,
                count => count.context("waiting for events")?,
            };
            for event in &events[..count] {
                match event.data() {
                    LISTENER => self.accept()?,
                    TIMER => self.armed = None,
                    number => self.handle_events(number as usize, event.events(), &mut block),
                }
            }
            self.send_due()?;
            self.end_pause()?;
        }
    }

    fn accept(&mut self) -> anyhow::Result<()> {
        loop {
            let stream = match self.listener.accept() {
                Ok((stream, _)) => stream,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                // No descriptor is free until a connection is closed. Open connections are served.
                Err(_) => return self.pause_accepting(),
            };
            stream.set_nonblocking(true)?;
            stream.set_nodelay(true)?;
            let number = self.free.pop().unwrap_or(self.connections.len());
            let interest = EpollFlags::EPOLLIN
                | EpollFlags::EPOLLRDHUP
                | EpollFlags::EPOLLOUT
                | EpollFlags::EPOLLET;
            self.poller
                .add(stream.as_fd(), EpollEvent::new(interest, number as u64))?;
            let connection = Some(Connection {
                stream,
                received: Vec::new(),
                answers: Vec::new(),
                due: Instant::now(),
                ended: false,
            });
            match self.connections.get_mut(number) {
                Some(place) => *place = connection,
                None => self.connections.push(connection),
            }
        }
    }

    fn pause_accepting(&mut self) -> anyhow::Result<()> {
        self.accepts_again = Some(Instant::now() + PAUSE);
        self.listen_for(EpollFlags::empty())
    }

    fn end_pause(&mut self) -> anyhow::Result<()> {
        match self.accepts_again {
            Some(end) if end <= Instant::now() => {
                self.accepts_again = None;
                self.listen_for(EpollFlags::EPOLLIN)
            }
            _ => Ok(()),
        }
    }

    fn listen_for(&self, events: EpollFlags) -> anyhow::Result<()> {
        let mut event = EpollEvent::new(events, LISTENER);
        self.poller
            .modify(&self.listener, &mut event)
            .context("changing the listener's events")
    }

    /// Reads commands and sends due answers. An error only ends the connection.
    fn handle_events(&mut self, number: usize, events: EpollFlags, block: &mut [u8]) {
        // An earlier event of this turn may have ended the connection.
        let Some(mut connection) = self.connections.get_mut(number).and_then(Option::take) else {
            return;
        };
        let end = EpollFlags::EPOLLRDHUP | EpollFlags::EPOLLHUP | EpollFlags::EPOLLERR;
        match self.converse(&mut connection, number, events.intersects(end), block) {
            Ok(false) => self.connections[number] = Some(connection),
            Ok(true) | Err(_) => self.free.push(number),
        }
    }

    /// Reads and answers commands, until the end of the stream if `ends`. Returns whether the
    /// stream has ended and all answers are sent.
    fn converse(
        &mut self,
        connection: &mut Connection,
        number: usize,
        ends: bool,
        block: &mut [u8],
    ) -> io::Result<bool> {
        connection.send(Instant::now())?;
        while !connection.ended {
            let size = match connection.stream.read(block) {
                Ok(size) => size,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            connection.received.extend_from_slice(&block[..size]);
            let wait = self.answer_all(connection)?;
            if !connection.answers.is_empty() {
                let now = Instant::now();
                connection.due = connection.due.max(now + wait);
                match connection.due > now {
                    true => self.due.push(Reverse((connection.due, number))),
                    false => connection.send(now)?,
                }
            }
            // A read that does not fill the block has emptied the socket. Later bytes make a new
            // event.
            connection.ended = size == 0;
            if size < block.len() && !ends {
                break;
            }
        }
        Ok(connection.is_over())
    }

    /// Returns the longest delay of an answer.
    fn answer_all(&mut self, connection: &mut Connection) -> io::Result<Duration> {
        let (mut from, mut longest) = (0, Duration::ZERO);
        let received = std::mem::take(&mut connection.received);
        while let Some((words, end)) =
            resp::words(&received[from..]).map_err(|_| ErrorKind::InvalidData)?
        {
            let words: Vec<_> = words
                .into_iter()
                .map(|word| &received[from..][word])
                .collect();
            longest = longest.max(self.answer(&words, &mut connection.answers));
            from += end;
        }
        connection.received = received;
        connection.received.drain(..from);
        Ok(longest)
    }

    /// Returns the delay of the answer.
    fn answer(&mut self, words: &[&[u8]], out: &mut Vec<u8>) -> Duration {
        match words {
            [name, key] if name.eq_ignore_ascii_case(b"get") => {
                let number = self.reads;
                self.reads += 1;
                match self.values.get(*key) {
                    Some(value) => resp::bulk(out, value),
                    None => out.extend_from_slice(b"$-1\r\n"),
                }
                return self.delays.of(key, number);
            }
            [name, key, value] if name.eq_ignore_ascii_case(b"set") => {
                self.values.insert(key.to_vec(), value.to_vec());
                out.extend_from_slice(b"+OK\r\n");
            }
            _ => out.extend_from_slice(b"-ERR unknown command\r\n"),
        }
        Duration::ZERO
    }

    /// Also arms the timer for the next answers.
    fn send_due(&mut self) -> anyhow::Result<()> {
        let mut now = Instant::now();
        while let Some(&Reverse((due, number))) = self.due.peek() {
            if due > now {
                now = Instant::now();
                if due > now {
                    return self.arm(due, now);
                }
            }
            self.due.pop();
            let Some(connection) = &mut self.connections[number] else {
                continue;
            };
            if connection.send(now).is_err() || connection.is_over() {
                self.connections[number] = None;
                self.free.push(number);
            }
        }
        Ok(())
    }

    fn arm(&mut self, due: Instant, now: Instant) -> anyhow::Result<()> {
        if self.armed.is_none_or(|armed| armed > due) {
            let wait = TimeSpec::from_duration(due - now);
            self.timer
                .set(Expiration::OneShot(wait), TimerSetTimeFlags::empty())
                .context("setting the timer")?;
            self.armed = Some(due);
        }
        Ok(())
    }
}

impl Connection {
    fn is_over(&self) -> bool {
        self.ended && self.answers.is_empty()
    }

    fn send(&mut self, now: Instant) -> io::Result<()> {
        if self.due > now {
            return Ok(());
        }
        let mut sent = 0;
        while sent < self.answers.len() {
            match self.stream.write(&self.answers[sent..]) {
                Ok(size) => sent += size,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        self.answers.drain(..sent);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::net::Shutdown;

    use super::*;

    const DELAY: Duration = Duration::from_millis(20);

    fn connect() -> (SocketAddr, TcpStream) {
        let address = start(Delays {
            delay_ns: DELAY.as_nanos() as u64,
            spread_ns: 0,
            slow_ns: 5 * DELAY.as_nanos() as u64,
        })
        .unwrap();
        (address, TcpStream::connect(address).unwrap())
    }

    fn command(words: &[&[u8]]) -> Vec<u8> {
        let mut out = Vec::new();
        resp::command(&mut out, words);
        out
    }

    fn expect(stream: &mut TcpStream, right: &[u8]) {
        let mut received = vec![0; right.len()];
        stream.read_exact(&mut received).unwrap();
        assert_eq!(
            String::from_utf8_lossy(&received),
            String::from_utf8_lossy(right)
        );
    }

    #[test]
    fn answers_come_in_the_order_of_the_commands_and_not_before_their_delay() {
        let (address, mut stream) = connect();
        stream.write_all(&command(&[b"SET", b"a", b"1"])).unwrap();
        expect(&mut stream, b"+OK\r\n");
        // In two pieces, while another connection waits for a slow answer.
        let mut slow = TcpStream::connect(address).unwrap();
        let began = Instant::now();
        slow.write_all(&command(&[b"get", b"slow:a"])).unwrap();
        let both = [command(&[b"get", b"a"]), command(&[b"get", b"b"])].concat();
        let (first, rest) = both.split_at(9);
        stream.write_all(first).unwrap();
        stream.write_all(rest).unwrap();
        expect(&mut stream, b"$1\r\n1\r\n$-1\r\n");
        assert!(began.elapsed() >= DELAY);
        stream.write_all(&command(&[b"del", b"a"])).unwrap();
        expect(&mut stream, b"-ERR unknown command\r\n");
        expect(&mut slow, b"$-1\r\n");
        assert!(began.elapsed() >= 5 * DELAY);
    }

    #[test]
    fn bytes_and_the_end_that_arrive_before_an_answer_is_due_do_not_send_it() {
        let (_, mut stream) = connect();
        let began = Instant::now();
        stream.write_all(&command(&[b"get", b"slow:a"])).unwrap();
        thread::sleep(DELAY);
        stream.write_all(b"*2\r\n$3").unwrap();
        thread::sleep(DELAY);
        stream.shutdown(Shutdown::Write).unwrap();
        expect(&mut stream, b"$-1\r\n");
        assert!(began.elapsed() >= 5 * DELAY);
        assert_eq!(stream.read(&mut [0]).unwrap(), 0);
    }

    #[test]
    fn answers_that_the_client_does_not_read_are_kept_and_hold_up_no_other_client() {
        let (address, mut stream) = connect();
        let value = vec![b'v'; 1 << 19];
        stream.write_all(&command(&[b"SET", b"a", &value])).unwrap();
        expect(&mut stream, b"+OK\r\n");
        // The answers are larger than the sockets' buffers. Another thread sends the commands, so a
        // store that stops reading does not block the test.
        let count = 64;
        let mut writer = stream.try_clone().unwrap();
        let sent = thread::spawn(move || {
            writer
                .write_all(&command(&[b"get", b"a"]).repeat(count))
                .unwrap();
            writer.shutdown(Shutdown::Write).unwrap();
        });
        let mut other = TcpStream::connect(address).unwrap();
        other.write_all(&command(&[b"get", b"b"])).unwrap();
        expect(&mut other, b"$-1\r\n");
        let mut right = Vec::new();
        resp::bulk(&mut right, &value);
        for _ in 0..count {
            expect(&mut stream, &right);
        }
        sent.join().unwrap();
        assert_eq!(stream.read(&mut [0]).unwrap(), 0);
    }

    #[test]
    fn client_that_sends_garbage_or_ends_in_mid_command_loses_only_its_own_connection() {
        let (address, mut stream) = connect();
        for bytes in [&b"garbage\r\n\r\n"[..], b"*2\r\n$3\r\nget\r\n$1"] {
            let mut bad = TcpStream::connect(address).unwrap();
            bad.write_all(bytes).unwrap();
            bad.shutdown(Shutdown::Write).unwrap();
            assert!(matches!(bad.read(&mut [0]), Ok(0) | Err(_)));
        }
        stream.write_all(&command(&[b"get", b"b"])).unwrap();
        expect(&mut stream, b"$-1\r\n");
    }
}
