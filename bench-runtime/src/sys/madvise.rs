//! Advice about memory, for one range at a time or many in one call.
//!
//! Guards (`MADV_GUARD_INSTALL`) exist since Linux 6.13, and since then `process_madvise` takes any
//! advice for the process itself.

use std::io;
use std::sync::atomic::{AtomicU8, Ordering};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub(crate) enum Advice {
    DontNeed = libc::MADV_DONTNEED,
    /// One touched page must cost one page.
    NoHugePage = libc::MADV_NOHUGEPAGE,
    /// No effect on anonymous memory, but the kernel does not merge a mapping that has this advice
    /// with a mapping that does not.
    Random = libc::MADV_RANDOM,
    /// An access raises SIGSEGV. The range stays a part of its mapping. The old content is lost.
    /// Since Linux 6.13.
    GuardInstall = 102,
    GuardRemove = 103,
}

#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub(crate) struct PageRange {
    pub(crate) start: usize,
    pub(crate) bytes: usize,
}

/// The most ranges in one call (`UIO_MAXIOV`).
const BATCH: usize = 1024;

/// Whether `process_madvise` works on the process itself.
static BATCHES: AtomicU8 = AtomicU8::new(UNKNOWN);
const UNKNOWN: u8 = 0;
const WORKS: u8 = 1;
const REFUSED: u8 = 2;

/// # Safety
///
/// The range is the caller's; for all but `NoHugePage` and `Random` the content is not needed.
pub(crate) unsafe fn advise(range: PageRange, advice: Advice) -> io::Result<()> {
    loop {
        // SAFETY: by the caller's promise.
        let rc = unsafe { libc::madvise(range.start as *mut _, range.bytes, advice as i32) };
        if rc == 0 {
            return Ok(());
        }
        let error = io::Error::last_os_error();
        // A guard raced with a fault in the same range.
        if !matches!(error.raw_os_error(), Some(libc::EAGAIN | libc::EINTR)) {
            return Err(error);
        }
    }
}

/// Advises on many ranges, in as few calls as the kernel allows. An error contains the number of
/// ranges that are done.
///
/// # Safety
///
/// As for [`advise`], for each range.
pub(crate) unsafe fn advise_all(
    ranges: &[PageRange],
    advice: Advice,
) -> Result<(), (usize, io::Error)> {
    let mut done = 0;
    if ranges.len() > 1 {
        // SAFETY: by the caller's promise.
        done = unsafe { advise_batches(ranges, advice) };
    }
    for range in &ranges[done..] {
        // SAFETY: by the caller's promise.
        unsafe { advise(*range, advice) }.map_err(|error| (done, error))?;
        done += 1;
    }
    Ok(())
}

/// Returns how many of the first ranges `process_madvise` has done.
///
/// # Safety
///
/// As for [`advise`], for each range.
unsafe fn advise_batches(ranges: &[PageRange], advice: Advice) -> usize {
    if BATCHES.load(Ordering::Relaxed) == REFUSED {
        return 0;
    }
    let Some(myself) = own_pidfd() else {
        BATCHES.store(REFUSED, Ordering::Relaxed);
        return 0;
    };
    let mut done = 0;
    while done < ranges.len() {
        let batch = &ranges[done..ranges.len().min(done + BATCH)];
        // SAFETY: `PageRange` has the layout of an iovec; the rest is the caller's promise.
        let advised = unsafe {
            libc::syscall(
                libc::SYS_process_madvise,
                myself,
                batch.as_ptr(),
                batch.len(),
                advice as i32,
                0,
            )
        };
        let Ok(mut advised) = usize::try_from(advised) else {
            let error = io::Error::last_os_error().raw_os_error();
            // A filter of system calls may refuse with any error; these are errors of the call
            // itself.
            let is_own = matches!(
                error,
                Some(libc::ENOMEM | libc::EAGAIN | libc::EINTR | libc::EFAULT)
            );
            if done == 0 && !is_own {
                BATCHES.store(REFUSED, Ordering::Relaxed);
            }
            break;
        };
        BATCHES.store(WORKS, Ordering::Relaxed);
        // The answer is in bytes. The caller repeats a range that was done in part, which is
        // harmless.
        let (before, mut whole) = (done, 0);
        for range in batch {
            if advised < range.bytes {
                break;
            }
            advised -= range.bytes;
            whole += 1;
        }
        done += whole;
        if done == before {
            break;
        }
    }
    done
}

fn own_pidfd() -> Option<libc::c_int> {
    use std::sync::OnceLock;
    static OWN: OnceLock<Option<libc::c_int>> = OnceLock::new();
    *OWN.get_or_init(|| {
        // SAFETY: takes a process id and flags, and touches no memory.
        let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, libc::getpid(), 0) };
        libc::c_int::try_from(fd).ok().filter(|fd| *fd >= 0)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::map::{self, Access, PAGE};

    #[test]
    fn dont_need_in_a_batch_gives_every_page_back() {
        const COUNT: usize = 3000;
        let start = map::reserve(2 * COUNT * PAGE, PAGE).unwrap();
        let ranges: Vec<PageRange> = (0..COUNT)
            .map(|i| PageRange {
                start: start + 2 * i * PAGE,
                bytes: PAGE,
            })
            .collect();
        // SAFETY: the range is this test's own.
        unsafe {
            map::protect(start, 2 * COUNT * PAGE, Access::ReadWrite).unwrap();
            for range in &ranges {
                *(range.start as *mut u8) = 1;
            }
            advise_all(&ranges, Advice::DontNeed).unwrap();
            let mut pages = vec![0; 2 * COUNT];
            map::resident(start, &mut pages).unwrap();
            assert_eq!(pages.iter().filter(|&&page| page != 0).count(), 0);
            map::unmap(start, 2 * COUNT * PAGE).unwrap();
        }
    }

    #[test]
    fn advice_on_a_hole_fails_and_counts_what_was_done() {
        let start = map::reserve(3 * PAGE, PAGE).unwrap();
        // SAFETY: the range is this test's own.
        unsafe { map::unmap(start + 2 * PAGE, PAGE).unwrap() };
        let ranges = [0, 1, 2].map(|i| PageRange {
            start: start + i * PAGE,
            bytes: PAGE,
        });
        // SAFETY: as above; another thread may have mapped the hole anew, and the advice is
        // harmless.
        let answer = unsafe { advise_all(&ranges, Advice::NoHugePage) };
        if let Err((done, _)) = answer {
            assert_eq!(done, 2);
        }
        // SAFETY: as above.
        unsafe { map::unmap(start, 2 * PAGE).unwrap() };
    }
}
