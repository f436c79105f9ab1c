//! Goroutines of this project's own runtime.
#![allow(
    unsafe_code,
    reason = "a runtime whose goroutines migrate is asked for by an unsafe method"
)]

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use bench_runtime::context::Context;
use bench_runtime::future::block_on_with;
use bench_runtime::net::{PipeReader, PipeWriter, Shared, TcpListener, TcpStream, pipe};
use bench_runtime::sync::{Mutex, Semaphore};
use bench_runtime::{
    GoBuilder, JoinError, JoinHandle, Metrics, Receiver, Runtime, Sender, StackPolicy, chan, go,
    select,
};

use crate::catalogue::{Shape, Workload};
use crate::host::cache_line::CacheLine;
use crate::lane::{Entry, Failure, Lane, OrThrow, Order, Outcome, Program};
use crate::load::server_address;
use crate::protocol::ErrorKind;
use crate::service::database::Async;
use crate::shapes::{self, Blocking, Connection, Database};

const STOLEN: &str = "stolen_ratio";

const FIXED_BYTES: usize = 8 << 10;
const COMPACT_AFTER: Duration = Duration::from_millis(10);
/// The runtime's own part of a fixed stack.
const HEADER_BYTES: usize = 2_112;

pub(super) const DEFAULT: Entry = Entry {
    name: "threadbare",
    noun: "threadbare goroutine",
    title: "goroutines of bench-runtime, growable stacks, pinned to the thread they start on",
    program: Program::Plain,
    kernel_tasks: false,
    runtime: || format!("bench-runtime {}", super::locked_version("bench-runtime")),
    refuses,
    start: |_| Ok(Goroutines::start(Kind::Pinned)),
};

pub(super) const MIGRATING: Entry = Entry {
    name: "threadbare-migrating",
    noun: "migrating threadbare goroutine",
    title: "goroutines of bench-runtime that move between threads",
    start: |_| Ok(Goroutines::start(Kind::Migrating)),
    ..DEFAULT
};

pub(super) const COMPACTED: Entry = Entry {
    name: "threadbare-compacted",
    noun: "compacted threadbare goroutine",
    title: "goroutines of bench-runtime, stacks compacted when parked for 10 ms",
    start: |_| Ok(Goroutines::start(Kind::Compacted)),
    ..DEFAULT
};

pub(super) const FIXED: Entry = Entry {
    name: "threadbare-fixed8k",
    noun: "8 KiB threadbare goroutine",
    title: "goroutines of bench-runtime, stacks of exactly 8 KiB with a guard",
    refuses: |workload| match workload.id {
        "cpu.sort" | "cpu.json" | "cpu.json_weak" => {
            Some("the standard library's sort and the JSON library need more than 8 KiB of stack")
        }
        "io.email" => Some("the mail library needs more than 8 KiB of stack"),
        "service.http" => Some("the libraries of HTTP and JSON need more than 8 KiB of stack"),
        "io.file_read" => {
            Some("opening a file with the standard library uses most of 8 KiB of stack")
        }
        _ if workload.is_own() => Some("code of your own may need more than 8 KiB of stack"),
        _ => refuses(workload),
    },
    start: |_| Ok(Goroutines::start(Kind::Fixed)),
    ..DEFAULT
};

fn refuses(workload: &Workload) -> Option<&'static str> {
    match workload.shape {
        Shape::ForkResident => Some("only for processes"),
        Shape::Futex => Some("a futex blocks the thread that its tasks share"),
        _ => None,
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Pinned,
    Migrating,
    Compacted,
    Fixed,
}

struct Goroutines {
    kind: Kind,
    current: Option<(Runtime, usize)>,
}

impl Lane for Goroutines {
    fn run(&mut self, order: &Order) -> Result<Outcome, Failure> {
        let procs = order.threads();
        let runtime = match self.current.take() {
            Some((runtime, count)) if count == procs => runtime,
            _ => self.build(procs)?,
        };
        let (tasks, ordered) = (Tasks { kind: self.kind }, order.clone());
        let before = runtime.metrics();
        let outcome = runtime.run(move || {
            // The main goroutine reads /proc and starts the load generator, so it has the usual
            // stack in every variant.
            let main = GoBuilder::new()
                .stack(StackPolicy::default())
                .go(move || shapes::run(&tasks, &ordered));
            let main = main.map_err(|error| {
                Failure::failed(format!("starting the main goroutine: {error}"))
            })?;
            main.join().unwrap_or_else(|error| Err(failure(error)))
        });
        let stolen = stolen_share(&before, &runtime.metrics());
        let outcome = match (outcome, stolen) {
            (Ok(outcome), Some(share)) if order.workload.figures.contains(&STOLEN) => {
                Ok(outcome.with(STOLEN, share))
            }
            (outcome, _) => outcome,
        };
        if outcome.is_ok() {
            self.current = Some((runtime, procs));
        } else {
            let _ = runtime.shutdown();
        }
        outcome
    }
}

