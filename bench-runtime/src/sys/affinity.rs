//! Which CPUs the process may run on, and where a thread starts to run.

use std::io;
use std::os::unix::thread::JoinHandleExt;
use std::thread::JoinHandle;

use nix::errno::Errno;

use super::thread::ThreadId;

/// CPUs in one word of an affinity mask.
const WORD: usize = libc::c_ulong::BITS as usize;
/// Longer than any kernel's mask, in words.
const LONGEST: usize = (1 << 16) / WORD;

/// The CPUs in the calling thread's affinity mask, in rising order; at least
/// one is returned even if the kernel does not say.
pub(crate) fn cpus() -> Vec<usize> {
    match read_mask() {
        Ok(cpus) if !cpus.is_empty() => cpus,
        Ok(_) => vec![0],
        Err(_) => (0..std::thread::available_parallelism().map_or(1, usize::from)).collect(),
    }
}

/// What the kernel says, of any number of CPUs: the C library's own mask ends at
/// CPU 1,023.
///
/// # Errors
///
/// What `sched_getaffinity` says.
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

/// The CPUs that `ask` sets in a mask, which says `EINVAL` to one that is shorter than
/// the kernel's own.
fn read_mask_by(
    mut ask: impl FnMut(&mut [libc::c_ulong]) -> nix::Result<()>,
) -> nix::Result<Vec<usize>> {
    let mut mask: Vec<libc::c_ulong> = vec![0; 1024 / WORD];
    loop {
        match ask(&mut mask) {
            Ok(()) => {
                let is_set = |&cpu: &usize| mask[cpu / WORD] >> (cpu % WORD) & 1 == 1;
                return Ok((0..mask.len() * WORD).filter(is_set).collect());
            }
            Err(Errno::EINVAL) if mask.len() < LONGEST => mask.resize(mask.len() * 2, 0),
            Err(errno) => return Err(errno),
        }
    }
}

/// The C library's own mask; on hosts of more CPUs no thread is kept off one.
type Bits = [libc::c_ulong; 1024 / WORD];

/// The CPUs that a thread was allowed before one was forbidden to it.
#[derive(Debug)]
pub(crate) struct Allowed(Bits);

/// Forbids a CPU to a thread of this process, until the thread calls
/// [`Allowed::restore`]. Then the kernel has it run elsewhere, at once or once it is woken.
///
/// Nothing is changed (`None`) if the thread may run on no other CPU, or if the kernel
/// refuses.
pub(crate) fn forbid(thread: ThreadId, cpu: i32) -> Option<Allowed> {
    forbid_by(
        cpu,
        // SAFETY: the kernel writes at most so many bytes, which the array holds.
        |bits| unsafe {
            libc::sched_getaffinity(thread.0, size_of::<Bits>(), bits.as_mut_ptr().cast())
        },
        // SAFETY: the kernel reads so many bytes.
        |bits| unsafe {
            libc::sched_setaffinity(thread.0, size_of::<Bits>(), bits.as_ptr().cast())
        },
    )
}

/// The same for a thread that was just started, and whose number is not known.
pub(crate) fn forbid_started(thread: &JoinHandle<()>, cpu: i32) -> Option<Allowed> {
    let thread = thread.as_pthread_t();
    forbid_by(
        cpu,
        // SAFETY: as in `forbid`; the handle keeps the thread's descriptor.
        |bits| unsafe {
            libc::pthread_getaffinity_np(thread, size_of::<Bits>(), bits.as_mut_ptr().cast())
        },
        // SAFETY: as above.
        |bits| unsafe {
            libc::pthread_setaffinity_np(thread, size_of::<Bits>(), bits.as_ptr().cast())
        },
    )
}

/// `get` and `set` return 0 if they succeed.
fn forbid_by(
    cpu: i32,
    get: impl FnOnce(&mut Bits) -> i32,
    set: impl FnOnce(&Bits) -> i32,
) -> Option<Allowed> {
    let cpu = usize::try_from(cpu).ok()?;
    let mut bits = Bits::default();
    if cfg!(miri) || get(&mut bits) != 0 {
        return None;
    }
    let allowed = Allowed(bits);
    *bits.get_mut(cpu / WORD)? &= !(1 << (cpu % WORD));
    let is_kept_off = bits != allowed.0 && bits != Bits::default() && set(&bits) == 0;
    is_kept_off.then_some(allowed)
}

impl Allowed {
    /// Allows the calling thread these CPUs again.
    pub(crate) fn restore(self) {
        // A refusal leaves it where it runs.
        // SAFETY: the kernel reads so many bytes.
        unsafe { libc::sched_setaffinity(0, size_of::<Bits>(), self.0.as_ptr().cast()) };
    }
}

/// The CPU that the calling thread is on, or was just now.
pub(crate) fn current_cpu() -> i32 {
    // SAFETY: it takes nothing; a failure is a number that no CPU has.
    unsafe { libc::sched_getcpu() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cpu_is_forbidden_only_beside_another_and_until_the_thread_restores() {
        let all = read_mask().unwrap();
        let this = ThreadId::of_this_thread();
        let first = i32::try_from(all[0]).unwrap();
        match forbid(this, first) {
            Some(allowed) => {
                assert_eq!(read_mask().unwrap(), all[1..]);
                // One that is forbidden is not there to be forbidden.
                assert!(forbid(this, first).is_none());
                allowed.restore();
            }
            None => assert_eq!(all.len(), 1),
        }
        assert_eq!(read_mask().unwrap(), all);
        assert!(forbid(this, -1).is_none());
        assert!(forbid(this, 1 << 20).is_none());
        assert_eq!(read_mask().unwrap(), all);
    }

    #[test]
    fn thread_that_was_just_started_is_kept_off_this_cpu_until_it_restores() {
        let all = read_mask().unwrap();
        let cpu = all[0];
        let (sender, receiver) = std::sync::mpsc::channel::<Option<Allowed>>();
        let thread = std::thread::spawn(move || {
            let allowed = receiver.recv().unwrap();
            let before = read_mask().unwrap();
            if let Some(allowed) = allowed {
                allowed.restore();
            }
            assert_eq!(read_mask().unwrap(), all);
            assert_eq!(before.contains(&cpu), all.len() == 1);
        });
        sender
            .send(forbid_started(&thread, cpu.try_into().unwrap()))
            .unwrap();
        thread.join().unwrap();
    }

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
        // One that says so of every mask.
        assert_eq!(kernel_of(usize::MAX), Err(Errno::EINVAL));
    }
}
