//! Tokio: tasks without stacks, on threads that steal from each other or on one thread, with the
//! system's allocator or mimalloc.

use std::future::Future;
use std::io::Result as IoResult;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use ::tokio::io::{AsyncReadExt, AsyncWriteExt, BufReader};
use ::tokio::net::unix::pipe;
use ::tokio::net::{TcpListener, TcpStream};
use ::tokio::runtime::{Builder, Runtime};
use ::tokio::sync::{Mutex, MutexGuard, Semaphore, mpsc};
use ::tokio::task::{JoinError, JoinHandle};
use hyper_util::rt::{TokioIo, TokioTimer};

use crate::catalogue::Shape;
use crate::host::backlog;
use crate::lane::{Entry, Failure, Lane, OrThrow, Order, Outcome, Program};
use crate::load::server_address;
use crate::mail;
use crate::shapes::stackless::{self, Stackless};

pub(super) const MULTI_THREAD: Entry = Entry {
    name: "tokio",
    noun: "tokio task",
    title: "tokio tasks, multi-thread runtime with a thread for each CPU",
    program: Program::Plain,
    kernel_tasks: false,
    runtime: || format!("tokio {}", super::locked_version("tokio")),
    refuses: stackless::refuses,
    start: |_| Ok(Tokio::start(Flavour::MultiThread)),
};

pub(super) const CURRENT_THREAD: Entry = Entry {
    name: "tokio-ct",
    noun: "single-threaded tokio task",
    title: "tokio tasks, current-thread runtime",
    start: |_| Ok(Tokio::start(Flavour::CurrentThread)),
    ..MULTI_THREAD
};

#[cfg(feature = "peers")]
pub(super) const MULTI_THREAD_MIMALLOC: Entry = Entry {
    name: "tokio-mimalloc",
    noun: "tokio task with mimalloc",
    title: "tokio tasks, multi-thread runtime, mimalloc as the allocator",
    program: Program::Mimalloc,
    ..MULTI_THREAD
};

#[cfg(feature = "peers")]
pub(super) const CURRENT_THREAD_MIMALLOC: Entry = Entry {
    name: "tokio-ct-mimalloc",
    noun: "single-threaded tokio task with mimalloc",
    title: "tokio tasks, current-thread runtime, mimalloc as the allocator",
    program: Program::Mimalloc,
    ..CURRENT_THREAD
};

#[derive(Clone, Copy, PartialEq, Eq)]
enum Flavour {
    MultiThread,
    CurrentThread,
}

struct Tokio {
    flavour: Flavour,
    current: Option<(Runtime, usize)>,
}

impl Lane for Tokio {
    fn run(&mut self, order: &Order) -> Result<Outcome, Failure> {
        let threads = order.threads();
        let one_thread = self.flavour == Flavour::CurrentThread && threads > 1;
        match order.workload.shape {
            Shape::Chunks(_) if one_thread => {
                return Err(Failure::not_supported(
                    "a current-thread runtime runs one chunk at a time; ask for one worker",
                ));
            }
            Shape::RoundTrip if one_thread && order.get("workers_count") > 1 => {
                return Err(Failure::not_supported(
                    "a current-thread runtime has one thread; ask for one worker",
                ));
            }
            _ => {}
        }
        let runtime = match self.current.take() {
            Some((runtime, count)) if count == threads => runtime,
            _ => self.build(threads).map_err(|error| {
                Failure::host("starting the runtime", &error, "ulimit -u and ulimit -n")
            })?,
        };
        let order = order.clone();
        let result = runtime.block_on(async { ::tokio::spawn(stackless::run(Tasks, order)).await });
        let outcome = result.unwrap_or_else(|error| Err(failure(error)));
        if outcome.is_ok() {
            self.current = Some((runtime, threads));
        }
        // After a failure the runtime ends here, with all tasks of the sample.
        outcome
    }
}

impl Tokio {
    fn start(flavour: Flavour) -> Box<dyn Lane> {
        Box::new(Self {
            flavour,
            current: None,
        })
    }

    fn build(&self, threads: usize) -> IoResult<Runtime> {
        match self.flavour {
            Flavour::MultiThread => Builder::new_multi_thread()
                .worker_threads(threads)
                .enable_all()
                .build(),
            Flavour::CurrentThread => Builder::new_current_thread().enable_all().build(),
        }
    }
}

fn failure(error: JoinError) -> Failure {
    match error.try_into_panic() {
        Ok(payload) => Failure::from_panic(payload),
        Err(error) => Failure::failed(format!("a task was cancelled: {error}")),
    }
}

/// A task drops its end of a channel early only if it fails.
const GONE: &str = "the other end of the channel is gone";

#[derive(Clone, Copy)]
struct Tasks;

impl Stackless for Tasks {
    const DATABASE: bool = true;

