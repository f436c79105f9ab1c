//! A poller holds the connections without a request. A few tasks serve the connections that have a
//! request.

use std::collections::HashMap;
use std::io::{self, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use bench_runtime::net::Shared;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::eventfd::{EfdFlags, EventFd};

use super::{Server, locked, read_more, run};
use crate::lane::{Failure, Order, Outcome};
use crate::shapes::Blocking;
use crate::shapes::team::join_all;

/// Tasks that refuse requests above the limit.
const SPARE: u64 = 4;
/// The number of the event that ends the service.
const END: u64 = u64::MAX;

pub(crate) fn pooled<L>(lane: &L, order: &Order) -> Result<Outcome, Failure>
where
    L: Blocking<Stream = Shared<TcpStream>, Listener = Arc<TcpListener>>,
{
    let tasks = order.get("in_flight_count") + SPARE;
    run(lane, order, move |server| {
        let poller =
            Poller::new().map_err(|error| Failure::host("making a poller", &error, "ulimit -n"))?;
        server.serve_pooled(&Arc::new(poller), tasks)
    })
}

/// A connection. Only one task at a time uses it.
struct OpenConnection {
    stream: Shared<TcpStream>,
    received: Mutex<Vec<u8>>,
}

struct Poller {
    epoll: Epoll,
    open: Mutex<HashMap<u64, Arc<OpenConnection>>>,
    /// The number of open connections, plus 1 for the acceptor. At 0 the tasks end.
    live: AtomicU64,
    end: EventFd,
}

impl Poller {
    fn new() -> io::Result<Self> {
        let poller = Self {
            epoll: Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?,
            open: Mutex::default(),
            live: AtomicU64::new(1),
            end: EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)?,
        };
        let event = EpollEvent::new(EpollFlags::EPOLLIN, END);
        poller.epoll.add(&poller.end, event)?;
        Ok(poller)
    }

    fn add_connection(&self, number: u64, stream: Shared<TcpStream>) -> io::Result<()> {
        let open = Arc::new(OpenConnection {
            stream,
            received: Mutex::default(),
        });
        locked(&self.open).insert(number, open.clone());
        self.live.fetch_add(1, Ordering::Relaxed);
        let held = self.epoll.add(&*open.stream, one_event(number));
        if held.is_err() {
            self.close(number);
        }
        Ok(held?)
    }

    fn close(&self, number: u64) {
        if let Some(open) = locked(&self.open).remove(&number) {
            // An error means that the connection has ended.
            let _ = open.stream.shutdown(Shutdown::Both);
        }
        self.decrement_live();
    }

    fn decrement_live(&self) {
        if self.live.fetch_sub(1, Ordering::AcqRel) == 1 {
            // The write cannot fail: the counter is 0.
            let _ = self.end.write(1);
        }
    }

    fn next(&self) -> nix::Result<Option<(u64, Arc<OpenConnection>)>> {
        let mut events = [EpollEvent::empty()];
        loop {
            match self.epoll.wait(&mut events, EpollTimeout::NONE) {
                Ok(1) if events[0].data() == END => return Ok(None),
                Ok(1) => {
                    let number = events[0].data();
                    if let Some(open) = locked(&self.open).get(&number) {
                        return Ok(Some((number, open.clone())));
                    }
                }
                Ok(_) | Err(nix::errno::Errno::EINTR) => {}
                Err(errno) => return Err(errno),
            }
        }
    }
}

/// With `EPOLLONESHOT`, only one task gets an event for the same bytes.
fn one_event(number: u64) -> EpollEvent {
    let flags = EpollFlags::EPOLLIN | EpollFlags::EPOLLRDHUP | EpollFlags::EPOLLONESHOT;
    EpollEvent::new(flags, number)
}

impl<L: Blocking<Stream = Shared<TcpStream>, Listener = Arc<TcpListener>>> Server<L> {
    fn serve_pooled(self: &Arc<Self>, poller: &Arc<Poller>, tasks: u64) -> Result<u64, Failure> {
        let start = |_| {
            let (server, poller) = (self.clone(), poller.clone());
            self.lane.spawn(move || server.serve_ready(&poller))
        };
        let started: Result<Vec<_>, _> = (0..tasks).map(start).collect();
        let mut numbers = 0..;
        let accepted = match &started {
            Ok(_) => self.accept_all(|stream| {
                // On an error the connection is closed.
                drop(poller.add_connection(numbers.next().unwrap_or(END), stream));
                Ok(())
            }),
            Err(_) => Ok(()),
        };
        self.end();
        // Requests that have arrived can still be read, and are answered.
        for open in locked(&poller.open).values() {
            let _ = open.stream.shutdown(Shutdown::Read);
        }
        poller.decrement_live();
        let answered = join_all(&self.lane, started?);
        accepted.and(answered)
    }

    /// Returns how many requests it answered.
    fn serve_ready(self: &Arc<Self>, poller: &Poller) -> u64 {
        let (mut answered, mut out) = (0, Vec::new());
        loop {
            match poller.next() {
                Ok(Some((number, open))) => {
                    let goes_on = self.answer_pending(&open, &mut out, &mut answered);
                    let rearm = || poller.epoll.modify(&*open.stream, &mut one_event(number));
                    if !matches!(goes_on, Ok(true)) || rearm().is_err() {
                        poller.close(number);
                    }
                }
                Ok(None) => return answered,
                Err(errno) => Failure::failed(format!("waiting for requests: {errno}")).throw(),
            }
        }
    }

    /// Answers all complete requests. Returns whether the connection continues.
    fn answer_pending(
        self: &Arc<Self>,
        open: &OpenConnection,
        out: &mut Vec<u8>,
        answered: &mut u64,
    ) -> io::Result<bool> {
        let mut received = locked(&open.received);
        if !read_more(&mut &*open.stream, &mut received)? {
            return Ok(false);
        }
        while let Some(closes) = self.next(&mut received, out) {
            (&*open.stream).write_all(out)?;
            *answered += 1;
            if closes {
                return Ok(false);
            }
        }
        Ok(true)
    }
}
