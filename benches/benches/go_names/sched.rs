//! Go's benchmarks of the scheduler, of stacks, and of `sync.Mutex`.

use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bench_runtime::sync::{Mutex, WaitGroup};
use bench_runtime::{GoBuilder, Sender, StackPolicy, blocking, chan, go, gomaxprocs, select};

use super::{in_parallel, in_parallel_with, join_all, local_work, receive, share, spin, warm_up};

pub(crate) fn mutex_uncontended(operations: u64, procs: u64) -> Duration {
    in_parallel(operations, procs, |share| {
        let mutex = Mutex::new(());
        for _ in 0..share {
            drop(black_box(&mutex).lock());
        }
    })
}

pub(crate) fn mutex(operations: u64, procs: u64) -> Duration {
    let mutex = Arc::new(Mutex::new(()));
    in_parallel(operations, procs, move |share| {
        for _ in 0..share {
            drop(black_box(&mutex).lock());
        }
    })
}

pub(crate) fn create_goroutines(operations: u64, chains: u64) -> Duration {
    fn link(left: u64, done: Sender<()>) {
        if left == 0 {
            return done.send(()).expect("open");
        }
        drop(go(move || link(left - 1, done)));
    }
    let (done, ended) = chan(0);
    let began = Instant::now();
    for index in 0..chains {
        let (mine, done) = (share(operations, chains, index), done.clone());
        drop(go(move || link(mine, done)));
    }
    (0..chains).for_each(|_| receive(&ended));
    began.elapsed()
}

pub(crate) fn create_goroutines_capture(operations: u64, _: u64) -> Duration {
    const CROWD: u64 = 4;
    let began = Instant::now();
    for round in 0..operations {
        let group = WaitGroup::new();
        group.add(CROWD as i32);
        for n in 0..CROWD {
            let group = group.clone();
            drop(go(move || {
                black_box((round, n));
                group.done();
            }));
        }
        group.wait();
    }
    began.elapsed()
}

pub(crate) fn create_goroutines_single(operations: u64, procs: u64) -> Duration {
    warm_up(procs);
    let group = WaitGroup::new();
    group.add(i32::try_from(operations).expect("fewer in one go"));
    let began = Instant::now();
    for _ in 0..operations {
        let group = group.clone();
        drop(go(move || group.done()));
    }
    group.wait();
    began.elapsed()
}

/// One goroutine is busy for `delay` and then receives. The other is busy a little longer and then
/// sends, so the first must wait.
fn wakeup_parallel(operations: u64, delay: Duration, busy: fn(Duration)) -> Duration {
    let longer = delay + Duration::from_micros(5);
    let (ping, pinged) = chan(0);
    let (pong, ponged) = chan(0);
    let (start, started) = chan::<()>(0);
    let first = go(move || {
        started.recv();
        for _ in 0..operations {
            busy(longer);
            ping.send(()).expect("open");
            busy(delay);
            ponged.recv();
        }
    });
    let second = go(move || {
        for _ in 0..operations {
            busy(delay);
            pinged.recv();
            busy(longer);
            pong.send(()).expect("open");
        }
    });
    let began = Instant::now();
    start.close();
    join_all(vec![first, second]);
    began.elapsed()
}

pub(crate) fn wakeup_spinning(operations: u64, delay: Duration) -> Duration {
    wakeup_parallel(operations, delay, spin)
}

pub(crate) fn wakeup_syscall(operations: u64, delay: Duration) -> Duration {
    wakeup_parallel(operations, delay, |length| {
        blocking(|| std::thread::sleep(length));
    })
}

pub(crate) fn ping_pong_hog(operations: u64, _: u64) -> Duration {
    let before = gomaxprocs(Some(1));
    let (stop, stopped) = chan::<()>(0);
    let hog = go(move || {
        loop {
            select! {
                recv(stopped) => return,
                default => {}
            }
        }
    });
    let (ping, pinged) = chan(0);
    let (pong, ponged) = chan(0);
    let start = ping.clone();
    let there = go(move || {
        for _ in 0..operations {
            let Some(value) = pinged.recv() else { return };
            let _ = pong.send(value);
        }
    });
    let back = go(move || {
        for _ in 0..operations {
            let Some(value) = ponged.recv() else { return };
            let _ = ping.send(value);
        }
    });
    let began = Instant::now();
    start.send(true).expect("it is awaited");
    there.join().expect("it passes on all");
    let took = began.elapsed();
    stop.close();
    join_all(vec![hog, back]);
    gomaxprocs(Some(before));
    took
}

