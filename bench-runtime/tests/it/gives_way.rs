//! Calls that return at once: a goroutine that repeats them still lets others of its thread run.

use std::hint::black_box;
use std::io::{Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bench_runtime::context::Context;
use bench_runtime::net::{UdpSocket, pipe};
use bench_runtime::sync::{Cond, Mutex, Once, OnceCell, Pool, RwMutex, Semaphore, WaitGroup};
use bench_runtime::time::{self, Ticker, Timer};
use bench_runtime::{GoBuilder, Select, Slot, chan, go, gomaxprocs, goroutines, num_goroutine};

use crate::sched_support::at_each;

const HOUR: Duration = Duration::from_secs(3600);

const TIMEOUT: Duration = Duration::from_secs(20);

fn ignore<T>(_: T) {}

type Call = Box<dyn FnMut() + Send>;

fn timers() -> Vec<(&'static str, Call)> {
    let (reset, stopped) = (Timer::new(HOUR), Timer::new(HOUR));
    let ticker = Ticker::new(HOUR);
    let after = time::after_func(HOUR, || ());
    vec![
        ("Timer::reset", Box::new(move || ignore(reset.reset(HOUR)))),
        ("Timer::stop", Box::new(move || ignore(stopped.stop()))),
        ("Ticker::reset", Box::new(move || ticker.reset(HOUR))),
        (
            "AfterFunc::reset",
            Box::new(move || ignore(after.reset(HOUR))),
        ),
        (
            "after_func",
            Box::new(|| ignore(time::after_func(HOUR, || ()).stop())),
        ),
        ("sleep of zero", Box::new(|| time::sleep(Duration::ZERO))),
        (
            "sleep_until the past",
            Box::new(|| time::sleep_until(Instant::now() - HOUR)),
        ),
    ]
}

fn contexts() -> Vec<(&'static str, Call)> {
    let (ctx, cancel) = Context::background().with_cancel();
    let (value, asked, timed, called) = (ctx.clone(), ctx.clone(), ctx.clone(), ctx.clone());
    let (ended, end) = Context::background().with_cancel();
    end.cancel();
    vec![
        (
            "with_cancel",
            Box::new(move || ignore((ctx.with_cancel(), &cancel))),
        ),
        (
            "with_timeout",
            Box::new(move || ignore(timed.with_timeout(HOUR))),
        ),
        (
            "with_value",
            Box::new(move || ignore(value.with_value(7_u64))),
        ),
        ("is_done", Box::new(move || ignore(asked.is_done()))),
        (
            "Context::after_func",
            Box::new(move || ignore(called.after_func(|| ()).stop())),
        ),
        ("cancel", Box::new(move || ignore((end.cancel(), &ended)))),
    ]
}

fn primitives() -> Vec<(&'static str, Call)> {
    let (mutex, rw, cond) = (Mutex::new(0_u64), RwMutex::new(0_u64), Cond::new());
    let (one, none) = (Semaphore::new(1), Semaphore::new(0));
    let (group, done) = (WaitGroup::new(), WaitGroup::new());
    let pool = Pool::new(|| 1_u64);
    let (once, cell) = (Once::new(), OnceCell::<u64>::new());
    vec![
        ("Mutex::lock", Box::new(move || *mutex.lock() += 1)),
        ("RwMutex::write", Box::new(move || *rw.write() += 1)),
        ("Cond::signal", Box::new(move || ignore(cond.signal()))),
        (
            "Semaphore::acquire",
            Box::new(move || ignore(one.acquire(1))),
        ),
        (
            "Semaphore::try_acquire",
            Box::new(move || ignore(none.try_acquire(1))),
        ),
        (
            "WaitGroup::add",
            Box::new(move || {
                group.add(1);
                group.done()
            }),
        ),
        ("WaitGroup::wait", Box::new(move || done.wait())),
        ("Pool::get", Box::new(move || ignore(pool.get()))),
        ("Once::is_done", Box::new(move || ignore(once.is_done()))),
        (
            "OnceCell::get",
            Box::new(move || ignore(black_box(cell.get()))),
        ),
    ]
}

fn channels() -> Vec<(&'static str, Call)> {
    let (tx, rx) = chan(1);
    let (full, kept) = chan(1);
    full.send(1).unwrap();
    let (other, empty) = chan::<u64>(1);
    let length = kept.clone();
    vec![
        (
            "send and receive",
            Box::new(move || {
                tx.send(1).unwrap();
                rx.recv().unwrap();
            }),
        ),
        (
            "try_send",
            Box::new(move || ignore((full.try_send(1), &kept))),
        ),
        ("Receiver::len", Box::new(move || ignore(length.len()))),
        (
            "try_recv and try_select",
            Box::new(move || {
                let slot = Slot::empty();
                let mut select = Select::new();
                select.recv(&empty, &slot);
                ignore((empty.try_recv(), select.try_wait(), &other));
            }),
        ),
    ]
}

fn runtime() -> Vec<(&'static str, Call)> {
    let (mut from, mut to) = pipe().unwrap();
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let own = socket.local_addr().unwrap();
    vec![
        ("go", Box::new(|| ignore(go(|| ())))),
        (
            "GoBuilder::go",
            Box::new(|| ignore(GoBuilder::new().name("x").go(|| ()).unwrap())),
        ),
        ("num_goroutine", Box::new(|| ignore(num_goroutine()))),
        ("gomaxprocs", Box::new(|| ignore(gomaxprocs(None)))),
        ("goroutines", Box::new(|| ignore(goroutines()))),
        (
            "a pipe",
            Box::new(move || {
                to.write_all(b"x").unwrap();
                from.read_exact(&mut [0]).unwrap();
            }),
        ),
        (
            "datagrams",
            Box::new(move || {
                socket.send_to(b"x", own).unwrap();
                socket.recv_from(&mut [0]).unwrap();
            }),
        ),
    ]
}

/// Makes each call in a loop until a sleeper has woken. There is one P, and the sleeper may be
/// pinned to the same thread; if the call does not give way, the sleeper never wakes.
fn give_way(calls: Vec<(&'static str, Call)>) {
    for (name, mut call) in calls {
        let stop = Arc::new(AtomicBool::new(false));
        let seen = stop.clone();
        let (begin, begun) = chan::<()>(0);
        let sleeper = go(move || {
            begin.send(()).unwrap();
            time::sleep(Duration::from_millis(1));
            stop.store(true, Ordering::Relaxed);
        });
        begun.recv().unwrap();
        let since = Instant::now();
        while !seen.load(Ordering::Relaxed) {
            call();
            assert!(since.elapsed() < TIMEOUT, "{name} never gives way");
        }
        sleeper.join().unwrap();
    }
}

/// As [`give_way`]; the other goroutine waits for a descriptor.
#[test]
fn loop_of_calls_gives_way_to_a_goroutine_that_waits_for_a_descriptor() {
    at_each(&[1], |_| {
        let (mut from, mut to) = pipe().unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let seen = stop.clone();
        let (begin, begun) = chan::<()>(0);
        let reader = go(move || {
            begin.send(()).unwrap();
            from.read_exact(&mut [0]).unwrap();
            stop.store(true, Ordering::Relaxed);
        });
        begun.recv().unwrap();
        time::sleep(Duration::from_millis(1));
        to.write_all(b"x").unwrap();
        let since = Instant::now();
        while !seen.load(Ordering::Relaxed) {
            ignore(num_goroutine());
            assert!(since.elapsed() < TIMEOUT, "it never gives way");
        }
        reader.join().unwrap();
    });
}

#[test]
fn timers_give_way() {
    at_each(&[1], |_| give_way(timers()));
}

#[test]
fn contexts_give_way() {
    at_each(&[1], |_| give_way(contexts()));
}

#[test]
fn primitives_give_way() {
    at_each(&[1], |_| give_way(primitives()));
}

#[test]
fn channels_give_way() {
    at_each(&[1], |_| give_way(channels()));
}

#[test]
fn the_runtime_gives_way() {
    at_each(&[1], |_| give_way(runtime()));
}
