//! The CPUs that a thread may run on.
#![expect(
    unsafe_code,
    reason = "a mask as long as the kernel's is passed by pointer, and the safe wrappers end at 1,024 CPUs"
)]

use std::mem::size_of_val;

use nix::errno::Errno;
use nix::libc;

/// More CPUs than any kernel supports, so a higher number in a list is a mistake.
const MOST_CPUS: usize = 1 << 16;

const WORD: usize = libc::c_ulong::BITS as usize;

/// A set of CPUs in the kernel's form, of any length: the C library's `cpu_set_t` ends at CPU
/// 1,023.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mask(Vec<libc::c_ulong>);

impl Mask {
    /// The set of these CPUs.
    #[must_use]
    pub fn of(cpus: &[usize]) -> Self {
        let highest = cpus.iter().copied().max().unwrap_or(0);
        let mut words = vec![0; highest / WORD + 1];
        for cpu in cpus {
            words[cpu / WORD] |= 1 << (cpu % WORD);
        }
        Self(words)
    }

    /// The CPUs, in ascending order.
    #[must_use]
    pub fn cpus(&self) -> Vec<usize> {
        let is_set = |&cpu: &usize| self.0[cpu / WORD] >> (cpu % WORD) & 1 == 1;
        (0..self.0.len() * WORD).filter(is_set).collect()
    }

    /// Lets the calling thread, and the threads and processes that it starts later, run on these
    /// CPUs only. Makes one system call, so it may be called between `fork` and `exec`.
    ///
    /// # Errors
    ///
    /// The error of `sched_setaffinity`: `EINVAL` if the process may use none of the CPUs.
    pub fn pin(&self) -> nix::Result<()> {
        let bytes = size_of_val(self.0.as_slice());
        // SAFETY: the kernel reads this many bytes, which the vector holds.
        let code = unsafe { libc::sched_setaffinity(0, bytes, self.0.as_ptr().cast()) };
        Errno::result(code).map(drop)
    }
}

/// The CPUs on which the kernel lets the calling thread run, read as the runtime reads them.
///
/// # Errors
///
/// The error of `sched_getaffinity`.
pub fn read_mask() -> nix::Result<Vec<usize>> {
    bench_runtime::__host::allowed_cpus()
        .map_err(|error| Errno::try_from(error).unwrap_or(Errno::ENOSYS))
}

/// The CPUs on which the calling thread may run; if they cannot be read, all below
/// [`std::thread::available_parallelism`].
#[must_use]
pub fn allowed() -> Vec<usize> {
    read_mask().unwrap_or_else(|_| {
        let online = std::thread::available_parallelism();
        (0..online.map_or(1, usize::from)).collect()
    })
}

/// Lets the calling thread run on these CPUs only.
///
/// # Errors
///
/// As [`Mask::pin`].
pub fn pin(cpus: &[usize]) -> nix::Result<()> {
    Mask::of(cpus).pin()
}

/// As [`pin`], but a sandbox that refuses the call is no error.
///
/// # Errors
///
/// `EINVAL` if none of the CPUs may be used.
pub fn pin_where_allowed(cpus: &[usize]) -> nix::Result<()> {
    match pin(cpus) {
        Err(Errno::EINVAL) => Err(Errno::EINVAL),
        _ => Ok(()),
    }
}

/// Reads a list such as `0-3,8`.
///
/// # Errors
///
/// A sentence that names the part that is no CPU or range.
pub fn parse(list: &str) -> Result<Vec<usize>, String> {
    let mut cpus = Vec::new();
    for part in list.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        match (first.trim().parse::<usize>(), last.trim().parse::<usize>()) {
            (Ok(first), Ok(last)) if first <= last && last < MOST_CPUS => cpus.extend(first..=last),
            _ => {
                return Err(format!(
                    "{part:?} is no CPU and no range of CPUs; write a list such as 0-3,8"
                ));
            }
        }
    }
    Ok(cpus)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_holds_numbers_beyond_the_first_thousand() {
        let cpus = [0, 63, 64, 1_500];
        assert_eq!(Mask::of(&cpus).cpus(), cpus);
        assert_eq!(Mask::of(&[]).cpus(), [0; 0]);
    }

    #[test]
    fn affinity_of_a_pinned_thread_is_its_cpu() {
        let first = allowed()[0];
        std::thread::spawn(move || {
            pin(&[first]).unwrap();
            assert_eq!(read_mask(), Ok(vec![first]));
        })
        .join()
        .unwrap();
    }

    #[test]
    fn lists_with_ranges_are_read_and_nonsense_is_named() {
        assert_eq!(parse("0-2,5").unwrap(), [0, 1, 2, 5]);
        assert_eq!(parse("3").unwrap(), [3]);
        for wrong in ["", "a", "3-1", "1,,2", "0-99999999"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
