//! Go's own benchmarks under Go's names: one operation does the same as in Go. The number after the
//! dash is GOMAXPROCS, as in Go.
//!
//! `cargo bench --bench go_names` measures them with Criterion. `cargo bench --bench go_names --
//! --beside-go [WORD]…` runs them in turn with Go's, from the source tree of the installed Go
//! (`THREADBARE_GO`, or `go`), and prints both with their ratio. The words choose benchmarks by
//! name.
//!
//! # Where an operation differs from Go's
//!
//! - `Syscall*`: Go hands a P off only if the system call takes long. Our
//!   [`bench_runtime::blocking`] does so at once; in a pinned runtime, as here, the call then runs
//!   on another thread. Without `blocking` a short call costs nothing; if it is long, sysmon
//!   retakes the P.
//! - `StackGrowth*`: Go copies a stack to a larger one. Here the kernel adds a page at the first
//!   touch.

use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bench_runtime::{GoBuilder, JoinHandle, Receiver, go};
use criterion::Criterion;

mod beside;
mod chan;
#[path = "../common/mod.rs"]
mod common;
mod sched;
mod select;
mod time;

/// Messages in a burst, as in Go.
const BURST: usize = 100;

/// Go's `CallsPerSched`, of which the number of operations is a multiple.
const CALLS_PER_SCHED: u64 = 1000;

type Run = fn(operations: u64, procs: u64) -> Duration;

struct Bench {
    package: &'static str,
    name: &'static str,
    is_parallel: bool,
    run: Run,
}

/// A benchmark of Go's package `runtime` that is not parallel.
const fn of(name: &'static str, run: Run) -> Bench {
    Bench {
        package: "runtime",
        name,
        is_parallel: false,
        run,
    }
}

impl Bench {
    const fn in_package(mut self, package: &'static str) -> Self {
        self.package = package;
        self
    }

    const fn parallel(mut self) -> Self {
        self.is_parallel = true;
        self
    }
}

const BENCHES: &[Bench] = &[
    of("MakeChan/Byte", chan::make_chan::<u8>),
    of("MakeChan/Int", chan::make_chan::<u64>),
    of("MakeChan/Ptr", chan::make_chan::<Box<u8>>),
    of("MakeChan/Struct/0", chan::make_chan::<()>),
    of("MakeChan/Struct/32", chan::make_chan::<[u64; 4]>),
    of("MakeChan/Struct/40", chan::make_chan::<[u64; 5]>),
    of("ChanNonblocking", chan::chan_nonblocking),
    of("ChanUncontended", chan::chan_uncontended),
    of("ChanContended", chan::chan_contended),
    of("ChanSync", |n, _| chan::chan_sync(n, 0)),
    of("ChanSyncWork", |n, _| chan::chan_sync(n, 1000)),
    of("ChanProdCons0", |n, p| chan::prod_cons(n, p, 0, 0)),
    of("ChanProdCons10", |n, p| chan::prod_cons(n, p, 10, 0)),
    of("ChanProdCons100", |n, p| chan::prod_cons(n, p, 100, 0)),
    of("ChanProdConsWork0", |n, p| chan::prod_cons(n, p, 0, 100)),
    of("ChanProdConsWork10", |n, p| chan::prod_cons(n, p, 10, 100)),
    of("ChanProdConsWork100", |n, p| {
        chan::prod_cons(n, p, 100, 100)
    }),
    of("ReceiveDataFromClosedChan", chan::receive_data_from_closed),
    of("ChanCreation", chan::chan_creation),
    of("ChanSem", chan::chan_sem),
    of("ChanPopular", chan::chan_popular),
    of("ChanClosed", chan::chan_closed),
    of("SelectUncontended", select::select_uncontended),
    of("SelectSyncContended", select::select_sync_contended),
    of("SelectAsyncContended", select::select_async_contended),
    of("SelectNonblock", select::select_nonblock),
    of("SelectProdCons", select::select_prod_cons),
    of("CreateGoroutines", |n, _| sched::create_goroutines(n, 1)),
    of("CreateGoroutinesParallel", sched::create_goroutines),
    of("CreateGoroutinesCapture", sched::create_goroutines_capture),
    of("CreateGoroutinesSingle", sched::create_goroutines_single),
    of("PingPongHog", sched::ping_pong_hog),
    of("StackGrowth", |n, p| sched::stack_growth(n, p, 10)),
    of("StackGrowthDeep", |n, p| sched::stack_growth(n, p, 1024)),
    of("Matmult", sched::matmult),
    of("Syscall", |n, p| sched::syscall(n, p, 0, 1)),
    of("SyscallWork", |n, p| sched::syscall(n, p, 100, 1)),
    of("SyscallExcess", |n, p| sched::syscall(n, p, 0, 4)),
    of("SyscallExcessWork", |n, p| sched::syscall(n, p, 100, 4)),
    of("WakeupParallelSpinning/0s", |n, _| {
        sched::wakeup_spinning(n, Duration::ZERO)
    })
    .parallel(),
    of("WakeupParallelSpinning/10µs", |n, _| {
        sched::wakeup_spinning(n, Duration::from_micros(10))
    })
    .parallel(),
    of("WakeupParallelSpinning/100µs", |n, _| {
        sched::wakeup_spinning(n, Duration::from_micros(100))
    })
    .parallel(),
    of("WakeupParallelSyscall/0s", |n, _| {
        sched::wakeup_syscall(n, Duration::ZERO)
    })
    .parallel(),
    of("WakeupParallelSyscall/10µs", |n, _| {
        sched::wakeup_syscall(n, Duration::from_micros(10))
    })
    .parallel(),
    of("WakeupParallelSyscall/100µs", |n, _| {
        sched::wakeup_syscall(n, Duration::from_micros(100))
    })
    .parallel(),
    of("MutexUncontended", sched::mutex_uncontended).in_package("sync"),
    of("Mutex", sched::mutex).in_package("sync"),
    of("ParallelTimerLatency", time::parallel_timer_latency)
        .in_package("time")
        .parallel(),
    of(
        "StaggeredTickerLatency/work-dur=300µs/tickers-per-P=1",
        time::staggered_ticker_latency,
    )
    .in_package("time")
    .parallel(),
];

