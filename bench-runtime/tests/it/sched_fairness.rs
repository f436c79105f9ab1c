//! No goroutine starves. Bounds on time are wide, so a slow machine does not exceed them.

use std::io::{Read, Write};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use bench_runtime::context::Context;
use bench_runtime::net::UnixStream;
use bench_runtime::sync::Mutex;
use bench_runtime::{
    GoBuilder, JoinHandle, Priority, Receiver, Runtime, Sender, TryRecvError, blocking, chan, go,
    gomaxprocs, num_goroutine, select, time, yield_now,
};
use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;

use crate::sched_support::{Setting, at_each, within_timeout};
use crate::start::Start;

/// A longer wait is starvation, even on a loaded machine.
const STARVED: Duration = Duration::from_secs(30);

fn burn(length: Duration) {
    let began = Instant::now();
    while began.elapsed() < length {
        std::hint::spin_loop();
    }
}

/// In a pinned runtime this holds only for goroutines that have not started on the hog's thread, so
/// a plain thread spawns them.
#[test]
fn endless_loop_does_not_stop_others_on_one_processor() {
    for migrating in [false, true] {
        let setting = Setting {
            procs: 1,
            migrating,
        };
        let runtime = setting.builder().start().unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let begun = Arc::new(AtomicBool::new(false));
        let hog = runtime.spawn({
            let (stop, begun) = (stop.clone(), begun.clone());
            move || {
                begun.store(true, Ordering::Relaxed);
                while !stop.load(Ordering::Relaxed) {
                    std::hint::spin_loop();
                }
            }
        });
        while !begun.load(Ordering::Relaxed) {
            std::thread::yield_now();
        }
        for n in 0..10 {
            let other = runtime.spawn(move || {
                yield_now();
                n
            });
            let began = Instant::now();
            while !other.is_finished() {
                assert!(
                    began.elapsed() < STARVED,
                    "a hog starves others: {setting:?}"
                );
                std::thread::yield_now();
            }
            assert_eq!(other.join().unwrap(), n);
        }
        stop.store(true, Ordering::Relaxed);
        hog.join().unwrap();
        assert_eq!(runtime.shutdown().threads_count, 0);
    }
}

/// In a migrating runtime, goroutines that have started on the hog's thread run, too.
#[test]
fn sleeper_runs_many_times_beside_a_hog_on_its_thread() {
    within_timeout(
        Setting {
            procs: 1,
            migrating: true,
        },
        |_| {
            let stop = Arc::new(AtomicBool::new(false));
            let stopped = stop.clone();
            let hog = go(move || {
                let began = Instant::now();
                while !stopped.load(Ordering::Relaxed) && began.elapsed() < STARVED {
                    std::hint::spin_loop();
                }
                stopped.load(Ordering::Relaxed)
            });
            for _ in 0..10 {
                time::sleep(Duration::from_millis(1));
            }
            stop.store(true, Ordering::Relaxed);
            // Without fairness the hog would end before the first sleep does.
            assert!(hog.join().unwrap(), "the sleeper starved");
        },
    );
}

#[test]
fn retakes_are_counted_when_a_hog_loses_its_processor() {
    let runtime = Runtime::builder().procs(1).start().unwrap();
    let before = runtime.metrics().retakes_count;
    runtime.run(|| {
        let other = go(|| ());
        let began = Instant::now();
        while !other.is_finished() {
            assert!(began.elapsed() < STARVED, "a hog starves others");
            std::hint::spin_loop();
        }
    });
    assert!(runtime.metrics().retakes_count > before);
}

/// Ms never end, and each of these goroutines waits on an M of its own. Without a bound they would
/// take all threads, and end the process.
#[test]
fn goroutines_spawned_as_cpu_bound_take_half_of_the_threads_at_most() {
    const THREADS: usize = 12;
    let setting = Setting {
        procs: 4,
        migrating: false,
    };
    let runtime = setting.builder().max_threads(THREADS).start().unwrap();
    runtime.run(|| {
        let (started, starts) = chan(0);
        let (end, ends) = chan::<()>(0);
        let spawn = |_| {
            let (started, ends) = (started.clone(), ends.clone());
            let wait = move || {
                started.send(()).unwrap();
                assert_eq!(ends.recv(), None);
            };
            GoBuilder::new().cpu_bound(true).go(wait).unwrap()
        };
        let all: Vec<_> = (0..20).map(spawn).collect();
        (0..20).for_each(|_| assert_eq!(starts.recv(), Some(())));
        drop(end);
        all.into_iter().for_each(|one| one.join().unwrap());
    });
    let count = runtime.metrics().threads_count;
    // A P is retaken from a thread that the host delays, and may need another one.
    assert!(count <= THREADS / 2 + 3, "{count} threads");
    assert_eq!(runtime.run(|| blocking(|| 7)), 7);
}

