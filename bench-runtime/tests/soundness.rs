//! Programs without `unsafe` (except to start the runtime), of the kinds that once broke the
//! runtime.

mod child;
mod start;

use std::cell::RefCell;
use std::error::Error;
use std::fmt;
use std::io::{Read, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bench_runtime::context::Context;
use bench_runtime::net::UnixStream;
use bench_runtime::sync::{ErrGroup, WaitGroup};
use bench_runtime::time::{Ticker, Timer};
use bench_runtime::{
    GoroutineLocal, JoinError, Receiver, Runtime, Select, Sender, Slot, StackPolicy, blocking,
    chan, go, goroutine_id, goroutines, in_goroutine, num_goroutine, scope, time, yield_now,
};
use child::{in_child, must_end};
use start::Start;

const TIMEOUT: Duration = Duration::from_secs(60);

fn each_mode(test: fn()) {
    for builder in [Runtime::builder(), Runtime::builder().migrating()] {
        builder.procs(1).start().unwrap().run(test);
    }
}

// Values lent over a park. A slot in a thread-local is not `Sync`, but another goroutine of the
// same thread can use it.

thread_local! {
    static SLOT: Slot<Box<u64>> = const { Slot::empty() };
}

#[test]
fn slot_of_a_parked_select_cannot_be_used_by_others() {
    Runtime::builder().procs(1).start().unwrap().run(|| {
        let (tx, rx) = chan::<Box<u64>>(0);
        let sender = go(move || {
            SLOT.with(|slot| {
                slot.put(Box::new(42));
                let mut select = Select::new();
                select.send(&tx, slot);
                select.wait();
            });
        });
        while !goroutines().iter().any(|g| g.state == "select") {
            yield_now();
        }
        let refused = |f: &dyn Fn()| catch_unwind(AssertUnwindSafe(f)).unwrap_err();
        refused(&|| drop(SLOT.with(Slot::take)));
        refused(&|| drop(SLOT.with(|slot| slot.put(Box::new(1)))));
        refused(&|| {
            SLOT.with(|slot| {
                let never = Receiver::never();
                let mut other = Select::new();
                other.recv(&never, slot);
                other.try_wait();
            });
        });
        assert_eq!(rx.recv(), Some(Box::new(42)));
        sender.join().unwrap();
        // The end of the wait has cleared the slot's mark.
        assert_eq!(SLOT.with(Slot::take), None);
        assert_eq!(SLOT.with(|slot| slot.put(Box::new(2))), None);
        assert_eq!(SLOT.with(Slot::take), Some(Box::new(2)));
    });
}

// State in a stack's header across goroutines.

struct Sticky(u64);

impl Drop for Sticky {
    fn drop(&mut self) {
        STICKY.with(|_| ()); // This makes the local again, each time.
    }
}

static STICKY: GoroutineLocal<Sticky> = GoroutineLocal::new(|| Sticky(goroutine_id().unwrap()));

#[test]
fn local_made_again_by_its_destructor_does_not_reach_the_next_goroutine() {
    each_mode(|| {
        go(|| STICKY.with(|_| ())).join().unwrap();
        let (me, maker) = go(|| (goroutine_id().unwrap(), STICKY.with(|s| s.0)))
            .join()
            .unwrap();
        assert_eq!(me, maker);
    });
}

#[test]
fn lock_of_a_thread_ends_with_its_goroutine() {
    each_mode(|| {
        go(bench_runtime::lock_os_thread).join().unwrap();
        // Another goroutine, on the same stack if there is one P.
        let unlocks = go(|| catch_unwind(bench_runtime::unlock_os_thread).is_err());
        assert!(unlocks.join().unwrap(), "a lock that was another's");
    });
}

struct Waits(Receiver<()>);

impl Drop for Waits {
    fn drop(&mut self) {
        self.0.recv();
    }
}

static WAITS: GoroutineLocal<RefCell<Option<Waits>>> = GoroutineLocal::new(RefCell::default);

#[test]
fn destructor_of_a_goroutine_local_that_waits_leaves_the_result_alone() {
    each_mode(|| {
        let (tx, rx) = chan(0);
        let ended = go(move || {
            WAITS.with(|waits| *waits.borrow_mut() = Some(Waits(rx)));
            String::from("what it left")
        });
        tx.send(()).unwrap();
        assert_eq!(ended.join().unwrap(), "what it left");
    });
}

/// Uses a local and locks its thread in its destructor.
struct Binds;

impl Drop for Binds {
    fn drop(&mut self) {
        STICKY.with(|_| ());
        bench_runtime::lock_os_thread();
    }
}

#[test]
fn effects_of_a_results_destructor_do_not_reach_the_next_goroutine() {
    each_mode(|| {
        for late in [false, true] {
            let (tx, rx) = chan(0);
            let handle = go(move || {
                if late {
                    WAITS.with(|waits| *waits.borrow_mut() = Some(Waits(rx)));
                }
                Binds
            });
            // Late: the handle is dropped after the goroutine has checked for it.
            while late && !goroutines().iter().any(|g| g.state == "chan receive") {
                yield_now();
            }
            drop(handle);
            if late {
                tx.send(()).unwrap();
            }
            while num_goroutine() > 1 {
                yield_now();
            }
            let next = go(|| {
                let maker = STICKY.with(|sticky| sticky.0);
                let unlocks = catch_unwind(bench_runtime::unlock_os_thread).is_err();
                (goroutine_id().unwrap(), maker, unlocks)
            });
            let (me, maker, unlocks) = next.join().unwrap();
            assert_eq!(me, maker, "late: {late}");
            assert!(unlocks, "a lock that was another's, late: {late}");
        }
    });
}

// Thread-locals of threads that end.

thread_local! {
    static TABLE: Vec<u64> = vec![42; 1 << 21];
}

#[test]
fn thread_locals_that_were_lent_outlive_a_runtime() {
    must_end(in_child(
        "thread_locals_that_were_lent_outlive_a_runtime",
        || {
            static LENT: AtomicBool = AtomicBool::new(false);
            static STOPPED: AtomicBool = AtomicBool::new(false);
            static DONE: AtomicBool = AtomicBool::new(false);
            let runtime = Runtime::builder().procs(1).start().unwrap();
            drop(runtime.spawn(|| {
                TABLE.with(|table: &Vec<u64>| {
                    blocking(|| {
                        LENT.store(true, Ordering::SeqCst);
                        while !STOPPED.load(Ordering::SeqCst) {
                            std::thread::yield_now();
                        }
                        // Enough time for the kernel to end the thread.
                        std::thread::sleep(Duration::from_millis(100));
                        assert!(table.iter().all(|&n| n == 42));
                        DONE.store(true, Ordering::SeqCst);
                    });
                });
            }));
            while !LENT.load(Ordering::SeqCst) {
                std::thread::yield_now();
            }
            assert_eq!(runtime.shutdown().unfinished_count, 1);
            STOPPED.store(true, Ordering::SeqCst);
            while !DONE.load(Ordering::SeqCst) {
                std::thread::yield_now();
            }
        },
    ));
}

#[test]
fn thread_locals_are_dropped_where_all_goroutines_of_the_thread_have_ended() {
    struct Counted;
    impl Drop for Counted {
        fn drop(&mut self) {
            DROPPED.fetch_add(1, Ordering::SeqCst);
        }
    }
    static DROPPED: AtomicUsize = AtomicUsize::new(0);
    thread_local!(static COUNTED: Counted = const { Counted });
    let runtime = Runtime::builder().procs(1).start().unwrap();
    runtime.run(|| COUNTED.with(|_| ()));
    runtime.shutdown();
    let begun = Instant::now();
    while DROPPED.load(Ordering::SeqCst) == 0 {
        assert!(begun.elapsed() < TIMEOUT);
        std::thread::yield_now();
    }
}

/// Waits in a destructor that a thread runs at its end.
struct Last(Receiver<()>, UnixStream);

impl Drop for Last {
    fn drop(&mut self) {
        for _ in 0..2 {
            let waited = self.0.recv_timeout(Duration::from_millis(1));
            assert!(waited.is_err());
            (&self.1).read(&mut [0]).unwrap_err();
            ENDED.fetch_add(1, Ordering::SeqCst);
        }
    }
}

static ENDED: AtomicUsize = AtomicUsize::new(0);

thread_local!(static LAST: RefCell<Option<Last>> = const { RefCell::new(None) });

#[test]
fn waits_in_destructors_of_thread_locals_are_waits() {
    must_end(in_child(
        "waits_in_destructors_of_thread_locals_are_waits",
        || {
            let (_tx, rx) = chan(0);
            let (ours, theirs) = UnixStream::pair().unwrap();
            ours.set_read_timeout(Some(Duration::from_millis(1)))
                .unwrap();
            std::thread::spawn(move || {
                LAST.with(|last| *last.borrow_mut() = Some(Last(rx.clone(), ours)));
                // The runtime's thread-locals are made after `LAST`, so their destructors run
                // first.
                rx.recv_timeout(Duration::from_millis(1)).unwrap_err();
                LAST.with(|last| {
                    let last = last.borrow();
                    let socket = &last.as_ref().unwrap().1;
                    (&*socket).read(&mut [0]).unwrap_err();
                });
            })
            .join()
            .unwrap();
            drop(theirs);
            assert_eq!(ENDED.load(Ordering::SeqCst), 2);
        },
    ));
}

// The program's code that the scheduler would run: destructors of values in timers.

/// Sends whether it is dropped in a goroutine.
struct Tells(Sender<bool>);

impl Drop for Tells {
    fn drop(&mut self) {
        let _ = self.0.send(in_goroutine());
    }
}

#[test]
fn values_in_timers_are_dropped_in_goroutines() {
    for builder in [Runtime::builder(), Runtime::builder().migrating()] {
        builder.procs(2).start().unwrap().run(|| {
            const MANY: usize = 16;
            let (tx, rx) = chan(2 * MANY);
            for _ in 0..200 {
                for _ in 0..MANY {
                    let tells = Tells(tx.clone());
                    drop(time::after_func(Duration::from_micros(50), move || {
                        let _ = &tells;
                    }));
                    let tells = Tells(tx.clone());
                    let (ctx, _) = Context::background().with_timeout(Duration::from_micros(50));
                    ctx.after_func(move || drop(tells));
                    drop(ctx);
                }
                for _ in 0..2 * MANY {
                    let place = rx.recv_timeout(TIMEOUT).expect("it is dropped");
                    assert!(place, "a destructor in the scheduler");
                }
            }
        });
    }
}

// The program's code that the runtime would run under one of its locks, and destructors that panic,
// wait or nest.

/// A panic's payload that waits when it is dropped.
struct Payload(WaitGroup);

impl Drop for Payload {
    fn drop(&mut self) {
        assert!(!self.0.wait_timeout(Duration::from_millis(1)));
    }
}

#[test]
fn payloads_that_a_wait_group_does_not_keep_may_wait() {
    let test = "payloads_that_a_wait_group_does_not_keep_may_wait";
    let end = in_child(test, || {
        each_mode(|| {
            let group = WaitGroup::new();
            for _ in 0..4 {
                let payload = Payload(group.clone());
                group.go(move || std::panic::panic_any(payload));
            }
            let first = catch_unwind(AssertUnwindSafe(|| group.wait()));
            std::mem::forget(first);
        });
    });
    must_end(end);
}

/// Panics when it is dropped, and counts.
struct Bursts(Arc<AtomicUsize>);

impl Drop for Bursts {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::SeqCst);
        panic!("a destructor");
    }
}