const PROCS: [usize; 2] = [1, 2];

impl Bench {
    fn fits(&self, procs: usize) -> bool {
        !self.is_parallel
            || procs >= 2 && std::thread::available_parallelism().is_ok_and(|n| n.get() >= procs)
    }

    /// As Go writes it: without a suffix for one P.
    fn full_name(&self, procs: usize) -> String {
        match procs {
            1 => self.name.to_owned(),
            _ => format!("{}-{procs}", self.name),
        }
    }
}

fn by_gos_names(criterion: &mut Criterion) {
    for procs in PROCS {
        let runtime = common::runtime(procs);
        let mut group = criterion.benchmark_group("go");
        // Short, because plain `cargo bench` runs all of them.
        group.sample_size(10);
        group.warm_up_time(Duration::from_millis(100));
        group.measurement_time(Duration::from_millis(400));
        for bench in BENCHES.iter().filter(|bench| bench.fits(procs)) {
            let run = bench.run;
            // Criterion makes folders for slashes, and replaces characters outside ASCII.
            let name = format!("{}-{procs}", bench.name.replace('/', ":").replace('µ', "u"));
            group.bench_function(name, |bencher| {
                bencher
                    .iter_custom(|operations| runtime.run(move || run(operations, procs as u64)));
            });
        }
        group.finish();
    }
}

fn share(operations: u64, tasks: u64, index: u64) -> u64 {
    operations / tasks + u64::from(index < operations % tasks)
}

fn in_parallel(operations: u64, tasks: u64, f: impl Fn(u64) + Send + Clone + 'static) -> Duration {
    in_parallel_with(&GoBuilder::new(), operations, tasks, f)
}

fn in_parallel_with(
    settings: &GoBuilder,
    operations: u64,
    tasks: u64,
    f: impl Fn(u64) + Send + Clone + 'static,
) -> Duration {
    let began = Instant::now();
    let start = |index: u64| {
        let f = f.clone();
        let mine = share(operations, tasks, index);
        let started = settings.clone().go(move || f(mine));
        started.expect("the policy is within its limits")
    };
    join_all((0..tasks).map(start).collect());
    began.elapsed()
}

fn join_all(handles: Vec<JoinHandle<()>>) {
    for handle in handles {
        handle.join().expect("no task of a benchmark panics");
    }
}

fn per_operation(took: Duration, operations: u64, done: u64) -> Duration {
    took.mul_f64(operations as f64 / done as f64)
}

fn receive<T>(rx: &Receiver<T>) {
    black_box(rx.recv());
}

/// The loop is empty, because Go's compiler also removes the work.
fn local_work(rounds: u64) {
    for round in 0..rounds {
        black_box(round);
    }
}

fn spin(length: Duration) {
    let began = Instant::now();
    while began.elapsed() < length {}
}

fn warm_up(procs: u64) {
    let arrived = Arc::new(AtomicU64::new(0));
    let tasks = (0..procs).map(|_| {
        let arrived = arrived.clone();
        go(move || {
            arrived.fetch_add(1, Ordering::AcqRel);
            while arrived.load(Ordering::Acquire) < procs {
                std::hint::spin_loop();
            }
            spin(Duration::from_millis(1));
        })
    });
    join_all(tasks.collect());
}

fn main() -> std::process::ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.iter().any(|argument| argument == beside::FLAG) {
        return beside::main(&arguments);
    }
    by_gos_names(&mut common::config());
    Criterion::default().configure_from_args().final_summary();
    std::process::ExitCode::SUCCESS
}
