//! The CPUs that a thread may run on.

use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;

/// The numbers of the CPUs that the calling thread may run on.
///
/// # Errors
///
/// What `sched_getaffinity` says.
pub fn allowed() -> nix::Result<Vec<usize>> {
    let set = sched_getaffinity(Pid::from_raw(0))?;
    Ok((0..CpuSet::count())
        .filter(|&cpu| set.is_set(cpu).unwrap_or(false))
        .collect())
}

/// Lets the calling thread run on these CPUs only.
///
/// # Errors
///
/// What `sched_setaffinity` says: `EINVAL` if none of them may be used.
pub fn pin(cpus: &[usize]) -> nix::Result<()> {
    let mut set = CpuSet::new();
    for &cpu in cpus {
        set.set(cpu)?;
    }
    sched_setaffinity(Pid::from_raw(0), &set)
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
            (Ok(first), Ok(last)) if first <= last && last < CpuSet::count() => {
                cpus.extend(first..=last)
            }
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
    fn lists_with_ranges_are_read_and_nonsense_is_named() {
        assert_eq!(parse("0-2,5").unwrap(), [0, 1, 2, 5]);
        assert_eq!(parse("3").unwrap(), [3]);
        for wrong in ["", "a", "3-1", "1,,2", "0-99999999"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
