//! The shapes for lanes whose tasks are futures.
//!
//! A future can wait only at an `await`, so these lanes cannot use the code for
//! [`super::Blocking`].

mod io;
mod memory;
mod service;
mod share;
mod spawn;
mod switch;
mod team;

#[cfg(test)]
pub(crate) use team::assert_that_a_sample_ends_with_its_last_task;

use std::future::Future;
use std::io::Result as IoResult;
use std::net::SocketAddr;
use std::ops::DerefMut;
use std::time::Duration;

use crate::catalogue::{Shape, Workload};
use crate::lane::{Failure, Order, Outcome};

/// A lane whose tasks are futures. An operation that returns no `Result` fails by
/// [`Failure::throw`].
pub(crate) trait Stackless: Clone + Send + Sync + 'static {
    /// Whether the lane can run tokio's clients, such as that of PostgreSQL.
    const DATABASE: bool = false;

    /// If the main task fails, the others end with their handles or with the runtime.
    type Task: Send + Sync + 'static;
    type Sender: Clone + Send + Sync + 'static;
    type Receiver: Send + 'static;
    /// A lock that may be held across an await.
    type Lock: Send + Sync + 'static;
    type Guard<'a>: DerefMut<Target = u64> + Send;
    type Gate: Clone + Send + Sync + 'static;
    type Writer: Send + 'static;
    type Reader: Send + 'static;
    type Listener: Send + Sync + 'static;
    type Stream: Send + 'static;
    type Io: hyper::rt::Read + hyper::rt::Write + Send + Unpin + 'static;

    fn spawn(&self, body: impl Future<Output = u64> + Send + 'static) -> Self::Task;
    fn join(task: Self::Task) -> impl Future<Output = Result<u64, Failure>> + Send;
    fn detach(task: Self::Task);
    fn yield_now() -> impl Future<Output = ()> + Send;
    fn sleep(time: Duration) -> impl Future<Output = ()> + Send;
    /// `None` if the time is over first.
    fn within<T: Send>(
        time: Duration,
        future: impl Future<Output = T> + Send,
    ) -> impl Future<Output = Option<T>> + Send;
    /// Runs a closure on a thread that may block.
    fn blocking<T: Send + 'static>(
        body: impl FnOnce() -> T + Send + 'static,
    ) -> impl Future<Output = Result<T, Failure>> + Send;

    /// 0 means the smallest capacity that the lane has. A channel may hold more.
    fn channel(capacity: usize) -> (Self::Sender, Self::Receiver);
    fn send(to: &Self::Sender, number: u64) -> impl Future<Output = ()> + Send;
    fn recv(from: &mut Self::Receiver) -> impl Future<Output = u64> + Send;
    fn recv_either(
        one: &mut Self::Receiver,
        other: &mut Self::Receiver,
    ) -> impl Future<Output = u64> + Send;

    fn new_lock() -> Self::Lock;
    fn lock(lock: &Self::Lock) -> impl Future<Output = Self::Guard<'_>> + Send;

    fn gate() -> Self::Gate;
    fn wait(gate: &Self::Gate) -> impl Future<Output = ()> + Send;
    fn open(gate: &Self::Gate);

    fn pipe() -> IoResult<(Self::Writer, Self::Reader)>;
    fn write_pipe(pipe: &mut Self::Writer, number: u64) -> impl Future<Output = ()> + Send;
    fn read_pipe(pipe: &mut Self::Reader) -> impl Future<Output = u64> + Send;

    /// Listens at [`LISTEN`](crate::load::LISTEN), or on a free port of the loopback, with the
    /// longest queue that the host allows.
    fn listen() -> impl Future<Output = IoResult<(Self::Listener, SocketAddr)>> + Send;
    fn connect(address: SocketAddr) -> impl Future<Output = IoResult<Self::Stream>> + Send;
    fn io(stream: Self::Stream) -> Self::Io;
    fn timer() -> impl hyper::rt::Timer + Send + Sync + 'static;
    fn accept(listener: &Self::Listener) -> impl Future<Output = IoResult<Self::Stream>> + Send;
    fn read(
        stream: &mut Self::Stream,
        block: &mut [u8],
    ) -> impl Future<Output = IoResult<usize>> + Send;
    fn write_all(
        stream: &mut Self::Stream,
        bytes: &[u8],
    ) -> impl Future<Output = IoResult<()>> + Send;

    /// Sends message `number` as the lane's users would. Returns 1.
    fn mail(server: SocketAddr, number: u64) -> impl Future<Output = Result<u64, Failure>> + Send;
}

pub(crate) fn refuses(workload: &Workload) -> Option<&'static str> {
    match workload.shape {
        Shape::ForkResident => Some("only for processes"),
        Shape::Futex => Some("a futex blocks the thread that its tasks share"),
        _ => None,
    }
}

/// Must run in a task: runtimes schedule the future of `block_on` differently.
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