    type Task = JoinHandle<u64>;
    type Sender = mpsc::Sender<u64>;
    type Receiver = mpsc::Receiver<u64>;
    type Lock = Mutex<u64>;
    type Guard<'a> = MutexGuard<'a, u64>;
    /// A semaphore without permits. Closing it opens the gate.
    type Gate = Arc<Semaphore>;
    type Writer = pipe::Sender;
    type Reader = BufReader<pipe::Receiver>;
    type Listener = TcpListener;
    type Stream = TcpStream;
    type Io = TokioIo<TcpStream>;

    fn spawn(&self, body: impl Future<Output = u64> + Send + 'static) -> JoinHandle<u64> {
        ::tokio::spawn(body)
    }

    async fn join(task: JoinHandle<u64>) -> Result<u64, Failure> {
        task.await.map_err(failure)
    }

    fn detach(task: JoinHandle<u64>) {
        drop(task);
    }

    async fn yield_now() {
        ::tokio::task::yield_now().await;
    }

    async fn sleep(time: Duration) {
        ::tokio::time::sleep(time).await;
    }

    async fn within<T: Send>(time: Duration, future: impl Future<Output = T> + Send) -> Option<T> {
        ::tokio::time::timeout(time, future).await.ok()
    }

    async fn blocking<T: Send + 'static>(
        body: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Failure> {
        ::tokio::task::spawn_blocking(body).await.map_err(failure)
    }

    fn channel(capacity: usize) -> (Self::Sender, Self::Receiver) {
        mpsc::channel(capacity.max(1))
    }

    async fn send(to: &Self::Sender, number: u64) {
        to.send(number).await.or_throw("sending");
    }

    async fn recv(from: &mut Self::Receiver) -> u64 {
        from.recv().await.ok_or(GONE).or_throw("receiving")
    }

    async fn recv_either(one: &mut Self::Receiver, other: &mut Self::Receiver) -> u64 {
        ::tokio::select! {
            Some(number) = one.recv() => number,
            Some(number) = other.recv() => number,
            else => Failure::failed(format!("receiving: {GONE}")).throw(),
        }
    }

    fn new_lock() -> Mutex<u64> {
        Mutex::new(0)
    }

    async fn lock(lock: &Mutex<u64>) -> MutexGuard<'_, u64> {
        lock.lock().await
    }

    fn gate() -> Arc<Semaphore> {
        Arc::new(Semaphore::new(0))
    }

    async fn wait(gate: &Arc<Semaphore>) {
        // An error means that the semaphore is closed: the gate is open.
        let _ = gate.acquire().await;
    }

    fn open(gate: &Arc<Semaphore>) {
        gate.close();
    }

    /// A read into a buffer with room left tells tokio that the pipe is empty. After an exact read
    /// it would need a second one to find out.
    fn pipe() -> IoResult<(pipe::Sender, Self::Reader)> {
        let (writer, reader) = pipe::pipe()?;
        Ok((writer, BufReader::with_capacity(64, reader)))
    }

    async fn write_pipe(pipe: &mut pipe::Sender, number: u64) {
        let written = pipe.write_all(&number.to_le_bytes()).await;
        written.or_throw("writing a pipe");
    }

    async fn read_pipe(pipe: &mut Self::Reader) -> u64 {
        let mut bytes = [0; 8];
        pipe.read_exact(&mut bytes).await.or_throw("reading a pipe");
        u64::from_le_bytes(bytes)
    }

    async fn listen() -> IoResult<(TcpListener, SocketAddr)> {
        let listener = TcpListener::bind(server_address()).await?;
        backlog::lengthen(&listener)?;
        let address = listener.local_addr()?;
        Ok((listener, address))
    }

    async fn connect(address: SocketAddr) -> IoResult<TcpStream> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(stream)
    }

    fn io(stream: TcpStream) -> TokioIo<TcpStream> {
        TokioIo::new(stream)
    }

    fn timer() -> impl hyper::rt::Timer + Send + Sync + 'static {
        TokioTimer::new()
    }

    async fn accept(listener: &TcpListener) -> IoResult<TcpStream> {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        Ok(stream)
    }

    async fn read(stream: &mut TcpStream, block: &mut [u8]) -> IoResult<usize> {
        stream.read(block).await
    }

    async fn write_all(stream: &mut TcpStream, bytes: &[u8]) -> IoResult<()> {
        stream.write_all(bytes).await
    }

    async fn mail(server: SocketAddr, number: u64) -> Result<u64, Failure> {
        mail::send_async(server, number).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sample_of_tokio_ends_with_its_last_task() {
        let runtime = Builder::new_multi_thread().enable_all().build().unwrap();
        runtime.block_on(stackless::assert_that_a_sample_ends_with_its_last_task(
            Tasks,
        ));
    }
}
