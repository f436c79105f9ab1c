use std::io;

use nix::errno::Errno;

const WORD: usize = libc::c_ulong::BITS as usize;
/// Longer than any kernel's mask, in words.
const LONGEST: usize = (1 << 16) / WORD;

/// The CPUs in the calling thread's affinity mask, in rising order, and at least one.
pub(crate) fn cpus() -> Vec<usize> {
    match read_mask() {
        Ok(cpus) if !cpus.is_empty() => cpus,
        Ok(_) => vec![0],
        Err(_) => (0..std::thread::available_parallelism().map_or(1, usize::from)).collect(),
    }
}

/// The CPUs in the calling thread's affinity mask, for any number of CPUs: the C library's own mask
/// ends at CPU 1,023.
///
/// # Errors
///
/// The error of `sched_getaffinity`.
pub fn read_mask() -> io::Result<Vec<usize>> {
    if cfg!(miri) {
        // Miri has the call with the C library's own mask only.
        return Err(io::ErrorKind::Unsupported.into());
    }
    read_mask_by(|mask| {
        // SAFETY: the kernel writes at most this many bytes, which the slice holds.
        let code =
            unsafe { libc::sched_getaffinity(0, size_of_val(mask), mask.as_mut_ptr().cast()) };
        Errno::result(code).map(drop)
    })
    .map_err(io::Error::from)
}

/// `get_mask` must return `EINVAL` for a mask that is shorter than the kernel's own.
fn read_mask_by(
    mut get_mask: impl FnMut(&mut [libc::c_ulong]) -> nix::Result<()>,
) -> nix::Result<Vec<usize>> {
    let mut mask: Vec<libc::c_ulong> = vec![0; 1024 / WORD];
    loop {
        match get_mask(&mut mask) {
            Ok(()) => {
                let is_set = |&cpu: &usize| mask[cpu / WORD] >> (cpu % WORD) & 1 == 1;
                return Ok((0..mask.len() * WORD).filter(is_set).collect());
            }
            Err(Errno::EINVAL) if mask.len() < LONGEST => mask.resize(mask.len() * 2, 0),
            Err(errno) => return Err(errno),
        }
    }
}

/// The CPU that the calling thread is on, or was just now.
pub(crate) fn current_cpu() -> i32 {
    // SAFETY: it takes no pointers; a failure is a number that no CPU has.
    unsafe { libc::sched_getcpu() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mask_is_as_long_as_a_kernel_of_many_cpus_needs() {
        let kernel_of = |cpus: usize| {
            read_mask_by(move |mask| match mask.len() * WORD < cpus {
                true => Err(Errno::EINVAL),
                false => {
                    mask[(cpus - 1) / WORD] |= 1 << ((cpus - 1) % WORD);
                    Ok(())
                }
            })
        };
        for cpus in [2, 1_024, 2_048, 8_192, LONGEST * WORD] {
            assert_eq!(kernel_of(cpus), Ok(vec![cpus - 1]));
        }
        assert_eq!(kernel_of(usize::MAX), Err(Errno::EINVAL));
    }
}
