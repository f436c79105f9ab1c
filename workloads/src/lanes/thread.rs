//! Threads of the operating system, by the standard library.

use std::collections::VecDeque;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use nix::sys::socket::{Shutdown, shutdown};

use crate::catalogue::{Shape, Workload};
use crate::host::mappings;
use crate::host::pipe::NumberPipe;
use crate::lane::{Entry, Failure, Lane, OrThrow, Order, Outcome, Program};
use crate::shapes::{self, Blocking};

const SMALL_STACK_BYTES: usize = 16 << 10;
const LIMITS: &str = "ulimit -u, pids.max of the cgroup, kernel.threads-max and vm.max_map_count";

/// As the standard library starts them.
pub(super) const DEFAULT: Entry = Entry {
    name: "thread",
    title: "OS threads, the standard library's stack of 2 MiB",
    program: Program::Plain,
    kernel_tasks: true,
    runtime,
    refuses,
    start: |_| Ok(Box::new(Threads { stack: None })),
};

/// With the smallest stack that most programs can live with.
pub(super) const SMALL_STACK: Entry = Entry {
    name: "thread-16k",
    title: "OS threads with a stack of 16 KiB",
    program: Program::Plain,
    kernel_tasks: true,
    runtime,
    refuses,
    start: |_| {
        Ok(Box::new(Threads {
            stack: Some(SMALL_STACK_BYTES),
        }))
    },
};

fn runtime() -> String {
    format!("std {}", env!("THREADBARE_RUSTC"))
}

fn refuses(workload: &Workload) -> Option<&'static str> {
    match workload.shape {
        Shape::ForkResident => Some("its tasks are no processes"),
        Shape::Select => Some(
            "a condition variable waits for one queue; a program would let all send into one, which is share.fan_in",
        ),
        _ => None,
    }
}

/// Starts between two looks at the limit of mappings.
const STARTS: u64 = 1_024;
/// What a thread has at most: its stack, its signal stack, a guard for each.
const MAPPINGS: u64 = 4;

/// The standard library ends the process where it finds no room for a thread's
/// signal stack: so this lane stops just before.
fn look_at_mappings() -> Result<(), Failure> {
    static STARTED: AtomicU64 = AtomicU64::new(0);
    let started = STARTED.fetch_add(1, Ordering::Relaxed);
    if started % STARTS != STARTS - 1
        || mappings::left().is_none_or(|left| left >= STARTS * MAPPINGS)
    {
        return Ok(());
    }
    let error = io::Error::from_raw_os_error(libc::ENOMEM);
    Err(Failure::host(
        "starting a thread with less than 4,096 mappings left",
        &error,
        "vm.max_map_count",
    ))
}

#[derive(Clone, Copy)]
struct Threads {
    stack: Option<usize>,
}

impl Lane for Threads {
    fn run(&mut self, order: &Order) -> Result<Outcome, Failure> {
        shapes::run(self, order)
    }
}

impl Blocking for Threads {
    const PINNABLE: bool = true;

    type Task = JoinHandle<u64>;
    type Channel = Arc<Queue>;
    type Gate = Arc<Gate>;
    type Lock = Arc<Mutex<u64>>;
    type Shared = Arc<AtomicU64>;
    type Pipe = NumberPipe;
    type Listener = Arc<TcpListener>;
    type Stream = TcpStream;

    fn stack_bytes(&self) -> Option<usize> {
        self.stack
    }

    fn spawn(&self, body: impl FnOnce() -> u64 + Send + 'static) -> Result<Self::Task, Failure> {
        look_at_mappings()?;
        let builder = thread::Builder::new();
        let builder = match self.stack {
            Some(size) => builder.stack_size(size),
            None => builder,
        };
        builder
            .spawn(body)
            .map_err(|error| Failure::host("starting a thread", &error, LIMITS))
    }

