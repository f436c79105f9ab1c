//! A pool of threads that take jobs from one queue.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::thread::JoinHandle;

use crate::catalogue::Shape;
use crate::kernels::Chunk;
use crate::lane::{Entry, Failure, Lane, Order, Outcome, Program};
use crate::shapes::pool::{self, Pool, Workers};
use crate::shapes::service;

use super::queue::Queue;
use super::thread;

pub(super) const QUEUE: Entry = Entry {
    name: "thread-pool",
    noun: "pooled thread",
    title: "OS threads in a pool, a thread for each CPU, with one queue",
    program: Program::Plain,
    kernel_tasks: true,
    runtime: || format!("std {}", env!("THREADBARE_RUSTC")),
    refuses: pool::refuses,
    start: |_| Ok(Box::new(ThreadPool)),
};

struct ThreadPool;

impl Lane for ThreadPool {
    fn run(&mut self, order: &Order) -> Result<Outcome, Failure> {
        match order.workload.shape {
            Shape::Service => service::pooled(&thread::tasks(), order),
            _ => pool::run(self, order),
        }
    }
}

impl Pool for ThreadPool {
    const PROCESSES: bool = false;
    /// The queue has no bound, so this is only a large number.
    const IN_FLIGHT: usize = 1 << 20;

    type Shared = Arc<AtomicU64>;
    type Workers = Crew;

    fn start(&self, workers: usize, job: Chunk) -> Result<Crew, Failure> {
        let mut crew = Crew {
            todo: Arc::new(Queue::unbounded()),
            done: Arc::new(Queue::unbounded()),
            threads: Vec::with_capacity(workers),
        };
        for _ in 0..workers {
            let (todo, done, job) = (crew.todo.clone(), crew.done.clone(), job.clone());
            let work = move || {
                while let Some(number) = todo.pop() {
                    done.push(
                        catch_unwind(AssertUnwindSafe(|| job(number))).map_err(Failure::from_panic),
                    );
                }
            };
            let started = std::thread::Builder::new().spawn(work);
            crew.threads.push(started.map_err(|error| {
                Failure::host("starting a thread of the pool", &error, "ulimit -u")
            })?);
        }
        Ok(crew)
    }

    fn shared(&self) -> Result<Arc<AtomicU64>, Failure> {
        Ok(Arc::default())
    }
}

/// A job of `None` ends a thread.
struct Crew {
    todo: Arc<Queue<Option<u64>>>,
    done: Arc<Queue<Result<u64, Failure>>>,
    threads: Vec<JoinHandle<()>>,
}

impl Workers for Crew {
    fn submit(&mut self, number: u64) -> Result<(), Failure> {
        self.todo.push(Some(number));
        Ok(())
    }

    fn take(&mut self) -> Result<u64, Failure> {
        self.done.pop()
    }
}

impl Drop for Crew {
    fn drop(&mut self) {
        for _ in &self.threads {
            self.todo.push(None);
        }
        for thread in self.threads.drain(..) {
            // Panics of jobs are caught; nothing else can fail.
            let _ = thread.join();
        }
    }
}
