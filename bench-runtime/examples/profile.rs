//! Prints how long a profile of 100,000 parked goroutines takes, and how much it slows goroutines
//! that run at the same time. Run it from a release build, on an idle machine.
//!
//! `cargo run --release -p bench-runtime --example profile -- [GOROUTINES]`
//!
//! The parked goroutines wait for a channel each, for one mutex, for the end of another goroutine,
//! or for a timer. One in a hundred has 400 calls on its stack. Beside them run a ticker and a pair
//! on each P, and one waker:
//!
//! | what     | measured                                                         |
//! |----------|------------------------------------------------------------------|
//! | a ticker | from one turn of a goroutine that yields to its next             |
//! | a pair   | a message there and back                                         |
//! | a waker  | from a message to a random parked goroutine to its answer        |
//!
//! Each is measured in spans with a profile, alternating with spans in which the same thread
//! computes. The difference is the effect of the profile.

use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bench_runtime::{JoinHandle, Receiver, Runtime, Sender, chan, go, sync, time, yield_now};
use nix::time::ClockId;

const GOROUTINES: usize = 100_000;
const PROCS: usize = 2;
const SPANS: usize = 5;
/// About one in this many parked goroutines has `DEEP_CALLS` calls on its stack.
const DEEP_SHARE: usize = 100;
const DEEP_CALLS: usize = 400;

#[derive(Debug)]
struct Delays {
    name: &'static str,
    counts: [AtomicU64; 64],
    longest_ns: AtomicU64,
    longer_than_1_ms: AtomicU64,
}

impl Delays {
    fn new(name: &'static str) -> Self {
        Self {
            name,
            counts: [const { AtomicU64::new(0) }; 64],
            longest_ns: AtomicU64::new(0),
            longer_than_1_ms: AtomicU64::new(0),
        }
    }

    fn add(&self, took: Duration) {
        let ns = (took.as_nanos() as u64).max(1);
        self.counts[ns.ilog2() as usize].fetch_add(1, Ordering::Relaxed);
        self.longest_ns.fetch_max(ns, Ordering::Relaxed);
        let is_long = u64::from(took > Duration::from_millis(1));
        self.longer_than_1_ms.fetch_add(is_long, Ordering::Relaxed);
    }

    fn print_and_clear(&self) {
        let counts = self
            .counts
            .each_ref()
            .map(|count| count.swap(0, Ordering::Relaxed));
        let all: u64 = counts.iter().sum();
        let below = |share: f64| {
            let mut sum = 0;
            let reached = |&count: &u64| {
                sum += count;
                sum as f64 >= share * all as f64
            };
            Duration::from_nanos(2 << counts.iter().position(reached).unwrap_or(62).min(62))
        };
        println!(
            "    {:6} {all:9}; half below {:?}, 99.9 % below {:?}; {} longer than 1 ms, the longest {:?}",
            self.name,
            below(0.5),
            below(0.999),
            self.longer_than_1_ms.swap(0, Ordering::Relaxed),
            Duration::from_nanos(self.longest_ns.swap(0, Ordering::Relaxed)),
        );
    }
}

#[derive(Debug)]
struct SideLoad {
    stop: AtomicBool,
    /// While true, nothing is added to the delays.
    paused: AtomicBool,
    delays: [Delays; 3],
}

const TICK: usize = 0;
const PAIR: usize = 1;
const WAKE: usize = 2;

impl SideLoad {
    fn until_stopped(&self, what: usize, mut one: impl FnMut()) {
        while !self.stop.load(Ordering::Relaxed) {
            let began = Instant::now();
            one();
            if !self.paused.load(Ordering::Relaxed) {
                self.delays[what].add(began.elapsed());
            }
        }
    }

    fn start(
        self: &Arc<Self>,
        sleepers: Arc<Vec<Sender<()>>>,
        answered: &Receiver<()>,
    ) -> Vec<JoinHandle<()>> {
        let mut all = Vec::new();
        for number in 0..PROCS {
            let own = self.clone();
            all.push(go(move || own.until_stopped(TICK, yield_now)));
            let own = self.clone();
            let (there, arrives) = chan::<()>(0);
            let (back, returns) = chan::<()>(0);
            drop(go(move || {
                arrives.iter().for_each(|()| back.send(()).unwrap_or(()))
            }));
            all.push(go(move || {
                own.until_stopped(PAIR, || {
                    let _ = there.send(());
                    returns.recv();
                });
            }));
            // There is one waker, so that each answer belongs to its request.
            if number == 0 {
                let (own, sleepers, answered) = (self.clone(), sleepers.clone(), answered.clone());
                let mut random = 0x9e37_79b9_7f4a_7c15_u64;
                all.push(go(move || {
                    own.until_stopped(WAKE, || {
                        random ^= random << 13;
                        random ^= random >> 7;
                        random ^= random << 17;
                        let _ = sleepers[random as usize % sleepers.len()].send(());
                        answered.recv();
                    });
                }));
            }
        }
        all
    }
}

