//! Tests of timers, without a scheduler. They also run under miri.

use super::queue::{KEEP, NEVER};
use std::sync::Arc;

use super::*;
use crate::goroutine::{Head, Kind};
use std::collections::VecDeque;
use std::ptr::NonNull;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU8, AtomicU32};

fn parkable() -> Parkable {
    let head = Box::leak(Box::new(Head {
        status: AtomicU8::new(0),
        kind: Kind::Thread,
        reason: AtomicU8::new(0),
        flags: AtomicU8::new(0),
        ticket: AtomicU32::new(0),
    }));
    // SAFETY: leaked, and so never another type.
    unsafe { Parkable::from_head(NonNull::from(head)) }
}

/// Timers that, when they fire, log the times for which they were armed.
struct Log {
    timers: Timers,
    fired: Arc<Mutex<Vec<u64>>>,
}

impl Log {
    fn new() -> Self {
        Self {
            timers: Timers::new(),
            fired: Arc::default(),
        }
    }

    fn call(&self) -> Arc<dyn Call> {
        let fired = self.fired.clone();
        Arc::new(move |when| fired.lock().unwrap().push(when))
    }

    fn arm(&self, when: u64) -> TimerKey {
        self.timers.arm(when, Action::Call(self.call()))
    }

    fn poll(&self, now: u64) -> Vec<u64> {
        self.timers.poll(now, &mut Vec::new());
        std::mem::take(&mut *self.fired.lock().unwrap())
    }
}

#[test]
fn timers_armed_in_any_order_fire_in_order_of_time() {
    let log = Log::new();
    let mut whens: Vec<u64> = (0..500u64).map(|i| i * 7919 % 503 + 1).collect();
    for &when in &whens {
        log.arm(when);
    }
    assert_eq!(log.timers.len(), 500);
    assert_eq!(log.timers.next_ns(), *whens.iter().min().unwrap());
    whens.sort_unstable();
    let split = whens.partition_point(|&when| when <= 250);
    assert_eq!(log.poll(250), whens[..split]);
    assert_eq!(log.timers.next_ns(), whens[split]);
    assert_eq!(log.poll(u64::MAX), whens[split..]);
    assert_eq!(log.timers.len(), 0);
    assert_eq!(log.timers.next_ns(), u64::MAX);
}

#[test]
fn timer_not_yet_due_does_not_fire() {
    let log = Log::new();
    log.arm(10);
    assert!(log.poll(9).is_empty());
    assert_eq!(log.poll(10), [10]);
    assert!(log.poll(11).is_empty());
}

#[test]
fn cancel_tells_whether_the_timer_was_armed() {
    let log = Log::new();
    let (first, second) = (log.arm(1), log.arm(2));
    assert!(log.timers.cancel(first));
    assert!(!log.timers.cancel(first));
    assert_eq!(log.timers.next_ns(), 2);
    assert_eq!(log.poll(2), [2]);
    assert!(!log.timers.cancel(second));
}

#[test]
fn key_of_a_fired_timer_does_not_cancel_the_one_in_its_place() {
    let log = Log::new();
    let old = log.arm(1);
    log.poll(1);
    let new = log.arm(2);
    assert_eq!(old.place, new.place);
    assert!(!log.timers.cancel(old));
    assert_eq!(log.poll(2), [2]);
}

#[test]
fn cancelled_timers_leave_no_memory_behind() {
    let log = Log::new();
    log.arm(u64::MAX);
    for i in 0..if cfg!(miri) { 3_000 } else { 100_000u64 } {
        // Mixed, so both the runs and the heap must be swept.
        let key = log.arm(1_000_000 + i * 7919 % 100_003);
        assert!(log.timers.cancel(key));
    }
    let queue = log.timers.queue.lock();
    let entries = queue.heap.len() + queue.runs.iter().map(VecDeque::len).sum::<usize>();
    assert!(entries < 1_000, "{entries} entries for one live timer");
    assert_eq!(queue.live, 1);
}

