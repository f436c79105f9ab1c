//! The shapes.
//!
//! Lanes whose tasks have stacks share this code, with their differences behind [`Blocking`]. Lanes
//! whose tasks are futures share [`stackless`], and pools share [`pool`].

mod cpu;
pub(crate) mod io;
mod memory;
pub(crate) mod pool;
pub(crate) mod service;
mod share;
mod spawn;
pub(crate) mod stackless;
mod switch;
mod team;

#[cfg(test)]
pub(crate) use team::assert_that_a_sample_ends_with_its_last_task;

use std::io::{Read, Result as IoResult, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::ops::Deref;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use bench_runtime::net::Shared;

use crate::catalogue::Shape;
use crate::lane::{Failure, Order, Outcome};
use crate::service::database;

/// Refuses at once if the kernel would refuse after many tasks were started.
fn check_task_limit<L: Blocking>(lane: &L, tasks: u64) -> Result<(), Failure> {
    check_limit(lane.most_tasks(), tasks)
}

pub(crate) fn check_limit(most: Option<(u64, &str)>, tasks: u64) -> Result<(), Failure> {
    match most {
        Some((most, limit)) if tasks > most => Err(Failure::limit(format!(
            "{limit} allows {most} tasks at once, and this takes {tasks}"
        ))),
        _ => Ok(()),
    }
}

/// A lane whose tasks have stacks.
///
/// A task is a closure that returns a number. If tasks are processes, they share only the types
/// below. An operation that returns no `Result` fails by [`Failure::throw`].
pub(crate) trait Blocking: Clone + Send + Sync + 'static {
    /// Whether tasks are processes. Their usage is counted once they are joined.
    const PROCESSES: bool = false;
    /// Whether the lane spreads tasks over its CPUs. Otherwise a bounded number of tasks takes
    /// chunks from a counter.
    const SCHEDULES: bool = false;
    const PINNABLE: bool = false;

    type Task: Send;
    /// A bounded channel for many senders and receivers.
    type Channel: Clone + Send + Sync + 'static;
    type Gate: Clone + Send + Sync + 'static;
    type Lock: Clone + Send + Sync + 'static;
    /// A number, 0 at first.
    type Shared: Deref<Target = AtomicU64> + Clone + Send + Sync + 'static;
    type Pipe: Clone + Send + Sync + 'static;
    type Listener: Clone + Send + Sync + 'static;
    type Stream: Connection;
    type Permits: Send + Sync + 'static;

    /// The stack that a task may use, if it is small.
    fn stack_bytes(&self) -> Option<usize> {
        None
    }

    /// The most tasks that the kernel allows, and the limit's name.
    fn most_tasks(&self) -> Option<(u64, &'static str)> {
        None
    }

    fn spawn(&self, body: impl FnOnce() -> u64 + Send + 'static) -> Result<Self::Task, Failure>;
    fn join(&self, task: Self::Task) -> Result<u64, Failure>;
    fn yield_now(&self);
    fn sleep(&self, time: Duration);
    fn blocking<T: Send + 'static>(&self, body: impl FnOnce() -> T + Send + 'static) -> T {
        body()
    }

    /// 0 means the smallest capacity that the lane has. A channel may hold more.
    fn channel(&self, capacity: usize) -> Result<Self::Channel, Failure>;
    /// Blocks while the channel is full.
    fn send(&self, channel: &Self::Channel, number: u64);
    fn recv(&self, channel: &Self::Channel) -> u64;
    /// Blocks until either channel has a number.
    fn recv_either(&self, _channels: &[Self::Channel; 2]) -> u64 {
        Failure::not_supported("it cannot wait for two channels at once").throw()
    }

    fn gate(&self) -> Result<Self::Gate, Failure>;
    /// Blocks until the gate opens. Returns the `go` of [`open`](Self::open): whether to work.
    fn wait(&self, gate: &Self::Gate) -> bool;
    fn open(&self, gate: &Self::Gate, go: bool);

    fn lock(&self) -> Result<Self::Lock, Failure>;
    fn locked<T>(&self, lock: &Self::Lock, body: impl FnOnce(&mut u64) -> T) -> T;
    fn shared(&self) -> Result<Self::Shared, Failure>;

    fn pipe(&self) -> Result<Self::Pipe, Failure>;
    fn read(&self, pipe: &Self::Pipe) -> u64;
    fn write(&self, pipe: &Self::Pipe, number: u64);

    fn permits(&self, count: usize) -> Self::Permits;
    fn acquire(&self, permits: &Self::Permits, timeout: Duration) -> bool;
    fn release(&self, permits: &Self::Permits);

    /// Listens at [`LISTEN`](crate::load::LISTEN), or on a free port of the loopback, with the
    /// longest queue that the host allows.
    fn listen(&self) -> std::io::Result<(Self::Listener, SocketAddr)>;
    fn accept(&self, listener: &Self::Listener) -> std::io::Result<Self::Stream>;
    /// Makes all accepts fail, including those that wait.
    fn close(&self, listener: &Self::Listener);
}

