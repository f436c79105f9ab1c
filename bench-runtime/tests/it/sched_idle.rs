//! An idle runtime uses no CPU time. Each case is a child process.

use std::process::Command;
use std::time::Duration;

use bench_runtime::{chan, go, goroutines, time, yield_now};

use crate::sched_support::Setting;
use crate::start::Start;

const CASE: &str = "SCHED_IDLE_CASE";

const SPAN: Duration = Duration::from_secs(2);

/// The runtime must be idle within this many measurements.
const SPANS: usize = 10;

/// The aim is 1 ms a second. A single thread that spins or ticks is far above the bound.
const BOUND_PER_SECOND: Duration = Duration::from_millis(5);

fn cpu_time() -> Duration {
    let usage = nix::sys::resource::getrusage(nix::sys::resource::UsageWho::RUSAGE_SELF)
        .expect("the kernel counts");
    let duration = |t: nix::sys::time::TimeVal| {
        Duration::from_secs(t.tv_sec() as u64) + Duration::from_micros(t.tv_usec() as u64)
    };
    duration(usage.user_time()) + duration(usage.system_time())
}

/// In a child, runs `prepare`, which parks goroutines, and then measures the CPU time.
fn uses_no_cpu(name: &str, prepare: fn()) {
    if std::env::var(CASE).as_deref() != Ok(name) {
        let status = Command::new(std::env::current_exe().expect("our own file"))
            .args([&format!("sched_idle::{name}"), "--exact", "--nocapture"])
            .env(CASE, name)
            .status()
            .expect("a child starts");
        assert!(status.success(), "{name}: {status}");
        return;
    }
    for migrating in [false, true] {
        let setting = Setting {
            procs: 4,
            migrating,
        };
        let runtime = setting.builder().start().expect("a runtime starts");
        runtime.run(prepare);
        // First the threads go to sleep, and the sweep visits the parked stacks once.
        let mut used = Duration::MAX;
        for _ in 0..SPANS {
            let before = cpu_time();
            std::thread::sleep(SPAN);
            used = cpu_time() - before;
            println!("{name}, {setting:?}: {used:?} in {SPAN:?}");
            if used < BOUND_PER_SECOND * SPAN.as_secs() as u32 {
                break;
            }
        }
        assert!(
            used < BOUND_PER_SECOND * SPAN.as_secs() as u32,
            "{name}, {setting:?}: {used:?} in {SPAN:?}"
        );
        std::mem::forget(runtime);
    }
}

#[test]
fn idle_runtime_uses_no_cpu() {
    uses_no_cpu("idle_runtime_uses_no_cpu", || {
        let handles: Vec<_> = (0..100).map(|_| go(yield_now)).collect();
        handles.into_iter().for_each(|h| h.join().unwrap());
    });
}

#[test]
fn timer_in_an_hour_uses_no_cpu() {
    uses_no_cpu("timer_in_an_hour_uses_no_cpu", || {
        drop(go(|| time::sleep(Duration::from_secs(3_600))));
        while goroutines().iter().filter(|g| g.waits).count() < 1 {
            yield_now();
        }
    });
}

#[test]
fn hundred_thousand_parked_goroutines_use_no_cpu() {
    uses_no_cpu("hundred_thousand_parked_goroutines_use_no_cpu", || {
        let (tx, rx) = chan::<()>(0);
        for _ in 0..100_000 {
            let rx = rx.clone();
            drop(go(move || rx.recv()));
        }
        // After a later goroutine has run twice, all of these have parked.
        for _ in 0..2 {
            go(|| ()).join().unwrap();
        }
        std::mem::forget((tx, rx));
    });
}
