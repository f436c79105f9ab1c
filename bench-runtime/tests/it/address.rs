//! Errors that the address sanitizer must find in goroutines, and correct programs: see
//! `scripts/asan.sh`.

use std::hint::black_box;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::start::Start;
use bench_runtime::{Runtime, go, yield_now};

fn runtime() -> Runtime {
    Runtime::builder().procs(1).start().unwrap()
}

#[inline(never)]
fn byte_of_frame(at: usize) -> u8 {
    let bytes = black_box([7u8; 24]);
    yield_now();
    // SAFETY: the caller's promise, or the error that the test makes.
    unsafe { *black_box(bytes.as_ptr()).add(at) }
}

/// A canary: the sanitizer must report it.
#[test]
#[ignore = "reads freed memory on purpose"]
fn canary_reads_freed_memory_in_a_goroutine() {
    runtime().run(|| {
        let freed = Box::into_raw(Box::new(7u64));
        go(move || ()).join().unwrap();
        // SAFETY: none: the memory is freed, and read on purpose.
        unsafe {
            drop(Box::from_raw(freed));
            black_box(*black_box(freed));
        }
    });
}

#[test]
#[ignore = "reads past an array on purpose"]
fn canary_reads_past_an_array_on_a_goroutines_stack() {
    runtime().run(|| black_box(byte_of_frame(black_box(24))));
}

#[test]
fn frames_that_a_panic_or_an_end_leaves_behind_are_no_error_of_the_next_goroutine() {
    #[inline(never)]
    fn deep(calls: usize, fail: bool) -> u64 {
        let bytes = black_box([calls as u8; 100]);
        yield_now();
        assert!(calls > 0 || !fail, "on purpose");
        let below = if calls == 0 { 0 } else { deep(calls - 1, fail) };
        below + u64::from(black_box(bytes)[calls])
    }
    runtime().run(|| {
        for round in 0..200 {
            // Panics unwind stacks of different depths.
            let failed = go(move || catch_unwind(AssertUnwindSafe(|| deep(round % 40, true))));
            assert!(failed.join().unwrap().is_err());
            assert!(go(|| deep(20, true)).join().is_err());
            let sum = go(|| deep(50, false)).join().unwrap();
            assert_eq!(sum, (0..=50).sum::<u64>());
            assert_eq!(byte_of_frame(round % 24), 7);
        }
    });
}