#[derive(Clone, Debug)]
struct Calls(fn());

impl Drop for Calls {
    fn drop(&mut self) {
        (self.0)();
    }
}

impl fmt::Display for Calls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("calls")
    }
}

impl Error for Calls {}

/// Waits for the thread that fires the timers of plain threads.
fn plain_timers_fire() {
    let tick = time::after(Duration::from_millis(1)).recv_timeout(TIMEOUT);
    tick.expect("it fires timers");
}

/// Contexts of a plain thread, dropped at their deadline.
fn contexts_whose_causes(drop: fn()) {
    let soon = Duration::from_millis(2);
    for _ in 0..100 {
        let with_cause = |_| Context::background().with_timeout_cause(soon, Calls(drop));
        let all: Vec<_> = (0..50).map(with_cause).collect();
        all[0].0.done().recv();
    }
    plain_timers_fire();
}

#[test]
fn destructors_of_the_programs_do_not_end_or_block_the_timers_of_plain_threads() {
    fn is_main() -> bool {
        in_goroutine()
            || std::thread::current()
                .name()
                .is_some_and(|name| name.contains("destructors"))
    }
    let test = "destructors_of_the_programs_do_not_end_or_block_the_timers_of_plain_threads";
    must_end(in_child(test, || {
        contexts_whose_causes(|| {
            if !is_main() {
                plain_timers_fire();
            }
        });
        std::panic::set_hook(Box::new(|_| ()));
        contexts_whose_causes(|| assert!(is_main()));
        // The function's runtime is gone when the function is due.
        let runtime = Runtime::builder().procs(1).start().unwrap();
        let after = runtime.run(|| {
            let waits = Calls(plain_timers_fire);
            time::after_func(TIMEOUT, move || _ = &waits)
        });
        after.reset(Duration::from_millis(50));
        drop((after, runtime));
        std::thread::sleep(Duration::from_millis(100));
        plain_timers_fire();
    }));
}

