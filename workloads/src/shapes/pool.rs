//! The shapes of pools. A job is a number; it runs to its end without waiting for another.

use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::catalogue::{Shape, Workload};
use crate::host::clock::now_ns;
use crate::host::files::Files;
use crate::kernels::Chunk;
use crate::lane::{Failure, Order, Outcome};
use crate::measure::{Meter, Starts};

pub(crate) trait Pool {
    const PROCESSES: bool;
    /// The most unfinished jobs for each worker.
    const IN_FLIGHT: usize;
    /// A number, 0 at first.
    type Shared: Deref<Target = AtomicU64> + Clone + Send + Sync + 'static;
    type Workers: Workers;

    fn start(&self, workers: usize, job: Chunk) -> Result<Self::Workers, Failure>;
    fn shared(&self) -> Result<Self::Shared, Failure>;
}

pub(crate) trait Workers {
    fn submit(&mut self, number: u64) -> Result<(), Failure>;
    /// Blocks until any job is done. Returns its result.
    fn take(&mut self) -> Result<u64, Failure>;
}

pub(crate) fn refuses(workload: &Workload) -> Option<&'static str> {
    match workload.shape {
        Shape::ForkJoin
        | Shape::FirstInstruction
        | Shape::Chunks(_)
        | Shape::FileRead
        | Shape::Service => None,
        Shape::ForkResident => Some("its workers are started before the measurement"),
        Shape::Skynet | Shape::Fanout | Shape::Sieve => {
            Some("a job that waits for other jobs blocks its worker, so the pool deadlocks")
        }
        _ => Some("a waiting job blocks its worker, so a pool has no waiting tasks"),
    }
}

pub(crate) fn run<P: Pool>(pool: &P, order: &Order) -> Result<Outcome, Failure> {
    match order.workload.shape {
        Shape::ForkJoin => {
            let tasks = order.parameters.get("tasks_count").copied().unwrap_or(1);
            jobs(pool, order, tasks, Arc::new(|index| index + 1), || Ok(()))
        }
        Shape::Chunks(kernel) => {
            let (chunk, chunks) = order.chunks(kernel);
            jobs(pool, order, chunks, chunk, || Ok(()))
        }
        Shape::FileRead => {
            let tasks = order.get("tasks_count");
            let files = Arc::new(Files::create(tasks as usize, order.get("file_bytes"))?);
            let block_bytes = order.count("block_bytes");
            let read = {
                let files = files.clone();
                Arc::new(move |index| {
                    Files::add_up(&files.path(index), block_bytes)
                        .unwrap_or_else(|failure| failure.throw())
                })
            };
            let cold = order.get("cold") == 1;
            jobs(pool, order, tasks, read, || {
                if cold { files.drop_cache() } else { Ok(()) }
            })
        }
        Shape::FirstInstruction => first_instruction(pool, order),
        _ => Err(Failure::not_supported(
            refuses(order.workload).unwrap_or_default(),
        )),
    }
}

/// `prepare` runs before each iteration and is not timed.
fn jobs<P: Pool>(
    pool: &P,
    order: &Order,
    count: u64,
    job: Chunk,
    prepare: impl Fn() -> Result<(), Failure>,
) -> Result<Outcome, Failure> {
    let threads = order.threads();
    let mut meter = Meter::begin(P::PROCESSES);
    let mut workers = pool.start(threads, job)?;
    let window = (threads * P::IN_FLIGHT) as u64;
    let mut checksum = 0;
    for _ in 0..order.iterations {
        prepare()?;
        checksum += meter.time(|| -> Result<u64, Failure> {
            let mut sum = 0;
            for number in 0..count {
                if number >= window {
                    sum += workers.take()?;
                }
                workers.submit(number)?;
            }
            for _ in 0..count.min(window) {
                sum += workers.take()?;
            }
            Ok(sum)
        })?;
    }
    drop(workers);
    Ok(Outcome::new(meter.finish(), checksum))
}

fn first_instruction<P: Pool>(pool: &P, order: &Order) -> Result<Outcome, Failure> {
    let mut starts = Starts::new();
    let first = pool.shared()?;
    let noted = first.clone();
    let mut meter = Meter::begin(P::PROCESSES);
    let job: Chunk = Arc::new(move |_| {
        noted.store(now_ns(), Ordering::Relaxed);
        1
    });
    let mut workers = pool.start(order.threads(), job)?;
    let checksum = meter.time(|| {
        let mut sum = 0;
        for _ in 0..order.iterations {
            let called = now_ns();
            workers.submit(0)?;
            let returned = now_ns();
            sum += workers.take()?;
            let finished = now_ns();
            starts.record(called, returned, first.load(Ordering::Relaxed), finished);
        }
        Ok(sum)
    })?;
    drop(workers);
    Ok(starts.outcome(meter.finish(), checksum))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalogue;
    use std::collections::VecDeque;

    /// A pool without workers: a job is done when its result is taken.
    #[derive(Default)]
    struct Counting {
        most: Arc<AtomicU64>,
    }

    struct Jobs {
        job: Chunk,
        given: VecDeque<u64>,
        most: Arc<AtomicU64>,
    }

    impl Pool for Counting {
        const PROCESSES: bool = false;
        const IN_FLIGHT: usize = 2;
        type Shared = Arc<AtomicU64>;
        type Workers = Jobs;

        fn start(&self, _workers: usize, job: Chunk) -> Result<Jobs, Failure> {
            Ok(Jobs {
                job,
                given: VecDeque::new(),
                most: self.most.clone(),
            })
        }

        fn shared(&self) -> Result<Self::Shared, Failure> {
            Ok(Arc::default())
        }
    }

    impl Workers for Jobs {
        fn submit(&mut self, number: u64) -> Result<(), Failure> {
            self.given.push_back(number);
            let given = self.given.len() as u64;
            self.most.fetch_max(given, Ordering::Relaxed);
            Ok(())
        }

        fn take(&mut self) -> Result<u64, Failure> {
            Ok((self.job)(self.given.pop_front().unwrap()))
        }
    }

    #[test]
    fn no_more_jobs_are_unfinished_than_the_pool_allows() {
        for tasks in [1, 5, 6, 7, 50] {
            let order = Order {
                workload: catalogue::find("spawn.batch").unwrap(),
                parameters: [("tasks_count".to_owned(), tasks)].into(),
                iterations: 2,
                cpus: 3,
            };
            let pool = Counting::default();
            let outcome = run(&pool, &order).unwrap();
            assert_eq!(outcome.checksum, tasks * (tasks + 1));
            assert_eq!(pool.most.load(Ordering::Relaxed), tasks.min(6));
        }
    }
}