/// The P of a further hog is not retaken, so half of the threads remain for other goroutines.
#[test]
fn hogs_beyond_half_of_the_threads_keep_their_processor() {
    const THREADS: usize = 6;
    for migrating in [false, true] {
        let setting = Setting {
            procs: 1,
            migrating,
        };
        let runtime = setting.builder().max_threads(THREADS).start().unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        // A thread for each hog would exceed the limit of threads.
        let hogs: Vec<_> = (0..2 * THREADS)
            .map(|_| {
                let stop = stop.clone();
                runtime.spawn(move || {
                    while !stop.load(Ordering::Relaxed) {
                        std::hint::spin_loop();
                    }
                })
            })
            .collect();
        while runtime.metrics().hogs_count < THREADS / 2 {
            std::thread::yield_now();
        }
        // Long enough for more retakes.
        let began = Instant::now();
        while began.elapsed() < Duration::from_millis(60) {
            assert!(runtime.metrics().hogs_count <= THREADS / 2);
            std::thread::sleep(Duration::from_millis(1));
        }
        stop.store(true, Ordering::Relaxed);
        hogs.into_iter().for_each(|hog| hog.join().unwrap());
        while runtime.metrics().hogs_count != 0 {
            std::thread::yield_now();
        }
    }
}

/// The hog spins until its spawner has slept and set a flag. On the thread to which the spawner is
/// pinned, neither would end.
fn spins_for_its_spawner(start: impl FnOnce(Box<dyn FnOnce() + Send>) -> JoinHandle<()>) {
    let said = Arc::new(AtomicBool::new(false));
    let hog = start(Box::new({
        let said = said.clone();
        move || {
            while !said.load(Ordering::Relaxed) {
                std::hint::spin_loop();
            }
        }
    }));
    time::sleep(Duration::from_millis(1));
    said.store(true, Ordering::Relaxed);
    hog.join().unwrap();
}

#[test]
fn cpu_bound_goroutine_starts_on_a_thread_that_no_other_shares() {
    let runtime = Runtime::builder().procs(1).start().unwrap();
    for _ in 0..20 {
        runtime.run(|| {
            spins_for_its_spawner(|body| GoBuilder::new().cpu_bound(true).go(body).unwrap());
        });
    }
    // Threads are used again.
    assert!(runtime.metrics().threads_count < 12);
}

#[test]
fn goroutine_of_a_site_that_made_a_hog_starts_on_a_thread_that_no_other_shares() {
    let runtime = Arc::new(Runtime::builder().procs(1).start().unwrap());
    let retaken = Arc::new(AtomicBool::new(false));
    let watcher = std::thread::spawn({
        let (runtime, retaken) = (runtime.clone(), retaken.clone());
        move || {
            while runtime.metrics().hog_retakes_count == 0 {
                // Without work that waits, no P is retaken.
                drop(runtime.spawn(|| ()));
                std::thread::sleep(Duration::from_millis(1));
            }
            retaken.store(true, Ordering::Relaxed);
        }
    });
    runtime.run(move || {
        let of_one_site = |body: Box<dyn FnOnce() + Send>| go(body);
        let hog = of_one_site(Box::new(move || {
            // Continues until the goroutine counts as a hog: on a loaded machine it may have hardly
            // run when its P is retaken.
            let (_open, never) = chan::<()>(0);
            while !retaken.load(Ordering::Relaxed) {
                let _ = never.try_recv();
            }
        }));
        hog.join().unwrap();
        (0..4).for_each(|_| spins_for_its_spawner(of_one_site));
    });
    watcher.join().unwrap();
}

