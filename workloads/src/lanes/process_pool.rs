//! Processes that are forked before the sample and get jobs over a socket pair.

use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::panic::{AssertUnwindSafe, catch_unwind};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::unistd::Pid;

use crate::catalogue::Shape;
use crate::host::fork;
use crate::host::shared_memory::{Arena, Number};
use crate::kernels::Chunk;
use crate::lane::{Entry, Failure, Lane, Order, Outcome, Program};
use crate::shapes::pool::{self, Pool, Workers};
use crate::shapes::service;

use super::process;

pub(super) const PREFORK: Entry = Entry {
    name: "process-pool",
    noun: "pooled process",
    title: "Processes in a pool, forked beforehand, a socket pair each",
    program: Program::Plain,
    kernel_tasks: true,
    runtime: || format!("fork of Linux {}", super::kernel_version()),
    refuses: pool::refuses,
    start: |_| {
        fork::only_thread()?;
        let arena = Arena::new()
            .map_err(|error| Failure::host("mapping shared memory", &error, "ulimit -v"))?;
        Ok(Box::new(ProcessPool { arena }))
    },
};

struct ProcessPool {
    arena: Arena,
}

impl Lane for ProcessPool {
    fn run(&mut self, order: &Order) -> Result<Outcome, Failure> {
        self.arena.clear();
        let outcome = catch_unwind(AssertUnwindSafe(|| match order.workload.shape {
            Shape::Service => service::preforked(&process::tasks(self.arena), order),
            _ => pool::run(self, order),
        }));
        let outcome = outcome.unwrap_or_else(|payload| Err(Failure::from_panic(payload)));
        if outcome.is_err() {
            fork::end_all();
        }
        outcome
    }
}

impl Pool for ProcessPool {
    const PROCESSES: bool = true;
    /// One job runs and one waits in the socket, so the worker does not wait for the parent.
    const IN_FLIGHT: usize = 2;

    type Shared = Number;
    type Workers = Crew;

    fn start(&self, workers: usize, job: Chunk) -> Result<Crew, Failure> {
        let mut crew = Crew {
            workers: Vec::with_capacity(workers),
        };
        for _ in 0..workers {
            let (socket, theirs) = UnixStream::pair()
                .map_err(|error| Failure::host("making a socket pair", &error, "ulimit -n"))?;
            let child = fork::start(|| i32::from(work(theirs, &job).is_err()));
            let child = child.map_err(|error| {
                Failure::host(
                    "forking a worker",
                    &error,
                    "ulimit -u, pids.max of the cgroup and kernel.pid_max",
                )
            })?;
            crew.workers.push(Worker {
                child,
                socket,
                unfinished_count: 0,
            });
        }
        Ok(crew)
    }

    fn shared(&self) -> Result<Number, Failure> {
        self.arena.numbers().map(|[number]| number)
    }
}

fn work(mut socket: UnixStream, job: &Chunk) -> io::Result<()> {
    loop {
        match receive(&mut socket)? {
            END => return Ok(()),
            number => socket.write_all(&job(number).to_le_bytes())?,
        }
    }
}

fn receive(socket: &mut UnixStream) -> io::Result<u64> {
    let mut bytes = [0; 8];
    socket.read_exact(&mut bytes)?;
    Ok(u64::from_le_bytes(bytes))
}

/// Ends a worker. Closing the socket would not, because later workers have copies of the parent's
/// end.
const END: u64 = u64::MAX;

struct Worker {
    child: Pid,
    socket: UnixStream,
    /// Jobs whose results have not been received.
    unfinished_count: usize,
}

struct Crew {
    workers: Vec<Worker>,
}

impl Workers for Crew {
    fn submit(&mut self, number: u64) -> Result<(), Failure> {
        let worker = self
            .workers
            .iter_mut()
            .min_by_key(|worker| worker.unfinished_count)
            .expect("a pool has at least one worker");
        worker.unfinished_count += 1;
        worker
            .socket
            .write_all(&number.to_le_bytes())
            .map_err(|error| Failure::failed(format!("giving a worker a job: {error}")))
    }

    fn take(&mut self) -> Result<u64, Failure> {
        let mut busy: Vec<_> = self
            .workers
            .iter_mut()
            .filter(|worker| worker.unfinished_count > 0)
            .collect();
        let ready = match busy.as_slice() {
            [_] => 0,
            _ => first_readable(&busy)
                .map_err(|error| Failure::failed(format!("waiting for the workers: {error}")))?,
        };
        let worker = &mut busy[ready];
        worker.unfinished_count -= 1;
        // If the worker has ended, the parent reads an end of file, because it has no copy of the
        // worker's end.
        receive(&mut worker.socket).map_err(|error| {
            Failure::failed(format!("a worker ended in the midst of a job: {error}"))
        })
    }
}

fn first_readable(workers: &[&mut Worker]) -> io::Result<usize> {
    loop {
        let mut waited: Vec<_> = workers
            .iter()
            .map(|worker| PollFd::new(worker.socket.as_fd(), PollFlags::POLLIN))
            .collect();
        match poll(&mut waited, PollTimeout::NONE) {
            Ok(_) | Err(nix::errno::Errno::EINTR) => {}
            Err(errno) => return Err(errno.into()),
        }
        // `any` is also true for hang-ups and errors, which the read then returns.
        if let Some(index) = waited.iter().position(|socket| socket.any() == Some(true)) {
            return Ok(index);
        }
    }
}

impl Drop for Crew {
    fn drop(&mut self) {
        for worker in &mut self.workers {
            // An error means that the worker has ended.
            let _ = worker.socket.write_all(&END.to_le_bytes());
        }
        for worker in &self.workers {
            let _ = fork::wait(worker.child);
        }
    }
}