struct Parks;

impl fmt::Write for Parks {
    fn write_str(&mut self, _: &str) -> fmt::Result {
        time::sleep(Duration::from_millis(2));
        Ok(())
    }
}

#[test]
fn no_lock_is_held_while_the_programs_writer_is_called() {
    let test = "no_lock_is_held_while_the_programs_writer_is_called";
    must_end(in_child(test, || {
        each_mode(|| {
            let soon = Duration::from_millis(1);
            let all = (
                Timer::new(soon),
                Ticker::new(soon),
                time::after_func(soon, || ()),
            );
            for _ in 0..3 {
                fmt::Write::write_fmt(&mut Parks, format_args!("{all:?}")).unwrap();
            }
        });
        each_mode(|| {
            // A stream waits for room.
            let (near, far) = UnixStream::pair().unwrap();
            let reader = go(move || {
                time::sleep(Duration::from_millis(20));
                std::io::copy(&mut &far, &mut std::io::sink()).unwrap()
            });
            for _ in 0..5_000 {
                write!(&near, "{near:?}").unwrap();
            }
            drop(near);
            assert!(reader.join().unwrap() > 100_000);
        });
    }));
}

#[test]
fn destructors_in_timers_may_panic_more_than_once_at_a_shutdown() {
    let end = in_child(
        "destructors_in_timers_may_panic_more_than_once_at_a_shutdown",
        || {
            let dropped = Arc::new(AtomicUsize::new(0));
            let count = dropped.clone();
            let runtime = Runtime::builder().procs(1).start().unwrap();
            runtime.run(move || {
                for _ in 0..3 {
                    let bursts = Bursts(count.clone());
                    let f = move || drop(bursts.0.clone());
                    drop(time::after_func(TIMEOUT, f));
                }
            });
            runtime.shutdown();
            assert_eq!(dropped.load(Ordering::SeqCst), 3);
        },
    );
    must_end(end);
}

