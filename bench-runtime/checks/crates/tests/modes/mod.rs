//! A runtime in each mode, at few and at many processors; with tokio in the same process.
#![allow(dead_code, reason = "no program of tests uses all of it")]

use bench_runtime::Runtime;

/// Calls `body` with each runtime. None of its goroutines may park with a guard of `Handle::enter`,
/// or with any other value that belongs to its thread.
pub(crate) fn each_mode(body: impl Fn(Runtime)) {
    for procs in [1, 2, 64] {
        for migrating in [false, true] {
            let builder = Runtime::builder().procs(procs);
            let builder = if migrating {
                builder.migrating()
            } else {
                builder
            };
            // SAFETY: the caller's tests keep the contract.
            body(unsafe { builder.build() }.expect("it starts"));
        }
    }
}

pub(crate) fn tokio() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("tokio starts")
}
