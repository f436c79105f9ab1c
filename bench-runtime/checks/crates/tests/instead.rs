//! Crates that provide parts of Go's library that `bench_runtime::sync` lacks. They work in
//! goroutines, in each mode. The table in the docs of `sync` names them.

mod modes;

use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bench_runtime::future::block_on;
use bench_runtime::{go, scope, time, yield_now};
use dashmap::DashMap;
use governor::{Quota, RateLimiter};
use modes::each_mode;
use moka::future::Cache;

fn in_each_mode(body: fn()) {
    each_mode(|runtime| runtime.run(body));
}

/// Replaces `sync.Map`. No guard (`Ref`, `RefMut`, `Entry`, an iterator) is held across a park.
#[test]
fn dashmap_is_shared_by_goroutines_that_hold_no_guard_over_a_park() {
    in_each_mode(|| {
        let map = DashMap::new();
        scope(|s| {
            for id in 0..16_u64 {
                let map = &map;
                s.go(move || {
                    for n in 0..200_u64 {
                        *map.entry(n).or_insert(0) += id;
                        if n % 16 == 0 {
                            yield_now();
                        }
                        // A copy, so that the guard is dropped before the park.
                        let value = map.get(&n).map(|value| *value);
                        assert!(value.is_some());
                    }
                });
            }
        });
        assert_eq!(map.len(), 200);
        assert!(
            map.iter()
                .all(|entry| *entry.value() == (0..16).sum::<u64>())
        );
    });
}

/// Replaces `golang.org/x/time/rate`.
#[test]
fn governor_limits_goroutines_to_its_rate() {
    in_each_mode(|| {
        const BURST: u32 = 5;
        const PER_SECOND: u32 = 2_000;
        let per_second = NonZeroU32::new(PER_SECOND).expect("not zero");
        let burst = NonZeroU32::new(BURST).expect("not zero");
        let limiter = Arc::new(RateLimiter::direct(
            Quota::per_second(per_second).allow_burst(burst),
        ));
        let begun = Instant::now();
        let tasks: Vec<_> = (0..8)
            .map(|id| {
                let limiter = limiter.clone();
                go(move || {
                    for _ in 0..5 {
                        if id % 2 == 0 {
                            block_on(limiter.until_ready());
                            continue;
                        }
                        // This uses our timers, and no thread of the crate.
                        while let Err(early) = limiter.check() {
                            let now = governor::clock::Clock::now(limiter.clock());
                            time::sleep(early.wait_time_from(now));
                        }
                    }
                })
            })
            .collect();
        tasks
            .into_iter()
            .for_each(|task| task.join().expect("it does not panic"));
        // The burst, the first five permits, needs no wait.
        let least = Duration::from_secs(1) / PER_SECOND * (40 - BURST);
        assert!(begun.elapsed() >= least, "{:?}", begun.elapsed());
    });
}

/// Replaces `singleflight`, with a cache. The `sync` form would block the threads of the goroutines
/// that wait, for ever if the call parks.
#[test]
fn moka_makes_one_call_for_all_goroutines_that_ask_meanwhile() {
    in_each_mode(|| {
        let cache: Cache<&str, u64> = Cache::new(100);
        let calls = AtomicUsize::new(0);
        scope(|s| {
            for _ in 0..32 {
                s.go(|| {
                    let value = block_on(cache.get_with("key", async {
                        calls.fetch_add(1, Ordering::Relaxed);
                        // This may park, because a goroutine polls it.
                        time::sleep(Duration::from_millis(2));
                        42
                    }));
                    assert_eq!(value, 42);
                });
            }
        });
        assert_eq!(calls.load(Ordering::Relaxed), 1);
        let failed = block_on(cache.try_get_with("bad", async { Err::<u64, _>("no luck") }));
        assert_eq!(*failed.expect_err("it fails"), "no luck");
        assert_eq!(block_on(cache.get_with("bad", async { 1 })), 1);
    });
}
