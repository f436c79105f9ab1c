//! The ring of a P's run queue: each entry is taken once.

use crate::run_queue_source::{CAPACITY, RunQueue};
use loom::sync::Arc;
use std::num::NonZero;
use std::ptr::NonNull;

fn entry(n: usize) -> NonNull<u8> {
    NonNull::without_provenance(NonZero::new(n).expect("entries start at one"))
}

fn number(entry: NonNull<u8>) -> usize {
    entry.as_ptr() as usize
}

fn steal(q: &RunQueue<u8>) -> Vec<usize> {
    let mut stolen = Vec::new();
    q.steal_half(|e| stolen.push(number(e)));
    stolen
}

fn assert_each_once(mut taken: Vec<usize>, count: usize) {
    taken.sort_unstable();
    assert_eq!(taken, (1..=count).collect::<Vec<_>>());
}

fn drain(q: &RunQueue<u8>, into: &mut Vec<usize>) {
    while let Some(e) = q.pop() {
        into.push(number(e));
    }
}

#[test]
fn owner_and_thief_take_each_entry_once() {
    loom::model(|| {
        let q = Arc::new(RunQueue::new());
        q.push(entry(1)).unwrap();
        q.push(entry(2)).unwrap();
        let thief = loom::thread::spawn({
            let q = q.clone();
            move || steal(&q)
        });
        let mut taken = Vec::new();
        taken.extend(q.pop().map(number));
        q.push(entry(3)).unwrap();
        taken.extend(q.pop().map(number));
        taken.extend(thief.join().unwrap());
        drain(&q, &mut taken);
        assert_each_once(taken, 3);
    });
}

#[test]
fn two_thieves_and_an_owner_take_each_entry_once() {
    crate::bounded(3, || {
        let q = Arc::new(RunQueue::new());
        (1..=3).for_each(|n| q.push(entry(n)).unwrap());
        let thieves: Vec<_> = (0..2)
            .map(|_| {
                let q = q.clone();
                loom::thread::spawn(move || steal(&q))
            })
            .collect();
        let mut taken = Vec::new();
        taken.extend(q.pop().map(number));
        for thief in thieves {
            taken.extend(thief.join().unwrap());
        }
        drain(&q, &mut taken);
        assert_each_once(taken, 3);
    });
}

/// The ring wraps while a thief reads slots that the owner reuses.
#[test]
fn slots_reused_under_a_thief_are_not_taken_for_new_ones() {
    crate::bounded(3, || {
        let q = Arc::new(RunQueue::new());
        let full = CAPACITY as usize;
        (1..=full).for_each(|n| q.push(entry(n)).unwrap());
        let thief = loom::thread::spawn({
            let q = q.clone();
            move || steal(&q)
        });
        let mut taken = Vec::new();
        taken.extend(q.pop().map(number));
        let mut next = full + 1;
        for _ in 0..2 {
            if q.push(entry(next)).is_ok() {
                next += 1;
            }
        }
        taken.extend(thief.join().unwrap());
        drain(&q, &mut taken);
        assert_each_once(taken, next - 1);
    });
}

#[test]
fn overflow_against_a_thief_loses_nothing() {
    crate::bounded(3, || {
        let q = Arc::new(RunQueue::new());
        let full = CAPACITY as usize;
        (1..=full).for_each(|n| q.push(entry(n)).unwrap());
        let thief = loom::thread::spawn({
            let q = q.clone();
            move || steal(&q)
        });
        let mut taken = Vec::new();
        if q.push(entry(full + 1)).is_err() {
            q.take_half(|e| taken.push(number(e)));
            taken.push(full + 1);
        }
        taken.extend(thief.join().unwrap());
        drain(&q, &mut taken);
        assert_each_once(taken, full + 1);
    });
}

/// The lock is that of the idle lists, under which a P starts or ends. If `locked` is false,
/// exclusive use begins outside the lock: the canary.
fn exclusive_use_against_a_new_thief(locked: bool) {
    let q = Arc::new(RunQueue::new());
    (1..=3).for_each(|n| q.push(entry(n)).unwrap());
    let alive = Arc::new(loom::sync::Mutex::new(false));
    let thief = loom::thread::spawn({
        let (q, alive) = (q.clone(), alive.clone());
        move || {
            *alive.lock().unwrap() = true;
            steal(&q)
        }
    });
    let lists = alive.lock().unwrap();
    let alone = !*lists;
    if locked {
        q.set_shared(!alone);
        drop(lists);
    } else {
        drop(lists);
        q.set_shared(!alone);
    }
    let mut taken = Vec::new();
    taken.extend(q.pop().map(number));
    taken.extend(q.pop().map(number));
    taken.extend(thief.join().unwrap());
    q.set_shared(true);
    drain(&q, &mut taken);
    assert_each_once(taken, 3);
}

#[test]
fn processor_that_comes_alive_does_not_steal_from_exclusive_use() {
    loom::model(|| exclusive_use_against_a_new_thief(true));
}

#[test]
#[should_panic(expected = "assertion")]
fn canary_exclusive_use_begins_outside_the_lock() {
    loom::model(|| exclusive_use_against_a_new_thief(false));
}