#[test]
fn goroutine_that_waits_for_the_kernel_loses_its_processor_and_is_no_hog() {
    for migrating in [false, true] {
        let setting = Setting {
            procs: 1,
            migrating,
        };
        let runtime = setting.builder().start().unwrap();
        let began = Instant::now();
        while runtime.metrics().retakes_count == 0 {
            assert!(began.elapsed() < STARVED, "it keeps its P: {setting:?}");
            let waiter = runtime.spawn(|| std::thread::sleep(Duration::from_millis(60)));
            while runtime.metrics().retakes_count == 0 && !waiter.is_finished() {
                // Without work that waits, no P is retaken.
                drop(runtime.spawn(|| ()));
                std::thread::sleep(Duration::from_millis(1));
            }
            waiter.join().unwrap();
        }
        assert_eq!(runtime.metrics().hog_retakes_count, 0, "{setting:?}");
    }
}

fn set_policy(policy: i32) -> bool {
    let param = libc::sched_param { sched_priority: 0 };
    // SAFETY: `param` outlives the call, which only reads it.
    unsafe { libc::sched_setscheduler(0, policy, &raw const param) == 0 }
}

/// The thread competes for one CPU at SCHED_IDLE. Without excuses its M would lose the P after 10 ms.
/// In a try it may get too much CPU time, because the kernel exchanges threads only at its ticks.
#[test]
fn goroutine_whose_thread_gets_no_cpu_keeps_its_processor_for_longer() {
    let long = Duration::from_millis(40);
    let mut tries = (0..20).map(|_| until_starved_goroutine_loses_its_processor());
    assert!(tries.any(|held| held.is_none_or(|held| held >= long)));
}

/// `None` if the host does not let a thread starve.
fn until_starved_goroutine_loses_its_processor() -> Option<Duration> {
    let this = Pid::from_raw(0);
    let allowed = sched_getaffinity(this).unwrap();
    let first = (0..CpuSet::count()).find(|&cpu| allowed.is_set(cpu).unwrap());
    let mut one = CpuSet::new();
    one.set(first.unwrap()).unwrap();
    let ends = Arc::new(AtomicBool::new(false));
    let spin = {
        let ends = ends.clone();
        move || {
            while !ends.load(Ordering::Relaxed) {
                std::hint::spin_loop();
            }
        }
    };
    let (competes, competing) = mpsc::channel();
    let competitor = {
        let spin = spin.clone();
        std::thread::spawn(move || {
            sched_setaffinity(this, &one).unwrap();
            competes.send(()).unwrap();
            spin();
        })
    };
    competing.recv().unwrap();
    let setting = Setting {
        procs: 1,
        migrating: false,
    };
    let runtime = setting.builder().start().unwrap();
    let (began_at, begins) = mpsc::channel();
    let starved = runtime.spawn(move || {
        sched_setaffinity(this, &one).unwrap();
        let may_starve = set_policy(libc::SCHED_IDLE);
        began_at.send(may_starve.then(Instant::now)).unwrap();
        spin();
        set_policy(libc::SCHED_OTHER);
        sched_setaffinity(this, &allowed).unwrap();
    });
    let began = begins.recv().unwrap();
    let held = began.map(|began| {
        while runtime.metrics().retakes_count == 0 {
            assert!(began.elapsed() < STARVED, "it keeps its P for ever");
            // Without work that waits, no P is retaken.
            drop(runtime.spawn(|| ()));
            std::thread::sleep(Duration::from_millis(1));
        }
        began.elapsed()
    });
    ends.store(true, Ordering::Relaxed);
    competitor.join().unwrap();
    starved.join().unwrap();
    held
}

fn polls_until(mut holds: impl FnMut() -> bool) {
    let began = Instant::now();
    while !holds() {
        assert!(began.elapsed() < STARVED, "who is waited for starves");
    }
}

