//! A pool of workers: goroutines receive jobs from one channel and send results to another.
//!
//! `cargo run --release --example worker_pool`

use bench_runtime::sync::WaitGroup;
use bench_runtime::{Runtime, chan};

/// How many steps of the Collatz rule lead from `n` to 1.
fn collatz(mut n: u64) -> u32 {
    let mut steps = 0;
    while n != 1 {
        n = if n.is_multiple_of(2) {
            n / 2
        } else {
            3 * n + 1
        };
        steps += 1;
    }
    steps
}

/// The number below `limit` with the most steps, and how many it has.
pub(crate) fn longest(workers: usize, limit: u64) -> (u64, u32) {
    let (jobs, queue) = chan(workers);
    let (results, found) = chan(workers);

    let pool = WaitGroup::new();
    for _ in 0..workers {
        let (queue, results) = (queue.clone(), results.clone());
        pool.go(move || {
            for n in queue {
                results.send((n, collatz(n))).expect("somebody collects");
            }
        });
    }
    // The channel of results closes when the last worker has dropped its sender.
    drop(results);

    pool.go(move || {
        for n in 1..limit {
            jobs.send(n).expect("the workers are there");
        }
    });

    let best = found
        .iter()
        .max_by_key(|&(n, steps)| (steps, std::cmp::Reverse(n)));
    pool.wait();
    best.expect("there are numbers below the limit")
}

fn main() -> std::io::Result<()> {
    // SAFETY: nothing here parks inside a thread-local's initialiser or scope.
    let (n, steps) = unsafe { Runtime::builder().build() }?.run(|| longest(8, 100_000));
    println!("{n} takes {steps} steps");
    Ok(())
}
