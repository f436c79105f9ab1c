//! Prints figures of the scheduler, in both modes. Run it on an idle machine, from a release build.
//!
//! `cargo run --release -p bench-runtime --example sched_figures -- [WHICH]..` with any of `spawn`,
//! `sleep`, `hog`, `readied`, `readers`, `pingpong`, `polling`, `apart`, `resize`, `idle`; without
//! an argument all.

use std::io::{Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bench_runtime::sync::WaitGroup;
use bench_runtime::{
    Builder, Receiver, Runtime, Sender, TryRecvError, blocking, chan, go, goroutines, time,
    yield_now,
};

#[derive(Clone, Copy, Debug)]
enum Mode {
    Pinned,
    Migrating,
}

impl Mode {
    fn builder(self, procs: usize) -> Builder {
        let builder = Runtime::builder().procs(procs);
        match self {
            Self::Pinned => builder,
            Self::Migrating => builder.migrating(),
        }
    }

    fn runtime(self, procs: usize) -> Runtime {
        // SAFETY: nothing here parks inside a thread-local's initialiser or
        // scope, or holds a guard of std's across a call that parks.
        match unsafe { self.builder(procs).build() } {
            Ok(runtime) => runtime,
            Err(error) => {
                eprintln!("no runtime: {error}");
                std::process::exit(1);
            }
        }
    }
}

type Figure = (&'static str, fn(Mode));

const FIGURES: &[Figure] = &[
    ("spawn", spawn),
    ("sleep", sleep),
    ("hog", hog),
    ("readied", readied),
    ("readers", readers),
    ("pingpong", ping_pong),
    ("polling", polling),
    ("apart", apart),
    ("resize", resize),
    ("idle", idle),
];

fn main() {
    let chosen: Vec<String> = std::env::args().skip(1).collect();
    if let Some(unknown) = chosen
        .iter()
        .find(|name| !FIGURES.iter().any(|(known, _)| known == name))
    {
        eprintln!(
            "no figure is called {unknown}; there are {:?}",
            FIGURES.iter().map(|(name, _)| name).collect::<Vec<_>>()
        );
        std::process::exit(2);
    }
    for (name, print) in FIGURES {
        if chosen.is_empty() || chosen.iter().any(|one| one == name) {
            for mode in [Mode::Pinned, Mode::Migrating] {
                print(mode);
            }
        }
    }
}

/// The time of a round of two goroutines, in many fresh runtimes. Both compute first, so most pairs
/// are on two threads. In a few runtimes each hand-over may be slow.
fn apart(mode: Mode) {
    const RUNTIMES: usize = 300;
    const ROUNDS: u32 = 4_000;
    const ALONE: Duration = Duration::from_micros(300);
    let mut rounds: Vec<Duration> = (0..RUNTIMES)
        .map(|_| {
            mode.runtime(2).run(|| {
                let (there, receive) = chan(0);
                let (reply, back) = chan(0);
                let other = go(move || {
                    burn(ALONE);
                    receive.into_iter().for_each(|n: u32| {
                        let _ = reply.send(n);
                    });
                });
                burn(ALONE);
                let began = Instant::now();
                for n in 0..ROUNDS {
                    if there.send(n).is_err() || back.recv().is_none() {
                        break;
                    }
                }
                let took = began.elapsed() / ROUNDS;
                drop(there);
                let _ = other.join();
                took
            })
        })
        .collect();
    rounds.sort_unstable();
    println!(
        "apart: {mode:?}, 2 Ps, {RUNTIMES} runtimes: {:?} a round median, {:?} p90, {:?} p99, {:?} at most",
        rounds[RUNTIMES / 2],
        rounds[RUNTIMES * 9 / 10],
        rounds[RUNTIMES * 99 / 100],
        rounds[RUNTIMES - 1],
    );
}

fn burn(length: Duration) {
    let began = Instant::now();
    while began.elapsed() < length {
        std::hint::spin_loop();
    }
}

/// The time to spawn and join a goroutine, and to spawn a thousand and wait for them with a
/// WaitGroup: the median, the smallest and the largest round.
fn spawn(mode: Mode) {
    const ROUNDS: usize = 15;
    const TIMES: u32 = 100_000;
    const BATCH: u32 = 1_000;
    let rounds = |body: fn()| {
        let mut each: Vec<f64> = (0..ROUNDS)
            .map(|_| {
                let began = Instant::now();
                body();
                began.elapsed().as_nanos() as f64 / f64::from(TIMES)
            })
            .collect();
        each.sort_unstable_by(f64::total_cmp);
        let (least, most) = (each[0], each[ROUNDS - 1]);
        format!("{:.1} ns ({least:.1} to {most:.1})", each[ROUNDS / 2])
    };
    for procs in [1, 2] {
        let (one, batch) = mode.runtime(procs).run(move || {
            let one = rounds(|| (0..TIMES).for_each(|_| go(|| ()).join().expect("it ends")));
            let batch = rounds(|| {
                for _ in 0..TIMES / BATCH {
                    let all = WaitGroup::new();
                    (0..BATCH).for_each(|_| all.go(|| ()));
                    all.wait();
                }
            });
            (one, batch)
        });
        println!("spawn: {mode:?}, {procs} P: one {one}; of a batch by a WaitGroup {batch}");
    }
}

/// How late sleeps of 1 ms end, and the same for threads without a runtime.
fn sleep(mode: Mode) {
    const EACH: Duration = Duration::from_millis(1);
    const TIMES: usize = 1_000;
    let sleeps = |nap: fn(Duration)| {
        let mut late = Vec::with_capacity(TIMES);
        for _ in 0..TIMES {
            let due = Instant::now() + EACH;
            nap(EACH);
            late.push(due.elapsed());
        }
        late
    };
    let say = |who: &str, sleepers: usize, mut late: Vec<Duration>, cpu: Duration| {
        late.sort_unstable();
        println!(
            "sleep: {who}, {sleepers} at a time: late by {:?} median, {:?} p99; {:?} of CPU time a sleep",
            late[late.len() / 2],
            late[late.len() * 99 / 100],
            cpu / late.len() as u32,
        );
    };
    for sleepers in [1, 2, 8] {
        for procs in [1, 2] {
            let runtime = mode.runtime(procs);
            let before = cpu_time();
            let (late, cpu) = runtime.run(move || {
                let tasks: Vec<_> = (0..sleepers)
                    .map(|_| {
                        go(move || {
                            // Long enough for another M to take the other sleepers.
                            burn(Duration::from_millis(2));
                            sleeps(time::sleep)
                        })
                    })
                    .collect();
                let tasks = tasks.into_iter();
                let late: Vec<_> = tasks
                    .flat_map(|task| task.join().expect("a sleeper ends"))
                    .collect();
                (late, cpu_time())
            });
            let cpu = cpu.saturating_sub(before);
            say(&format!("{mode:?}, {procs} P"), sleepers, late, cpu);
        }
        let before = cpu_time();
        let threads: Vec<_> = (0..sleepers)
            .map(|_| {
                std::thread::spawn(move || {
                    let late = sleeps(std::thread::sleep);
                    (late, cpu_time())
                })
            })
            .collect();
        let mut cpu = before;
        let mut late = Vec::new();
        for thread in threads {
            let (thread_late, cpu_after) = thread.join().expect("a sleeper ends");
            late.extend(thread_late);
            cpu = cpu.max(cpu_after);
        }
        say("threads", sleepers, late, cpu.saturating_sub(before));
    }
}

/// The delay of a goroutine that wakes each millisecond, beside hogs of 200 ms, on one P. In pinned
/// mode the sleeper and the hogs may share a thread or not.
fn hog(mode: Mode) {
    const LENGTH: Duration = Duration::from_secs(3);
    const EACH: Duration = Duration::from_millis(1);
    let runtime = mode.runtime(1);
    let mut late = runtime.run(|| {
        let stop = Arc::new(AtomicBool::new(false));
        let sleeper = go(|| {
            let mut late = Vec::new();
            let began = Instant::now();
            while began.elapsed() < LENGTH {
                let due = Instant::now() + EACH;
                time::sleep_until(due);
                late.push(due.elapsed());
            }
            late
        });
        let hogs = go({
            let stop = stop.clone();
            move || {
                while !stop.load(Ordering::Relaxed) {
                    let one = go(|| burn(Duration::from_millis(200)));
                    one.join().expect("a hog ends");
                }
            }
        });
        let late = sleeper.join().expect("the sleeper ends");
        stop.store(true, Ordering::Relaxed);
        hogs.join().expect("the hogs end");
        late
    });
    late.sort_unstable();
    println!(
        "hog: {mode:?}, 1 P, 1 ms sleeps beside 200 ms hogs: late by {:?} median, {:?} p99, {:?} at most, of {}; {} retakes",
        late[late.len() / 2],
        late[late.len() * 99 / 100],
        late[late.len() - 1],
        late.len(),
        runtime.metrics().retakes_count,
    );
}

/// How late a goroutine runs after another has readied it and computes on, with two Ps.
fn readied(mode: Mode) {
    const TIMES: usize = 2_000;
    let runtime = mode.runtime(2);
    let mut late = runtime.run(|| {
        let (tx, rx) = chan::<Instant>(1);
        let other = go(move || rx.iter().map(|sent| sent.elapsed()).collect::<Vec<_>>());
        for _ in 0..TIMES {
            burn(Duration::from_millis(1));
            tx.send(Instant::now()).expect("the other one is there");
        }
        drop(tx);
        other.join().expect("the other one ends")
    });
    late.sort_unstable();
    println!(
        "readied: {mode:?}, 2 Ps, by a goroutine that computes: late by {:?} median, {:?} p90, {:?} at most; {} rescues",
        late[late.len() / 2],
        late[late.len() * 9 / 10],
        late[late.len() - 1],
        runtime.metrics().rescues_count,
    );
}

/// The number of threads, and the speed of a computation, beside goroutines in blocking reads.
fn readers(mode: Mode) {
    const READERS: usize = 1_000;
    let runtime = mode.runtime(2);
    let compute = |runtime: &Runtime| {
        runtime.run(|| {
            let began = Instant::now();
            let tasks: Vec<_> = (0..200)
                .map(|_| go(|| burn(Duration::from_micros(500))))
                .collect();
            tasks
                .into_iter()
                .for_each(|task| task.join().expect("it ends"));
            began.elapsed()
        })
    };
    let alone = compute(&runtime);
    let mut writers = Vec::with_capacity(READERS);
    let mut tasks = Vec::with_capacity(READERS);
    for _ in 0..READERS {
        let (mut near, far) = match std::io::pipe() {
            Ok(pipe) => pipe,
            Err(error) => {
                eprintln!("no pipe, raise ulimit -n to 4096: {error}");
                std::process::exit(1);
            }
        };
        writers.push(far);
        tasks.push(runtime.spawn(move || blocking(move || near.read(&mut [0]).is_ok())));
    }
    let in_calls = |runtime: &Runtime| {
        let all = runtime.goroutines();
        all.iter().filter(|g| g.state == "blocking call").count()
    };
    while in_calls(&runtime) < READERS {
        std::thread::sleep(Duration::from_millis(1));
    }
    let beside = compute(&runtime);
    let threads = runtime.metrics().threads_count;
    for mut writer in writers {
        // A reader whose end is closed fails by itself.
        let _ = writer.write_all(b"x");
    }
    let read = tasks
        .into_iter()
        .filter_map(|task| task.join().ok())
        .filter(|&ok| ok)
        .count();
    println!(
        "readers: {mode:?}, 2 Ps, {read} of {READERS} in blocking reads: {threads} threads; 100 ms of work took {alone:?} alone, {beside:?} beside them"
    );
}

struct Pair {
    there: Sender<()>,
    back: Receiver<()>,
}

/// Starts the half that answers, which ends when `there` is dropped.
fn pair(work: Duration) -> Pair {
    let (there, ping) = chan(0);
    let (pong, back) = chan(0);
    drop(go(move || {
        while ping.recv().is_some() {
            burn(work);
            if pong.send(()).is_err() {
                break;
            }
        }
    }));
    Pair { there, back }
}

impl Pair {
    fn round(&self) {
        self.there.send(()).expect("the other half is there");
        self.back.recv().expect("the other half is there");
    }
}

/// A light ping-pong pair alone and beside a heavy one.
fn ping_pong(mode: Mode) {
    const ROUNDS: u32 = 20_000;
    for procs in [1, 2] {
        let runtime = mode.runtime(procs);
        let (alone, beside, heavy_rounds) = runtime.run(|| {
            let light = || {
                go(|| {
                    let pair = pair(Duration::ZERO);
                    let began = Instant::now();
                    (0..ROUNDS).for_each(|_| pair.round());
                    began.elapsed() / ROUNDS
                })
            };
            let alone = light().join().expect("the light pair ends");
            let stop = Arc::new(AtomicBool::new(false));
            let rounds = Arc::new(AtomicU64::new(0));
            let heavy = go({
                let (stop, rounds) = (stop.clone(), rounds.clone());
                move || {
                    let pair = pair(Duration::from_micros(2));
                    while !stop.load(Ordering::Relaxed) {
                        pair.round();
                        rounds.fetch_add(1, Ordering::Relaxed);
                    }
                }
            });
            while rounds.load(Ordering::Relaxed) == 0 {
                yield_now();
            }
            let before = rounds.load(Ordering::Relaxed);
            let beside = light().join().expect("the light pair ends");
            let heavy_rounds = rounds.load(Ordering::Relaxed) - before;
            stop.store(true, Ordering::Relaxed);
            heavy.join().expect("the heavy pair ends");
            (alone, beside, heavy_rounds)
        });
        println!(
            "pingpong: {mode:?}, {procs} P: {alone:?} a round alone, {beside:?} beside a pair with 2 us of work ({:.1} times; {:.2} heavy rounds for each)",
            beside.as_secs_f64() / alone.as_secs_f64(),
            heavy_rounds as f64 / f64::from(ROUNDS),
        );
    }
}

/// A ping-pong pair alone and beside a hog that polls a channel, as in Go's
/// `BenchmarkPingPongHog`.
fn polling(mode: Mode) {
    const ROUNDS: u32 = 4_000_000;
    for procs in [1, 2] {
        let runtime = mode.runtime(procs);
        let (alone, beside) = runtime.run(|| {
            let light = || {
                go(|| {
                    let pair = pair(Duration::ZERO);
                    let began = Instant::now();
                    let timeout = Duration::from_secs(2);
                    let mut rounds = 0;
                    while rounds < ROUNDS && began.elapsed() < timeout {
                        pair.round();
                        rounds += 1;
                    }
                    began.elapsed() / rounds
                })
            };
            let alone = light().join().expect("the pair ends");
            let (stop, stopped) = chan::<()>(0);
            let hog = go(move || while stopped.try_recv() == Err(TryRecvError::Empty) {});
            let beside = light().join().expect("the pair ends");
            stop.close();
            hog.join().expect("the hog ends");
            (alone, beside)
        });
        println!(
            "polling: {mode:?}, {procs} P: {alone:?} a round alone, {beside:?} beside a hog that polls ({:.1} times)",
            beside.as_secs_f64() / alone.as_secs_f64(),
        );
    }
}

/// Changes the number of Ps beside a load. No goroutine and no thread may be lost.
fn resize(mode: Mode) {
    const CHANGES: usize = 10_000;
    let runtime = mode.runtime(4);
    let stop = Arc::new(AtomicBool::new(false));
    let load: Vec<_> = (0..16u64)
        .map(|n| {
            let stop = stop.clone();
            runtime.spawn(move || {
                let mut rounds = 0u64;
                while !stop.load(Ordering::Relaxed) {
                    let echo = go(move || n);
                    yield_now();
                    assert_eq!(echo.join().expect("it ends"), n);
                    rounds += 1;
                }
                rounds
            })
        })
        .collect();
    let began = Instant::now();
    for change in 0..CHANGES {
        runtime.set_procs(1 + change % 8);
        if change % 16 == 0 {
            std::thread::yield_now();
        }
    }
    let took = began.elapsed();
    stop.store(true, Ordering::Relaxed);
    let rounds: u64 = load
        .into_iter()
        .map(|task| task.join().expect("the load ends"))
        .sum();
    let left = runtime.shutdown();
    println!(
        "resize: {mode:?}, {CHANGES} changes in {took:?} beside {rounds} rounds of spawn and join; {} goroutines left, {} threads left",
        left.unfinished_count, left.threads_count
    );
}

/// CPU time of all threads of the process that have not ended.
fn cpu_time() -> Duration {
    let tasks = std::fs::read_dir("/proc/self/task").into_iter().flatten();
    tasks
        .flatten()
        .filter_map(|task| std::fs::read_to_string(task.path().join("schedstat")).ok())
        .filter_map(|text| text.split_whitespace().next()?.parse().ok())
        .map(Duration::from_nanos)
        .sum()
}

/// CPU time of an idle runtime with a million parked goroutines and a timer in an hour.
fn idle(mode: Mode) {
    const PARKED: usize = 1_000_000;
    const SPAN: Duration = Duration::from_secs(5);
    for parked in [0, PARKED] {
        let runtime = mode.runtime(2);
        let keep = runtime.run(move || {
            let (tx, rx) = chan::<()>(0);
            for _ in 0..parked {
                let rx = rx.clone();
                drop(go(move || rx.recv()));
            }
            drop(go(|| time::sleep(Duration::from_secs(3_600))));
            // After goroutines that were queued later have run, all of these have run.
            for _ in 0..3 {
                (0..64).map(|_| go(yield_now)).for_each(|task| {
                    task.join().expect("it ends");
                });
            }
            (tx, rx, goroutines().len())
        });
        // The sweep visits the stacks of long-parked goroutines once.
        let mut last = Duration::MAX;
        for _ in 0..12 {
            let before = cpu_time();
            std::thread::sleep(SPAN);
            let used = cpu_time().saturating_sub(before);
            // Two similar readings mean that the runtime has settled.
            let alike = used >= last.mul_f64(0.5) && used < SPAN / 50;
            let settled = alike || used < Duration::from_millis(1);
            last = used;
            if settled {
                break;
            }
        }
        println!(
            "idle: {mode:?}, 2 Ps, {} goroutines and a timer in an hour: {:?} of CPU time a second",
            keep.2,
            last.div_f64(SPAN.as_secs_f64())
        );
        keep.0.close();
        drop(keep);
        let left = runtime.shutdown();
        println!(
            "idle: {} goroutines were left at the end",
            left.unfinished_count
        );
    }
}
