//! Soak test: uses everything at once, with more Ps than CPUs, and checks every answer.
//!
//! Actors run one scenario after another, drawn from a seed. If an actor makes no progress for
//! `--timeout` seconds, or the program does not end, a watchdog thread prints what each thread
//! does, and aborts. At the end no goroutine and no thread may be left, and every value must have
//! been dropped once.
//!
//! `cargo run --release --example soak -- --seconds 60 --procs 64 --mode migrating`

mod primitives;
mod scenarios;
mod settings;
mod watchdog;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use bench_runtime::{Runtime, go, gomaxprocs, num_goroutine, time, yield_now};

use scenarios::{DROPS_DUE, DROPS_SEEN, Rng, SCENARIOS};
use settings::Settings;
use watchdog::Board;

fn main() {
    let settings = match Settings::from_args(std::env::args().skip(1)) {
        Ok(settings) => settings,
        Err(message) => {
            eprintln!("soak: {message}\n{}", settings::USAGE);
            std::process::exit(2);
        }
    };
    scenarios::silence_expected_panics();
    let builder = Runtime::builder().procs(settings.procs);
    let builder = if settings.migrating {
        builder.migrating()
    } else {
        builder
    };
    // SAFETY: no scenario parks inside a thread-local's initialiser or scope, or
    // holds a guard of std's across a call that parks.
    let runtime = match unsafe { builder.build() } {
        Ok(runtime) => Arc::new(runtime),
        Err(error) => {
            eprintln!("soak: the runtime does not start: {error}");
            std::process::exit(1);
        }
    };
    println!("soak: {settings}");

    let board = Arc::new(Board::new(settings.actors));
    let watchdog = watchdog::start(board.clone(), Arc::downgrade(&runtime), settings.timeout);
    let reporter = watchdog::start_reporter(board.clone(), Arc::downgrade(&runtime));
    let outsider = start_outsider(board.clone(), runtime.clone(), settings.seed);
    let began = Instant::now();
    runtime.run({
        let board = board.clone();
        move || conduct(&board, settings)
    });
    outsider.join().expect("the outside thread found no fault");
    let left = runtime.run(|| {
        // Detached goroutines may not have ended yet.
        let timeout = Instant::now() + Duration::from_secs(20);
        while num_goroutine() > 1 && Instant::now() < timeout {
            time::sleep(Duration::from_millis(1));
        }
        num_goroutine() - 1
    });
    board.finish();
    reporter.join().expect("the reporter ends");

    let metrics = runtime.metrics();
    let elapsed = began.elapsed();
    let rounds = board.rounds();
    println!(
        "soak: {rounds} rounds in {:.1} s; {} wakes, {} steals, {} retakes, {} rescues, {} threads",
        elapsed.as_secs_f64(),
        metrics.wakes_count,
        metrics.steals_count,
        metrics.retakes_count,
        metrics.rescues_count,
        metrics.threads_count,
    );
    for (name, count) in board.scenario_counts() {
        println!("  {count:>8} {name}");
    }
    assert_eq!(left, 0, "goroutines are left");
    assert_eq!(
        DROPS_SEEN.load(Ordering::SeqCst),
        DROPS_DUE.load(Ordering::SeqCst),
        "each result is dropped once"
    );
    let runtime = Arc::into_inner(runtime).expect("nobody else holds the runtime");
    let shutdown = runtime.shutdown();
    assert_eq!(shutdown.unfinished_count, 0, "unfinished goroutines");
    // On a busy machine a thread may need longer to end than a shutdown waits.
    let timeout = Instant::now() + Duration::from_secs(20);
    // Two threads must be left: this one and the watchdog's.
    let mut threads = threads_count();
    // The kernel's list may lack a thread while another thread ends.
    while threads != 2 && Instant::now() < timeout {
        std::thread::sleep(Duration::from_millis(5));
        threads = threads_count();
    }
    assert_eq!(threads, 2, "threads are left");
    board.close();
    watchdog.join().expect("the watchdog ends");
    println!("soak: clean");
}

/// The number of threads of this process, without the one that starts others and never ends.
fn threads_count() -> usize {
    let name = |task: &std::fs::DirEntry| std::fs::read_to_string(task.path().join("comm"));
    match std::fs::read_dir("/proc/self/task") {
        Ok(tasks) => tasks
            .flatten()
            .filter(|task| name(task).is_ok_and(|name| name.trim() != "starter"))
            .count(),
        Err(error) => panic!("cannot count threads in /proc/self/task: {error}"),
    }
}

fn conduct(board: &Arc<Board>, settings: Settings) {
    let end = Instant::now() + settings.length;
    let actors: Vec<_> = (0..settings.actors)
        .map(|index| {
            let board = board.clone();
            go(move || act(&board, index, settings, end))
        })
        .collect();
    let mut rng = Rng::new(settings.seed ^ 0xc0de);
    let mut resizes = 0u32;
    while Instant::now() < end {
        if settings.resizes {
            gomaxprocs(Some(1 + rng.below(settings.procs as u64) as usize));
            resizes += 1;
        }
        match rng.below(3) {
            0 => yield_now(),
            n => time::sleep(Duration::from_millis(n * n * 5)),
        }
    }
    gomaxprocs(Some(settings.procs));
    for actor in actors {
        actor.join().expect("an actor found no fault");
    }
    println!("soak: GOMAXPROCS changed {resizes} times");
}

fn act(board: &Board, index: usize, settings: Settings, end: Instant) {
    let mut rng = Rng::new(settings.seed.wrapping_mul(31).wrapping_add(index as u64));
    if settings.runs_stuck() {
        (scenarios::STUCK.1)(&mut rng);
    }
    while Instant::now() < end {
        let which = rng.below(SCENARIOS.len() as u64) as usize;
        if !settings.runs(SCENARIOS[which].0) {
            continue;
        }
        board.begin(index, which);
        (SCENARIOS[which].1)(&mut rng);
        board.end(index);
    }
    board.leave(index);
}

fn start_outsider(
    board: Arc<Board>,
    runtime: Arc<Runtime>,
    seed: u64,
) -> std::thread::JoinHandle<()> {
    std::thread::spawn(move || {
        let mut rng = Rng::new(seed ^ 0x0f0f);
        while !board.is_over() {
            let handles: Vec<_> = (0..1 + rng.below(8))
                .map(|n| {
                    runtime.spawn(move || {
                        yield_now();
                        n
                    })
                })
                .collect();
            for (n, handle) in handles.into_iter().enumerate() {
                assert_eq!(handle.join().expect("it returns"), n as u64);
            }
            std::thread::sleep(Duration::from_micros(rng.below(3_000)));
        }
    })
}