#[test]
fn memory_of_many_fired_timers_is_freed_and_their_keys_stay_dead() {
    let log = Log::new();
    let keys: Vec<TimerKey> = (0..5_000).map(|when| log.arm(when)).collect();
    assert_eq!(log.poll(5_000).len(), 5_000);
    assert!(log.timers.queue.lock().places.capacity() <= KEEP);
    log.arm(6_000);
    assert!(keys.iter().all(|&key| !log.timers.cancel(key)));
    assert_eq!(log.timers.len(), 1);
}

#[test]
fn sweep_of_cancelled_timers_keeps_the_others_in_order() {
    let log = Log::new();
    let keys: Vec<(u64, TimerKey)> = (0..4_000u64)
        .map(|i| i * 7919 % 4_001)
        .map(|when| (when, log.arm(when)))
        .collect();
    let mut kept: Vec<u64> = Vec::new();
    for (i, (when, key)) in keys.into_iter().enumerate() {
        if i % 4 == 0 {
            kept.push(when);
        } else {
            assert!(log.timers.cancel(key));
        }
    }
    kept.sort_unstable();
    assert_eq!(log.timers.next_ns(), kept[0]);
    assert_eq!(log.poll(u64::MAX), kept);
}

#[test]
fn periodic_timer_skips_missed_periods_and_keeps_its_phase() {
    let log = Log::new();
    let call = log.call();
    let every = Action::Every(Arc::new(Periodic {
        period_ns: 10,
        call: Box::new(move |when| call.clone().fire(when)),
    }));
    let key = log.timers.arm(10, every);
    assert_eq!(log.poll(10), [10]);
    assert_eq!(log.timers.next_ns(), 20);
    assert_eq!(log.poll(57), [20]);
    assert_eq!(log.timers.next_ns(), 60);
    assert!(log.timers.cancel(key));
    assert!(log.poll(100).is_empty());
    assert_eq!(log.timers.len(), 0);
}

#[test]
fn second_wake_with_the_same_ticket_returns_no_parkable() {
    let timers = Timers::new();
    let me = parkable();
    let ticket = me.ticket();
    timers.arm(1, Action::Wake { who: me, ticket });
    timers.arm(2, Action::Wake { who: me, ticket });
    let mut ready = Vec::new();
    timers.poll(5, &mut ready);
    assert_eq!(ready, [me], "the second claim failed");
    assert!(!me.claim(ticket));
}

#[test]
fn call_may_arm_and_cancel() {
    let timers = Arc::new(Timers::new());
    let inner = timers.clone();
    let key = timers.arm(100, Action::Call(Arc::new(|_| {})));
    timers.arm(
        1,
        Action::Call(Arc::new(move |_| {
            assert!(inner.cancel(key));
            inner.arm(50, Action::Call(Arc::new(|_| {})));
        })),
    );
    timers.poll(1, &mut Vec::new());
    assert_eq!(timers.next_ns(), 50);
    assert_eq!(timers.len(), 1);
}

#[test]
fn random_arms_and_cancels_fire_the_same_timers_as_a_sorted_list() {
    let mut rng = 0x9e37_79b9_7f4a_7c15u64;
    let mut random = move |below: u64| {
        rng ^= rng << 13;
        rng ^= rng >> 7;
        rng ^= rng << 17;
        rng % below
    };
    let log = Log::new();
    let mut model: Vec<(u64, TimerKey)> = Vec::new();
    let mut now = 0;
    for _ in 0..if cfg!(miri) { 300 } else { 20_000 } {
        match random(4) {
            0 | 1 => {
                let when = now + random(1_000);
                model.push((when, log.arm(when)));
            }
            2 if !model.is_empty() => {
                let (_, key) = model.swap_remove(random(model.len() as u64) as usize);
                assert!(log.timers.cancel(key));
            }
            _ => {
                now += random(20);
                let mut due: Vec<u64> = model.iter().map(|t| t.0).collect();
                due.retain(|&when| when <= now);
                due.sort_unstable();
                model.retain(|t| t.0 > now);
                assert_eq!(log.poll(now), due);
                let least = model.iter().map(|t| t.0).min().unwrap_or(NEVER);
                assert_eq!(log.timers.next_ns(), least);
            }
        }
        assert_eq!(log.timers.len(), model.len());
    }
}
