use std::io;

/// If at most this many mappings are left, the limit on mappings counts as the reason of a refusal.
/// The number is above zero because a split takes two mappings, and because other threads map and
/// unmap meanwhile.
pub(super) const MAP_MARGIN: usize = 64;

/// Why a goroutine got no stack.
///
/// # Examples
///
/// ```
/// use bench_runtime::{GoBuilder, Runtime, StackError, StackPolicy};
///
/// // SAFETY: nothing here parks inside a thread-local's initialiser or scope.
/// unsafe { Runtime::builder().build() }?.run(|| {
///     let tiny = GoBuilder::new().stack(StackPolicy::Fixed(100));
///     let error = tiny.go(|| ()).unwrap_err();
///     match error.get_ref().and_then(|inner| inner.downcast_ref()) {
///         Some(StackError::Limit { bytes, min, .. }) => assert_eq!((*bytes, *min), (100, 4096)),
///         other => panic!("{other:?}"),
///     }
/// });
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StackError {
    /// Every slot of this size is in use.
    #[error(
        "all {slots} stack slots of {slot_bytes} bytes are in use: let goroutines end, or choose \
         another stack limit (each size of slot has its own)"
    )]
    OutOfSlots {
        /// The size of the slots.
        slot_bytes: usize,
        /// How many the reservation has.
        slots: usize,
    },
    /// The process has no memory mappings left for stacks. A stack takes two mappings if the kernel
    /// has no guard markers (Linux 6.13 has them). If too few mappings are left even to start a
    /// thread, the scheduler itself drops the goroutine's closure; then the closure's destructors
    /// must not wait.
    #[error(
        "{maps} of the {limit} memory mappings that the process may have are in use, and the last \
         are left for threads and the heap: raise the sysctl vm.max_map_count (two a goroutine \
         stack on kernels before 6.13), or run fewer goroutines"
    )]
    MapLimit {
        /// The number of mappings: of the process, or of its goroutine stacks.
        maps: usize,
        /// The value of `vm.max_map_count`.
        limit: usize,
    },
    /// The kernel refused memory for more stacks.
    #[error("the kernel refused memory for goroutine stacks: {0}")]
    OutOfMemory(#[source] io::Error),
    /// The system refused address space for goroutine stacks.
    #[error(
        "no address space of even {bytes} bytes for goroutine stacks: raise the limit on virtual \
         memory (ulimit -v): {source}"
    )]
    Reserve {
        /// The smallest reservation that was tried.
        bytes: usize,
        /// The kernel's error.
        source: io::Error,
    },
    /// The machine's page size is not the one that this runtime is built for.
    #[error("goroutine stacks need pages of {expected} bytes; this machine has {found}")]
    PageSize {
        /// The expected value.
        expected: usize,
        /// The machine's value.
        found: usize,
    },
    /// A policy requests a stack that is smaller than the minimum or larger than the largest slot.
    #[error("a stack limit of {bytes} bytes is outside {min} to {max}")]
    Limit {
        /// The requested size.
        bytes: usize,
        /// The smallest limit.
        min: usize,
        /// The largest limit.
        max: usize,
    },
    /// More different policies than one process may have.
    #[error("more than {0} different stack policies in one process")]
    TooManyPolicies(usize),
}

impl StackError {
    pub(crate) fn leaves_room_for_a_thread(&self) -> bool {
        match self {
            Self::OutOfSlots { .. } => true,
            Self::MapLimit { maps, limit } => limit.saturating_sub(*maps) > MAP_MARGIN,
            _ => false,
        }
    }
}
