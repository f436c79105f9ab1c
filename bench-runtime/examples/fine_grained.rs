//! Small programs whose goroutines synchronise often, on one P and on two: a second P should never
//! make such a program slower.
//!
//! `cargo run --release -p bench-runtime --example fine_grained -- [WHICH]..` with any of `locks`,
//! `permits`, `balancer`, `crawl`, `pipeline`, `pool`, `broadcast`. Prints the median of five runs,
//! in milliseconds.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bench_runtime::context::Context;
use bench_runtime::sync::{ErrGroup, Mutex, RwMutex, Semaphore, WaitGroup};
use bench_runtime::{Receiver, Runtime, Sender, chan, go, select};

const RUNS: usize = 5;

type Program = (&'static str, fn());

const PROGRAMS: &[Program] = &[
    ("locks", locks),
    ("permits", permits),
    ("balancer", balancer),
    ("crawl", crawl),
    ("pipeline", pipeline),
    ("pool", pool),
    ("broadcast", broadcast),
];

fn main() {
    let which: Vec<String> = std::env::args().skip(1).collect();
    if let Some(unknown) = which
        .iter()
        .find(|name| PROGRAMS.iter().all(|(known, _)| known != name))
    {
        eprintln!("no program {unknown}; see the top of the source");
        std::process::exit(2);
    }
    println!("program     mode        one P   two Ps   ratio");
    for (name, program) in PROGRAMS {
        if !which.is_empty() && which.iter().all(|one| one != name) {
            continue;
        }
        for migrates in [false, true] {
            let one = median(1, migrates, *program).as_secs_f64() * 1e3;
            let two = median(2, migrates, *program).as_secs_f64() * 1e3;
            let mode = if migrates { "migrating" } else { "pinned" };
            println!(
                "{name:<12}{mode:<9}{one:>8.1} {two:>8.1} {:>7.2}",
                two / one
            );
        }
    }
}

fn median(procs: usize, migrates: bool, program: fn()) -> Duration {
    let mut times: Vec<Duration> = (0..RUNS)
        .map(|_| {
            let builder = Runtime::builder().procs(procs);
            let builder = if migrates {
                builder.migrating()
            } else {
                builder
            };
            // SAFETY: nothing here parks inside a thread-local's initialiser or scope, or
            // holds a guard of std's across a call that parks.
            let runtime = match unsafe { builder.build() } {
                Ok(runtime) => runtime,
                Err(error) => {
                    eprintln!("no runtime: {error}");
                    std::process::exit(1);
                }
            };
            runtime.run(move || {
                let began = Instant::now();
                program();
                began.elapsed()
            })
        })
        .collect();
    times.sort();
    times[RUNS / 2]
}

/// Many short goroutines that take one mutex eight times each.
fn locks() {
    const TASKS: u64 = 100_000;
    let total = Arc::new(Mutex::new(0));
    let tasks = WaitGroup::new();
    for _ in 0..TASKS {
        let total = Arc::clone(&total);
        tasks.go(move || {
            for _ in 0..8 {
                *total.lock() += 1;
            }
        });
    }
    tasks.wait();
    assert_eq!(*total.lock(), 8 * TASKS);
}

/// The same with a semaphore of four permits.
fn permits() {
    let permits = Arc::new(Semaphore::new(4));
    let tasks = WaitGroup::new();
    for _ in 0..50_000 {
        let permits = Arc::clone(&permits);
        tasks.go(move || {
            for _ in 0..4 {
                drop(permits.acquire(1));
            }
        });
    }
    tasks.wait();
    assert_eq!(permits.available(), 4);
}

struct Request {
    number: u64,
    answer: Sender<u64>,
}

/// R. Pike's load balancer, with a heap of workers by their pending requests.
fn balancer() {
    const WORKERS: usize = 10;
    const REQUESTERS: u64 = 100;
    const REQUESTS: u64 = 2_000;
    let (requests, incoming) = chan(0);
    let (completions, completed) = chan(0);
    let workers: Vec<Sender<Request>> = (0..WORKERS)
        .map(|id| worker(id, completions.clone()))
        .collect();
    go! { balance(workers, incoming, completed) }

    let requesters = WaitGroup::new();
    for _ in 0..REQUESTERS {
        let requests = requests.clone();
        requesters.go(move || {
            let (answer, answers) = chan(1);
            for number in 0..REQUESTS {
                let answer = answer.clone();
                let request = Request { number, answer };
                assert!(requests.send(request).is_ok(), "the balancer is there");
                assert_eq!(answers.recv(), Some(number * number));
            }
        });
    }
    requesters.wait();
}

fn worker(id: usize, completions: Sender<usize>) -> Sender<Request> {
    let (requests, queue) = chan::<Request>(256);
    go! {
        for request in queue {
            let answered = request.answer.send(request.number * request.number);
            if answered.is_err() || completions.send(id).is_err() {
                return;
            }
        }
    }
    requests
}

fn balance(workers: Vec<Sender<Request>>, incoming: Receiver<Request>, completed: Receiver<usize>) {
    let mut pending = vec![0_usize; workers.len()];
    let mut heap: BinaryHeap<_> = (0..workers.len()).map(|id| Reverse((0, id))).collect();
    loop {
        select! {
            recv(incoming) -> request => {
                let Some(request) = request else { return };
                // Entries of a worker whose count has changed are skipped.
                let id = loop {
                    let Some(Reverse((count, id))) = heap.pop() else { return };
                    if pending[id] == count {
                        break id;
                    }
                };
                pending[id] += 1;
                heap.push(Reverse((pending[id], id)));
                if workers[id].send(request).is_err() {
                    return;
                }
            },
            recv(completed) -> id => {
                let Some(id) = id else { return };
                pending[id] -= 1;
                heap.push(Reverse((pending[id], id)));
            },
        }
    }
}

/// Fetches pages in memory once each, 64 at a time, in an error group with a context.
fn crawl() {
    const PAGES: u64 = 50_000;
    let (group, ctx) = ErrGroup::<String>::with_context(&Context::background());
    let crawl = Arc::new(Crawl {
        seen: Mutex::new(HashSet::from([0])),
        slots: Semaphore::new(64),
        pages: PAGES,
        group: group.clone(),
        ctx,
    });
    visit(&crawl, 0);
    assert_eq!(group.wait(), Ok(()));
    assert_eq!(crawl.seen.lock().len() as u64, PAGES);
}

struct Crawl {
    seen: Mutex<HashSet<u64>>,
    slots: Semaphore,
    pages: u64,
    group: ErrGroup<String>,
    ctx: Context,
}

fn visit(crawl: &Arc<Crawl>, page: u64) {
    let shared = Arc::clone(crawl);
    crawl.group.go(move || {
        let slot = shared
            .slots
            .acquire_with(&shared.ctx, 1)
            .map_err(|error| error.to_string())?;
        let links = [1, 2, 3, 4].map(|n| (page * 4 + n) % shared.pages);
        drop(slot);
        for link in links {
            if shared.seen.lock().insert(link) {
                visit(&shared, link);
            }
        }
        Ok(())
    });
}

/// Five stages, with a channel of capacity 64 between each two.
fn pipeline() {
    const ITEMS: u64 = 300_000;
    let (first, mut last) = chan(64);
    go! {
        for n in 0..ITEMS {
            if first.send(n).is_err() {
                return;
            }
        }
    }
    for _ in 0..4 {
        let (out, next) = chan(64);
        go! {
            for n in last {
                if out.send(n + 1).is_err() {
                    return;
                }
            }
        }
        last = next;
    }
    assert_eq!(
        last.iter().sum::<u64>(),
        ITEMS * (ITEMS - 1) / 2 + 4 * ITEMS
    );
}

/// Eight workers, with unbuffered channels of jobs and of results.
fn pool() {
    const JOBS: u64 = 300_000;
    let (jobs, queue) = chan(0);
    let (results, found) = chan(0);
    for _ in 0..8 {
        let (queue, results) = (queue.clone(), results.clone());
        go! {
            for n in queue {
                if results.send(n ^ 1).is_err() {
                    return;
                }
            }
        }
    }
    drop(results);
    go! {
        for n in 0..JOBS {
            if jobs.send(n).is_err() {
                return;
            }
        }
    }
    assert_eq!(found.iter().count() as u64, JOBS);
}

/// Four publishers and a hundred subscribers, whose list is behind a read-write mutex.
fn broadcast() {
    const SUBSCRIBERS: usize = 100;
    const MESSAGES: usize = 1_000;
    let subscribers = Arc::new(RwMutex::new(Vec::new()));
    let readers = WaitGroup::new();
    for _ in 0..SUBSCRIBERS {
        let (tx, rx) = chan(16);
        subscribers.write().push(tx);
        readers.go(move || assert_eq!(rx.iter().count(), 4 * MESSAGES));
    }
    let publishers = WaitGroup::new();
    for _ in 0..4 {
        let subscribers = Arc::clone(&subscribers);
        publishers.go(move || {
            for n in 0..MESSAGES {
                for one in subscribers.read().iter() {
                    assert!(one.send(n).is_ok(), "the subscriber reads");
                }
            }
        });
    }
    publishers.wait();
    subscribers.write().clear();
    readers.wait();
}
