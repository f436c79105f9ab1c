//! Scheduler smoke tests, to be folded into `it`.
#![allow(clippy::undocumented_unsafe_blocks, reason = "test")]
use bench_runtime::*;
use std::time::{Duration, Instant};

fn each(f: impl Fn() + Send + Sync + Clone + 'static) {
    for migrating in [false, true] {
        for p in [1, 2, 8] {
            let b = Runtime::builder().procs(p);
            let rt = if migrating {
                unsafe { b.migrating() }
            } else {
                b
            }
            .build()
            .unwrap();
            let f = f.clone();
            let rt = std::sync::Arc::new(rt);
            let rt2 = rt.clone();
            let done = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
            let d2 = done.clone();
            let w = std::thread::spawn(move || {
                for _ in 0..500 {
                    std::thread::sleep(Duration::from_millis(10));
                    if d2.load(std::sync::atomic::Ordering::SeqCst) {
                        return;
                    }
                }
                eprintln!("HANG p={p} mig={migrating}\n{}", rt2.debug_state());
                std::process::abort();
            });
            rt.run(move || f());
            done.store(true, std::sync::atomic::Ordering::SeqCst);
            w.join().unwrap();
            let s = std::sync::Arc::try_unwrap(rt).unwrap().shutdown();
            assert_eq!(s.threads_count, 0, "p={p} migrating={migrating}");
        }
    }
}
#[test]
fn run_returns() {
    each(|| ());
}
#[test]
fn join_returns() {
    each(|| {
        assert_eq!(go(|| 5).join().unwrap(), 5);
    });
}
#[test]
fn many() {
    each(|| {
        for _ in 0..20 {
            let hs: Vec<_> = (0..1000u64).map(|i| go(move || i)).collect();
            assert_eq!(
                hs.into_iter().map(|h| h.join().unwrap()).sum::<u64>(),
                499500
            );
        }
    });
}
#[test]
fn yields() {
    each(|| {
        let hs: Vec<_> = (0..100u64)
            .map(|i| {
                go(move || {
                    for _ in 0..1000 {
                        yield_now();
                    }
                    i
                })
            })
            .collect();
        for h in hs {
            h.join().unwrap();
        }
    });
}
#[test]
fn nested() {
    each(|| {
        fn f(n: u32) -> u64 {
            if n == 0 {
                return 1;
            }
            let a = go(move || f(n - 1));
            let b = go(move || f(n - 1));
            a.join().unwrap() + b.join().unwrap()
        }
        assert_eq!(f(12), 4096);
    });
}
#[test]
fn panics() {
    each(|| {
        let e = go(|| {
            if true {
                panic!("boo")
            }
            1
        })
        .join()
        .unwrap_err();
        assert!(e.to_string().contains("boo"));
    });
}
#[test]
fn blocking_many() {
    each(|| {
        let hs: Vec<_> = (0..50)
            .map(|i| {
                go(move || {
                    blocking(move || {
                        std::thread::sleep(Duration::from_millis(5));
                        i
                    })
                })
            })
            .collect();
        for h in hs {
            h.join().unwrap();
        }
    });
}
#[test]
fn hog() {
    let rt = unsafe { Runtime::builder().procs(1).migrating() }
        .build()
        .unwrap();
    rt.run(|| {
        let h = go(|| {
            let t = Instant::now();
            while t.elapsed() < Duration::from_millis(200) {}
        });
        let start = Instant::now();
        yield_now();
        let d = start.elapsed();
        assert!(d < Duration::from_millis(100), "{d:?}");
        h.join().unwrap();
    });
}
#[test]
fn resize() {
    each(|| {
        let hs: Vec<_> = (0..20u64)
            .map(|i| {
                go(move || {
                    for _ in 0..2000 {
                        yield_now();
                    }
                    i
                })
            })
            .collect();
        for n in 0..300 {
            gomaxprocs(Some(1 + n % 5));
            yield_now();
        }
        for h in hs {
            h.join().unwrap();
        }
    });
}
