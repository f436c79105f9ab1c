//! may: coroutines with stacks of a fixed size, on threads that steal from each other. Its channels
//! have no bound. A process makes the scheduler once, with a fixed number of threads.
#![allow(
    unsafe_code,
    reason = "may's spawn is unsafe: a coroutine must not use thread-locals across a wait"
)]

use std::io::{self, PipeReader, PipeWriter, Read, Write};
use std::net::{Shutdown as Way, SocketAddr};
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, PoisonError};
use std::thread;
use std::time::Duration;

use ::may::coroutine::{self, Builder, JoinHandle};
use ::may::io::{CoIo, WaitIo};
use ::may::net::{TcpListener, TcpStream};
use ::may::sync::mpmc::{Receiver, Sender, channel};
use ::may::sync::{Mutex, Semphore, SyncFlag};
use nix::sys::socket::{Shutdown, shutdown};

use crate::catalogue::{Shape, Workload};
use crate::host::backlog;
use crate::host::cache_line::CacheLine;
use crate::host::mappings;
use crate::lane::{Entry, Failure, Lane, OrThrow, Order, Outcome, Program};
use crate::load::server_address;
use crate::service::database::NoClient;
use crate::shapes::{self, Blocking, Connection};

/// may's own default; it counts in words.
const STACK_WORDS: usize = 0x1000;
/// The main task reads /proc and starts the load generator, so it needs a larger stack.
const MAIN_STACK_WORDS: usize = 1 << 17;

pub(super) const COROUTINES: Entry = Entry {
    name: "may",
    noun: "may coroutine",
    title: "may coroutines, stacks of 32 KiB, unbounded channels",
    program: Program::Plain,
    kernel_tasks: false,
    runtime: || format!("may {}", super::locked_version("may")),
    refuses,
    start: |_| Ok(Box::new(May { threads: None })),
};

fn refuses(workload: &Workload) -> Option<&'static str> {
    match workload.shape {
        Shape::ForkResident => Some("only for processes"),
        Shape::Futex => Some("a futex blocks the thread that its tasks share"),
        Shape::Select => {
            Some("its select starts a coroutine for each channel and cancels the others")
        }
        _ => None,
    }
}

struct May {
    threads: Option<usize>,
}

impl Lane for May {
    fn run(&mut self, order: &Order) -> Result<Outcome, Failure> {
        let threads = order.threads();
        match self.threads {
            None => {
                ::may::config().set_workers(threads);
                self.threads = Some(threads);
            }
            Some(have) if have != threads => {
                return Err(Failure::not_supported(format!(
                    "may starts its threads once for the process: {have}, not {threads}"
                )));
            }
            Some(_) => {}
        }
        let order = order.clone();
        let builder = Builder::new().stack_size(MAIN_STACK_WORDS);
        start(builder, move || shapes::run(&Tasks, &order))
            .and_then(|main| main.join().map_err(Failure::from_panic))
            .and_then(|outcome| outcome)
    }
}

fn start<T: Send + 'static>(
    builder: Builder,
    body: impl FnOnce() -> T + Send + 'static,
) -> Result<JoinHandle<T>, Failure> {
    // SAFETY: shapes and kernels of this crate keep no thread-local across a call that waits, and
    // code that another crate has registered must keep this rule. Calls to a library whose
    // need of stack is unknown run on a thread, by `blocking`. `stack_bytes` keeps the descending workloads within the
    // stack, which ends in a guard page.
    let started = unsafe { builder.spawn(body) };
    started.map_err(|error| {
        Failure::host(
            "starting a coroutine",
            &error,
            "vm.max_map_count and ulimit -v",
        )
    })
}

#[derive(Clone, Copy)]
struct Tasks;

impl Blocking for Tasks {
    const SCHEDULES: bool = true;

    type Task = JoinHandle<u64>;
    type Channel = (Sender<u64>, Receiver<u64>);
    type Gate = Arc<Gate>;
    type Lock = Arc<CacheLine<Mutex<u64>>>;
    type Shared = Arc<AtomicU64>;
    type Pipe = Arc<(CoIo<PipeReader>, CoIo<PipeWriter>)>;
    type Listener = Arc<TcpListener>;
    type Stream = TcpStream;
    type Permits = Semphore;

    fn stack_bytes(&self) -> Option<usize> {
        Some(STACK_WORDS * size_of::<usize>())
    }

    fn most_tasks(&self) -> Option<(u64, &'static str)> {
        Some((mappings::most_coroutines()?, mappings::LIMIT))
    }

    fn spawn(
        &self,
        body: impl FnOnce() -> u64 + Send + 'static,
    ) -> Result<JoinHandle<u64>, Failure> {
        start(Builder::new().stack_size(STACK_WORDS), body)
    }

    fn join(&self, task: JoinHandle<u64>) -> Result<u64, Failure> {
        task.join().map_err(Failure::from_panic)
    }

