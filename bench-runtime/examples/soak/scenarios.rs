//! The work of an actor in a round. Each scenario checks its own answer.

use std::io::{Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bench_runtime::net::UnixStream;
use bench_runtime::sync::{Mutex, WaitGroup};
use bench_runtime::{
    GoBuilder, JoinError, Priority, blocking, chan, go, goexit, goroutine_id, lock_os_thread,
    scope, select, time, unlock_os_thread, yield_now,
};

use crate::primitives;

/// The number of results that are dropped, and of their destructors that ran.
pub(crate) static DROPS_DUE: AtomicU64 = AtomicU64::new(0);
pub(crate) static DROPS_SEEN: AtomicU64 = AtomicU64::new(0);

const EXPECTED: &str = "expected by the soak";

type Scenario = (&'static str, fn(&mut Rng));

pub(crate) const SCENARIOS: &[Scenario] = &[
    ("tree", tree),
    ("batch", batch),
    ("pipeline", pipeline),
    ("ping-pong", ping_pong),
    ("select", select_fan_in),
    ("sleepers", sleepers),
    ("time-outs", time_outs),
    ("blocking", blocking_calls),
    ("mutex", mutex),
    ("yields", yields),
    ("panics", panics),
    ("parks while unwinding", parks_while_unwinding),
    ("hog", hog),
    ("detached", detached),
    ("sockets", sockets),
    ("locked", locked),
    ("priorities", priorities),
    ("scopes", scopes),
    ("rw-mutex", primitives::rw_mutex),
    ("once", primitives::once),
    ("cond", primitives::cond),
    ("semaphore", primitives::semaphore),
    ("wait-group", primitives::wait_group),
    ("pool", primitives::pool),
    ("err-group", primitives::err_group),
    ("context", primitives::context),
    ("timers", primitives::timers),
];

/// Never ends: the watchdog must detect it. Run only by its name.
pub(crate) const STUCK: Scenario = ("stuck", stuck);

fn stuck(_: &mut Rng) {
    let (_tx, rx) = chan::<()>(0);
    rx.recv();
}

#[derive(Debug)]
pub(crate) struct Rng(u64);

impl Rng {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % bound
    }
}

/// Panics that scenarios make on purpose are not printed.
pub(crate) fn silence_expected_panics() {
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        let expected = info
            .payload()
            .downcast_ref::<&str>()
            .is_some_and(|text| *text == EXPECTED);
        if !expected {
            usual(info);
            // Any other panic ends the soak, so that no goroutine hangs because of it.
            std::process::abort();
        }
    }));
}

fn tree(rng: &mut Rng) {
    fn grow(depth: u64) -> u64 {
        if depth == 0 {
            return 1;
        }
        let left = go(move || grow(depth - 1));
        let right = go(move || grow(depth - 1));
        left.join().expect("returns") + right.join().expect("returns")
    }
    let depth = 1 + rng.below(9);
    assert_eq!(grow(depth), 1 << depth);
}

fn batch(rng: &mut Rng) {
    let count = 1 + rng.below(1_500);
    let handles: Vec<_> = (0..count).map(|n| go(move || n)).collect();
    let sum: u64 = handles
        .into_iter()
        .map(|h| h.join().expect("returns"))
        .sum();
    assert_eq!(sum, count * (count - 1) / 2);
}

fn pipeline(rng: &mut Rng) {
    let (producers, consumers) = (1 + rng.below(4), 1 + rng.below(4));
    let each = 1 + rng.below(300);
    let (tx, rx) = chan::<u64>(rng.below(4) as usize);
    let makers: Vec<_> = (0..producers)
        .map(|_| {
            let tx = tx.clone();
            go(move || (1..=each).for_each(|n| tx.send(n).expect("open")))
        })
        .collect();
    let takers: Vec<_> = (0..consumers)
        .map(|_| {
            let rx = rx.clone();
            go(move || {
                let mut sum = 0;
                while let Some(n) = rx.recv() {
                    sum += n;
                }
                sum
            })
        })
        .collect();
    for maker in makers {
        maker.join().expect("returns");
    }
    tx.close();
    let sum: u64 = takers.into_iter().map(|t| t.join().expect("returns")).sum();
    assert_eq!(sum, producers * each * (each + 1) / 2);
}

fn ping_pong(rng: &mut Rng) {
    let rounds = rng.below(500);
    let (there_tx, there) = chan::<u64>(0);
    let (back_tx, back) = chan::<u64>(0);
    let other = go(move || {
        while let Some(n) = there.recv() {
            back_tx.send(n + 1).expect("open");
        }
    });
    for n in 0..rounds {
        there_tx.send(n).expect("open");
        assert_eq!(back.recv(), Some(n + 1));
    }
    there_tx.close();
    other.join().expect("returns");
}

