//! Rayon: closures that cannot wait, on a pool of threads that steal from each other.

use std::sync::atomic::{AtomicU64, Ordering};

use ::rayon::{ThreadPool, ThreadPoolBuilder, join, scope};

use crate::catalogue::{Shape, Workload};
use crate::host::clock::now_ns;
use crate::host::files::Files;
use crate::lane::{Entry, Failure, Lane, Order, Outcome, Program};
use crate::measure::{Meter, Starts};

pub(super) const SCOPE: Entry = Entry {
    name: "rayon",
    noun: "rayon task",
    title: "rayon, tasks spawned into a scope",
    program: Program::Plain,
    kernel_tasks: false,
    runtime: || format!("rayon {}", super::locked_version("rayon")),
    refuses,
    start: |_| Ok(Rayon::start(false)),
};

pub(super) const JOIN: Entry = Entry {
    name: "rayon-join",
    noun: "rayon join",
    title: "rayon, ranges halved by join",
    start: |_| Ok(Rayon::start(true)),
    ..SCOPE
};

fn refuses(workload: &Workload) -> Option<&'static str> {
    match workload.shape {
        Shape::ForkJoin
        | Shape::FirstInstruction
        | Shape::Skynet
        | Shape::Chunks(_)
        | Shape::FileRead => None,
        Shape::ForkResident => Some("only for processes"),
        Shape::Yield => {
            Some("a rayon task cannot yield: the next task would run on top of its stack")
        }
        _ => Some("a waiting rayon task blocks its thread, and so the pool"),
    }
}

struct Rayon {
    splits: bool,
    pool: Option<(ThreadPool, usize)>,
}

impl Lane for Rayon {
    fn run(&mut self, order: &Order) -> Result<Outcome, Failure> {
        let splits = self.splits;
        let pool = self.pool(order.threads())?;
        pool.install(|| match order.workload.shape {
            Shape::ForkJoin => {
                let tasks = order.parameters.get("tasks_count").copied().unwrap_or(1);
                repeat(order, || run_all(splits, tasks, &|index| index + 1))
            }
            Shape::Chunks(kernel) => {
                let (chunk, chunks) = order.chunks(kernel);
                repeat(order, || run_all(splits, chunks, &*chunk))
            }
            Shape::FirstInstruction => Ok(first_instruction(order, splits)),
            Shape::Skynet => skynet(order, splits),
            Shape::FileRead => file_read(order, splits),
            _ => Err(Failure::not_supported(
                refuses(order.workload).unwrap_or_default(),
            )),
        })
    }
}

impl Rayon {
    fn start(splits: bool) -> Box<dyn Lane> {
        Box::new(Self { splits, pool: None })
    }

    fn pool(&mut self, threads: usize) -> Result<&ThreadPool, Failure> {
        if self
            .pool
            .as_ref()
            .is_none_or(|(_, count)| *count != threads)
        {
            self.pool = None;
            let pool = ThreadPoolBuilder::new().num_threads(threads).build();
            let pool = pool.map_err(|error| {
                Failure::failed(format!("starting a pool of {threads} threads: {error}"))
            })?;
            self.pool = Some((pool, threads));
        }
        Ok(&self.pool.as_ref().expect("it has just been made").0)
    }
}

fn repeat(order: &Order, run: impl Fn() -> u64) -> Result<Outcome, Failure> {
    let mut meter = Meter::begin(false);
    let checksum = meter.time(|| (0..order.iterations).map(|_| run()).sum());
    Ok(Outcome::new(meter.finish(), checksum))
}

fn run_all(splits: bool, count: u64, job: &(dyn Fn(u64) -> u64 + Sync)) -> u64 {
    match count {
        1 if splits => join(|| job(0), || ()).0,
        _ if splits => halve(0, count, job),
        _ => spawn_each(count, job),
    }
}

fn halve(first: u64, count: u64, job: &(dyn Fn(u64) -> u64 + Sync)) -> u64 {
    if count < 2 {
        return (first..first + count).map(job).sum();
    }
    let half = count / 2;
    let (low, high) = join(
        || halve(first, half, job),
        || halve(first + half, count - half, job),
    );
    low + high
}

fn spawn_each(count: u64, job: &(dyn Fn(u64) -> u64 + Sync)) -> u64 {
    let mut results = vec![0; count as usize];
    scope(|scope| {
        for (index, result) in (0..).zip(&mut results) {
            scope.spawn(move |_| *result = job(index));
        }
    });
    results.iter().sum()
}

fn first_instruction(order: &Order, splits: bool) -> Outcome {
    let mut starts = Starts::new();
    let first = AtomicU64::new(0);
    let note = || {
        first.store(now_ns(), Ordering::Relaxed);
        1
    };
    let mut meter = Meter::begin(false);
    let checksum = meter.time(|| {
        let mut sum = 0;
        for _ in 0..order.iterations {
            let mut result = 0;
            let called = now_ns();
            // The second closure is the task: other threads may steal it while this thread
            // runs the first.
            let returned = if splits {
                let (returned, number) = join(now_ns, note);
                result = number;
                returned
            } else {
                scope(|scope| {
                    scope.spawn(|_| result = note());
                    now_ns()
                })
            };
            let finished = now_ns();
            starts.record(called, returned, first.load(Ordering::Relaxed), finished);
            sum += result;
        }
        sum
    });
    starts.outcome(meter.finish(), checksum)
}

fn skynet(order: &Order, splits: bool) -> Result<Outcome, Failure> {
    let leaves = order.get("leaves_count");
    if 10_u64.pow(leaves.ilog10()) != leaves {
        return Err(Failure::not_supported(format!(
            "{leaves} leaves make no tree of tens; take a power of 10"
        )));
    }
    repeat(order, || node(splits, 0, leaves))
}

fn node(splits: bool, first: u64, leaves: u64) -> u64 {
    if leaves == 1 {
        return first;
    }
    let part = leaves / 10;
    let grow = |child| node(splits, first + child * part, part);
    if splits {
        return halve(0, 10, &grow);
    }
    let mut sums = [0; 10];
    scope(|scope| {
        for (child, sum) in (0..).zip(&mut sums) {
            scope.spawn(move |_| *sum = grow(child));
        }
    });
    sums.iter().sum()
}

fn file_read(order: &Order, splits: bool) -> Result<Outcome, Failure> {
    let block_bytes = order.count("block_bytes");
    let tasks = order.get("tasks_count");
    let (files, cold) = (
        Files::create(tasks as usize, order.get("file_bytes"))?,
        order.get("cold") == 1,
    );
    let mut meter = Meter::begin(false);
    let mut checksum = 0;
    for _ in 0..order.iterations {
        if cold {
            files.drop_cache()?;
        }
        let read = |index| {
            Files::add_up(&files.path(index), block_bytes).unwrap_or_else(|failure| failure.throw())
        };
        checksum += meter.time(|| run_all(splits, tasks, &read));
    }
    Ok(Outcome::new(meter.finish(), checksum))
}
