//! `sync::Pool`.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bench_runtime::sync::{Pool, Pooled};

use crate::support::everywhere;

#[test]
fn an_object_that_was_put_back_is_reused() {
    everywhere(|_| {
        let made = Arc::new(AtomicUsize::new(0));
        let counter = made.clone();
        let pool = Pool::new(move || counter.fetch_add(1, Ordering::Relaxed));
        for _ in 0..100 {
            assert_eq!(*pool.get(), 0);
        }
        assert_eq!(made.load(Ordering::Relaxed), 1);
        let kept = Pooled::into_inner(pool.get());
        assert_eq!((kept, pool.take()), (0, 1));
    });
}

#[test]
fn no_object_is_given_to_two_at_once() {
    everywhere(|way| {
        let pool = Arc::new(Pool::new(|| AtomicUsize::new(0)));
        let tasks: Vec<_> = (0..8)
            .map(|_| {
                let pool = pool.clone();
                way.go(move || {
                    for n in 0..1_000 {
                        let object = pool.get();
                        assert_eq!(object.fetch_add(1, Ordering::Relaxed), 0);
                        if n % 100 == 0 {
                            way.yield_now();
                        }
                        object.store(0, Ordering::Relaxed);
                    }
                })
            })
            .collect();
        tasks.into_iter().for_each(|task| task.join());
    });
}

#[test]
fn a_burst_is_not_kept_for_ever() {
    everywhere(|_| {
        let live = Arc::new(());
        let theirs = live.clone();
        let pool = Pool::new(move || theirs.clone());
        let burst: Vec<_> = (0..10_000).map(|_| pool.get()).collect();
        drop(burst);
        assert!(Arc::strong_count(&live) < 2_000);
    });
}
