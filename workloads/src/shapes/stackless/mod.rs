//! The shapes, written once for every lane whose tasks are futures.
//!
//! A task without a stack can wait only at an `await`, so these lanes cannot use the code for
//! [`super::Blocking`]; they share this code instead. The differences are behind [`Stackless`].

mod io;
mod memory;
mod service;
mod share;
mod spawn;
mod switch;
mod team;

use std::future::Future;
use std::io::Result as IoResult;
use std::net::SocketAddr;
use std::ops::DerefMut;
use std::time::Duration;

use crate::catalogue::{Shape, Workload};
use crate::lane::{Failure, Order, Outcome};

/// The interface of a lane whose tasks are futures. Operations that do not return a `Result` end
/// the calling task by [`Failure::throw`] if they fail.
pub(crate) trait Stackless: Clone + Send + Sync + 'static {
    /// Whether the lane runs tokio's clients, such as the one of PostgreSQL.
    const DATABASE: bool = false;

    /// A task to be joined. If the main task fails, the others end when their handles are dropped
    /// or the runtime ends.
    type Task: Send + Sync + 'static;
    /// A channel's sending end.
    type Sender: Clone + Send + Sync + 'static;
    /// A channel's receiving end, for one task.
    type Receiver: Send + 'static;
    /// A lock around a number that may be held across an await.
    type Lock: Send + Sync + 'static;
    /// A lock that is held.
    type Guard<'a>: DerefMut<Target = u64> + Send;
    /// A gate that tasks wait at until it is opened once.
    type Gate: Clone + Send + Sync + 'static;
    /// A kernel pipe's end that numbers are written to.
    type Writer: Send + 'static;
    /// A kernel pipe's end that numbers are read from.
    type Reader: Send + 'static;
    /// A TCP server's socket.
    type Listener: Send + Sync + 'static;
    /// One TCP connection.
    type Stream: Send + 'static;
    /// A connection that hyper can use.
    type Io: hyper::rt::Read + hyper::rt::Write + Send + Unpin + 'static;

    /// Starts a task.
    fn spawn(&self, body: impl Future<Output = u64> + Send + 'static) -> Self::Task;
    /// Waits for a task; returns its failure.
    fn join(task: Self::Task) -> impl Future<Output = Result<u64, Failure>> + Send;
    /// Lets a task run to its end without a join.
    fn detach(task: Self::Task);
    /// Lets other tasks run.
    fn yield_now() -> impl Future<Output = ()> + Send;
    /// Waits for that long.
    fn sleep(time: Duration) -> impl Future<Output = ()> + Send;
    /// The future's output, if it is ready within that time.
    fn within<T: Send>(
        time: Duration,
        future: impl Future<Output = T> + Send,
    ) -> impl Future<Output = Option<T>> + Send;
    /// Runs a closure that blocks its thread, on a thread that may block.
    fn blocking<T: Send + 'static>(
        body: impl FnOnce() -> T + Send + 'static,
    ) -> impl Future<Output = Result<T, Failure>> + Send;

    /// A channel of at least `capacity` numbers; 0 means the smallest that the lane has.
    fn channel(capacity: usize) -> (Self::Sender, Self::Receiver);
    /// Waits while the channel is full.
    fn send(to: &Self::Sender, number: u64) -> impl Future<Output = ()> + Send;
    /// Waits until there is a number.
    fn recv(from: &mut Self::Receiver) -> impl Future<Output = u64> + Send;
    /// Waits until either channel has a number.
    fn recv_either(
        one: &mut Self::Receiver,
        other: &mut Self::Receiver,
    ) -> impl Future<Output = u64> + Send;

    /// A lock around 0.
    fn new_lock() -> Self::Lock;
    /// Waits for the lock.
    fn lock(lock: &Self::Lock) -> impl Future<Output = Self::Guard<'_>> + Send;

    /// A closed gate.
    fn gate() -> Self::Gate;
    /// Waits until the gate opens.
    fn wait(gate: &Self::Gate) -> impl Future<Output = ()> + Send;
    fn open(gate: &Self::Gate);

    fn pipe() -> IoResult<(Self::Writer, Self::Reader)>;
    fn write_pipe(pipe: &mut Self::Writer, number: u64) -> impl Future<Output = ()> + Send;
    /// Waits until the pipe has a number.
    fn read_pipe(pipe: &mut Self::Reader) -> impl Future<Output = u64> + Send;

    /// Listens on a free port of the loopback, or at the address that
    /// [`LISTEN`](crate::load::LISTEN) names. The queue of unaccepted connections is as long as the
    /// host allows.
    fn listen() -> impl Future<Output = IoResult<(Self::Listener, SocketAddr)>> + Send;
    fn connect(address: SocketAddr) -> impl Future<Output = IoResult<Self::Stream>> + Send;
    /// The connection for hyper.
    fn io(stream: Self::Stream) -> Self::Io;
    /// The lane's clock for hyper.
    fn timer() -> impl hyper::rt::Timer + Send + Sync + 'static;
    /// Waits until a connection arrives.
    fn accept(listener: &Self::Listener) -> impl Future<Output = IoResult<Self::Stream>> + Send;
    /// Waits for bytes, and returns their number.
    fn read(
        stream: &mut Self::Stream,
        block: &mut [u8],
    ) -> impl Future<Output = IoResult<usize>> + Send;
    /// Writes all bytes.
    fn write_all(
        stream: &mut Self::Stream,
        bytes: &[u8],
    ) -> impl Future<Output = IoResult<()>> + Send;

    /// Sends message `number` by the mail library, in the lane's best way; returns 1.
    fn mail(server: SocketAddr, number: u64) -> impl Future<Output = Result<u64, Failure>> + Send;
}

