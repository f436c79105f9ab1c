//! The monotonic clock, and how exactly the kernel keeps it.

/// Nanoseconds of `CLOCK_MONOTONIC`.
#[inline]
pub(crate) fn now_ns() -> u64 {
    let mut spec = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: the pointer is to a live timespec; CLOCK_MONOTONIC always exists.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut spec) };
    spec.tv_sec as u64 * 1_000_000_000 + spec.tv_nsec as u64
}

/// By how much the kernel may end a short sleep of the calling thread late, in
/// nanoseconds: 50,000 unless somebody changed it.
pub(crate) fn timer_slack_ns() -> u64 {
    if cfg!(miri) {
        // Miri knows no prctl.
        return 0;
    }
    // SAFETY: no memory is passed.
    let slack = unsafe { libc::prctl(libc::PR_GET_TIMERSLACK) };
    // It fails nowhere; without a figure nothing is taken off.
    u64::try_from(slack).unwrap_or(0)
}
