//! Waiting for a number's value, by the futex system call.
#![allow(unsafe_code, reason = "the futex system call")]

use std::sync::atomic::{AtomicU64, Ordering};

/// The lower 32 bits of `number`: a futex has 32 bits.
fn low_half(number: &AtomicU64) -> *mut u32 {
    let half = number.as_ptr().cast::<u32>();
    if cfg!(target_endian = "big") {
        half.wrapping_add(1)
    } else {
        half
    }
}

/// Blocks the thread until `number`, which only grows, is at least `value`.
pub(crate) fn wait_for(number: &AtomicU64, value: u64) {
    loop {
        // Acquire: pairs with the Release in `set`.
        let seen = number.load(Ordering::Acquire);
        if seen >= value {
            return;
        }
        // SAFETY: the address lies within a live `AtomicU64` and is aligned for 32 bits; without a
        // timeout the kernel reads nothing else. An error (EAGAIN, EINTR) only repeats the loop.
        unsafe {
            libc::syscall(
                libc::SYS_futex,
                low_half(number),
                libc::FUTEX_WAIT,
                seen as u32,
                std::ptr::null::<libc::timespec>(),
            )
        };
    }
}

/// Wakes one thread that waits for the number.
pub(crate) fn set(number: &AtomicU64, value: u64) {
    number.store(value, Ordering::Release);
    // SAFETY: the address lies within a live `AtomicU64`; the call reads and
    // writes no memory.
    unsafe { libc::syscall(libc::SYS_futex, low_half(number), libc::FUTEX_WAKE, 1) };
}