/// The PostgreSQL client of a lane. It blocks the task.
pub(crate) trait Database: Send + Sized + 'static {
    const EXISTS: bool = true;

    /// Neither connecting nor an answer may take longer than `timeout`.
    fn connect(url: &str, timeout: Duration) -> IoResult<Self>;
    fn get(&mut self, keys: &[String]) -> IoResult<Option<Vec<Vec<u8>>>>;
}

/// A TCP connection that blocks its task.
pub(crate) trait Connection: Read + Write + Send + Sized + 'static {
    type Database: Database;

    fn connect(address: SocketAddr, timeout: Duration) -> IoResult<Self>;
    /// Makes a read fail after it has waited for `timeout`.
    fn set_timeout(&self, timeout: Duration) -> IoResult<()>;
    fn second(&self) -> IoResult<Self>;
    /// No effect if the connection is shut down already.
    fn shut(&self, how: Shutdown);
}

impl Connection for Shared<TcpStream> {
    type Database = database::Client;

    fn connect(address: SocketAddr, timeout: Duration) -> IoResult<Self> {
        let stream = TcpStream::connect_timeout(&address, timeout)?;
        stream.set_nodelay(true)?;
        Ok(Self::new(stream))
    }

    fn set_timeout(&self, timeout: Duration) -> IoResult<()> {
        self.set_read_timeout(Some(timeout))
    }

    fn second(&self) -> IoResult<Self> {
        Ok(self.clone())
    }

    fn shut(&self, how: Shutdown) {
        // An error means that the connection has ended.
        let _ = self.shutdown(how);
    }
}

pub(crate) fn run<L: Blocking>(lane: &L, order: &Order) -> Result<Outcome, Failure> {
    match order.workload.shape {
        Shape::ForkJoin => spawn::fork_join(lane, order),
        Shape::FirstInstruction => spawn::first_instruction(lane, order),
        Shape::Skynet => spawn::skynet(lane, order),
        Shape::ForkResident => Err(Failure::not_supported("only for processes")),
        Shape::Yield => switch::yields(lane, order),
        Shape::PingPong => switch::ping_pong(lane, order, 0, [None, None]),
        Shape::RoundTrip => switch::round_trip(lane, order),
        Shape::Futex => switch::futex(lane, order),
        Shape::PipePingPong => switch::pipe_ping_pong(lane, order),
        Shape::Ring => switch::ring(lane, order, 0),
        Shape::WorkingSet => switch::ring(lane, order, order.get("size_bytes")),
        Shape::Hog => switch::hog(lane, order),
        Shape::IdleWake => switch::idle_wake(lane, order),
        Shape::Parked => memory::parked(lane, order),
        Shape::Deep => memory::deep(lane, order),
        Shape::Shrink => memory::shrink(lane, order),
        Shape::Counter => share::counter(lane, order),
        Shape::Pipeline => share::pipeline(lane, order),
        Shape::Sieve => share::sieve(lane, order),
        Shape::FanIn => share::fan_in(lane, order),
        Shape::Select => share::select(lane, order),
        Shape::WorkerPool => share::worker_pool(lane, order),
        Shape::BoundedBuffer => share::bounded_buffer(lane, order),
        Shape::Chameneos => share::chameneos(lane, order),
        Shape::Big => share::big(lane, order),
        Shape::Philosophers => share::philosophers(lane, order),
        Shape::Messaging => share::messaging(lane, order),
        Shape::Brigade => share::brigade(lane, order),
        Shape::Chunks(kernel) => cpu::chunks(lane, order, kernel),
        Shape::Sleepers => io::sleepers(lane, order),
        Shape::TcpEcho => io::tcp_echo(lane, order),
        Shape::Fanout => io::fanout(lane, order),
        Shape::FileRead => io::file_read(lane, order),
        Shape::Email => io::email(lane, order),
        Shape::Service => service::http(lane, order),
        Shape::Handler(handler) => io::handle(lane, order, handler),
    }
}