impl Goroutines {
    fn start(kind: Kind) -> Box<dyn Lane> {
        Box::new(Self {
            kind,
            current: None,
        })
    }

    fn build(&self, procs: usize) -> Result<Runtime, Failure> {
        let builder = Runtime::builder().procs(procs);
        let builder = match self.kind {
            Kind::Pinned => builder,
            Kind::Fixed => builder.stack(StackPolicy::Fixed(FIXED_BYTES)),
            Kind::Compacted => builder.compact_stacks(COMPACT_AFTER),
            Kind::Migrating => builder.migrating(),
        };
        // SAFETY: the shapes and kernels of this crate never park inside a thread-local's
        // initialiser or scope, and keep no thread-local, guard of std's or value bound to a thread
        // across a call that parks: their state is numbers, vectors and the types of `Blocking`
        // below. Code that another crate has registered must keep the same contract
        // (`docs/own-code.md`).
        unsafe { builder.build() }.map_err(|error| match self.kind {
            Kind::Compacted => {
                Failure::not_supported(format!("this host cannot compact stacks: {error}"))
            }
            _ => Failure::host("starting the runtime", &error, "ulimit -v and ulimit -u"),
        })
    }
}

/// The share of a victim's queue that a thief took, between two readings; `None` without a theft.
fn stolen_share(before: &Metrics, after: &Metrics) -> Option<f64> {
    let found = after.thefts_found_count - before.thefts_found_count;
    let taken = after.steals_count - before.steals_count;
    (found > 0).then(|| taken as f64 / found as f64)
}

fn failure(error: JoinError) -> Failure {
    match error {
        JoinError::Panicked(payload) => Failure::from_panic(payload.into_inner()),
        JoinError::NoStack(error) => Failure {
            kind: ErrorKind::Limit,
            message: format!("no stack for a goroutine: {error}"),
        },
        other => Failure::failed(other.to_string()),
    }
}

#[derive(Clone, Copy)]
struct Tasks {
    kind: Kind,
}

impl Blocking for Tasks {
    const SCHEDULES: bool = true;

    type Task = JoinHandle<u64>;
    type Channel = (Sender<u64>, Receiver<u64>);
    type Gate = Arc<Gate>;
    type Lock = Arc<CacheLine<Mutex<u64>>>;
    type Shared = Arc<AtomicU64>;
    type Pipe = Arc<(PipeReader, PipeWriter)>;
    type Listener = Arc<TcpListener>;
    type Stream = Shared<TcpStream>;
    type Permits = Semaphore;

    fn stack_bytes(&self) -> Option<usize> {
        (self.kind == Kind::Fixed).then_some(FIXED_BYTES - HEADER_BYTES)
    }

    fn spawn(
        &self,
        body: impl FnOnce() -> u64 + Send + 'static,
    ) -> Result<JoinHandle<u64>, Failure> {
        Ok(go(body))
    }

    fn join(&self, task: JoinHandle<u64>) -> Result<u64, Failure> {
        task.join().map_err(failure)
    }

    fn yield_now(&self) {
        bench_runtime::yield_now();
    }

    fn sleep(&self, time: Duration) {
        bench_runtime::time::sleep(time);
    }