fn select_fan_in(rng: &mut Rng) {
    let each = 1 + rng.below(100);
    let (a_tx, a) = chan::<u64>(0);
    let (b_tx, b) = chan::<u64>(rng.below(3) as usize);
    let (quit_tx, quit) = chan::<()>(0);
    for tx in [a_tx, b_tx] {
        drop(go(move || {
            (1..=each).for_each(|n| tx.send(n).expect("open"))
        }));
    }
    let quitter = go(move || {
        time::sleep(Duration::from_micros(50));
        quit_tx.close();
    });
    let (mut sum, mut ends) = (0, 0u32);
    let (mut a, mut b, mut quit) = (Some(a), Some(b), Some(quit));
    while ends < 3 {
        // Each channel is closed by its last sender, and its case is disabled.
        select! {
            recv(a) -> n => match n {
                Some(n) => sum += n,
                None => { a = None; ends += 1; }
            },
            recv(b) -> n => match n {
                Some(n) => sum += n,
                None => { b = None; ends += 1; }
            },
            recv(quit) => { quit = None; ends += 1; }
            timeout(Duration::from_secs(100)) => panic!("select slept through its cases"),
        }
    }
    assert_eq!(sum, each * (each + 1));
    quitter.join().expect("returns");
}

fn sleepers(rng: &mut Rng) {
    let handles: Vec<_> = (0..1 + rng.below(50))
        .map(|_| {
            let length = Duration::from_micros(rng.below(4_000));
            go(move || {
                let began = Instant::now();
                time::sleep(length);
                assert!(began.elapsed() >= length, "an early wake");
            })
        })
        .collect();
    for handle in handles {
        handle.join().expect("returns");
    }
}

fn time_outs(rng: &mut Rng) {
    let (tx, rx) = chan::<u64>(0);
    let (length, timeout) = (rng.below(300), rng.below(300));
    let sender = go(move || {
        time::sleep(Duration::from_micros(length));
        tx.send_timeout(7, Duration::from_micros(timeout)).is_ok()
    });
    let got = rx.recv_timeout(Duration::from_micros(rng.below(600))).ok();
    let sent = sender.join().expect("returns");
    assert_eq!(got, sent.then_some(7), "both sides agree on the meeting");

    let group = Arc::new(WaitGroup::new());
    group.add(1);
    assert!(!group.wait_timeout(Duration::from_micros(100)));
    group.done();
    group.wait();
}

fn blocking_calls(rng: &mut Rng) {
    let handles: Vec<_> = (0..1 + rng.below(6))
        .map(|n| {
            let length = Duration::from_micros(rng.below(3_000));
            go(move || {
                blocking(|| {
                    std::thread::sleep(length);
                    n
                })
            })
        })
        .collect();
    for (n, handle) in handles.into_iter().enumerate() {
        assert_eq!(handle.join().expect("returns"), n as u64);
    }
}

fn mutex(rng: &mut Rng) {
    let rounds = rng.below(100);
    let count = Arc::new(Mutex::new(0u64));
    let handles: Vec<_> = (0..8)
        .map(|_| {
            let count = count.clone();
            go(move || {
                for n in 0..rounds {
                    let mut held = count.lock();
                    if n % 16 == 0 {
                        yield_now();
                    }
                    *held += 1;
                }
            })
        })
        .collect();
    for handle in handles {
        handle.join().expect("returns");
    }
    assert_eq!(*count.lock(), 8 * rounds);
}

fn yields(rng: &mut Rng) {
    let rounds = rng.below(2_000);
    let handles: Vec<_> = (0..1 + rng.below(5))
        .map(|_| {
            go(move || {
                let me = goroutine_id();
                for _ in 0..rounds {
                    yield_now();
                    assert_eq!(goroutine_id(), me, "a goroutine finds itself");
                }
            })
        })
        .collect();
    for handle in handles {
        handle.join().expect("returns");
    }
}

fn panics(rng: &mut Rng) {
    for _ in 0..1 + rng.below(4) {
        let handle = go(|| {
            yield_now();
            std::panic::panic_any(EXPECTED);
        });
        assert!(matches!(handle.join(), Err(JoinError::Panicked(_))));
    }
    let handle = go(|| -> u32 { goexit() });
    assert!(matches!(handle.join(), Err(JoinError::Exited)));
}