#[inline(never)]
fn answer(depth: usize, rx: &Receiver<()>, back: &Sender<()>) {
    match depth {
        0 => rx.iter().for_each(|()| back.send(()).unwrap_or(())),
        _ => answer(depth - 1, rx, back),
    }
    black_box(rx);
}

/// Returns the senders that wake the goroutines that wait for a channel, and the channel of their
/// answers.
fn park(count: usize, mutex: &'static sync::Mutex<()>) -> (Vec<Sender<()>>, Receiver<()>) {
    let (back, answered) = chan(0);
    let mut channels = Vec::new();
    // A fifth of all goroutines are joined by others, which wait too.
    for number in 0..count / 5 * 4 {
        let deep = if number % DEEP_SHARE == 0 {
            DEEP_CALLS
        } else {
            number % 8
        };
        drop(match number % 4 {
            0 => {
                let ((tx, rx), back) = (chan(0), back.clone());
                channels.push(tx);
                go(move || answer(deep, &rx, &back))
            }
            1 => go(move || drop(mutex.lock())),
            2 => {
                let first = go(|| time::sleep(Duration::from_secs(100_000)));
                go(move || drop(first.join()))
            }
            _ => go(|| time::sleep(Duration::from_secs(100_000))),
        });
    }
    (channels, answered)
}

fn thread_cpu_time() -> Duration {
    let now = ClockId::CLOCK_THREAD_CPUTIME_ID.now();
    now.map_or(Duration::ZERO, Duration::from)
}

fn measure(mode: &str, runtime: &Runtime, count: usize) {
    let mutex: &'static sync::Mutex<()> = Box::leak(Box::default());
    let side_load = Arc::new(SideLoad {
        stop: AtomicBool::new(false),
        paused: AtomicBool::new(true),
        delays: [
            Delays::new("turns"),
            Delays::new("pairs"),
            Delays::new("wakes"),
        ],
    });
    let (parked, is_parked) = std::sync::mpsc::channel();
    let (stop, is_over) = chan::<()>(0);
    let own = side_load.clone();
    let main = runtime.spawn(move || {
        let held = mutex.lock();
        let (channels, answered) = park(count, mutex);
        let _ = parked.send(());
        let all = own.start(Arc::new(channels), &answered);
        is_over.recv();
        all.into_iter().for_each(|one| drop(one.join()));
        std::mem::forget(held);
    });
    is_parked.recv().expect("the goroutine sends");
    while runtime.goroutines().iter().filter(|g| g.waits).count() < count / 5 * 5 {
        std::thread::sleep(Duration::from_millis(10));
    }
    let during = |what: &str, work: &mut dyn FnMut()| {
        let (began, cpu) = (Instant::now(), thread_cpu_time());
        side_load.paused.store(false, Ordering::Relaxed);
        work();
        let took = began.elapsed();
        side_load.paused.store(true, Ordering::Relaxed);
        println!("  {what}: {took:?}, {:?} of CPU", thread_cpu_time() - cpu);
        side_load.delays.iter().for_each(Delays::print_and_clear);
        took
    };
    println!("{mode}");
    for span in 0..SPANS {
        let mut groups = Vec::new();
        let what = if span == 0 {
            "profile, with the line tables"
        } else {
            "profile"
        };
        let took = during(what, &mut || groups = runtime.goroutine_profile().groups);
        let frames = groups.iter().filter(|group| !group.frames.is_empty());
        let with_frames: usize = frames.map(|group| group.goroutines.len()).sum();
        let seen: usize = groups.iter().map(|group| group.goroutines.len()).sum();
        println!(
            "    {seen} goroutines in {} groups, {with_frames} with frames",
            groups.len()
        );
        during("no profile", &mut || {
            let began = Instant::now();
            while began.elapsed() < took {
                std::hint::spin_loop();
            }
        });
    }
    during("dump without frames", &mut || {
        drop(black_box(runtime.goroutines()))
    });
    side_load.stop.store(true, Ordering::Relaxed);
    drop(stop);
    drop(main.join());
}

fn main() -> std::io::Result<()> {
    let count = match std::env::args().nth(1).map(|word| word.parse()) {
        None => GOROUTINES,
        Some(Ok(count)) => count,
        Some(Err(error)) => {
            eprintln!("not a number of goroutines: {error}");
            std::process::exit(2);
        }
    };
    // SAFETY: nothing here parks inside a thread-local's initialiser or scope, or
    // holds a guard of std's across a call that parks.
    let pinned = unsafe { Runtime::builder().procs(PROCS).build() }?;
    measure("pinned", &pinned, count);
    drop(pinned);
    // SAFETY: as above.
    let migrating = unsafe { Runtime::builder().procs(PROCS).migrating().build() }?;
    measure("migrating", &migrating, count);
    Ok(())
}