    fn join(&self, task: Self::Task) -> Result<u64, Failure> {
        task.join().map_err(Failure::from_panic)
    }

    fn yield_now(&self) {
        thread::yield_now();
    }

    fn sleep(&self, time: Duration) {
        thread::sleep(time);
    }

    fn channel(&self, capacity: usize) -> Result<Self::Channel, Failure> {
        Ok(Arc::new(Queue::new(capacity.max(1))))
    }

    fn send(&self, channel: &Self::Channel, number: u64) {
        channel.send(number);
    }

    fn recv(&self, channel: &Self::Channel) -> u64 {
        channel.recv()
    }

    fn gate(&self) -> Result<Self::Gate, Failure> {
        Ok(Arc::default())
    }

    fn wait(&self, gate: &Self::Gate) -> bool {
        let state = gate.state.lock().unwrap_or_else(PoisonError::into_inner);
        let state = gate
            .opened
            .wait_while(state, |state| state.is_none())
            .unwrap_or_else(PoisonError::into_inner);
        *state == Some(true)
    }

    fn open(&self, gate: &Self::Gate, go: bool) {
        *gate.state.lock().unwrap_or_else(PoisonError::into_inner) = Some(go);
        gate.opened.notify_all();
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
        NumberPipe::new(1).map_err(|error| Failure::host("making a pipe", &error, "ulimit -n"))
    }

    fn read(&self, pipe: &Self::Pipe) -> u64 {
        pipe.read().or_throw("reading a pipe")
    }

    fn write(&self, pipe: &Self::Pipe, number: u64) {
        pipe.write(number).or_throw("writing a pipe");
    }

    fn listen(&self, _backlog: usize) -> io::Result<(Self::Listener, SocketAddr)> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let address = listener.local_addr()?;
        Ok((Arc::new(listener), address))
    }

    fn accept(&self, listener: &Self::Listener) -> io::Result<Self::Stream> {
        let (stream, _) = listener.accept()?;
        stream.set_nodelay(true)?;
        Ok(stream)
    }

    fn close(&self, listener: &Self::Listener) {
        // An accept that blocks in another thread ends with EINVAL; an error
        // here means that it has ended already.
        let _ = shutdown(listener.as_raw_fd(), Shutdown::Both);
    }
}

/// The textbook bounded queue of a mutex and two condition variables.
///
/// Not `std::sync::mpsc::sync_channel`: that spins before it blocks, which on
/// one CPU costs threads several times what this does.
struct Queue {
    numbers: Mutex<VecDeque<u64>>,
    capacity: usize,
    not_empty: Condvar,
    not_full: Condvar,
}

impl Queue {
    fn new(capacity: usize) -> Self {
        let numbers = Mutex::new(VecDeque::with_capacity(capacity));
        Self {
            numbers,
            capacity,
            not_empty: Condvar::new(),
            not_full: Condvar::new(),
        }
    }

    fn send(&self, number: u64) {
        let numbers = self.numbers.lock().unwrap_or_else(PoisonError::into_inner);
        let mut numbers = self
            .not_full
            .wait_while(numbers, |numbers| numbers.len() == self.capacity)
            .unwrap_or_else(PoisonError::into_inner);
        numbers.push_back(number);
        // Woken without the lock, the receiver finds it free.
        drop(numbers);
        self.not_empty.notify_one();
    }

    fn recv(&self) -> u64 {
        let mut numbers = self.numbers.lock().unwrap_or_else(PoisonError::into_inner);
        let number = loop {
            match numbers.pop_front() {
                Some(number) => break number,
                None => {
                    numbers = self
                        .not_empty
                        .wait(numbers)
                        .unwrap_or_else(PoisonError::into_inner)
                }
            }
        };
        drop(numbers);
        self.not_full.notify_one();
        number
    }
}

/// Open or closed, and what those who pass are told.
#[derive(Default)]
struct Gate {
    state: Mutex<Option<bool>>,
    opened: Condvar,
}
