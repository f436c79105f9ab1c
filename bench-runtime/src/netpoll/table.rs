//! The [`PollDesc`]s of all descriptors, in memory that is never given back. The kernel's events
//! name them by index, not by address.

use std::os::fd::RawFd;
use std::sync::Arc;
// Not loom's type: its constructor is not `const`, so a static cannot have it.
use std::sync::atomic::{AtomicPtr, Ordering};

use super::desc::PollDesc;
use super::watch::Watch;
use crate::util::lock::Lock;

/// A token that no open descriptor has: the generation of an open one is odd.
pub(super) const INTERRUPT_TOKEN: u64 = 0;

/// Chunk `k` holds `FIRST << k` descriptors.
const FIRST: usize = 64;
const CHUNKS: usize = 26;

static TABLE: [AtomicPtr<PollDesc>; CHUNKS] =
    [const { AtomicPtr::new(std::ptr::null_mut()) }; CHUNKS];
static FREE: Lock<FreeList> = Lock::new(FreeList {
    spare: Vec::new(),
    made: 0,
});

struct FreeList {
    spare: Vec<&'static PollDesc>,
    made: usize,
}

fn place(index: usize) -> (usize, usize) {
    let chunk = (index / FIRST + 1).ilog2() as usize;
    (chunk, index - FIRST * ((1 << chunk) - 1))
}

/// `None` if the token is stale.
pub(super) fn find(token: u64) -> Option<&'static PollDesc> {
    let (chunk, at) = place(token as u32 as usize);
    // Acquire: pairs with the Release in `grow`.
    let first = TABLE[chunk].load(Ordering::Acquire);
    if first.is_null() {
        return None;
    }
    // SAFETY: `grow` has leaked the chunk, with `FIRST << chunk` elements, and `at` is below that.
    let desc = unsafe { &*first.add(at) };
    desc.is_current(token).then_some(desc)
}

pub(super) fn open(watch: &Arc<Watch>, fd: RawFd) -> &'static PollDesc {
    let desc = {
        let mut free = FREE.lock();
        free.spare.pop().unwrap_or_else(|| grow(&mut free))
    };
    desc.open(Arc::as_ptr(watch), fd);
    desc
}

/// Only for a descriptor that is no longer watched, and for which no goroutine waits.
pub(super) fn close(desc: &'static PollDesc) {
    desc.close();
    FREE.lock().spare.push(desc);
}

#[cold]
fn grow(free: &mut FreeList) -> &'static PollDesc {
    let (chunk, _) = place(free.made);
    let len = FIRST << chunk;
    let descs: Vec<PollDesc> = (free.made..free.made + len)
        .map(|index| PollDesc::new(index as u32))
        .collect();
    let descs: &'static mut [PollDesc] = Vec::leak(descs);
    // Release: pairs with the Acquire in `find`.
    TABLE[chunk].store(descs.as_mut_ptr(), Ordering::Release);
    free.made += len;
    let first = TABLE[chunk].load(Ordering::Relaxed);
    // SAFETY: leaked above; from here on only reached by shared references.
    let descs: &'static [PollDesc] = unsafe { std::slice::from_raw_parts(first, len) };
    // `open` pops from the end: low indices are used first.
    free.spare.extend(descs[1..].iter().rev());
    &descs[0]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn place_of_consecutive_indices_fills_chunk_after_chunk() {
        let mut expected = (0, 0);
        for index in 0..FIRST * 40 {
            assert_eq!(place(index), expected, "index {index}");
            expected.1 += 1;
            if expected.1 == FIRST << expected.0 {
                expected = (expected.0 + 1, 0);
            }
        }
    }
}
