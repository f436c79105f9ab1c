use std::mem::MaybeUninit;

use super::case::Cases;
use super::engine::{Entry, Taken, Wait, index_after, run};
use super::future;

/// Carries out the select that a list of cases describes. Blocks the goroutine.
#[inline]
pub fn select<L: Cases>(mut cases: L, wait: Wait) -> L::Output {
    if const { L::FUTURES > 0 } {
        return future::select(cases, wait);
    }
    // The array of entries is on the stack of the parked goroutine, so its size follows `LEN`.
    let taken = match L::LEN {
        0 => run_with::<L, 0>(&mut cases, wait),
        1 => run_with::<L, 1>(&mut cases, wait),
        2 => run_with::<L, 2>(&mut cases, wait),
        3..=4 => run_with::<L, 4>(&mut cases, wait),
        5..=8 => run_with::<L, 8>(&mut cases, wait),
        _ => run_on_heap(&mut cases, wait),
    };
    cases.finish(taken)
}

#[inline(never)]
fn run_with<L: Cases, const N: usize>(cases: &mut L, wait: Wait) -> Option<Taken> {
    let mut entries = [const { MaybeUninit::<Entry>::uninit() }; N];
    let mut len = 0;
    cases.entries(&mut |mut entry| {
        entry.index = index_after(len);
        entries[len].write(entry);
        len += 1;
    });
    // SAFETY: the first `len` were written; the cases hold the elements and
    // borrow the channels, and do not move until the select is over.
    unsafe { run(entries[..len].assume_init_mut(), wait) }
}

#[inline(never)]
fn run_on_heap<L: Cases>(cases: &mut L, wait: Wait) -> Option<Taken> {
    let mut entries = Vec::with_capacity(L::LEN);
    cases.entries(&mut |mut entry| {
        entry.index = index_after(entries.len());
        entries.push(entry);
    });
    // SAFETY: as in `run_with`.
    unsafe { run(&mut entries, wait) }
}