struct ParksInDrop(u64);

impl Drop for ParksInDrop {
    fn drop(&mut self) {
        assert!(std::thread::panicking(), "a goroutine kept its thread");
        time::sleep(Duration::from_micros(self.0));
        yield_now();
        assert!(std::thread::panicking(), "a goroutine kept its thread");
    }
}

fn parks_while_unwinding(rng: &mut Rng) {
    let length = rng.below(500);
    let handles: Vec<_> = (0..1 + rng.below(3))
        .map(|_| {
            go(move || {
                let _guard = ParksInDrop(length);
                std::panic::panic_any(EXPECTED);
            })
        })
        .collect();
    for handle in handles {
        assert!(matches!(
            handle.join(),
            Err::<(), _>(JoinError::Panicked(_))
        ));
    }
}

fn hog(rng: &mut Rng) {
    let length = Duration::from_millis(rng.below(15));
    let began = Instant::now();
    while began.elapsed() < length {
        std::hint::spin_loop();
    }
}

struct SentOnDrop {
    tell: bench_runtime::Sender<u64>,
}

impl Drop for SentOnDrop {
    fn drop(&mut self) {
        // A destructor may block, start goroutines, and be preempted.
        drop(go(|| DROPS_SEEN.fetch_add(1, Ordering::SeqCst)));
        self.tell.send(1).expect("open");
    }
}

fn detached(rng: &mut Rng) {
    let count = 1 + rng.below(20);
    let (tell, told) = chan(0);
    DROPS_DUE.fetch_add(count, Ordering::SeqCst);
    for n in 0..count {
        let tell = tell.clone();
        let handle = go(move || {
            if n % 3 == 0 {
                yield_now();
            }
            SentOnDrop { tell }
        });
        if n % 2 == 0 {
            yield_now();
        }
        if n % 5 == 4 {
            // The destructor runs here, and needs a receiver.
            drop(go(move || drop(handle.join().expect("returns"))));
        } else {
            drop(go(move || drop(handle)));
        }
    }
    let sum: u64 = (0..count).map(|_| told.recv().expect("open")).sum();
    assert_eq!(sum, count);
}

fn sockets(rng: &mut Rng) {
    let rounds = 1 + rng.below(20);
    let (mut near, mut far) = match UnixStream::pair() {
        Ok(pair) => pair,
        Err(error) => panic!("cannot make a pair of sockets: {error}"),
    };
    let echo = go(move || {
        let mut byte = [0];
        while far.read(&mut byte).expect("readable") == 1 {
            far.write_all(&byte).expect("writable");
        }
    });
    for n in 0..rounds {
        let sent = [n as u8];
        near.write_all(&sent).expect("writable");
        let mut got = [0];
        near.read_exact(&mut got).expect("readable");
        assert_eq!(got, sent);
    }
    drop(near);
    echo.join().expect("returns");
}

fn locked(rng: &mut Rng) {
    let rounds = rng.below(30);
    let handle = go(move || {
        lock_os_thread();
        let thread = std::thread::current().id();
        for n in 0..rounds {
            if n % 3 == 0 {
                time::sleep(Duration::from_micros(20));
            } else {
                yield_now();
            }
            assert_eq!(std::thread::current().id(), thread);
        }
        if rounds.is_multiple_of(2) {
            unlock_os_thread();
        }
        rounds
    });
    assert_eq!(handle.join().expect("returns"), rounds);
}

fn priorities(rng: &mut Rng) {
    let handles: Vec<_> = (0..1 + rng.below(30))
        .map(|n| {
            let priority = match n % 3 {
                0 => Priority::High,
                1 => Priority::Normal,
                _ => Priority::Low,
            };
            let builder = GoBuilder::new().name("soak").priority(priority);
            builder
                .go(move || {
                    for _ in 0..n {
                        yield_now();
                    }
                    n
                })
                .expect("the usual stack")
        })
        .collect();
    for (n, handle) in handles.into_iter().enumerate() {
        assert_eq!(handle.join().expect("returns"), n as u64);
    }
}

fn scopes(rng: &mut Rng) {
    let parts = 1 + rng.below(20);
    let sum = AtomicU64::new(0);
    scope(|s| {
        for n in 0..parts {
            let sum = &sum;
            s.go(move || {
                if n % 2 == 0 {
                    yield_now();
                }
                sum.fetch_add(n, Ordering::SeqCst);
            });
        }
    });
    assert_eq!(sum.into_inner(), parts * (parts - 1) / 2);
}