#[test]
fn failed_polls_let_other_goroutines_of_the_thread_run() {
    at_each(&[1, 2], |_| {
        // A goroutine that has started on this thread runs in turn with the test's.
        let partner = |act: Box<dyn FnOnce() + Send>| {
            let (begin, begun) = chan::<()>(0);
            let (here, is_here) = chan(0);
            let task = go(move || {
                here.send(()).unwrap();
                begun.recv().unwrap();
                act();
            });
            is_here.recv().unwrap();
            begin.send(()).unwrap();
            task
        };

        let (tx, rx) = chan(1);
        let task = partner(Box::new(move || tx.send(1).unwrap()));
        polls_until(|| rx.try_recv().is_ok());
        polls_until(|| task.is_finished());

        let (tx, rx) = chan(1);
        let task = partner(Box::new(move || tx.send(1).unwrap()));
        polls_until(|| {
            select! {
                recv(rx) => true,
                default => false,
            }
        });
        polls_until(|| task.is_finished());

        let (tx, rx) = chan(1);
        tx.send(1).unwrap();
        let task = partner(Box::new(move || assert_eq!(rx.recv(), Some(1))));
        polls_until(|| tx.try_send(2).is_ok() || tx.is_closed());
        polls_until(|| task.is_finished());

        let (ctx, cancel) = Context::background().with_cancel();
        let task = partner(Box::new(move || cancel.cancel()));
        polls_until(|| ctx.is_done());
        polls_until(|| task.is_finished());

        let mutex = Arc::new(Mutex::new(()));
        let (held, is_held) = chan::<()>(0);
        let (begin, begun) = chan::<()>(0);
        let holder = go({
            let mutex = mutex.clone();
            move || {
                let guard = mutex.lock();
                held.send(()).unwrap();
                begun.recv();
                drop(guard);
            }
        });
        is_held.recv().unwrap();
        begin.close();
        polls_until(|| mutex.try_lock().is_some());
        holder.join().unwrap();
    });
}

#[test]
fn goroutine_that_only_readies_other_goroutines_lets_them_run() {
    at_each(&[1, 2], |_| {
        // Each round of the spinner readies the echo.
        let (tx, rx) = chan::<u32>(1);
        let seen = Arc::new(AtomicUsize::new(0));
        let echo = go({
            let seen = seen.clone();
            move || {
                for _ in rx {
                    seen.fetch_add(1, Ordering::Relaxed);
                }
            }
        });
        polls_until(|| {
            let _ = tx.try_send(1);
            seen.load(Ordering::Relaxed) >= 3
        });
        tx.close();
        echo.join().unwrap();
    });
}

/// As many goroutines as processors, each of which spins until all have begun. With fewer Ms than
/// processors each needs a retake.
fn spin_together(procs: usize) {
    let begun = Arc::new(AtomicUsize::new(0));
    let handles: Vec<_> = (0..procs)
        .map(|_| {
            let begun = begun.clone();
            go(move || {
                begun.fetch_add(1, Ordering::SeqCst);
                let began = Instant::now();
                while begun.load(Ordering::SeqCst) < procs {
                    assert!(began.elapsed() < STARVED, "they do not run at once");
                    std::hint::spin_loop();
                }
            })
        })
        .collect();
    for handle in handles {
        handle.join().unwrap();
    }
}

#[test]
fn processors_really_run_at_once() {
    at_each(&[2, 8], |setting| {
        for _ in 0..3 {
            spin_together(setting.procs);
            // All Ms have gone to sleep, so the next round must wake them.
            time::sleep(Duration::from_millis(2));
        }
    });
}

#[test]
fn processors_run_at_once_what_a_goroutine_of_a_goroutine_starts() {
    at_each(&[2, 8], |setting| {
        let inner = go(move || go(move || spin_together(setting.procs)).join().unwrap());
        inner.join().unwrap();
    });
}

#[test]
fn processors_run_at_once_after_many_goroutines_that_did_little() {
    at_each(&[2, 8], |setting| {
        for _ in 0..3 {
            (0..10_000).for_each(|_| go(|| ()).join().unwrap());
            spin_together(setting.procs);
        }
    });
}

/// While wakes do not pay, a P may be idle although no M comes to take what was spawned.
#[test]
fn spawned_goroutine_starts_soon_beside_two_that_yield_while_a_p_is_idle() {
    let setting = Setting {
        procs: 1,
        migrating: false,
    };
    within_timeout(setting, |_| {
        const SPAWNS: usize = 100;
        let (stop, yields) = (
            Arc::new(AtomicBool::new(false)),
            Arc::new(AtomicU64::new(0)),
        );
        let yielders = [(); 2].map(|()| {
            let (stop, yields) = (stop.clone(), yields.clone());
            go(move || {
                while !stop.load(Ordering::Relaxed) {
                    yields.fetch_add(1, Ordering::Relaxed);
                    yield_now();
                }
            })
        });
        // Both have started, so they stay on this M.
        while yields.load(Ordering::Relaxed) < 10 {
            yield_now();
        }
        gomaxprocs(Some(2));
        // Nine of ten goroutines of a batch wait for at most so many yields.
        let batch = || {
            let mut waits = [(); SPAWNS].map(|()| {
                let before = yields.load(Ordering::Relaxed);
                go(|| ()).join().unwrap();
                yields.load(Ordering::Relaxed) - before
            });
            waits.sort_unstable();
            waits[SPAWNS * 9 / 10]
        };
        // In the first batches the other M may still be woken for each goroutine: 20 to 300 yields.
        // After that a goroutine starts on this M, when each of the two has yielded once.
        let batches: Vec<u64> = (0..20).map(|_| batch()).collect();
        stop.store(true, Ordering::Relaxed);
        yielders
            .into_iter()
            .for_each(|yielder| yielder.join().unwrap());
        assert!(batches.iter().any(|&most| most <= 5), "{batches:?}");
    });
}

