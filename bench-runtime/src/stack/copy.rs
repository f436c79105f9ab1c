//! A look at a parked goroutine's stack that leaves it as it is: a copy of its
//! bytes, from its pages or from the cell that they were compacted to.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::Stack;
use super::arena::Arena;
use super::compact::{self, Claimed};
use super::header::StackHeader;
use super::slots::{State, Word};
use crate::sys::address_marks;

const WORD: usize = size_of::<u64>();

/// How many bytes [`of_claimed`] copies.
pub(crate) fn bytes_of(claimed: &Claimed, most: usize) -> usize {
    let end = claimed.stack.as_ptr().as_ptr() as usize + size_of::<StackHeader>();
    (end - claimed.sp).min(most)
}

/// The bytes of a claimed stack from its saved context upwards, at most `most`.
/// The claim holds until this returns.
pub(crate) fn of_claimed(claimed: &Claimed, most: usize) -> Vec<u8> {
    let bytes = bytes_of(claimed, most);
    if let Some(copy) = compact::copy_of_cell(claimed.sp, bytes) {
        return copy;
    }
    address_marks::clear(claimed.sp, bytes);
    let mut copy = Vec::with_capacity(bytes);
    for offset in (0..bytes - bytes % WORD).step_by(WORD) {
        // SAFETY: between the saved context and the end of the header all pages
        // of a slot in use can be read; a compacted page comes back at the touch.
        // The goroutine does not run. Another thread may write to a value that
        // was lent to it over the park, so the words are read as atomics.
        let word = unsafe { AtomicU64::from_ptr((claimed.sp + offset) as *mut u64) };
        copy.extend_from_slice(&word.load(Ordering::Relaxed).to_ne_bytes());
    }
    copy
}

/// For how long the sweep has seen a claimed goroutine parked on this stack; zero
/// if it has not looked since, or if the stack is compacted.
pub(crate) fn parked_for(stack: Stack, now_ms: u32) -> Duration {
    let word = Arena::existing().and_then(|arena| arena.word_of(stack.as_ptr().as_ptr() as usize));
    let now = word.map(|word| Word(word.load(Ordering::Acquire)));
    match now {
        Some(now) if now.state() == State::Live && now.since_ms() != 0 => {
            match stack.header().wait_object.is_marked() {
                true => Duration::from_millis(now_ms.wrapping_sub(now.since_ms()).into()),
                false => Duration::ZERO,
            }
        }
        _ => Duration::ZERO,
    }
}
