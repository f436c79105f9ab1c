//! Threads of the operating system, by the standard library.
//!
//! The standard library has no channel for many receivers, so variants differ in their [`Channel`].

#[cfg(feature = "peers")]
mod crossbeam;

use std::io;
use std::marker::PhantomData;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, OnceLock, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use bench_runtime::net::Shared;
#[cfg(feature = "peers")]
pub(super) use crossbeam::CROSSBEAM;

use crate::catalogue::{Shape, Workload};
use crate::host::cache_line::CacheLine;
use crate::host::mappings;
use crate::host::pipe::NumberPipe;
use crate::lane::{Entry, Failure, Lane, OrThrow, Order, Outcome, Program};
use crate::lanes::listener;
use crate::lanes::queue::Queue;
use crate::shapes::{self, Blocking};

const SMALL_STACK_BYTES: usize = 16 << 10;
const NO_SELECT: &str = "a condition variable waits for one queue; a program would let all send into one, which is share.fan_in";
const LIMITS: &str = "ulimit -u, pids.max of the cgroup, kernel.threads-max and vm.max_map_count";

pub(super) const DEFAULT: Entry = Entry {
    name: "thread",
    noun: "thread",
    title: "OS threads, the standard library's stack of 2 MiB",
    program: Program::Plain,
    kernel_tasks: true,
    runtime: || format!("std {}", env!("THREADBARE_RUSTC")),
    refuses,
    start: |_| Ok(Threads::<Arc<Queue<u64>>>::start(None)),
};

pub(super) const SMALL_STACK: Entry = Entry {
    name: "thread-16k",
    noun: "16 KiB thread",
    title: "OS threads with a stack of 16 KiB",
    start: |_| Ok(Threads::<Arc<Queue<u64>>>::start(Some(SMALL_STACK_BYTES))),
    ..DEFAULT
};

pub(super) fn tasks() -> impl Blocking<Stream = Shared<TcpStream>, Listener = Arc<TcpListener>> {
    Threads::<Arc<Queue<u64>>> {
        stack: None,
        channels: PhantomData,
    }
}

fn refuses(workload: &Workload) -> Option<&'static str> {
    match workload.shape {
        Shape::ForkResident => Some("only for processes"),
        Shape::Select => Some(NO_SELECT),
        _ => None,
    }
}

/// Reserves one thread below the limit of mappings. Beyond the limit std cannot map a thread's
/// signal stack, and ends the process.
struct Reservation;

impl Reservation {
    fn most() -> u64 {
        static MOST: OnceLock<u64> = OnceLock::new();
        *MOST.get_or_init(|| mappings::most_threads().unwrap_or(u64::MAX))
    }

    fn take() -> Result<Self, Failure> {
        let reservation = Self;
        if LIVE.fetch_add(1, Ordering::Relaxed) < Self::most() {
            return Ok(reservation);
        }
        Err(Failure::host(
            "starting a thread with less than 4,096 mappings left",
            &io::Error::from_raw_os_error(libc::ENOMEM),
            LIMITS,
        ))
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        LIVE.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Threads that are not joined yet: each keeps its stack.
static LIVE: AtomicU64 = AtomicU64::new(0);

struct Joinable {
    handle: JoinHandle<u64>,
    _reservation: Reservation,
}

trait Channel: Clone + Send + Sync + 'static {
    /// 0 means the smallest capacity.
    fn new(capacity: usize) -> Self;
    fn send(&self, number: u64);
    fn recv(&self) -> u64;
    fn recv_either(_channels: &[Self; 2]) -> u64 {
        Failure::not_supported(NO_SELECT).throw()
    }
}

impl Channel for Arc<Queue<u64>> {
    fn new(capacity: usize) -> Self {
        Arc::new(Queue::bounded(capacity))
    }

    fn send(&self, number: u64) {
        self.push(number);
    }

