//! Prints how long a profile of 100,000 parked goroutines takes, and for how long
//! it stops others: run it on a quiet machine, from a release build.
//!
//! `cargo run --release -p bench-runtime --example profile -- [GOROUTINES]`
//!
//! All wait at one channel. One goroutine more sends to them and waits for each
//! answer, so one after the other of them is resumed and parks again. How long a
//! message takes is seen in three spans: two with a profile, and one between them, as
//! long as the first, in which the same thread computes, which is what the host and
//! the scheduler do. The first profile reads the program's line tables.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bench_runtime::{Receiver, Runtime, chan};

const GOROUTINES: usize = 100_000;

/// Messages since they were last read, and how long they took from the call of the
/// sender to the return of the receiver.
#[derive(Debug, Default)]
struct Messages {
    stop: AtomicBool,
    count: AtomicU64,
    longer_than_1_ms: AtomicU64,
    longest_ns: AtomicU64,
}

impl Messages {
    fn received(&self, sent: Instant) {
        let took = sent.elapsed();
        self.count.fetch_add(1, Ordering::Relaxed);
        let is_long = u64::from(took > Duration::from_millis(1));
        self.longer_than_1_ms.fetch_add(is_long, Ordering::Relaxed);
        self.longest_ns
            .fetch_max(took.as_nanos() as u64, Ordering::Relaxed);
    }

    /// Does it, and says how long that took, and the messages meanwhile.
    fn during(&self, what: &str, work: impl FnOnce()) -> Duration {
        for figure in [&self.count, &self.longer_than_1_ms, &self.longest_ns] {
            figure.store(0, Ordering::Relaxed);
        }
        let began = Instant::now();
        work();
        let took = began.elapsed();
        // The message that is under way counts too.
        let received = self.count.load(Ordering::Relaxed);
        while self.count.load(Ordering::Relaxed) == received {
            std::thread::sleep(Duration::from_millis(1));
        }
        println!(
            "{what}: {took:?}; {} messages, {} longer than 1 ms, the longest {:?}",
            self.count.load(Ordering::Relaxed),
            self.longer_than_1_ms.load(Ordering::Relaxed),
            Duration::from_nanos(self.longest_ns.load(Ordering::Relaxed)),
        );
        took
    }
}

#[inline(never)]
fn receive(depth: usize, rx: &Receiver<Instant>, answer: &mut impl FnMut(Instant)) {
    match depth {
        0 => rx.iter().for_each(answer),
        _ => receive(depth - 1, rx, answer),
    }
    std::hint::black_box(rx);
}

fn measure(mode: &str, runtime: &Runtime, count: usize) {
    let messages = Arc::<Messages>::default();
    let (tx, rx) = chan(0);
    let (answer, answered) = chan(0);
    for number in 0..count {
        let (rx, answer, messages) = (rx.clone(), answer.clone(), messages.clone());
        // Calls of different depth: ten groups.
        drop(runtime.spawn(move || {
            receive(number % 10, &rx, &mut |sent| {
                messages.received(sent);
                let _ = answer.send(());
            });
        }));
    }
    while runtime.goroutines().iter().filter(|g| g.waits).count() < count {
        std::thread::sleep(Duration::from_millis(10));
    }
    let own = messages.clone();
    let sender = runtime.spawn(move || {
        while !own.stop.load(Ordering::Relaxed) && tx.send(Instant::now()).is_ok() {
            answered.recv();
        }
    });
    let profile = || {
        let profile = runtime.goroutine_profile();
        let seen: usize = profile.groups.iter().map(|g| g.goroutines.len()).sum();
        println!("  {seen} goroutines in {} groups", profile.groups.len());
    };
    let took = messages.during(&format!("{mode}, first profile"), profile);
    messages.during(&format!("{mode}, no profile"), || {
        let began = Instant::now();
        while began.elapsed() < took {
            std::hint::spin_loop();
        }
    });
    messages.during(&format!("{mode}, second profile"), profile);
    messages.stop.store(true, Ordering::Relaxed);
    drop(sender.join());
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
    let pinned = unsafe { Runtime::builder().procs(2).build() }?;
    measure("pinned", &pinned, count);
    drop(pinned);
    // SAFETY: as above.
    let migrating = unsafe { Runtime::builder().procs(2).migrating().build() }?;
    measure("migrating", &migrating, count);
    Ok(())
}
