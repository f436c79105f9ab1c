use nix::sys::resource::{Usage as Rusage, UsageWho, getrusage};
use nix::sys::time::TimeValLike;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Usage {
    pub(crate) cpu_ns: u64,
    pub(crate) voluntary_switches: u64,
    pub(crate) involuntary_switches: u64,
}

impl Usage {
    /// Includes children that have been waited for.
    pub(crate) fn now() -> Self {
        let own = getrusage(UsageWho::RUSAGE_SELF)
            .map(Self::from)
            .unwrap_or_default();
        let children = getrusage(UsageWho::RUSAGE_CHILDREN)
            .map(Self::from)
            .unwrap_or_default();
        own.plus(children)
    }

    pub(crate) fn plus(self, other: Self) -> Self {
        Self {
            cpu_ns: self.cpu_ns + other.cpu_ns,
            voluntary_switches: self.voluntary_switches + other.voluntary_switches,
            involuntary_switches: self.involuntary_switches + other.involuntary_switches,
        }
    }

    pub(crate) fn minus(self, other: Self) -> Self {
        Self {
            cpu_ns: self.cpu_ns.saturating_sub(other.cpu_ns),
            voluntary_switches: self
                .voluntary_switches
                .saturating_sub(other.voluntary_switches),
            involuntary_switches: self
                .involuntary_switches
                .saturating_sub(other.involuntary_switches),
        }
    }

    pub(crate) fn share(self, part: u64, all: u64) -> Self {
        let of = |used: u64| (u128::from(used) * u128::from(part) / u128::from(all.max(1))) as u64;
        Self {
            cpu_ns: of(self.cpu_ns),
            voluntary_switches: of(self.voluntary_switches),
            involuntary_switches: of(self.involuntary_switches),
        }
    }
}

impl From<Rusage> for Usage {
    fn from(usage: Rusage) -> Self {
        Self {
            cpu_ns: (usage.user_time() + usage.system_time()).num_microseconds() as u64 * 1_000,
            voluntary_switches: usage.voluntary_context_switches() as u64,
            involuntary_switches: usage.involuntary_context_switches() as u64,
        }
    }
}
