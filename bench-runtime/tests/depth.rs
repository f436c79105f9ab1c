//! How deeply goroutines with the default stack may recurse. Each test runs itself again in a
//! child, because deep stacks are counted by process.

mod child;

use std::hint::black_box;
use std::panic::catch_unwind;

use bench_runtime::{
    Builder, JoinHandle, Receiver, Runtime, Sender, blocking, chan, go, stack_usage,
};
use child::{in_child, must_end};

const MIB: usize = 1 << 20;
/// More goroutines than can have deep stacks.
const MANY: usize = 12_000;
/// With the main goroutine, as many goroutines as can have deep stacks.
const ALL_DEEP: usize = 9_999;

#[track_caller]
fn must_overflow(end: Option<(Option<i32>, String)>, limit: &str) {
    if let Some((signal, stderr)) = end {
        assert_eq!(signal, Some(libc::SIGABRT), "{stderr}");
        for part in ["fatal error: stack overflow", limit, "goroutine "] {
            assert!(stderr.contains(part), "no {part:?} in {stderr}");
        }
    }
}

fn in_both_modes(body: fn()) {
    let builders: [fn(Builder) -> Builder; 2] = [|builder| builder, Builder::migrating];
    for builder in builders {
        // SAFETY: the bodies park in no thread-local's initialiser or scope, and
        // hold nothing thread-bound across a park.
        let runtime = unsafe { builder(Runtime::builder()).procs(2).build() };
        runtime.unwrap().run(body);
    }
}

/// Recurses until `bytes` of stack are in use below `top`.
#[inline(never)]
fn dig(top: usize, bytes: usize) -> usize {
    let local = black_box([1u8; 900]);
    match top - local.as_ptr() as usize {
        used if used < bytes => dig(top, bytes) + usize::from(local[9]),
        _ => 0,
    }
}

fn use_bytes(bytes: usize) {
    let top = 0u8;
    assert!(dig(&raw const top as usize, bytes) > 0);
}

/// Goroutines that wait, each with values on its stack, and run the functions sent to them.
struct Crowd {
    orders: Vec<Sender<fn()>>,
    done: Receiver<bool>,
    all: Vec<JoinHandle<bool>>,
    /// The goroutines with a deep stack. They are not always the first that were spawned.
    deep: Vec<usize>,
    shallow: Vec<usize>,
}

impl Crowd {
    fn new(count: usize) -> Self {
        let (starts, started) = chan::<(usize, bool)>(0);
        let (says, done) = chan::<bool>(0);
        let mut orders = Vec::new();
        let all = (0..count)
            .map(|index| {
                let (order, waits) = chan::<fn()>(0);
                orders.push(order);
                let (starts, says) = (starts.clone(), says.clone());
                go(move || {
                    let mine: [usize; 64] = black_box(std::array::from_fn(|i| index * 64 + i));
                    let is_deep = stack_usage().unwrap().limit_bytes > 8 * MIB;
                    starts.send((index, is_deep)).unwrap();
                    for job in waits {
                        says.send(catch_unwind(job).is_ok()).unwrap();
                    }
                    let is_mine = |(i, &value): (usize, &usize)| value == index * 64 + i;
                    mine.iter().enumerate().all(is_mine)
                })
            })
            .collect();
        let (mut deep, mut shallow) = (Vec::new(), Vec::new());
        for _ in 0..count {
            match started.recv().unwrap() {
                (index, true) => deep.push(index),
                (index, false) => shallow.push(index),
            }
        }
        Self {
            orders,
            done,
            all,
            deep,
            shallow,
        }
    }

    fn order(&self, index: usize, job: fn()) {
        self.orders[index].send(job).unwrap();
        assert!(self.done.recv().unwrap());
    }

    /// Ends the goroutines. All must still have their values.
    fn end(self) {
        self.orders.iter().for_each(|order| _ = order.close());
        assert!(self.all.into_iter().all(|one| one.join().unwrap()));
    }
}

#[test]
fn any_of_ten_thousand_recurses_8_mib_deep_and_harms_no_other() {
    let test = "any_of_ten_thousand_recurses_8_mib_deep_and_harms_no_other";
    must_end(in_child(test, || {
        in_both_modes(|| {
            let crowd = Crowd::new(ALL_DEEP);
            assert_eq!(crowd.shallow, []);
            for index in [
                0,
                1,
                2,
                77,
                ALL_DEEP / 2,
                ALL_DEEP / 2 + 1,
                ALL_DEEP - 2,
                ALL_DEEP - 1,
            ] {
                crowd.order(index, || use_bytes(8 * MIB));
            }
            use_bytes(8 * MIB);
            crowd.end();
        });
    }));
}