#[test]
fn channel_drops_the_rest_if_a_destructor_panics() {
    let dropped = Arc::new(AtomicUsize::new(0));
    let (tx, rx) = chan::<(Option<Bursts>, Arc<()>)>(3);
    let held = Arc::new(());
    tx.send((Some(Bursts(dropped.clone())), held.clone()))
        .unwrap();
    tx.send((None, held.clone())).unwrap();
    tx.send((None, held.clone())).unwrap();
    catch_unwind(AssertUnwindSafe(|| drop(rx))).unwrap_err();
    assert_eq!(dropped.load(Ordering::SeqCst), 1);
    assert_eq!(Arc::strong_count(&held), 1);
}

// Why rule 3 of `Builder::build` exists.

#[test]
#[cfg_attr(rt_asan, ignore = "the sanitizer ends it in its own way")]
fn exit_in_a_goroutine_frees_a_value_that_another_has_lent() {
    /// It is freed when the thread-local is dropped, in `exit`. The allocator
    /// returns a block of this size to the kernel at once.
    struct Large(Vec<u64>);
    impl Drop for Large {
        fn drop(&mut self) {
            drop(std::mem::take(&mut self.0));
            FREED.store(true, Ordering::SeqCst);
            std::thread::sleep(TIMEOUT);
        }
    }
    static FREED: AtomicBool = AtomicBool::new(false);
    thread_local!(static LENT: Large = Large(vec![42; 1 << 21]));
    let end = in_child(
        "exit_in_a_goroutine_frees_a_value_that_another_has_lent",
        || {
            // This breaks the rule, to show the effect.
            Runtime::builder().procs(1).start().unwrap().run(|| {
                let (begun, begins) = chan(0);
                drop(go(move || {
                    LENT.with(|lent| {
                        let words: &[u64] = &lent.0;
                        blocking(|| {
                            begun.send(()).unwrap();
                            while !FREED.load(Ordering::SeqCst) {
                                std::thread::yield_now();
                            }
                            assert!(words.iter().all(|&n| n == 42));
                        });
                    });
                }));
                begins.recv();
                std::process::exit(0);
            });
        },
    );
    if let Some((signal, stderr)) = end {
        assert_eq!(signal, Some(libc::SIGSEGV), "{stderr}");
    }
}