    fn blocking<T: Send + 'static>(&self, body: impl FnOnce() -> T + Send + 'static) -> T {
        bench_runtime::blocking(body)
    }

    fn channel(&self, capacity: usize) -> Result<Self::Channel, Failure> {
        Ok(chan(capacity))
    }

    fn send(&self, (sender, _): &Self::Channel, number: u64) {
        sender.send(number).or_throw("sending");
    }

    fn recv(&self, (_, receiver): &Self::Channel) -> u64 {
        receiver
            .recv()
            .ok_or("the channel is closed")
            .or_throw("receiving")
    }

    fn recv_either(&self, [one, other]: &[Self::Channel; 2]) -> u64 {
        let number = select! {
            recv(one.1) -> number => number,
            recv(other.1) -> number => number,
        };
        number.ok_or("a channel is closed").or_throw("receiving")
    }

    fn gate(&self) -> Result<Self::Gate, Failure> {
        let (closer, closed) = chan(0);
        Ok(Arc::new(Gate {
            closer,
            closed,
            go: AtomicBool::new(false),
        }))
    }

    fn wait(&self, gate: &Self::Gate) -> bool {
        // Returns when the channel is closed: no value is ever sent.
        let _ = gate.closed.recv();
        gate.go.load(Ordering::Relaxed)
    }

    fn open(&self, gate: &Self::Gate, go: bool) {
        // The `close` after this store orders it before the load in `wait`.
        gate.go.store(go, Ordering::Relaxed);
        gate.closer.close();
    }

    fn lock(&self) -> Result<Self::Lock, Failure> {
        Ok(Arc::new(CacheLine(Mutex::new(0))))
    }

    fn locked<T>(&self, lock: &Self::Lock, body: impl FnOnce(&mut u64) -> T) -> T {
        body(&mut lock.lock())
    }

    fn shared(&self) -> Result<Self::Shared, Failure> {
        Ok(Arc::default())
    }

    fn pipe(&self) -> Result<Self::Pipe, Failure> {
        pipe()
            .map(Arc::new)
            .map_err(|error| Failure::host("making a pipe", &error, "ulimit -n"))
    }

    fn read(&self, pipe: &Self::Pipe) -> u64 {
        let mut bytes = [0; 8];
        (&pipe.0).read_exact(&mut bytes).or_throw("reading a pipe");
        u64::from_le_bytes(bytes)
    }

    fn write(&self, pipe: &Self::Pipe, number: u64) {
        (&pipe.1)
            .write_all(&number.to_le_bytes())
            .or_throw("writing a pipe");
    }

    fn permits(&self, count: usize) -> Semaphore {
        Semaphore::new(count)
    }

    fn acquire(&self, permits: &Semaphore, timeout: Duration) -> bool {
        let permit = permits.acquire_timeout(1, timeout);
        permit.map(|permit| permit.forget()).is_ok()
    }

    fn release(&self, permits: &Semaphore) {
        permits.release(1);
    }

    fn listen(&self) -> io::Result<(Self::Listener, SocketAddr)> {
        let listener = TcpListener::bind(server_address())?;
        let address = listener.local_addr()?;
        Ok((Arc::new(listener), address))
    }

    fn accept(&self, listener: &Self::Listener) -> io::Result<Self::Stream> {
        // The runtime's streams send small writes at once, as those of all lanes do.
        let (stream, _) = listener.accept()?;
        Ok(Shared::new(stream))
    }

    fn close(&self, listener: &Self::Listener) {
        // On an error the listener is closed already.
        let _ = listener.close();
    }
}

impl Connection for Shared<TcpStream> {
    type Database = Bridged;

    fn connect(address: SocketAddr, timeout: Duration) -> io::Result<Self> {
        let stream = TcpStream::connect_timeout(&address, timeout)?;
        stream.set_nodelay(true)?;
        Ok(Self::new(stream))
    }

    fn set_timeout(&self, timeout: Duration) -> io::Result<()> {
        self.set_read_timeout(Some(timeout))
    }

    fn second(&self) -> io::Result<Self> {
        Ok(self.clone())
    }

    fn shut(&self, how: Shutdown) {
        // An error means that the connection has ended.
        let _ = self.shutdown(how);
    }
}

/// tokio's client of PostgreSQL. One of tokio's threads runs the connections; goroutines wait for
/// the futures.
pub(crate) struct Bridged {
    client: Async,
    timeout: Duration,
}

impl Bridged {
    fn wait<T>(timeout: Duration, future: impl Future<Output = io::Result<T>>) -> io::Result<T> {
        let (ctx, _cancel) = Context::background().with_timeout(timeout);
        let late = |_| io::Error::from(io::ErrorKind::TimedOut);
        block_on_with(&ctx, future).map_err(late)?
    }
}

impl Database for Bridged {
    fn connect(url: &str, timeout: Duration) -> io::Result<Self> {
        static TOKIO: LazyLock<io::Result<tokio::runtime::Runtime>> = LazyLock::new(|| {
            tokio::runtime::Builder::new_multi_thread()
                .worker_threads(1)
                .enable_all()
                .build()
        });
        let tokio = TOKIO.as_ref().map_err(|error| error.kind())?;
        let url = url.to_owned();
        let connected = tokio.spawn(async move { Async::connect(&url, timeout).await });
        let client = Self::wait(timeout, async { connected.await? })?;
        Ok(Self { client, timeout })
    }

    fn get(&mut self, keys: &[String]) -> io::Result<Option<Vec<Vec<u8>>>> {
        Self::wait(self.timeout, self.client.get(keys))
    }
}

/// Closing the channel opens the gate.
struct Gate {
    closer: Sender<()>,
    closed: Receiver<()>,
    go: AtomicBool,
}
