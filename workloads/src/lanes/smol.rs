//! smol: tasks without stacks on an executor, which a thread on each CPU runs.

use std::future::Future;
use std::io::{PipeReader, PipeWriter, Result as IoResult};
use std::net::SocketAddr;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use ::smol::channel::{Receiver, Sender, bounded};
use ::smol::future::{self, FutureExt};
use ::smol::io::{AsyncReadExt, AsyncWriteExt};
use ::smol::lock::{Mutex, MutexGuard};
use ::smol::net::{TcpListener, TcpStream};
use ::smol::{Async, Executor, Task, Timer};
use smol_hyper::rt::{FuturesIo, SmolTimer};

use crate::host::backlog;
use crate::lane::{Entry, Failure, Lane, OrThrow, Order, Outcome, Program};
use crate::load::server_address;
use crate::mail;
use crate::shapes::stackless::{self, Stackless};

pub(super) const EXECUTOR: Entry = Entry {
    name: "smol",
    noun: "smol task",
    title: "smol tasks, one executor run by a thread for each CPU",
    program: Program::Plain,
    kernel_tasks: false,
    runtime: || format!("smol {}", super::locked_version("smol")),
    refuses: stackless::refuses,
    start: |_| Ok(Box::new(Smol { crew: None })),
};

struct Smol {
    crew: Option<Crew>,
}

impl Lane for Smol {
    fn run(&mut self, order: &Order) -> Result<Outcome, Failure> {
        let count = order.threads();
        let crew = match self.crew.take() {
            Some(crew) if crew.threads.len() == count => crew,
            _ => Crew::start(count)?,
        };
        let main = stackless::run(Tasks(crew.executor.clone()), order.clone());
        let main = AssertUnwindSafe(crew.executor.spawn(main)).catch_unwind();
        let outcome =
            ::smol::block_on(main).unwrap_or_else(|payload| Err(Failure::from_panic(payload)));
        // A task whose handle is dropped is cancelled. After a failure `crew` is dropped here, and
        // each thread ends when its poll has returned.
        if outcome.is_ok() {
            self.crew = Some(crew);
        }
        outcome
    }
}

struct Crew {
    executor: Arc<Executor<'static>>,
    threads: Vec<JoinHandle<()>>,
    /// Closed to end the threads.
    stop: Sender<()>,
}

impl Crew {
    fn start(count: usize) -> Result<Self, Failure> {
        let executor = Arc::new(Executor::new());
        let (stop, stopped) = bounded(1);
        let mut crew = Self {
            executor,
            threads: Vec::with_capacity(count),
            stop,
        };
        for _ in 0..count {
            let (executor, stopped) = (crew.executor.clone(), stopped.clone());
            let thread = thread::Builder::new().spawn(move || {
                // Returns when the channel is closed: no value is ever sent.
                let _ = ::smol::block_on(executor.run(stopped.recv()));
            });
            crew.threads.push(thread.map_err(|error| {
                Failure::host("starting a thread of the executor", &error, "ulimit -u")
            })?);
        }
        Ok(crew)
    }
}

impl Drop for Crew {
    fn drop(&mut self) {
        self.stop.close();
        for thread in self.threads.drain(..) {
            // A task's panic is returned by its join, so the thread cannot fail.
            let _ = thread.join();
        }
    }
}

#[derive(Clone)]
struct Tasks(Arc<Executor<'static>>);

impl Stackless for Tasks {
    type Task = Task<u64>;
    type Sender = Sender<u64>;
    type Receiver = Receiver<u64>;
    type Lock = Mutex<u64>;
    type Guard<'a> = MutexGuard<'a, u64>;
    /// Closing the channel opens the gate.
    type Gate = (Sender<()>, Receiver<()>);
    type Writer = Async<PipeWriter>;
    type Reader = Async<PipeReader>;
    type Listener = TcpListener;
    type Stream = TcpStream;
    type Io = FuturesIo<TcpStream>;

    fn spawn(&self, body: impl Future<Output = u64> + Send + 'static) -> Task<u64> {
        self.0.spawn(body)
    }

    async fn join(task: Task<u64>) -> Result<u64, Failure> {
        let result = AssertUnwindSafe(task).catch_unwind().await;
        result.map_err(Failure::from_panic)
    }

    fn detach(task: Task<u64>) {
        task.detach();
    }

    async fn yield_now() {
        future::yield_now().await;
    }

    async fn sleep(time: Duration) {
        Timer::after(time).await;
    }

    async fn within<T: Send>(time: Duration, future: impl Future<Output = T> + Send) -> Option<T> {
        let late = async {
            Timer::after(time).await;
            None
        };
        future::or(async { Some(future.await) }, late).await
    }

    async fn blocking<T: Send + 'static>(
        body: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Failure> {
        let result = AssertUnwindSafe(::smol::unblock(body)).catch_unwind().await;
        result.map_err(Failure::from_panic)
    }

    fn channel(capacity: usize) -> (Sender<u64>, Receiver<u64>) {
        bounded(capacity.max(1))
    }

    async fn send(to: &Sender<u64>, number: u64) {
        to.send(number).await.or_throw("sending");
    }

    async fn recv(from: &mut Receiver<u64>) -> u64 {
        from.recv().await.or_throw("receiving")
    }

    async fn recv_either(one: &mut Receiver<u64>, other: &mut Receiver<u64>) -> u64 {
        let number = future::race(one.recv(), other.recv()).await;
        number.or_throw("receiving")
    }

    fn new_lock() -> Mutex<u64> {
        Mutex::new(0)
    }

    async fn lock(lock: &Mutex<u64>) -> MutexGuard<'_, u64> {
        lock.lock().await
    }

    fn gate() -> Self::Gate {
        bounded(1)
    }

    async fn wait(gate: &Self::Gate) {
        // Returns when the channel is closed: no value is ever sent.
        let _ = gate.1.recv().await;
    }

    fn open(gate: &Self::Gate) {
        gate.0.close();
    }

    fn pipe() -> IoResult<(Self::Writer, Self::Reader)> {
        let (reader, writer) = std::io::pipe()?;
        Ok((Async::new(writer)?, Async::new(reader)?))
    }

    async fn write_pipe(pipe: &mut Self::Writer, number: u64) {
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

    fn io(stream: TcpStream) -> FuturesIo<TcpStream> {
        FuturesIo::new(stream)
    }

    fn timer() -> impl hyper::rt::Timer + Send + Sync + 'static {
        SmolTimer::new()
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

    /// The mail is sent on a thread that may block, because the mail library has no futures for
    /// smol.
    async fn mail(server: SocketAddr, number: u64) -> Result<u64, Failure> {
        Self::blocking(move || mail::send(server, number)).await?
    }
}
