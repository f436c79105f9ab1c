//! The CPUs of a run's lanes.

use std::fmt;
use std::str::FromStr;

use workloads::host::affinity::{self, Mask};

/// A non-empty set of CPU numbers, in ascending order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cpus(Vec<usize>);

/// Why a set of CPUs cannot be used.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum CpusError {
    /// The text is not a list of CPUs.
    #[error("`{0}` is not a list of CPUs; write it as 0-3,6")]
    Syntax(String),
    /// The list is empty.
    #[error("the list of CPUs is empty; name at least one, as in 0-3,6")]
    Empty,
    /// A CPU that this process may not run on.
    #[error(
        "this process may not run on CPU {cpu}; it may run on {allowed} (see `taskset -pc $$` and the cgroup's cpuset)"
    )]
    NotAllowed {
        /// The CPU that was requested.
        cpu: usize,
        /// The CPUs that the process may use.
        allowed: Cpus,
    },
}

impl Cpus {
    /// The CPUs on which the calling thread may run; if the kernel does not tell, as many as are
    /// online.
    ///
    /// # Errors
    ///
    /// [`CpusError::Empty`] if the kernel names none.
    pub fn allowed() -> Result<Self, CpusError> {
        let cpus = affinity::allowed();
        if cpus.is_empty() {
            Err(CpusError::Empty)
        } else {
            Ok(Self(cpus))
        }
    }

    /// The set of `cpus`; `None` if there are none.
    #[must_use]
    pub fn of(mut cpus: Vec<usize>) -> Option<Self> {
        cpus.sort_unstable();
        cpus.dedup();
        (!cpus.is_empty()).then_some(Self(cpus))
    }

    /// This set, if the calling thread may run on all of its CPUs.
    ///
    /// # Errors
    ///
    /// [`CpusError::NotAllowed`] names the first CPU that it may not use.
    pub fn checked(self) -> Result<Self, CpusError> {
        let allowed = Self::allowed()?;
        match self.0.iter().find(|cpu| !allowed.0.contains(cpu)) {
            Some(&cpu) => Err(CpusError::NotAllowed { cpu, allowed }),
            None => Ok(self),
        }
    }

    /// The number of CPUs, never 0.
    #[must_use]
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// The CPUs in ascending order.
    #[must_use]
    pub fn numbers(&self) -> &[usize] {
        &self.0
    }

    /// The kernel's form of this set.
    #[must_use]
    pub fn to_kernel(&self) -> Mask {
        Mask::of(&self.0)
    }
}

impl FromStr for Cpus {
    type Err = CpusError;

    fn from_str(text: &str) -> Result<Self, CpusError> {
        let parts = text.split(',').map(str::trim);
        let parts: Vec<&str> = parts.filter(|part| !part.is_empty()).collect();
        if parts.is_empty() {
            return Err(CpusError::Empty);
        }
        let cpus = affinity::parse(&parts.join(","));
        let cpus = cpus.map_err(|_| CpusError::Syntax(text.to_owned()))?;
        Self::of(cpus).ok_or(CpusError::Empty)
    }
}

impl fmt::Display for Cpus {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = self.0.as_slice();
        let mut separator = "";
        while let [first, ..] = *rest {
            let run = rest
                .iter()
                .zip(first..)
                .take_while(|&(&cpu, next)| cpu == next)
                .count();
            match run {
                1 => write!(out, "{separator}{first}")?,
                _ => write!(out, "{separator}{first}-{}", rest[run - 1])?,
            }
            rest = &rest[run..];
            separator = ",";
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_of_cpus_reads_ranges_and_prints_them_back() {
        let cpus: Cpus = "4, 0-2,2".parse().unwrap();
        assert_eq!(cpus.numbers(), [0, 1, 2, 4]);
        assert_eq!(cpus.to_string(), "0-2,4");
    }

    #[test]
    fn nonsense_for_a_list_of_cpus_is_refused() {
        for text in ["x", "3-1", "-", "1-", "999999999"] {
            assert_eq!(
                text.parse::<Cpus>(),
                Err(CpusError::Syntax(text.to_owned())),
                "{text}"
            );
        }
        assert_eq!(" ,".parse::<Cpus>(), Err(CpusError::Empty));
    }

    #[test]
    fn a_number_beyond_the_first_thousand_is_a_cpu_that_is_not_allowed() {
        let cpus: Cpus = "1500".parse().unwrap();
        let error = cpus.checked().unwrap_err().to_string();
        assert!(error.contains("may not run on CPU 1500"), "{error}");
    }

    #[test]
    fn a_cpu_outside_of_the_affinity_is_refused_and_named() {
        let allowed = Cpus::allowed().unwrap();
        let outside = (0..).find(|cpu| !allowed.numbers().contains(cpu)).unwrap();
        let error = Cpus(vec![outside]).checked().unwrap_err();
        assert_eq!(
            error,
            CpusError::NotAllowed {
                cpu: outside,
                allowed
            }
        );
    }
}
