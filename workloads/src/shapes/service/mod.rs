//! `service.http` for tasks with stacks. With [`http()`] a task is started for each connection.
//! With [`preforked()`] tasks are started before the load, and each serves one connection after
//! another. With [`pooled()`] a task serves any connection that has a request.

mod link;
mod pooled;
mod preforked;

use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use link::Link;
pub(crate) use pooled::pooled;
pub(crate) use preforked::preforked;

use super::team::join_all;
use super::{Blocking, Connection, Database};
use crate::lane::{Failure, Order, Outcome};
use crate::load;
use crate::measure::Meter;
use crate::protocol::ErrorKind;
use crate::service::api::{self, Problem, Users};
use crate::service::backend;
use crate::service::http::{self, Request, Target};
use crate::service::{IDLE, PAUSE, Settings};

pub(super) fn http<L: Blocking>(lane: &L, order: &Order) -> Result<Outcome, Failure> {
    run(lane, order, Server::serve)
}

fn run<L: Blocking>(
    lane: &L,
    order: &Order,
    serve: impl FnOnce(&Arc<Server<L>>) -> Result<u64, Failure> + Send + 'static,
) -> Result<Outcome, Failure> {
    let backend = {
        let order = order.clone();
        let has_client = <L::Stream as Connection>::Database::EXISTS;
        lane.blocking(move || backend::start(&order, has_client))?
    };
    let settings = Settings::new(order, backend.place.clone());
    let meter = Meter::begin(true);
    let (listener, address) = lane
        .listen()
        .map_err(|error| Failure::host("listening on the loopback", &error, "ulimit -n"))?;
    let server = Arc::new(Server::new(lane, listener, settings)?);
    let acceptor = {
        let server = server.clone();
        lane.spawn(move || serve(&server).unwrap_or_else(|failure| failure.throw()))?
    };
    let load = load::service::arguments(order, address);
    let report = lane.blocking(move || load::run(&load));
    if report.is_err() {
        server.end();
    }
    let served = lane.join(acceptor);
    // Returned first, because the service's failure is the cause of the load's.
    served?;
    let report = report?;
    let outcome = report.into_outcome(meter.finish());
    lane.blocking(move || drop(backend));
    Ok(outcome)
}

struct Server<L: Blocking> {
    lane: L,
    listener: L::Listener,
    settings: Settings,
    users: Users,
    /// The number of requests that have no answer yet.
    in_flight: L::Shared,
    /// 1: the service is ending.
    ends: L::Shared,
    /// A second handle of each open connection, to shut it down. A process removes handles only
    /// from its own copy of the map, so handles of closed connections stay.
    open: Mutex<HashMap<u64, L::Stream>>,
    permits: L::Permits,
    /// Idle connections to the backend.
    links: Mutex<Vec<Link<L::Stream>>>,
}

impl<L: Blocking> Server<L> {
    fn new(lane: &L, listener: L::Listener, settings: Settings) -> Result<Self, Failure> {
        Ok(Self {
            lane: lane.clone(),
            listener,
            users: Users::new(settings.rounds),
            in_flight: lane.shared()?,
            ends: lane.shared()?,
            open: Mutex::default(),
            permits: lane.permits(settings.pool),
            links: Mutex::default(),
            settings,
        })
    }

    /// Returns how many requests were answered.
    fn serve(self: &Arc<Self>) -> Result<u64, Failure> {
        let mut tasks = Vec::new();
        let accepted = self.accept_all(|stream| {
            tasks.push(self.start(tasks.len() as u64, stream)?);
            Ok(())
        });
        self.end();
        // Requests that have arrived can still be read, and are answered.
        for stream in locked(&self.open).values() {
            stream.shut(Shutdown::Read);
        }
        let answered = join_all(&self.lane, tasks);
        accepted.and(answered)
    }

    fn accept_all(
        &self,
        mut take: impl FnMut(L::Stream) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        loop {
            match self.lane.accept(&self.listener) {
                Ok(stream) => match take(stream) {
                    // The host has no room for a task, so the connection is closed.
                    Err(failure) if failure.kind == ErrorKind::Limit => self.lane.sleep(PAUSE),
                    taken => taken?,
                },
                Err(_) if self.is_ending() => return Ok(()),
                Err(error) if is_transient(&error) => self.lane.sleep(PAUSE),
                Err(error) => {
                    return Err(Failure::host("accepting a connection", &error, "ulimit -n"));
                }
            }
        }
    }

    fn start(self: &Arc<Self>, number: u64, stream: L::Stream) -> Result<L::Task, Failure> {
        let second = stream
            .second()
            .map_err(|error| Failure::host("a second handle", &error, "ulimit -n"))?;
        locked(&self.open).insert(number, second);
        let server = self.clone();
        let task = self.lane.spawn(move || {
            let mut stream = stream;
            let mut answered = 0;
            // An error ends only this connection.
            let _ = stream
                .set_timeout(IDLE)
                .and_then(|()| server.converse(&mut stream, &mut answered, |_| Ok(true)));
            stream.shut(Shutdown::Both);
            drop(locked(&server.open).remove(&number));
            answered
        });
        if task.is_err() {
            drop(locked(&self.open).remove(&number));
        }
        task
    }

    fn end(&self) {
        self.ends.store(1, Ordering::Release);
        self.lane.close(&self.listener);
    }

    fn is_ending(&self) -> bool {
        self.ends.load(Ordering::Acquire) == 1
    }