#[test]
fn processors_run_at_once_while_others_wait_for_descriptors() {
    at_each(&[2, 8], |setting| {
        let ends: Vec<_> = (0..4).map(|_| UnixStream::pair().unwrap()).collect();
        let (mut near, far): (Vec<_>, Vec<_>) = ends.into_iter().unzip();
        let readers: Vec<_> = far
            .into_iter()
            .map(|mut far| go(move || far.read(&mut [0]).unwrap()))
            .collect();
        for _ in 0..3 {
            spin_together(setting.procs);
        }
        for end in &mut near {
            end.write_all(b"x").unwrap();
        }
        for reader in readers {
            assert_eq!(reader.join().unwrap(), 1);
        }
    });
}

/// Starts its successor in the P's queue, until `stop` is set.
fn next_here(stop: Arc<AtomicBool>, count: Arc<AtomicUsize>) {
    count.fetch_add(1, Ordering::Relaxed);
    if !stop.load(Ordering::Relaxed) {
        drop(go(move || next_here(stop, count)));
    }
}

/// The same, in the global queue.
fn next_global(stop: Arc<AtomicBool>, class: Priority) {
    if !stop.load(Ordering::Relaxed) {
        go_global(class, move || next_global(stop, class));
    }
}

fn go_global(class: Priority, f: impl FnOnce() + Send + 'static) {
    drop(GoBuilder::new().priority(class).go(f).unwrap());
}

/// None of the P's queue, its overflow and the lists of the normal and the low class becomes empty.
#[test]
fn oldest_of_the_overflow_run_while_newer_ones_and_the_global_queue_never_end() {
    at_each(&[1, 2, 8], |setting| {
        const OLDEST: usize = 300;
        const OTHERS: usize = 20;
        let stop = Arc::new(AtomicBool::new(false));
        let [oldest, others, newer] = [(); 3].map(|()| Arc::new(AtomicUsize::new(0)));
        let counts = |count: &Arc<AtomicUsize>| {
            let count = count.clone();
            move || _ = count.fetch_add(1, Ordering::Relaxed)
        };
        (0..OLDEST).for_each(|_| drop(go(counts(&oldest))));
        (0..1_000 * setting.procs).for_each(|_| next_here(stop.clone(), newer.clone()));
        for class in [Priority::Normal, Priority::Low] {
            (0..10).for_each(|_| next_global(stop.clone(), class));
            (0..OTHERS / 2).for_each(|_| go_global(class, counts(&others)));
        }
        newer.store(0, Ordering::Relaxed);
        let began = Instant::now();
        let load = |count: &AtomicUsize| count.load(Ordering::Relaxed);
        while load(&oldest) < OLDEST || load(&others) < OTHERS {
            // One of the oldest is first in each 244 picks of the P.
            assert!(
                began.elapsed() < STARVED
                    && (setting.procs > 1 || load(&newer) < 244 * (OLDEST + 10)),
                "beside {} newer ones {} of the oldest and {} of the others have run at {setting:?}",
                load(&newer),
                load(&oldest),
                load(&others),
            );
            yield_now();
        }
        stop.store(true, Ordering::Relaxed);
        while num_goroutine() > 1 {
            yield_now();
        }
    });
}

struct Pair {
    there: Sender<()>,
    back: Receiver<()>,
    echo: JoinHandle<()>,
}

fn pair(work: Duration) -> Pair {
    let (there, ping) = chan(0);
    let (pong, back) = chan(0);
    let echo = go(move || {
        while ping.recv().is_some() {
            burn(work);
            pong.send(()).unwrap();
        }
    });
    Pair { there, back, echo }
}

impl Pair {
    fn round(&self) {
        self.there.send(()).unwrap();
        self.back.recv().unwrap();
    }

    fn end(self) {
        self.there.close();
        self.echo.join().unwrap();
    }
}