#[test]
fn large_array_is_a_local_like_any_other() {
    must_end(in_child("large_array_is_a_local_like_any_other", || {
        in_both_modes(|| {
            let sum = go(|| {
                black_box([7u8; 300 << 10])
                    .iter()
                    .map(|&byte| u64::from(byte))
                    .sum::<u64>()
            });
            assert_eq!(sum.join().unwrap(), 7 * (300 << 10));
        });
    }));
}

#[test]
fn of_too_many_the_last_have_shallow_stacks_and_later_ones_deep_ones_again() {
    let test = "of_too_many_the_last_have_shallow_stacks_and_later_ones_deep_ones_again";
    must_end(in_child(test, || {
        in_both_modes(|| {
            let crowd = Crowd::new(MANY);
            let deep = crowd.deep.len();
            assert!(
                (ALL_DEEP..ALL_DEEP + 1_000).contains(&deep),
                "{deep} of {MANY}"
            );
            crowd.order(crowd.shallow[7], || {
                assert_eq!(stack_usage().unwrap().limit_bytes, 192 << 10);
                use_bytes(160 << 10);
            });
            crowd.end();
            let crowd = Crowd::new(ALL_DEEP);
            assert_eq!(crowd.shallow, []);
            crowd.end();
        });
    }));
}

#[test]
fn blocking_call_has_8_mib_whatever_its_goroutine_has() {
    let test = "blocking_call_has_8_mib_whatever_its_goroutine_has";
    must_end(in_child(test, || {
        in_both_modes(|| {
            let crowd = Crowd::new(MANY);
            for index in [crowd.deep[0], crowd.shallow[0]] {
                crowd.order(index, || blocking(|| use_bytes(7 * MIB)));
            }
            crowd.end();
        });
    }));
}

#[test]
fn overflow_of_a_deep_stack_is_reported() {
    let end = in_child("overflow_of_a_deep_stack_is_reported", || {
        in_both_modes(|| go(|| use_bytes(15 * MIB)).join().unwrap());
    });
    must_overflow(end, "exceeds 14942208-byte limit");
}

#[test]
fn overflow_of_a_shallow_stack_is_reported() {
    let end = in_child("overflow_of_a_shallow_stack_is_reported", || {
        in_both_modes(|| {
            let crowd = Crowd::new(MANY);
            crowd.order(crowd.shallow[0], || use_bytes(MIB));
        });
    });
    must_overflow(end, "exceeds 196608-byte limit");
}

/// Writes below the stack's limit, as a frame of C may: C does not probe its frames, and may write
/// the lowest part first.
#[inline(never)]
fn step_below_the_limit(bytes: usize) {
    let local = 0u8;
    let limit = &raw const local as usize - stack_usage().unwrap().limit_bytes;
    // SAFETY: none; the child must crash here.
    unsafe { ((limit - bytes) as *mut u8).write_volatile(1) };
}

#[test]
fn frame_of_c_does_not_step_over_the_guard_of_a_deep_stack() {
    let test = "frame_of_c_does_not_step_over_the_guard_of_a_deep_stack";
    let end = in_child(test, || {
        in_both_modes(|| {
            let crowd = Crowd::new(100);
            crowd.order(50, || step_below_the_limit(60 << 10));
        });
    });
    must_overflow(end, "exceeds 14942208-byte limit");
}

#[test]
fn frame_of_c_does_not_step_over_the_guard_of_a_shallow_stack() {
    let test = "frame_of_c_does_not_step_over_the_guard_of_a_shallow_stack";
    let end = in_child(test, || {
        in_both_modes(|| {
            let crowd = Crowd::new(MANY);
            crowd.order(crowd.shallow[0], || step_below_the_limit(60 << 10));
        });
    });
    must_overflow(end, "exceeds 196608-byte limit");
}

#[test]
fn goroutines_run_in_little_address_space() {
    must_end(in_child("goroutines_run_in_little_address_space", || {
        let limit = libc::rlimit {
            rlim_cur: 20 << 30,
            rlim_max: 20 << 30,
        };
        // SAFETY: reads the limit and changes no memory.
        let set = unsafe { libc::setrlimit(libc::RLIMIT_AS, &raw const limit) };
        assert_eq!(set, 0);
        in_both_modes(|| {
            let crowd = Crowd::new(2_000);
            assert!(crowd.deep.len() >= 10 && crowd.shallow.len() >= 10);
            crowd.order(crowd.deep[0], || use_bytes(8 * MIB));
            crowd.end();
        });
    }));
}