    /// Answers requests until the connection ends. `may_read` waits for bytes; if it returns false,
    /// the connection ends.
    fn converse(
        self: &Arc<Self>,
        stream: &mut L::Stream,
        answered: &mut u64,
        may_read: impl Fn(&L::Stream) -> io::Result<bool>,
    ) -> io::Result<()> {
        let (mut received, mut out) = (Vec::with_capacity(4 << 10), Vec::with_capacity(4 << 10));
        loop {
            match self.next(&mut received, &mut out) {
                None if !may_read(stream)? || !read_more(stream, &mut received)? => return Ok(()),
                None => {}
                Some(closes) => {
                    stream.write_all(&out)?;
                    *answered += 1;
                    if closes {
                        return Ok(());
                    }
                }
            }
        }
    }

    /// Answers the first request of `received` into `out`. Returns whether it is the connection's
    /// last; `None` if no request is complete.
    fn next(self: &Arc<Self>, received: &mut Vec<u8>, out: &mut Vec<u8>) -> Option<bool> {
        let (status, body, closes) = match http::parse(received) {
            Ok(None) => return None,
            Ok(Some(request)) => {
                let (status, body) = match self.answer(&request, received) {
                    Ok(body) => (200, body),
                    Err(problem) => (problem.status(), problem.body()),
                };
                received.drain(..request.body.end);
                (status, body, request.closes || self.is_ending())
            }
            Err(http::Malformed) => {
                let problem = Problem::Malformed;
                (problem.status(), problem.body(), true)
            }
        };
        out.clear();
        http::respond(out, status, &body, closes);
        Some(closes)
    }

    fn answer(self: &Arc<Self>, request: &Request, received: &[u8]) -> Result<Vec<u8>, Problem> {
        let route = match request.target {
            Target::Route(route) => route,
            Target::Drain => {
                self.end();
                return Ok(b"{}".to_vec());
            }
            Target::Nothing => return Err(Problem::NoSuchPath),
        };
        let before = self.in_flight.fetch_add(1, Ordering::Relaxed);
        let _guard = OnDrop(|| {
            self.in_flight.fetch_sub(1, Ordering::Relaxed);
        });
        if before >= self.settings.in_flight {
            return Err(Problem::TooManyRequests);
        }
        let authorization = std::str::from_utf8(&received[request.authorization.clone()]);
        let user = self
            .users
            .user(authorization.map_err(|_| Problem::Malformed)?)?;
        let item = api::item(&received[request.body.clone()])?;
        let keys = route.items(item).map(|item| route.key(item)).collect();
        let values = self.fetch_all(keys)?;
        let computed = api::compute(route, item, self.settings.steps);
        api::answer(route, user, item, computed, &values)
    }

    /// If the lane has a scheduler, gets each key but the last in a task of its own. Otherwise gets
    /// all keys on one connection.
    fn fetch_all(self: &Arc<Self>, mut keys: Vec<String>) -> Result<Vec<Vec<u8>>, Problem> {
        let own_key = keys.pop().ok_or(Problem::Malformed)?;
        if !L::SCHEDULES || keys.is_empty() {
            keys.push(own_key);
            return self.fetch(&keys);
        }
        let tasks: Vec<_> = keys
            .into_iter()
            .map(|key| {
                let fetched = Arc::new(OnceLock::new());
                let (server, into) = (self.clone(), fetched.clone());
                let task = self.lane.spawn(move || {
                    let _ = into.set(server.fetch(&[key]));
                    0
                });
                (task, fetched)
            })
            .collect();
        let own = self.fetch(&[own_key]);
        let mut values = Vec::new();
        for (task, fetched) in tasks {
            let joined = task.and_then(|task| self.lane.join(task));
            let fetched = joined.ok().and_then(|_| fetched.get().cloned());
            values.push(fetched.ok_or(Problem::Backend)?);
        }
        let values = values.into_iter().chain([own]);
        Ok(values.collect::<Result<Vec<_>, _>>()?.concat())
    }

    fn fetch(&self, keys: &[String]) -> Result<Vec<Vec<u8>>, Problem> {
        if !self.lane.acquire(&self.permits, self.settings.timeout) {
            return Err(Problem::BackendIsLate);
        }
        let _guard = OnDrop(|| self.lane.release(&self.permits));
        loop {
            let idle_link = locked(&self.links).pop();
            let is_reused = idle_link.is_some();
            let link = idle_link.map_or_else(|| Link::new(&self.settings), Ok);
            match link.and_then(|mut link| link.get(keys).map(|values| (link, values))) {
                Ok((link, values)) => {
                    locked(&self.links).push(link);
                    return values.ok_or(Problem::Backend);
                }
                Err(error) if is_timeout(&error) => return Err(Problem::BackendIsLate),
                // The backend has closed this idle connection: the loop takes another.
                Err(_) if is_reused => {}
                Err(_) => return Err(Problem::Backend),
            }
        }
    }
}

struct OnDrop<F: FnMut()>(F);

impl<F: FnMut()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

/// Returns `false` at the end of the stream.
fn read_more(stream: &mut impl Read, received: &mut Vec<u8>) -> io::Result<bool> {
    let mut block = [0; 4 << 10];
    loop {
        match stream.read(&mut block) {
            Ok(size) => {
                received.extend_from_slice(&block[..size]);
                return Ok(size > 0);
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// Only [`pooled()`], whose tasks are threads, holds a guard while a task waits.
fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn is_timeout(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock
    )
}

fn is_transient(error: &io::Error) -> bool {
    let transient = [libc::EMFILE, libc::ENFILE, libc::ENOBUFS, libc::ENOMEM];
    error.kind() == io::ErrorKind::ConnectionAborted
        || error
            .raw_os_error()
            .is_some_and(|errno| transient.contains(&errno))
}