#[test]
fn busy_ping_pong_does_not_delay_a_timer_for_ever() {
    at_each(&[1, 2], |_| {
        let stop = Arc::new(AtomicBool::new(false));
        let busy = go({
            let stop = stop.clone();
            move || {
                let pair = pair(Duration::ZERO);
                while !stop.load(Ordering::Relaxed) {
                    pair.round();
                }
                pair.end();
            }
        });
        for _ in 0..5 {
            let began = Instant::now();
            time::sleep(Duration::from_millis(20));
            assert!(began.elapsed() < STARVED);
        }
        stop.store(true, Ordering::Relaxed);
        busy.join().unwrap();
    });
}

#[test]
fn light_ping_pong_beside_a_busy_one_keeps_pace() {
    const ROUNDS: u64 = 2_000;
    at_each(&[1, 2], |setting| {
        let stop = Arc::new(AtomicBool::new(false));
        let busy_rounds = Arc::new(AtomicU64::new(0));
        let busy = go({
            let (stop, rounds) = (stop.clone(), busy_rounds.clone());
            move || {
                let pair = pair(Duration::from_micros(5));
                while !stop.load(Ordering::Relaxed) {
                    pair.round();
                    rounds.fetch_add(1, Ordering::Relaxed);
                }
                pair.end();
            }
        });
        let light = go({
            let rounds = busy_rounds.clone();
            move || {
                let pair = pair(Duration::ZERO);
                while rounds.load(Ordering::Relaxed) == 0 {
                    pair.round();
                }
                let before = rounds.load(Ordering::Relaxed);
                (0..ROUNDS).for_each(|_| pair.round());
                let beside = rounds.load(Ordering::Relaxed) - before;
                pair.end();
                beside
            }
        });
        let beside = light.join().unwrap();
        // Pairs that take turns by rounds have the same number of rounds. Two threads on one
        // processor cost the light pair two hand-overs a round.
        assert!(
            beside < 100 * ROUNDS,
            "{beside} busy rounds beside {ROUNDS} light ones at {setting:?}"
        );
        // On one thread they take turns by time, not by rounds.
        assert!(
            setting.procs > 1 || beside < ROUNDS,
            "{beside} busy rounds beside {ROUNDS} light ones at {setting:?}"
        );
        stop.store(true, Ordering::Relaxed);
        busy.join().unwrap();
    });
}

/// If the hog and the pair took turns, the hog would get a time slice of 10 ms for a few rounds.
fn ping_pong_beside_polls(setting: Setting, class: Priority) {
    const ROUNDS: u64 = 20_000;
    let (stop, stopped) = chan::<()>(0);
    let hog = GoBuilder::new().priority(class).go(move || {
        let mut polls = 0_u64;
        while stopped.try_recv() == Err(TryRecvError::Empty) {
            polls += 1;
        }
        polls
    });
    let hog = hog.unwrap();
    let light = go(|| {
        let pair = pair(Duration::ZERO);
        (0..ROUNDS).for_each(|_| pair.round());
        pair.end();
    });
    light.join().unwrap();
    stop.close();
    let polls = hog.join().unwrap();
    // Equal shares would be some tens of polls a round.
    assert!(
        polls < 1_000 * ROUNDS,
        "{polls} polls beside {ROUNDS} rounds at {setting:?}"
    );
}

#[test]
fn ping_pong_beside_a_goroutine_that_polls_has_its_share_of_the_time() {
    at_each(&[1], |setting| {
        ping_pong_beside_polls(setting, Priority::Normal)
    });
}

#[test]
fn ping_pong_beside_a_goroutine_of_the_low_class_that_polls_has_its_share_too() {
    at_each(&[1], |setting| {
        ping_pong_beside_polls(setting, Priority::Low)
    });
}

#[test]
fn short_blocking_calls_starve_no_goroutine() {
    at_each(&[1, 2, 8], |_| {
        for micros in [10, 100, 1_000] {
            let calls: Vec<_> = (0..4)
                .map(|_| {
                    go(move || {
                        for _ in 0..20 {
                            blocking(|| std::thread::sleep(Duration::from_micros(micros)));
                        }
                    })
                })
                .collect();
            let worker = go(|| {
                for _ in 0..200 {
                    yield_now();
                }
            });
            worker.join().unwrap();
            for call in calls {
                call.join().unwrap();
            }
        }
    });
}

