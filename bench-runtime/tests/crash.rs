//! Ends of a process that must come with the right words: each test runs
//! itself again in a child, which dies.

use std::hint::black_box;
use std::os::unix::process::ExitStatusExt;
use std::process::Command;

use bench_runtime::{GoBuilder, Runtime, StackPolicy};

const CHILD: &str = "BENCH_RUNTIME_CRASH_CHILD";

/// In the parent: how the child ended and what it wrote. In the child: runs
/// `body` and leaves.
fn in_child(test: &str, body: impl FnOnce()) -> Option<(Option<i32>, String)> {
    if std::env::var_os(CHILD).is_some() {
        body();
        std::process::exit(0);
    }
    let output = Command::new(std::env::current_exe().unwrap())
        .args([test, "--exact", "--nocapture"])
        .env(CHILD, "1")
        .output()
        .unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    Some((output.status.signal(), stderr))
}

#[inline(never)]
fn recurse_without_end(depth: usize) -> usize {
    let local = black_box([depth; 16]);
    match black_box(true) {
        true => recurse_without_end(depth + 1) + local[3],
        false => local[0],
    }
}

/// Uses this many bytes, in frames of a KiB.
#[inline(never)]
fn use_bytes(bytes: usize) -> usize {
    let local = black_box([1u8; 960]);
    match bytes {
        0..=1024 => local[7].into(),
        _ => use_bytes(bytes - 1024) + usize::from(local[9]),
    }
}

fn assert_overflow(end: Option<(Option<i32>, String)>, parts: &[&str]) {
    let Some((signal, stderr)) = end else { return };
    assert_eq!(signal, Some(libc::SIGABRT), "{stderr}");
    for part in ["fatal error: stack overflow", "stack backtrace:"]
        .iter()
        .chain(parts)
    {
        assert!(stderr.contains(part), "no {part:?} in:\n{stderr}");
    }
}

#[test]
fn overflow_names_goroutine_site_limit_and_function() {
    let end = in_child("overflow_names_goroutine_site_limit_and_function", || {
        let runtime = Runtime::builder().procs(2).build().unwrap();
        runtime.run(|| {
            let handle = GoBuilder::new()
                .name("the deep one")
                .go(|| black_box(recurse_without_end(0)))
                .unwrap();
            let _ = handle.join();
        });
    });
    assert_overflow(
        end,
        &[
            "goroutine stack exceeds 245760-byte limit",
            "goroutine 2 \"the deep one\" [running], spawned at bench-runtime/tests/crash.rs:",
            "high-water mark 245760 bytes",
            "recurse_without_end",
            "frames left out",
        ],
    );
}

#[test]
fn overflow_of_a_compacting_runtime_is_still_reported() {
    let end = in_child("overflow_of_a_compacting_runtime_is_still_reported", || {
        let builder = Runtime::builder().procs(2);
        let runtime = builder
            .clone()
            .compact_stacks(std::time::Duration::from_millis(1))
            .build()
            .or_else(|_| builder.build());
        runtime.unwrap().run(|| {
            black_box(recurse_without_end(0));
        });
    });
    assert_overflow(end, &["goroutine 1", "recurse_without_end"]);
}

#[test]
fn stack_may_be_used_to_its_limit() {
    let end = in_child("stack_may_be_used_to_its_limit", || {
        let runtime = Runtime::builder()
            .procs(1)
            .stack(StackPolicy::Fixed(64 << 10))
            .build()
            .unwrap();
        // The runtime's part, the entry's frames and a margin for a debug
        // build's larger ones.
        assert_eq!(runtime.run(|| use_bytes(48 << 10)), 48);
    });
    if let Some((signal, stderr)) = end {
        assert_eq!(signal, None, "{stderr}");
    }
}

#[test]
fn stack_used_beyond_its_limit_overflows() {
    let end = in_child("stack_used_beyond_its_limit_overflows", || {
        let runtime = Runtime::builder()
            .procs(1)
            .stack(StackPolicy::Fixed(64 << 10))
            .build()
            .unwrap();
        runtime.run(|| use_bytes(66 << 10));
    });
    assert_overflow(end, &["exceeds 65536-byte limit", "use_bytes"]);
}

#[test]
fn null_dereference_in_a_goroutine_is_an_ordinary_sigsegv() {
    let end = in_child(
        "null_dereference_in_a_goroutine_is_an_ordinary_sigsegv",
        || {
            let runtime = Runtime::builder().procs(1).build().unwrap();
            runtime.run(|| {
                // SAFETY: none; the child is here to die of it.
                unsafe { black_box(std::ptr::null::<u8>()).read_volatile() }
            });
        },
    );
    if let Some((signal, stderr)) = end {
        assert_eq!(signal, Some(libc::SIGSEGV), "{stderr}");
        assert!(!stderr.contains("stack overflow"), "{stderr}");
    }
}
