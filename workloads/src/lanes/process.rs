//! Processes, forked from a lane that has one thread.
//!
//! A task is a child. It runs its closure in its copy of the lane's memory, writes its number into
//! a shared slot, and exits. Channels are pipes; gates and locks are futexes in shared memory.

use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

use bench_runtime::net::Shared;
use nix::unistd::Pid;

use crate::catalogue::{Shape, Workload};
use crate::host::clock::now_ns;
use crate::host::fork;
use crate::host::pipe::NumberPipe;
use crate::host::resident::Resident;
use crate::host::shared_memory::{Arena, Gate, Lock, Number};
use crate::lane::{Entry, Failure, Lane, OrThrow, Order, Outcome, Program};
use crate::lanes::listener;
use crate::measure::{Latencies, Meter};
use crate::shapes::{self, Blocking};

const LIMITS: &str = "ulimit -u, pids.max of the cgroup and kernel.pid_max";
/// The exit status of a task whose failure is in its slot.
const FAILED: i32 = 100;

pub(super) const FORK: Entry = Entry {
    name: "process",
    noun: "process",
    title: "Processes, forked from a parent with one thread",
    program: Program::Plain,
    kernel_tasks: true,
    runtime: || format!("fork of Linux {}", super::kernel_version()),
    refuses,
    start: |_| {
        fork::only_thread()?;
        let arena = Arena::new()
            .map_err(|error| Failure::host("mapping shared memory", &error, "ulimit -v"))?;
        Ok(Box::new(Processes { arena }))
    },
};

pub(super) fn tasks(
    arena: Arena,
) -> impl Blocking<Stream = Shared<TcpStream>, Listener = Arc<TcpListener>> {
    Processes { arena }
}

fn refuses(_: &Workload) -> Option<&'static str> {
    None
}

#[derive(Clone, Copy)]
struct Processes {
    arena: Arena,
}

impl Lane for Processes {
    fn run(&mut self, order: &Order) -> Result<Outcome, Failure> {
        self.arena.clear();
        // The main task may fail by a panic, too.
        let outcome = catch_unwind(AssertUnwindSafe(|| match order.workload.shape {
            Shape::ForkResident => self.fork_resident(order),
            _ => shapes::run(self, order),
        }));
        let outcome = outcome.unwrap_or_else(|payload| Err(Failure::from_panic(payload)));
        if outcome.is_err() {
            fork::end_all();
        }
        outcome
    }
}

impl Processes {
    fn fork_resident(&self, order: &Order) -> Result<Outcome, Failure> {
        let resident = Resident::new(order.get("resident_bytes"), order.get("huge") == 1);
        let mut resident = resident.map_err(|error| {
            Failure::host(
                "mapping the parent's memory",
                &error,
                "free memory and ulimit -v",
            )
        })?;
        let touched = order.get("touch_pages_count");
        let [first, last] = self.arena.numbers()?;
        let (mut returns, mut firsts, mut copies, mut ends) = (
            Latencies::new(),
            Latencies::new(),
            Latencies::new(),
            Latencies::new(),
        );
        let mut checksum = 0;
        let mut meter = Meter::begin(true);
        meter.time(|| -> Result<(), Failure> {
            for _ in 0..order.iterations {
                let called = now_ns();
                let child = fork::start(|| {
                    first.store(now_ns(), Ordering::Relaxed);
                    resident.touch(touched);
                    last.store(now_ns(), Ordering::Relaxed);
                    0
                });
                let child = child.map_err(|error| Failure::host("forking", &error, LIMITS))?;
                let returned = now_ns();
                let status = fork::wait(child)
                    .map_err(|error| Failure::failed(format!("waiting for a child: {error}")))?;
                let ended = now_ns();
                let (ran, done) = (first.load(Ordering::Relaxed), last.load(Ordering::Relaxed));
                returns.record(returned - called);
                firsts.record(ran.saturating_sub(called));
                copies.record(done.saturating_sub(ran));
                ends.record(ended.saturating_sub(done));
                checksum += u64::from(status == Ok(0));
            }
            Ok(())
        })?;
        Ok(Outcome::new(meter.finish(), checksum)
            .with("fork_return_ns", returns.median_ns())
            .with("first_instruction_ns", firsts.median_ns())
            .with("copy_on_write_ns", copies.median_ns())
            .with("exit_wait_ns", ends.median_ns()))
    }
}