/// Why a lane whose tasks are futures does not run a workload.
pub(crate) fn refuses(workload: &Workload) -> Option<&'static str> {
    match workload.shape {
        Shape::ForkResident => Some("only for processes"),
        Shape::Futex => Some("a futex blocks the thread that its tasks share"),
        _ => None,
    }
}

/// Takes a sample of any shape. It must run as a task of the lane: runtimes schedule the future
/// that their caller blocks on differently from tasks.
pub(crate) async fn run<L: Stackless>(lane: L, order: Order) -> Result<Outcome, Failure> {
    let (lane, order) = (&lane, &order);
    match order.workload.shape {
        Shape::ForkJoin => spawn::fork_join(lane, order).await,
        Shape::FirstInstruction => spawn::first_instruction(lane, order).await,
        Shape::Skynet => spawn::skynet(lane, order).await,
        Shape::ForkResident | Shape::Futex => Err(Failure::not_supported(
            refuses(order.workload).unwrap_or_default(),
        )),
        Shape::Yield => switch::yields(lane, order).await,
        Shape::PingPong => switch::ping_pong(lane, order, 0).await,
        Shape::RoundTrip => switch::ping_pong(lane, order, order.count("capacity_count")).await,
        Shape::PipePingPong => switch::pipe_ping_pong(lane, order).await,
        Shape::Ring => switch::ring(lane, order, 0).await,
        Shape::WorkingSet => switch::ring(lane, order, order.get("size_bytes")).await,
        Shape::Hog => switch::hog(lane, order).await,
        Shape::IdleWake => switch::idle_wake(lane, order).await,
        Shape::Parked | Shape::Deep | Shape::Shrink => memory::hold(lane, order).await,
        Shape::Counter => share::counter(lane, order).await,
        Shape::Pipeline => share::pipeline(lane, order).await,
        Shape::Sieve => share::sieve(lane, order).await,
        Shape::FanIn => share::fan_in(lane, order).await,
        Shape::Select => share::select(lane, order).await,
        Shape::WorkerPool => share::worker_pool(lane, order).await,
        Shape::BoundedBuffer => share::bounded_buffer(lane, order).await,
        Shape::Chameneos => share::chameneos(lane, order).await,
        Shape::Big => share::big(lane, order).await,
        Shape::Philosophers => share::philosophers(lane, order).await,
        Shape::Messaging => share::messaging(lane, order).await,
        Shape::Brigade => share::brigade(lane, order).await,
        Shape::Chunks(kernel) => spawn::chunks(lane, order, kernel).await,
        Shape::Sleepers => io::sleepers(lane, order).await,
        Shape::TcpEcho => io::tcp_echo(lane, order).await,
        Shape::Fanout => io::fanout(lane, order).await,
        Shape::FileRead => io::file_read(lane, order).await,
        Shape::Email => io::email(lane, order).await,
        Shape::Handler(handler) => io::handle(lane, order, handler).await,
        Shape::Service => service::http(lane, order).await,
    }
}