#[test]
fn thousand_goroutines_in_blocking_reads_leave_the_processor_to_others() {
    const READERS: usize = 1_000;
    for migrating in [false, true] {
        let setting = Setting {
            procs: 2,
            migrating,
        };
        let runtime = setting.builder().start().unwrap();
        let mut writers = Vec::new();
        let readers: Vec<_> = (0..READERS)
            .map(|_| {
                let (mut near, far) = std::io::pipe().unwrap();
                writers.push(far);
                runtime.spawn(move || {
                    blocking(|| {
                        let mut byte = [0];
                        near.read_exact(&mut byte).map(|()| byte[0])
                    })
                })
            })
            .collect();
        // Fresh goroutines end while every reader waits.
        let busy: Vec<_> = (0..8u64)
            .map(|n| {
                runtime.spawn(move || {
                    for _ in 0..50 {
                        burn(Duration::from_micros(20));
                        yield_now();
                    }
                    n
                })
            })
            .collect();
        for (n, handle) in busy.into_iter().enumerate() {
            assert_eq!(handle.join().unwrap(), n as u64);
        }
        let threads = runtime.metrics().threads_count;
        assert!(
            threads <= READERS + 2 * setting.procs + 8,
            "{threads} threads for {READERS} blocked readers"
        );
        for (n, writer) in writers.iter_mut().enumerate() {
            writer.write_all(&[n as u8]).unwrap();
        }
        for (n, reader) in readers.into_iter().enumerate() {
            assert_eq!(reader.join().unwrap().unwrap(), n as u8);
        }
        assert_eq!(runtime.shutdown().threads_count, 0);
    }
}

#[test]
fn low_and_normal_classes_run_beside_high_goroutines_that_never_stop() {
    at_each(&[1, 2], |setting| {
        let stop = Arc::new(AtomicBool::new(false));
        let high: Vec<_> = (0..2 * setting.procs)
            .map(|_| {
                let stop = stop.clone();
                GoBuilder::new()
                    .priority(Priority::High)
                    .go(move || {
                        while !stop.load(Ordering::Relaxed) {
                            yield_now();
                        }
                    })
                    .unwrap()
            })
            .collect();
        for priority in [Priority::Normal, Priority::Low] {
            let other = GoBuilder::new().priority(priority).go(|| ()).unwrap();
            let began = Instant::now();
            while !other.is_finished() {
                assert!(began.elapsed() < STARVED, "{priority:?} starves");
                yield_now();
            }
            other.join().unwrap();
        }
        stop.store(true, Ordering::Relaxed);
        for handle in high {
            handle.join().unwrap();
        }
    });
}

#[test]
fn high_class_runs_before_goroutines_queued_earlier() {
    for migrating in [false, true] {
        within_timeout(
            Setting {
                procs: 1,
                migrating,
            },
            |_| {
                let order = Arc::new(Mutex::new(Vec::new()));
                let handles: Vec<_> = [Priority::Low, Priority::Normal, Priority::High]
                    .into_iter()
                    .map(|priority| {
                        let order = order.clone();
                        GoBuilder::new()
                            .priority(priority)
                            .go(move || order.lock().push(priority))
                            .unwrap()
                    })
                    .collect();
                for handle in handles {
                    handle.join().unwrap();
                }
                assert_eq!(
                    *order.lock(),
                    [Priority::High, Priority::Normal, Priority::Low]
                );
            },
        );
    }
}

/// There are more CPU-bound goroutines than threads for them. After all have ended, the next
/// goroutine gets one of these threads.
#[test]
fn cpu_bound_goroutine_gets_a_thread_that_has_become_vacant() {
    let setting = Setting {
        procs: 1,
        migrating: false,
    };
    within_timeout(setting, |_| {
        let on_own_thread = |f: Box<dyn FnOnce() + Send>| {
            GoBuilder::new()
                .cpu_bound(true)
                .go(move || {
                    f();
                    std::thread::current().id()
                })
                .unwrap()
        };
        let (end, ended) = chan::<()>(0);
        let all: Vec<_> = (0..12)
            .map(|_| {
                let ended = ended.clone();
                on_own_thread(Box::new(move || assert_eq!(ended.recv(), None)))
            })
            .collect();
        time::sleep(Duration::from_millis(20));
        drop(end);
        for one in all {
            one.join().unwrap();
        }
        let own = on_own_thread(Box::new(|| ())).join().unwrap();
        assert_ne!(own, std::thread::current().id());
    });
}