struct Task {
    child: Pid,
    number: Number,
}

impl Blocking for Processes {
    const PROCESSES: bool = true;
    const PINNABLE: bool = true;

    type Task = Task;
    type Channel = NumberPipe;
    type Gate = Gate;
    type Lock = Lock;
    type Shared = Number;
    type Pipe = NumberPipe;
    type Listener = Arc<TcpListener>;
    type Stream = Shared<TcpStream>;
    /// Each process uses one connection of its own at a time, so it needs no permits.
    type Permits = ();

    fn most_tasks(&self) -> Option<(u64, &'static str)> {
        Some((fork::most_processes()?, "kernel.pid_max"))
    }

    fn spawn(&self, body: impl FnOnce() -> u64 + Send + 'static) -> Result<Task, Failure> {
        let [number] = self.arena.numbers()?;
        let child = fork::start(|| match catch_unwind(AssertUnwindSafe(body)) {
            Ok(result) => {
                number.store(result, Ordering::Relaxed);
                0
            }
            Err(payload) => {
                self.arena
                    .store_failure(&number, &Failure::from_panic(payload));
                FAILED
            }
        });
        let child = child.map_err(|error| Failure::host("forking a process", &error, LIMITS))?;
        Ok(Task { child, number })
    }

    fn join(&self, task: Task) -> Result<u64, Failure> {
        match fork::wait(task.child)
            .map_err(|error| Failure::failed(format!("waiting for a child: {error}")))?
        {
            Ok(0) => Ok(task.number.load(Ordering::Relaxed)),
            Ok(FAILED) => Err(self.arena.failure(&task.number)),
            Ok(status) => Err(Failure::failed(format!(
                "a child ended with status {status}"
            ))),
            Err(signal) => Err(Failure::failed(format!("a child was killed by {signal}"))),
        }
    }

    fn yield_now(&self) {
        thread::yield_now();
    }

    fn sleep(&self, time: Duration) {
        thread::sleep(time);
    }

    fn channel(&self, capacity: usize) -> Result<NumberPipe, Failure> {
        NumberPipe::new(capacity).map_err(|error| {
            Failure::host(
                "making a pipe",
                &error,
                "ulimit -n and fs.pipe-user-pages-soft",
            )
        })
    }

    fn send(&self, channel: &NumberPipe, number: u64) {
        channel.write(number).or_throw("writing a pipe");
    }

    fn recv(&self, channel: &NumberPipe) -> u64 {
        channel.read().or_throw("reading a pipe")
    }

    fn recv_either(&self, channels: &[NumberPipe; 2]) -> u64 {
        let ready = NumberPipe::either_ready(channels).or_throw("waiting for two pipes");
        self.recv(ready)
    }

    fn gate(&self) -> Result<Gate, Failure> {
        Gate::new(&self.arena)
    }

    fn wait(&self, gate: &Gate) -> bool {
        gate.wait()
    }

    fn open(&self, gate: &Gate, go: bool) {
        gate.open(go);
    }

    fn lock(&self) -> Result<Lock, Failure> {
        Lock::new(&self.arena)
    }

    fn locked<T>(&self, lock: &Lock, body: impl FnOnce(&mut u64) -> T) -> T {
        lock.locked(body)
    }

    fn shared(&self) -> Result<Number, Failure> {
        self.arena.numbers().map(|[number]| number)
    }

    fn pipe(&self) -> Result<NumberPipe, Failure> {
        self.channel(1)
    }

    fn read(&self, pipe: &NumberPipe) -> u64 {
        self.recv(pipe)
    }

    fn write(&self, pipe: &NumberPipe, number: u64) {
        self.send(pipe, number);
    }

    fn permits(&self, _count: usize) {}

    fn acquire(&self, (): &(), _timeout: Duration) -> bool {
        true
    }

    fn release(&self, (): &()) {}

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