pub(crate) fn stack_growth(operations: u64, procs: u64, frames: u64) -> Duration {
    #[inline(never)]
    fn call(left: u64) -> u64 {
        let frame = black_box([0_u64; 128]);
        match left {
            0 => frame[7],
            _ => call(left - 1) + frame[9],
        }
    }
    let deep = StackPolicy::Growable {
        initial: 2 << 10,
        limit: 4 << 20,
    };
    let start = GoBuilder::new().stack(deep);
    in_parallel_with(&start, operations, procs, move |share| {
        for _ in 0..share {
            black_box(call(black_box(frames)));
        }
    })
}

pub(crate) fn syscall(operations: u64, procs: u64, work: u64, excess: u64) -> Duration {
    in_parallel(operations, procs * excess, move |share| {
        for _ in 0..share {
            blocking(|| local_work(work));
        }
    })
}

/// A square matrix that goroutines share. The atomics compile to plain loads and stores.
struct Matrix {
    side: usize,
    cells: Vec<AtomicU64>,
}

impl Matrix {
    fn of(side: usize, value: impl Fn(usize) -> f64) -> Arc<Self> {
        let cells = (0..side * side).map(|n| AtomicU64::new(value(n).to_bits()));
        Arc::new(Self {
            side,
            cells: cells.collect(),
        })
    }

    fn get(&self, row: usize, column: usize) -> f64 {
        f64::from_bits(self.cells[row * self.side + column].load(Ordering::Relaxed))
    }

    fn add(&self, row: usize, column: usize, value: f64) {
        let sum = self.get(row, column) + value;
        self.cells[row * self.side + column].store(sum.to_bits(), Ordering::Relaxed);
    }
}

#[derive(Clone)]
struct Product {
    a: Arc<Matrix>,
    b: Arc<Matrix>,
    c: Arc<Matrix>,
    ends: [(usize, usize); 3],
}

impl Product {
    fn halves(&self, side: usize) -> (Self, Self) {
        let (mut low, mut high) = (self.clone(), self.clone());
        let (from, to) = self.ends[side];
        let middle = from + (to - from) / 2;
        low.ends[side] = (from, middle);
        high.ends[side] = (middle, to);
        (low, high)
    }

    /// Halves the longest side until all are short. Goroutines compute the halves of rows and
    /// columns at the same time.
    fn compute(self) {
        const SHORT: usize = 8;
        let [rows, columns, depth] = self.ends.map(|(from, to)| to - from);
        let side = if rows >= columns && rows >= depth && rows >= SHORT {
            0
        } else if columns >= depth && columns >= SHORT {
            1
        } else if depth >= SHORT {
            let (low, high) = self.halves(2);
            low.compute();
            return high.compute();
        } else {
            return self.multiply();
        };
        let (low, high) = self.halves(side);
        let (done, ended) = chan(1);
        drop(go(move || {
            low.compute();
            done.send(()).expect("it is waited for");
        }));
        high.compute();
        ended.recv();
    }

    fn multiply(&self) {
        let [rows, columns, depth] = self.ends.map(|(from, to)| from..to);
        for i in rows {
            for j in columns.clone() {
                for k in depth.clone() {
                    self.c.add(i, j, self.a.get(i, k) * self.b.get(k, j));
                }
            }
        }
    }
}

/// An operation is one summand of a cell.
pub(crate) fn matmult(operations: u64, _: u64) -> Duration {
    let side = (operations as f64).cbrt() as usize + 1;
    let product = Product {
        a: Matrix::of(side, |n| n as f64),
        b: Matrix::of(side, |n| n as f64),
        c: Matrix::of(side, |_| 0.0),
        ends: [(0, side); 3],
    };
    let began = Instant::now();
    product.compute();
    began.elapsed()
}
