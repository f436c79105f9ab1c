//! The shapes, written once for every lane whose tasks have stacks.
//!
//! A task with a stack may block anywhere, so threads, processes and goroutines share this code:
//! the differences are behind [`Blocking`]. Lanes whose tasks are futures share [`stackless`], and
//! pools share [`pool`]. `rayon` has its own code, in [`crate::lanes`].

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
fn look_at_limit<L: Blocking>(lane: &L, tasks: u64) -> Result<(), Failure> {
    look_at(lane.most_tasks(), tasks)
}

/// As [`look_at_limit`], for a lane that is not [`Blocking`].
pub(crate) fn look_at(most: Option<(u64, &str)>, tasks: u64) -> Result<(), Failure> {
    match most {
        Some((most, limit)) if tasks > most => Err(Failure::limit(format!(
            "{limit} allows {most} tasks at once, and this takes {tasks}"
        ))),
        _ => Ok(()),
    }
}

/// The interface of a lane whose tasks have stacks.
///
/// Tasks are closures that return a number. In lanes of processes a task has a copy of its
/// closure's values, so tasks can share only the types below. Operations that do not return a
/// `Result` end the calling task by [`Failure::throw`] if they fail.
pub(crate) trait Blocking: Clone + Send + Sync + 'static {
    /// Tasks are processes. Their usage is counted after they are joined, and their memory is not
    /// that of the lane's own process.
    const PROCESSES: bool = false;
    /// The lane has a scheduler that spreads tasks over its CPUs; else a
    /// bounded number of tasks take chunks from a shared counter.
    const SCHEDULES: bool = false;
    /// A task is a thread or a process, so it can be pinned to a CPU.
    const PINNABLE: bool = false;

    /// A task to be joined.
    type Task: Send;
    /// A bounded channel of numbers for many senders and receivers.
    type Channel: Clone + Send + Sync + 'static;
    /// A gate that tasks wait at until it is opened once.
    type Gate: Clone + Send + Sync + 'static;
    /// A lock around a number.
    type Lock: Clone + Send + Sync + 'static;
    /// A number that all tasks share, 0 at first.
    type Shared: Deref<Target = AtomicU64> + Clone + Send + Sync + 'static;
    /// A kernel pipe of numbers.
    type Pipe: Clone + Send + Sync + 'static;
    /// A TCP server's socket.
    type Listener: Clone + Send + Sync + 'static;
    /// One TCP connection.
    type Stream: Connection;
    /// A number of permits.
    type Permits: Send + Sync + 'static;

    /// The stack that a task may use, if it is smaller than usual.
    fn stack_bytes(&self) -> Option<usize> {
        None
    }

    /// The most tasks that the kernel allows at once, and the limit that determines it.
    fn most_tasks(&self) -> Option<(u64, &'static str)> {
        None
    }

    /// Starts a task.
    fn spawn(&self, body: impl FnOnce() -> u64 + Send + 'static) -> Result<Self::Task, Failure>;
    /// Waits for a task; returns its failure.
    fn join(&self, task: Self::Task) -> Result<u64, Failure>;
    /// Lets other tasks run.
    fn yield_now(&self);
    /// Blocks the task for that long.
    fn sleep(&self, time: Duration);
    /// Runs a closure that blocks the thread.
    fn blocking<T: Send + 'static>(&self, body: impl FnOnce() -> T + Send + 'static) -> T {
        body()
    }

    /// A channel that holds at least `capacity` numbers; 0 means the smallest that the lane has.
    fn channel(&self, capacity: usize) -> Result<Self::Channel, Failure>;
    /// Blocks while the channel is full.
    fn send(&self, channel: &Self::Channel, number: u64);
    /// Blocks until there is a number.
    fn recv(&self, channel: &Self::Channel) -> u64;
    /// Blocks until either channel has a number. A lane without such an operation refuses
    /// [`Shape::Select`].
    fn recv_either(&self, _channels: &[Self::Channel; 2]) -> u64 {
        Failure::not_supported("it cannot wait for two channels at once").throw()
    }

    /// A closed gate.
    fn gate(&self) -> Result<Self::Gate, Failure>;
    /// Blocks until the gate opens. Returns the `go` of [`open`](Self::open): whether the task is
    /// to do its work.
    fn wait(&self, gate: &Self::Gate) -> bool;
    /// Opens the gate; `go` is the result of each task's `wait`.
    fn open(&self, gate: &Self::Gate, go: bool);

    /// A lock around 0.
    fn lock(&self) -> Result<Self::Lock, Failure>;
    /// Runs `body` under the lock.
    fn locked<T>(&self, lock: &Self::Lock, body: impl FnOnce(&mut u64) -> T) -> T;
    /// A shared number.
    fn shared(&self) -> Result<Self::Shared, Failure>;

    fn pipe(&self) -> Result<Self::Pipe, Failure>;
    /// Blocks until the pipe has a number.
    fn read(&self, pipe: &Self::Pipe) -> u64;
    fn write(&self, pipe: &Self::Pipe, number: u64);

    /// This many permits.
    fn permits(&self, count: usize) -> Self::Permits;
    /// Takes a permit. Blocks for at most `timeout`, and returns whether it got one.
    fn acquire(&self, permits: &Self::Permits, timeout: Duration) -> bool;
    /// Gives a permit back.
    fn release(&self, permits: &Self::Permits);

    /// Listens on a free port of the loopback, or at the address that
    /// [`LISTEN`](crate::load::LISTEN) names. The queue of unaccepted connections is as long as the
    /// host allows.
    fn listen(&self) -> std::io::Result<(Self::Listener, SocketAddr)>;
    /// Blocks until a connection arrives.
    fn accept(&self, listener: &Self::Listener) -> std::io::Result<Self::Stream>;
    /// Makes all accepts fail, including those that are waiting.
    fn close(&self, listener: &Self::Listener);
}

/// The PostgreSQL client of a lane, which blocks the calling task.
pub(crate) trait Database: Send + Sized + 'static {
    /// Whether the lane has a client.
    const EXISTS: bool = true;

    /// Connects. Neither this nor an answer may take longer than `timeout`.
    fn connect(url: &str, timeout: Duration) -> IoResult<Self>;
    /// The values of these keys; `None` if a key has no value.
    fn get(&mut self, keys: &[String]) -> IoResult<Option<Vec<Vec<u8>>>>;
}

/// A TCP connection that blocks its task.
pub(crate) trait Connection: Read + Write + Send + Sized + 'static {
    /// The lane's PostgreSQL client, which is used instead of this connection.
    type Database: Database;

    /// Connects. Blocks for at most `timeout`.
    fn connect(address: SocketAddr, timeout: Duration) -> IoResult<Self>;
    /// Makes a read fail after it has waited for `timeout`.
    fn set_timeout(&self, timeout: Duration) -> IoResult<()>;
    /// Another handle of the same connection.
    fn second(&self) -> IoResult<Self>;
    /// Shuts down the connection, or the side that reads; no effect if it is shut down already.
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

/// Takes a sample of any shape.
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
