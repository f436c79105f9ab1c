//! Which CPUs the process may run on.

/// The CPUs in the calling thread's affinity mask, in rising order; at least
/// one is returned even if the kernel does not say.
pub(crate) fn cpus() -> Vec<usize> {
    match nix::sched::sched_getaffinity(nix::unistd::Pid::from_raw(0)) {
        Ok(set) => {
            let cpus: Vec<usize> = (0..nix::sched::CpuSet::count())
                .filter(|&cpu| set.is_set(cpu).unwrap_or(false))
                .collect();
            if cpus.is_empty() { vec![0] } else { cpus }
        }
        Err(_) => (0..std::thread::available_parallelism().map_or(1, usize::from)).collect(),
    }
}

/// The CPU that the calling thread is on, or was just now.
pub(crate) fn current_cpu() -> i32 {
    // SAFETY: it takes nothing; a failure is a number that no CPU has.
    unsafe { libc::sched_getcpu() }
}
