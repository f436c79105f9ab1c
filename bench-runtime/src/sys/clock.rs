/// The time of `CLOCK_MONOTONIC`.
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

/// How late the kernel may end a short sleep of the calling thread.
pub(crate) fn timer_slack_ns() -> u64 {
    if cfg!(miri) {
        // Miri has no prctl.
        return 0;
    }
    // SAFETY: no memory is passed.
    let slack = unsafe { libc::prctl(libc::PR_GET_TIMERSLACK) };
    u64::try_from(slack).unwrap_or(0)
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct CpuClock(libc::clockid_t);

impl CpuClock {
    pub(crate) fn of_this_thread() -> Option<Self> {
        if cfg!(miri) {
            return None;
        }
        let mut id = 0;
        // SAFETY: the pointer is to a live clock id; the thread is our own.
        let code = unsafe { libc::pthread_getcpuclockid(libc::pthread_self(), &raw mut id) };
        (code == 0).then_some(Self(id))
    }

    /// `None` once the thread has ended, unless a new thread has its number.
    pub(crate) fn now_ns(self) -> Option<u64> {
        let mut spec = libc::timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        // SAFETY: the pointer is to a live timespec. If the thread has ended, the call fails, or
        // reads the clock of a new thread with its number.
        let code = unsafe { libc::clock_gettime(self.0, &raw mut spec) };
        (code == 0).then(|| spec.tv_sec as u64 * 1_000_000_000 + spec.tv_nsec as u64)
    }
}
