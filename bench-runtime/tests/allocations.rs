//! Counts allocations, in a separate process.

mod start;

use std::alloc::{GlobalAlloc, Layout, System};
use std::io::{Read, Write};
use std::sync::atomic::{AtomicIsize, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bench_runtime::net::{TcpListener, TcpStream};
use bench_runtime::sync::{Cond, RwMutex, Semaphore, WaitGroup};
use bench_runtime::{Receiver, Runtime, Select, Sender, Slot, chan, go, select, time};
use start::Start;

struct Counting;

static ALLOCATIONS: AtomicUsize = AtomicUsize::new(0);
static LIVE_BYTES: AtomicIsize = AtomicIsize::new(0);

// SAFETY: passes everything on to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        LIVE_BYTES.fetch_add(layout.size() as isize, Ordering::Relaxed);
        // SAFETY: by the caller's promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        LIVE_BYTES.fetch_sub(layout.size() as isize, Ordering::Relaxed);
        // SAFETY: by the caller's promise.
        unsafe { System.dealloc(place, layout) };
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// One test at a time, because the counts are of the whole process.
fn alone() -> MutexGuard<'static, ()> {
    static ONE: Mutex<()> = Mutex::new(());
    ONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The number of allocations of `f`: the least of five runs, because the test harness may allocate
/// at the same time.
fn count_allocations(mut f: impl FnMut()) -> usize {
    let mut run = || {
        let before = ALLOCATIONS.load(Ordering::Relaxed);
        f();
        ALLOCATIONS.load(Ordering::Relaxed) - before
    };
    (0..5).map(|_| run()).min().unwrap_or(0)
}

fn on_one_processor(f: impl FnOnce() + Send + 'static) {
    Runtime::builder().procs(1).start().unwrap().run(f);
}

fn echo(capacity: usize) -> (Sender<usize>, Receiver<usize>) {
    let (tx, from_us) = chan(capacity);
    let (to_us, rx) = chan(capacity);
    drop(go(move || {
        for n in from_us {
            if to_us.send(n).is_err() {
                return;
            }
        }
    }));
    (tx, rx)
}

#[test]
fn channel_operations_do_not_allocate() {
    let _alone = alone();
    for capacity in [0, 1, 100] {
        on_one_processor(move || {
            let (tx, rx) = echo(capacity);
            let round = |n| {
                tx.send(n).unwrap();
                assert_eq!(rx.recv(), Some(n));
                assert!(rx.try_recv().is_err());
                assert!(rx.recv_timeout(Duration::ZERO).is_err());
            };
            (0..1_000).for_each(round);
            assert_eq!(count_allocations(|| (0..1_000).for_each(round)), 0);
        });
    }
}

#[test]
fn a_channel_is_one_allocation() {
    let _alone = alone();
    assert_eq!(count_allocations(|| drop(chan::<[u64; 4]>(100))), 1);
}

#[test]
fn a_select_of_up_to_eight_cases_does_not_allocate_and_a_longer_one_once() {
    let _alone = alone();
    on_one_processor(|| {
        let (tx, rx) = echo(0);
        let (_keep, never) = chan::<usize>(0);
        let two = |n| {
            tx.send(n).unwrap();
            select! {
                recv(rx) -> v => assert_eq!(v, Some(n)),
                recv(never) => unreachable!(),
            }
        };
        let eight = |n| {
            tx.send(n).unwrap();
            select! {
                recv(never) => unreachable!(), recv(never) => unreachable!(),
                recv(never) => unreachable!(), recv(never) => unreachable!(),
                recv(never) => unreachable!(), recv(never) => unreachable!(),
                recv(never) => unreachable!(), recv(rx) -> v => assert_eq!(v, Some(n)),
            }
        };
        let nine = |n| {
            tx.send(n).unwrap();
            select! {
                recv(never) => unreachable!(), recv(never) => unreachable!(),
                recv(never) => unreachable!(), recv(never) => unreachable!(),
                recv(never) => unreachable!(), recv(never) => unreachable!(),
                recv(never) => unreachable!(), recv(never) => unreachable!(),
                recv(rx) -> v => assert_eq!(v, Some(n)),
            }
        };
        (0..100).for_each(two);
        assert_eq!(count_allocations(|| (0..100).for_each(two)), 0);
        assert_eq!(count_allocations(|| (0..100).for_each(eight)), 0);
        assert_eq!(count_allocations(|| (0..100).for_each(nine)), 100);
    });
}

#[test]
fn a_run_time_select_of_up_to_eight_cases_does_not_allocate() {
    let _alone = alone();
    let (tx, rx) = chan(1);
    let (_keep, never) = chan::<usize>(0);
    let allocations = |cases: usize| {
        count_allocations(|| {
            let slot = Slot::empty();
            let mut select = Select::with_capacity(cases);
            (1..cases).for_each(|_| {
                select.recv(&never, &slot);
            });
            select.recv(&rx, &slot);
            for n in 0..3 {
                tx.send(n).unwrap();
                assert_eq!(select.wait().index(), cases - 1);
                assert_eq!(slot.take(), Some(n));
            }
        })
    };
    assert_eq!((allocations(1), allocations(8)), (0, 0));
    assert_eq!((allocations(9), allocations(64)), (1, 1));
}

#[test]
fn a_hundred_thousand_selects_do_not_grow_memory() {
    let _alone = alone();
    on_one_processor(|| {
        let (tx, rx) = echo(0);
        let (_keep, never) = chan::<usize>(0);
        let round = |n| {
            tx.send(n).unwrap();
            select! {
                recv(rx) -> v => assert_eq!(v, Some(n)),
                recv(never) => unreachable!(),
                timeout(Duration::from_secs(100)) => unreachable!(),
            }
        };
        // Cancelled timers are kept for a while. After these rounds their number no longer grows.
        (0..10_000).for_each(round);
        let before = LIVE_BYTES.load(Ordering::Relaxed);
        (0..100_000).for_each(round);
        let grown = LIVE_BYTES.load(Ordering::Relaxed) - before;
        assert!(grown < 100_000, "grown by {grown} bytes");
    });
}

#[test]
fn waiting_for_a_primitive_does_not_allocate() {
    let _alone = alone();
    static MUTEX: bench_runtime::sync::Mutex<usize> = bench_runtime::sync::Mutex::new(0);
    static COND: Cond = Cond::new();
    static RW: RwMutex<usize> = RwMutex::new(0);
    static SEMAPHORE: Semaphore = Semaphore::new(1);
    on_one_processor(|| {
        let group = WaitGroup::new();
        group.add(1);
        let theirs = group.clone();
        let other = go(move || {
            for n in 0..6_000 {
                let mut guard = MUTEX.lock();
                guard = COND.wait_while(guard, |turn| *turn % 2 == 0);
                *guard += 1;
                drop(guard);
                COND.signal();
                *RW.write() = n;
                drop(SEMAPHORE.acquire(1));
            }
            theirs.done();
        });
        let round = |_| {
            let mut guard = MUTEX.lock();
            *guard += 1;
            COND.signal();
            guard = COND.wait_while(guard, |turn| *turn % 2 == 1);
            drop(guard);
            let permit = SEMAPHORE.acquire(1);
            let value = *RW.read();
            bench_runtime::yield_now();
            drop(permit);
            assert!(value < 6_000);
        };
        (0..1_000).for_each(round);
        assert_eq!(count_allocations(|| (0..1_000).for_each(round)), 0);
        group.wait();
        other.join().unwrap();
    });
}

#[test]
fn sleeping_does_not_allocate() {
    let _alone = alone();
    on_one_processor(|| {
        let nap = || time::sleep(Duration::from_micros(10));
        nap();
        assert_eq!(count_allocations(|| (0..100).for_each(|_| nap())), 0);
    });
}

#[test]
fn socket_operations_do_not_allocate_also_where_they_wait() {
    let _alone = alone();
    on_one_processor(|| {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let near = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (far, _) = listener.accept().unwrap();
        near.set_read_timeout(Some(Duration::from_secs(100)))
            .unwrap();
        drop(go(move || {
            let mut buf = [0; 64];
            while let Ok(n @ 1..) = (&far).read(&mut buf) {
                (&far).write_all(&buf[..n]).unwrap();
            }
        }));
        let round = || {
            let mut buf = [0; 64];
            (&near).write_all(b"ping").unwrap();
            assert_eq!((&near).read(&mut buf).unwrap(), 4);
        };
        // The first wait of each end adds its descriptor to the poller.
        round();
        assert_eq!(count_allocations(|| (0..100).for_each(|_| round())), 0);
    });
}