// Goroutines for which there is no stack. A region has 4,096 slots of 1 GiB.

const TASKS: usize = 4_200;

fn without_stacks(test: fn()) {
    let huge = StackPolicy::Growable {
        initial: 4 << 10,
        limit: 1 << 30,
    };
    let builder = Runtime::builder().procs(1).stack(huge);
    builder.start().unwrap().run(move || {
        test();
        // The next test needs their stacks.
        while num_goroutine() > 1 {
            yield_now();
        }
    });
}

/// Blocks goroutines, started by `begin`, until there is no stack for further ones.
fn fill(mut begin: impl FnMut(Receiver<()>)) -> Sender<()> {
    let (tx, rx) = chan::<()>(0);
    (0..TASKS).for_each(|_| begin(rx.clone()));
    // Waits until only this goroutine can run.
    while goroutines().iter().filter(|g| !g.waits).count() > 1 {
        (0..1_000).for_each(|_| yield_now());
    }
    tx
}

#[test]
fn goroutine_without_a_stack_is_an_error_of_all_waits_for_it() {
    let test = "goroutine_without_a_stack_is_an_error_of_all_waits_for_it";
    must_end(in_child(test, || {
        // The panics of refused goroutines are not printed.
        std::panic::set_hook(Box::new(|info| {
            let text = info.to_string();
            if text.contains("soundness.rs") {
                unexpected(&text);
            }
        }));
        without_stacks(|| {
            let group = WaitGroup::new();
            fill(|rx| {
                group.go(move || {
                    rx.recv();
                });
            });
            let waited = catch_unwind(AssertUnwindSafe(|| group.wait()));
            let text = waited.unwrap_err();
            assert!(text.downcast_ref::<&str>().unwrap().contains("no stack"));
        });
        without_stacks(|| {
            let group = ErrGroup::<()>::new();
            fill(|rx| {
                group.go(move || {
                    rx.recv();
                    Ok(())
                });
            });
            catch_unwind(AssertUnwindSafe(|| group.wait())).unwrap_err();
        });
        without_stacks(|| {
            let ran = AtomicUsize::new(0);
            let scoped = catch_unwind(AssertUnwindSafe(|| {
                scope(|s| {
                    drop(fill(|rx| {
                        let ran = &ran;
                        s.go(move || {
                            ran.fetch_add(1, Ordering::SeqCst);
                            rx.recv();
                        });
                    }));
                });
            }));
            assert!(scoped.is_err() && ran.into_inner() < TASKS);
        });
        without_stacks(|| {
            scope(|s| {
                let mut handles = Vec::new();
                drop(fill(|rx| handles.push(s.go(move || rx.recv()))));
                let errors: Vec<_> = handles.into_iter().filter_map(|h| h.join().err()).collect();
                assert!(!errors.is_empty());
                for error in errors {
                    assert!(error.downcast_ref::<&str>().unwrap().contains("no stack"));
                }
            });
        });
    }));
}

