//! Using the stack: calls that each hold memory of their own.

use std::hint::black_box;

/// Calls itself until `levels` frames are live, and runs `bottom` in the deepest. Returns the
/// number of frames.
#[inline(never)]
pub(crate) fn descend(levels: u64, bottom: &mut dyn FnMut()) -> u64 {
    let mut frame = [levels as u8; 512];
    // The optimiser must neither drop the array nor reuse its frame.
    black_box(&mut frame);
    let below = if levels > 1 {
        descend(levels - 1, bottom)
    } else {
        bottom();
        0
    };
    black_box(&mut frame);
    below + 1
}
