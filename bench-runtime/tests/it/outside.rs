//! A plain thread and the goroutines of a runtime use each primitive together, in both directions.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bench_runtime::context::{Context, ContextError};
use bench_runtime::sync::{
    Cond, ErrGroup, Mutex, Once, OnceCell, Pool, RwMutex, Semaphore, WaitGroup,
};
use bench_runtime::time::{Ticker, Timer};
use bench_runtime::{Runtime, Select, Slot, chan, select};

use crate::sched_support::Setting;
use crate::start::Start;

const ROUNDS: usize = 300;

fn in_each_runtime(body: fn(&Runtime)) {
    for procs in [1, 2, 8] {
        for migrating in [false, true] {
            let setting = Setting { procs, migrating };
            let runtime = setting.builder().start().expect("a runtime");
            body(&runtime);
            let left = runtime.shutdown();
            assert_eq!(left.unfinished_count, 0, "left at {setting:?}");
        }
    }
}

#[test]
fn thread_and_goroutine_pass_values_both_ways() {
    in_each_runtime(|runtime| {
        for capacity in [0, 1, 10] {
            let (to, from_thread) = chan(capacity);
            let (back, from_goroutine) = chan(capacity);
            let echo = runtime.spawn(move || {
                for n in from_thread {
                    back.send(n).unwrap();
                }
            });
            for n in 0..ROUNDS {
                to.send(n).unwrap();
                assert_eq!(from_goroutine.recv(), Some(n));
            }
            to.close();
            assert_eq!(from_goroutine.recv(), None);
            echo.join().unwrap();
        }
    });
}

#[test]
fn thread_and_goroutine_meet_in_selects() {
    in_each_runtime(|runtime| {
        let (to, from_thread) = chan(0);
        let (back, from_goroutine) = chan(0);
        let (_never, silent) = chan::<()>(0);
        let hush = silent.clone();
        let echo = runtime.spawn(move || {
            for n in 0..ROUNDS {
                select! {
                    recv(from_thread) -> value => assert_eq!(value, Some(n)),
                    recv(hush) => unreachable!("nobody speaks there"),
                }
                select! {
                    send(back, n) => {}
                    recv(hush) => unreachable!("nobody speaks there"),
                }
            }
        });
        let (value, nothing) = (Slot::empty(), Slot::empty());
        let mut answer = Select::new();
        answer.recv(&silent, &nothing);
        let echoed = answer.recv(&from_goroutine, &value);
        for n in 0..ROUNDS {
            select! {
                send(to, n) => {}
                recv(silent) => unreachable!("nobody speaks there"),
            }
            assert_eq!(answer.wait().index(), echoed);
            assert_eq!(value.take(), Some(n));
        }
        echo.join().unwrap();
    });
}

#[test]
fn thread_and_goroutines_share_mutexes() {
    in_each_runtime(|runtime| {
        let total = Arc::new((Mutex::new(0), RwMutex::new(0)));
        let add = |total: &(Mutex<usize>, RwMutex<usize>)| {
            for _ in 0..ROUNDS {
                *total.0.lock() += 1;
                *total.1.write() += 1;
                assert!(*total.1.read() > 0);
            }
        };
        let theirs: Vec<_> = (0..4)
            .map(|_| {
                let total = total.clone();
                runtime.spawn(move || add(&total))
            })
            .collect();
        add(&total);
        theirs.into_iter().for_each(|task| task.join().unwrap());
        assert_eq!((*total.0.lock(), *total.1.read()), (5 * ROUNDS, 5 * ROUNDS));
    });
}

#[test]
fn thread_and_goroutine_signal_each_other() {
    in_each_runtime(|runtime| {
        let turn = Arc::new((Mutex::new(0), Cond::new()));
        let theirs = turn.clone();
        let takes = |turn: &(Mutex<usize>, Cond), mine: usize| {
            for _ in 0..ROUNDS {
                let mut held = turn.1.wait_while(turn.0.lock(), |now| *now % 2 != mine);
                *held += 1;
                drop(held);
                turn.1.signal();
            }
        };
        let other = runtime.spawn(move || takes(&theirs, 1));
        takes(&turn, 0);
        other.join().unwrap();
        assert_eq!(*turn.0.lock(), 2 * ROUNDS);
    });
}

