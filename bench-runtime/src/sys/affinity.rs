//! Which CPUs the process may run on.

use std::io;

/// CPUs in one word of an affinity mask.
const WORD: usize = libc::c_ulong::BITS as usize;
/// Longer than any kernel's mask, in words.
const LONGEST: usize = (1 << 16) / WORD;

/// The CPUs in the calling thread's affinity mask, in rising order; at least
/// one is returned even if the kernel does not say.
pub(crate) fn cpus() -> Vec<usize> {
    match told() {
        Some(cpus) if !cpus.is_empty() => cpus,
        Some(_) => vec![0],
        None => (0..std::thread::available_parallelism().map_or(1, usize::from)).collect(),
    }
}

/// What the kernel says; `None` where it refuses to.
fn told() -> Option<Vec<usize>> {
    if cfg!(miri) {
        // Miri knows the call with the C library's own mask only.
        return None;
    }
    let mut mask: Vec<libc::c_ulong> = vec![0; 1024 / WORD];
    loop {
        // SAFETY: the kernel writes at most so many bytes, which the vector holds.
        let code = unsafe {
            let bytes = size_of_val(mask.as_slice());
            libc::sched_getaffinity(0, bytes, mask.as_mut_ptr().cast())
        };
        if code == 0 {
            let is_set = |&cpu: &usize| mask[cpu / WORD] >> (cpu % WORD) & 1 == 1;
            return Some((0..mask.len() * WORD).filter(is_set).collect());
        }
        // A mask that is shorter than the kernel's own, as one of 1,024 CPUs is
        // on the largest machines.
        let is_short = io::Error::last_os_error().raw_os_error() == Some(libc::EINVAL);
        if !is_short || mask.len() >= LONGEST {
            return None;
        }
        mask.resize(mask.len() * 2, 0);
    }
}

/// The CPU that the calling thread is on, or was just now.
pub(crate) fn current_cpu() -> i32 {
    // SAFETY: it takes nothing; a failure is a number that no CPU has.
    unsafe { libc::sched_getcpu() }
}