    fn recv(&self) -> u64 {
        self.pop()
    }
}

struct Threads<C> {
    stack: Option<usize>,
    channels: PhantomData<fn() -> C>,
}

impl<C> Clone for Threads<C> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<C> Copy for Threads<C> {}

impl<C: Channel> Threads<C> {
    fn start(stack: Option<usize>) -> Box<dyn Lane> {
        Box::new(Self {
            stack,
            channels: PhantomData,
        })
    }
}

impl<C: Channel> Lane for Threads<C> {
    fn run(&mut self, order: &Order) -> Result<Outcome, Failure> {
        shapes::run(self, order)
    }
}

impl<C: Channel> Blocking for Threads<C> {
    const PINNABLE: bool = true;

    type Task = Joinable;
    type Channel = C;
    type Gate = Arc<Gate>;
    type Lock = Arc<CacheLine<Mutex<u64>>>;
    type Shared = Arc<AtomicU64>;
    type Pipe = NumberPipe;
    type Listener = Arc<TcpListener>;
    type Stream = Shared<TcpStream>;
    type Permits = Permits;

    fn stack_bytes(&self) -> Option<usize> {
        self.stack
    }

    fn most_tasks(&self) -> Option<(u64, &'static str)> {
        Some((Reservation::most(), mappings::LIMIT))
    }

    fn spawn(&self, body: impl FnOnce() -> u64 + Send + 'static) -> Result<Self::Task, Failure> {
        let reservation = Reservation::take()?;
        let builder = thread::Builder::new();
        let builder = match self.stack {
            Some(size) => builder.stack_size(size),
            None => builder,
        };
        builder
            .spawn(body)
            .map(|handle| Joinable {
                handle,
                _reservation: reservation,
            })
            .map_err(|error| Failure::host("starting a thread", &error, LIMITS))
    }

    fn join(&self, task: Self::Task) -> Result<u64, Failure> {
        task.handle.join().map_err(Failure::from_panic)
    }

    fn yield_now(&self) {
        thread::yield_now();
    }

    fn sleep(&self, time: Duration) {
        thread::sleep(time);
    }

    fn channel(&self, capacity: usize) -> Result<Self::Channel, Failure> {
        Ok(C::new(capacity))
    }

    fn send(&self, channel: &C, number: u64) {
        channel.send(number);
    }

    fn recv(&self, channel: &C) -> u64 {
        channel.recv()
    }

    fn recv_either(&self, channels: &[C; 2]) -> u64 {
        C::recv_either(channels)
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

    fn permits(&self, count: usize) -> Permits {
        Permits {
            free: Mutex::new(count),
            freed: Condvar::new(),
        }
    }

    fn acquire(&self, permits: &Permits, timeout: Duration) -> bool {
        let free = permits.free.lock().unwrap_or_else(PoisonError::into_inner);
        let (mut free, _) = permits
            .freed
            .wait_timeout_while(free, timeout, |free| *free == 0)
            .unwrap_or_else(PoisonError::into_inner);
        let got = *free > 0;
        *free -= usize::from(got);
        got
    }

    fn release(&self, permits: &Permits) {
        *permits.free.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        permits.freed.notify_one();
    }

    fn listen(&self) -> io::Result<(Self::Listener, SocketAddr)> {
        listener::open()
    }

    fn accept(&self, listener: &Self::Listener) -> io::Result<Self::Stream> {
        listener::accept(listener)
    }

    fn close(&self, listener: &Self::Listener) {
        listener::close(listener);
    }
}

struct Permits {
    free: Mutex<usize>,
    freed: Condvar,
}

/// `state` is `None` while the gate is closed, and then the result of each `wait`.
#[derive(Default)]
struct Gate {
    state: Mutex<Option<bool>>,
    opened: Condvar,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sample_of_threads_ends_with_its_last_task() {
        shapes::assert_that_a_sample_ends_with_its_last_task(&tasks());
    }
}