#[test]
fn thread_waits_for_groups_of_goroutines_and_they_for_it() {
    in_each_runtime(|runtime| {
        for _ in 0..20 {
            let (theirs, mine) = (WaitGroup::new(), WaitGroup::new());
            theirs.add(4);
            mine.add(1);
            for _ in 0..4 {
                let (theirs, mine) = (theirs.clone(), mine.clone());
                drop(runtime.spawn(move || {
                    mine.wait();
                    theirs.done();
                }));
            }
            assert!(!theirs.wait_timeout(Duration::from_micros(100)));
            mine.done();
            theirs.wait();
        }
        let group = ErrGroup::new();
        group.go(|| Err("outside"));
        let inside = group.clone();
        let waited = runtime.run(move || {
            inside.go(|| Ok(()));
            inside.wait()
        });
        assert_eq!(waited, Err("outside"));
    });
}

#[test]
fn thread_and_goroutines_queue_at_one_semaphore() {
    in_each_runtime(|runtime| {
        let slots = Arc::new(Semaphore::new(2));
        let inside = Arc::new(AtomicUsize::new(0));
        let use_it = |slots: &Semaphore, inside: &AtomicUsize| {
            for _ in 0..ROUNDS {
                let _permit = slots.acquire(1);
                assert!(inside.fetch_add(1, Ordering::SeqCst) < 2);
                inside.fetch_sub(1, Ordering::SeqCst);
            }
        };
        let others: Vec<_> = (0..4)
            .map(|_| {
                let (slots, inside) = (slots.clone(), inside.clone());
                runtime.spawn(move || use_it(&slots, &inside))
            })
            .collect();
        use_it(&slots, &inside);
        others.into_iter().for_each(|task| task.join().unwrap());
        assert_eq!(slots.available(), 2);
    });
}

#[test]
fn once_and_cell_shared_with_a_thread_run_their_function_once() {
    in_each_runtime(|runtime| {
        for _ in 0..50 {
            let shared = Arc::new((Once::new(), OnceCell::new(), AtomicUsize::new(0)));
            let call = |shared: &(Once, OnceCell<usize>, AtomicUsize)| {
                shared.0.call(|| {
                    bench_runtime::yield_now();
                    shared.2.fetch_add(1, Ordering::SeqCst);
                });
                assert_eq!(shared.2.load(Ordering::SeqCst), 1);
                assert_eq!(*shared.1.get_or_init(|| 7), 7);
            };
            let theirs = shared.clone();
            let other = runtime.spawn(move || call(&theirs));
            call(&shared);
            other.join().unwrap();
        }
    });
}

#[test]
fn thread_and_goroutine_share_a_pool() {
    in_each_runtime(|runtime| {
        let pool = Arc::new(Pool::new(|| vec![0_u8; 8]));
        let theirs = pool.clone();
        let other = runtime.spawn(move || {
            for n in 0..ROUNDS {
                theirs.get().fill(n as u8);
            }
        });
        for _ in 0..ROUNDS {
            let object = pool.get();
            assert!(object.iter().all(|byte| *byte == object[0]), "ours alone");
        }
        other.join().unwrap();
    });
}

#[test]
fn contexts_end_between_threads_and_goroutines() {
    in_each_runtime(|runtime| {
        // From outside: a plain thread cancels.
        let (ctx, cancel) = Context::background().with_cancel();
        let inside = ctx.clone();
        let task = runtime.spawn(move || {
            inside.done().recv();
            inside.err()
        });
        cancel.cancel();
        assert_eq!(task.join().unwrap(), Some(ContextError::Cancelled));
        // From inside: a timer of the runtime ends the context.
        let ctx = runtime.run(|| {
            let (ctx, _cancel) = Context::background().with_timeout(Duration::from_millis(1));
            ctx
        });
        assert_eq!(ctx.done().recv(), None);
        assert_eq!(ctx.err(), Some(ContextError::DeadlineExceeded));
    });
}

#[test]
fn timers_armed_on_one_side_are_received_on_the_other() {
    in_each_runtime(|runtime| {
        let outside = Timer::new(Duration::from_millis(1));
        let tick = outside.receiver().clone();
        assert!(runtime.run(move || tick.recv()).is_some());

        let inside = runtime.run(|| Ticker::new(Duration::from_millis(1)));
        assert!(inside.receiver().recv().is_some());
        assert!(inside.receiver().recv().is_some());
        inside.stop();
        assert!(inside.receiver().try_recv().is_err());
    });
}