    fn yield_now(&self) {
        coroutine::yield_now();
    }

    fn sleep(&self, time: Duration) {
        coroutine::sleep(time);
    }

    /// may has no threads for blocking calls, so each call starts one, as may's users do.
    fn blocking<T: Send + 'static>(&self, body: impl FnOnce() -> T + Send + 'static) -> T {
        let (sender, receiver) = channel();
        let thread = thread::Builder::new()
            .spawn(move || sender.send(body()))
            .or_throw("starting a thread that may block");
        match receiver.recv() {
            Ok(result) => result,
            // The thread panicked.
            Err(_) => match thread.join() {
                Err(payload) => Failure::from_panic(payload).throw(),
                Ok(_) => Failure::failed("a thread that may block left no answer").throw(),
            },
        }
    }

    fn channel(&self, _capacity: usize) -> Result<Self::Channel, Failure> {
        Ok(channel())
    }

    fn send(&self, (sender, _): &Self::Channel, number: u64) {
        sender.send(number).or_throw("sending");
    }

    fn recv(&self, (_, receiver): &Self::Channel) -> u64 {
        receiver.recv().or_throw("receiving")
    }

    fn gate(&self) -> Result<Self::Gate, Failure> {
        Ok(Arc::default())
    }

    fn wait(&self, gate: &Self::Gate) -> bool {
        gate.opened.wait();
        gate.go.load(Ordering::Relaxed)
    }

    fn open(&self, gate: &Self::Gate, go: bool) {
        // The `fire` after this store orders it before the load in `wait`.
        gate.go.store(go, Ordering::Relaxed);
        gate.opened.fire();
    }

    fn lock(&self) -> Result<Self::Lock, Failure> {
        Ok(Arc::default())
    }

    fn locked<T>(&self, lock: &Self::Lock, body: impl FnOnce(&mut u64) -> T) -> T {
        body(&mut lock.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn shared(&self) -> Result<Self::Shared, Failure> {
        Ok(Arc::default())
    }

    fn pipe(&self) -> Result<Self::Pipe, Failure> {
        let make = || {
            let (reader, writer) = io::pipe()?;
            Ok(Arc::new((CoIo::new(reader)?, CoIo::new(writer)?)))
        };
        make().map_err(|error: io::Error| Failure::host("making a pipe", &error, "ulimit -n"))
    }

    fn read(&self, pipe: &Self::Pipe) -> u64 {
        let mut bytes = [0; 8];
        let mut end = pipe.0.inner();
        when_ready(&pipe.0, || end.read_exact(&mut bytes)).or_throw("reading a pipe");
        u64::from_le_bytes(bytes)
    }

    fn write(&self, pipe: &Self::Pipe, number: u64) {
        let mut end = pipe.1.inner();
        when_ready(&pipe.1, || end.write_all(&number.to_le_bytes())).or_throw("writing a pipe");
    }

    fn permits(&self, count: usize) -> Semphore {
        Semphore::new(count)
    }

    fn acquire(&self, permits: &Semphore, timeout: Duration) -> bool {
        permits.wait_timeout(timeout)
    }

    fn release(&self, permits: &Semphore) {
        permits.post();
    }

    fn listen(&self) -> io::Result<(Self::Listener, SocketAddr)> {
        let listener = TcpListener::bind(server_address())?;
        backlog::lengthen(listener.inner())?;
        let address = listener.local_addr()?;
        Ok((Arc::new(listener), address))
    }

    fn accept(&self, listener: &Self::Listener) -> io::Result<TcpStream> {
        let (stream, _) = listener.accept()?;
        stream.set_nodelay(true)?;
        Ok(stream)
    }

    fn close(&self, listener: &Self::Listener) {
        // A waiting accept ends with EINVAL. On an error the listener is shut down already.
        let _ = shutdown(listener.as_raw_fd(), Shutdown::Both);
    }
}

impl Connection for TcpStream {
    type Database = NoClient;

    fn connect(address: SocketAddr, _timeout: Duration) -> io::Result<Self> {
        let stream = Self::connect(address)?;
        stream.set_nodelay(true)?;
        Ok(stream)
    }

    fn set_timeout(&self, timeout: Duration) -> io::Result<()> {
        self.set_read_timeout(Some(timeout))
    }

    fn second(&self) -> io::Result<Self> {
        self.try_clone()
    }

    fn shut(&self, how: Way) {
        // An error means that the connection has ended.
        let _ = self.shutdown(how);
    }
}

/// Between two attempts the coroutine waits.
fn when_ready(file: &impl WaitIo, mut attempt: impl FnMut() -> io::Result<()>) -> io::Result<()> {
    loop {
        match attempt() {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                file.wait_io();
            }
            result => return result,
        }
    }
}

#[derive(Default)]
struct Gate {
    opened: SyncFlag,
    go: AtomicBool,
}