fn unexpected(text: &str) -> ! {
    eprintln!("{text}");
    std::process::abort();
}

#[test]
fn goroutine_without_a_stack_and_without_a_handle_reaches_the_panic_hook() {
    let test = "goroutine_without_a_stack_and_without_a_handle_reaches_the_panic_hook";
    must_end(in_child(test, || {
        let told = Arc::new(AtomicUsize::new(0));
        let count = told.clone();
        std::panic::set_hook(Box::new(move |info| {
            let text = info.to_string();
            match text.contains("could not run") && text.contains("stack slots") {
                true => count.fetch_add(1, Ordering::SeqCst),
                false => unexpected(&text),
            };
        }));
        without_stacks(|| drop(fill(|rx| bench_runtime::go!(rx.recv()))));
        let once = told.swap(0, Ordering::SeqCst);
        without_stacks(|| drop(fill(|rx| drop(go(move || rx.recv())))));
        let twice = told.load(Ordering::SeqCst);
        assert!(once > 50 && twice > 50, "{once} and {twice} of {TASKS}");
    }));
}

/// If the borrow ended earlier, the value would be freed while a thread still reads it.
#[test]
fn borrows_of_run_scoped_last_until_its_goroutine_has_ended() {
    let test = "borrows_of_run_scoped_last_until_its_goroutine_has_ended";
    let end = in_child(test, || {
        let text = vec![7_u8; 1 << 20];
        let runtime = Runtime::builder().fake_time().start().unwrap();
        let (tx, rx) = chan::<u8>(0);
        runtime.run_scoped(|| {
            std::thread::scope(|s| {
                s.spawn(|| {
                    std::thread::sleep(Duration::from_millis(200));
                    assert!(text.iter().all(|&byte| byte == 7));
                    tx.send(1)
                });
                rx.recv();
            });
        });
    });
    let Some((signal, stderr)) = end else { return };
    assert_eq!(signal, Some(libc::SIGABRT), "{stderr}");
    let text = "run_scoped has lost the goroutine that borrows: all goroutines are asleep";
    assert!(stderr.contains(text), "{stderr}");
    assert!(!stderr.contains("panicked"), "{stderr}");
}

/// Once, a goroutine that had never started stayed in the stopped runtime's queue while its record
/// was on the free list. So the next goroutine in that queue was freed too.
#[test]
fn record_of_a_goroutine_that_a_stopped_runtime_has_left_is_not_reused() {
    let test = "record_of_a_goroutine_that_a_stopped_runtime_has_left_is_not_reused";
    must_end(in_child(test, || {
        for builder in [Runtime::builder(), Runtime::builder().migrating()] {
            let runtime = builder.procs(1).start().unwrap();
            let handle = runtime.handle();
            let (tx, rx) = chan::<u8>(0);
            let left = runtime.spawn(move || {
                while rx.recv().is_some() {}
                String::from("never")
            });
            while !goroutines_wait(&runtime) {
                yield_now();
            }
            // This goroutine has the only P, so the next does not start.
            let (begins, has_begun) = std::sync::mpsc::channel();
            drop(runtime.spawn(move || {
                begins.send(()).unwrap();
                let begun = Instant::now();
                while begun.elapsed() < Duration::from_millis(100) {}
            }));
            has_begun.recv().unwrap();
            drop(handle.spawn(|| ()));
            runtime.shutdown();
            // Waits until the last thread of the runtime has ended.
            std::thread::sleep(Duration::from_millis(300));
            tx.send(1).unwrap();
            let others: Vec<_> = (0..3).map(|_| handle.spawn(|| [!0_u64; 3])).collect();
            assert!(others.iter().all(|other| other.id() != left.id()));
            for other in others {
                assert!(matches!(other.join(), Err(JoinError::Abandoned)));
            }
            assert!(matches!(left.join(), Err(JoinError::Unfinished)));
            std::mem::forget(tx);
        }
    }));
}

fn goroutines_wait(runtime: &Runtime) -> bool {
    runtime
        .goroutines()
        .iter()
        .all(|g| g.state == "chan receive")
}
