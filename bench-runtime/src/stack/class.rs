use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use super::StackError;
use super::guard::guard_bytes;
use crate::sys::madvise::PageRange;
use crate::sys::map::PAGE;
use crate::util::lock::Lock;

/// Slots of region `r` have `1 << (SMALLEST_SHIFT + r * STEP_OF_SHIFT)` bytes, except in the sparse
/// region.
pub(super) const SMALLEST_SHIFT: u32 = 16;
pub(super) const STEP_OF_SHIFT: u32 = 2;
/// The number of regions whose slots are powers of two; the sparse region is not among them.
pub(super) const REGIONS: usize = 8;
/// The sparse region, of deep slots.
pub(super) const SPARSE: usize = REGIONS;
pub(super) const ALL_REGIONS: usize = REGIONS + 1;
/// A deep slot is the lower part of its group, which has `1 << GROUP_SHIFT` bytes.
pub(super) const GROUP_SHIFT: u32 = 24;
pub(super) const DEEP_BYTES: usize = 57 << 18;
/// The guard of a deep slot: this many bytes at the end of the group before, in the same page of
/// page table as the top of that group's slot.
pub(super) const DEEP_GUARD: usize = 64 << 10;

/// How a goroutine's stack grows.
///
/// Memory is committed in pages of 4 KiB, when the goroutine touches them. A goroutine that has not
/// run has no stack. If the runtime compacts stacks, a goroutine that has been parked for long has
/// only a copy of its live bytes.
///
/// # Examples
///
/// ```
/// use bench_runtime::{GoBuilder, Runtime, StackPolicy};
///
/// // SAFETY: nothing here parks inside a thread-local's initialiser or scope.
/// unsafe { Runtime::builder().build() }?.run(|| {
///     // Room for a deep recursion, of which only what is used is ever in memory.
///     let deep = StackPolicy::Growable { initial: 4 << 10, limit: 16 << 20 };
///     let parser = GoBuilder::new().stack(deep).go(|| "parsed").unwrap();
///     assert_eq!(parser.join().unwrap(), "parsed");
/// });
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum StackPolicy {
    /// Grows on demand up to 14.25 MiB. At most ten thousand such stacks may be in use in a
    /// process. While all of them are in use, or if the system refuses memory for another one, a
    /// goroutine that starts gets a stack that grows up to 192 KiB.
    /// [`stack_usage`](crate::stack_usage) tells which limit a goroutine has.
    #[default]
    Auto,
    /// Grows on demand, in the smallest slot of at least `limit` bytes, up to the slot's guard.
    /// Slots have 64 KiB, 256 KiB, 1 MiB and so on up to 1 GiB. The guard takes 64 KiB of a slot (4
    /// KiB of the smallest).
    ///
    /// A runtime that does not compact never gives back the first `initial` bytes, or the first
    /// page, while the goroutine lives.
    Growable {
        /// Bytes, at most `limit`.
        initial: usize,
        /// Bytes, 4 KiB to 1 GiB.
        limit: usize,
    },
    /// This many bytes, rounded up to whole pages, and at least 8 KiB. The runtime takes 128 to
    /// 2,112 of them, for its header and to spread stacks over the sets of the CPU's caches.
    /// Ordinary calls of the standard library need more than 8 KiB.
    Fixed(usize),
}

pub(super) const LARGEST_SLOT: usize = 1 << (SMALLEST_SHIFT + STEP_OF_SHIFT * (REGIONS as u32 - 1));
const SMALLEST_FIXED: usize = 2 * PAGE;
const LARGEST_GUARD: usize = 16 * PAGE;

/// A kind of slot. Slots never change their class.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Class(u8);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ClassInfo {
    pub(super) region: usize,
    /// Bytes from the guard to the top of the slot.
    pub(super) usable: usize,
    /// Bytes at the top that a trim never gives back while the stack is in use.
    pub(super) initial: usize,
}

pub(super) const CLASSES: usize = 64;

/// The classes in use, packed. Read without a lock; appended to under [`APPEND`]. An entry is
/// written before `COUNT` covers it.
static TABLE: [AtomicU64; CLASSES] = {
    let mut table = [const { AtomicU64::new(0) }; CLASSES];
    table[Class::DEEP.0 as usize] = AtomicU64::new(DEEP.pack());
    table[Class::SHALLOW.0 as usize] = AtomicU64::new(SHALLOW.pack());
    table
};
static COUNT: AtomicUsize = AtomicUsize::new(2);
static APPEND: Lock<()> = Lock::new(());

const DEEP: ClassInfo = ClassInfo {
    region: SPARSE,
    usable: DEEP_BYTES,
    initial: 2 << 10,
};
const SHALLOW: ClassInfo = ClassInfo {
    region: 1,
    usable: slot_bytes(1) - guard_bytes(slot_bytes(1)),
    initial: 2 << 10,
};

impl Class {
    /// The class of [`StackPolicy::Auto`] while a deep slot is left.
    pub(crate) const DEEP: Self = Self(0);
    /// The class of [`StackPolicy::Auto`] if no deep slot is left.
    pub(crate) const SHALLOW: Self = Self(1);

    pub(crate) fn usable(self) -> usize {
        self.info().usable
    }

    /// The class for a policy. Equal policies have one class.
    pub(crate) fn for_policy(policy: StackPolicy) -> Result<Self, StackError> {
        ClassInfo::for_policy(policy)?.register()
    }

    #[cfg(test)]
    pub(crate) fn for_limit(limit: usize) -> Result<Self, StackError> {
        Self::for_policy(StackPolicy::Growable {
            initial: (2 << 10).min(limit),
            limit,
        })
    }

    pub(super) fn from_index(index: usize) -> Self {
        Self(index as u8)
    }

    #[inline]
    pub(super) fn index(self) -> usize {
        usize::from(self.0)
    }

    pub(super) fn info(self) -> ClassInfo {
        ClassInfo::unpack(TABLE[self.index()].load(Ordering::Relaxed))
    }

    pub(super) fn all() -> impl Iterator<Item = Self> {
        // Acquire: pairs with the Release in `register`.
        (0..COUNT.load(Ordering::Acquire)).map(|index| Self(index as u8))
    }
}

impl ClassInfo {
    fn for_policy(policy: StackPolicy) -> Result<Self, StackError> {
        let (bytes, max) = match policy {
            StackPolicy::Auto => return Ok(DEEP),
            StackPolicy::Growable { limit, .. } => (limit, LARGEST_SLOT),
            StackPolicy::Fixed(bytes) => (bytes, LARGEST_SLOT - guard_bytes(LARGEST_SLOT)),
        };
        let min = PAGE;
        if !(min..=max).contains(&bytes) {
            return Err(StackError::Limit { bytes, min, max });
        }
        Ok(match policy {
            StackPolicy::Auto => DEEP,
            StackPolicy::Growable { initial, limit } => {
                let region = region_for(limit);
                let slot = slot_bytes(region);
                let usable = slot - guard_bytes(slot);
                Self {
                    region,
                    usable,
                    initial: initial.clamp(1, usable).next_multiple_of(64),
                }
            }
            StackPolicy::Fixed(bytes) => {
                let usable = bytes.next_multiple_of(PAGE).max(SMALLEST_FIXED);
                // The guard must fit into the slot too.
                let mut region = region_for(usable);
                if usable + guard_bytes(slot_bytes(region)) > slot_bytes(region) {
                    region += 1;
                }
                Self {
                    region,
                    usable,
                    initial: usable,
                }
            }
        })
    }

    fn register(self) -> Result<Class, StackError> {
        let packed = self.pack();
        let find =
            |count: usize| (0..count).find(|&index| TABLE[index].load(Ordering::Relaxed) == packed);
        let _append = APPEND.lock();
        let count = COUNT.load(Ordering::Relaxed);
        let index = match find(count) {
            Some(index) => index,
            None if count == CLASSES => return Err(StackError::TooManyPolicies(CLASSES)),
            None => {
                TABLE[count].store(packed, Ordering::Relaxed);
                // Release: pairs with the Acquire in `Class::all`.
                COUNT.store(count + 1, Ordering::Release);
                count
            }
        };
        Ok(Class(index as u8))
    }

    // 4 bits for the region, 30 for the usable pages, 30 for the initial cache lines.
    const fn pack(self) -> u64 {
        self.region as u64 | ((self.usable / PAGE) as u64) << 4 | ((self.initial / 64) as u64) << 34
    }

    fn unpack(packed: u64) -> Self {
        Self {
            region: (packed & 0xf) as usize,
            usable: (packed >> 4 & 0x3fff_ffff) as usize * PAGE,
            initial: (packed >> 34) as usize * 64,
        }
    }

    pub(super) fn slot_bytes(&self) -> usize {
        slot_bytes(self.region)
    }

    /// The guard that is made together with the slot at `base`: the slot's own guard or, for a deep
    /// slot, the guard of the next slot.
    pub(super) fn guard(&self, base: usize) -> PageRange {
        let slot = self.slot_bytes();
        if self.region == SPARSE {
            return PageRange {
                start: base + slot - DEEP_GUARD,
                bytes: DEEP_GUARD,
            };
        }
        let unused = slot - self.usable;
        let bytes = unused.min(LARGEST_GUARD.max(guard_bytes(slot)));
        PageRange {
            start: base + unused - bytes,
            bytes,
        }
    }
}

/// The end of the slot with this header. A header is in the last page of its slot, and every slot
/// ends at a multiple of the smallest slot's size.
pub(super) fn slot_top(header: usize) -> usize {
    header.next_multiple_of(1 << SMALLEST_SHIFT)
}

/// The distance from one slot of the region to the next.
pub(super) const fn slot_bytes(region: usize) -> usize {
    match region {
        SPARSE => 1 << GROUP_SHIFT,
        _ => 1 << (SMALLEST_SHIFT + STEP_OF_SHIFT * region as u32),
    }
}

fn region_for(bytes: usize) -> usize {
    (0..REGIONS - 1)
        .find(|&region| slot_bytes(region) >= bytes)
        .unwrap_or(REGIONS - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn growable_limit_takes_the_smallest_slot_that_holds_it() {
        for (limit, slot) in [
            (4 << 10, 64 << 10),
            (64 << 10, 64 << 10),
            ((64 << 10) + 1, 256 << 10),
            (256 << 10, 256 << 10),
            (1 << 20, 1 << 20),
            (8 << 20, 16 << 20),
            (1 << 30, 1 << 30),
        ] {
            let info = Class::for_limit(limit).unwrap().info();
            assert_eq!(info.slot_bytes(), slot, "limit {limit}");
            assert!(info.usable < slot);
        }
    }

    #[test]
    fn auto_stack_is_deeper_than_a_threads_and_its_guard_has_64_kib() {
        let deep = Class::for_policy(StackPolicy::Auto).unwrap();
        assert_eq!((deep, deep.info()), (Class::DEEP, DEEP));
        assert!(deep.info().usable > 8 << 20);
        assert!(deep.info().guard(0).bytes >= 64 << 10);
        let shallow = Class::for_limit(256 << 10).unwrap();
        assert_eq!((shallow, shallow.info()), (Class::SHALLOW, SHALLOW));
        assert!(shallow.info().guard(0).bytes >= 64 << 10);
    }

    #[test]
    fn fixed_8_kib_is_two_pages_with_the_guard_right_below() {
        let info = Class::for_policy(StackPolicy::Fixed(8 << 10))
            .unwrap()
            .info();
        assert_eq!((info.usable, info.slot_bytes()), (2 * PAGE, 64 << 10));
    }

    #[test]
    fn fixed_size_of_a_whole_slot_takes_the_next_larger_slot() {
        let info = Class::for_policy(StackPolicy::Fixed(64 << 10))
            .unwrap()
            .info();
        assert_eq!((info.usable, info.slot_bytes()), (64 << 10, 256 << 10));
    }

    #[test]
    fn limit_outside_the_slots_is_an_error() {
        for policy in [
            StackPolicy::Fixed(0),
            StackPolicy::Fixed(LARGEST_SLOT),
            StackPolicy::Growable {
                initial: 0,
                limit: LARGEST_SLOT + 1,
            },
        ] {
            assert!(matches!(
                Class::for_policy(policy),
                Err(StackError::Limit { .. })
            ));
        }
    }

    #[test]
    fn class_of_a_policy_is_the_same_twice() {
        let policy = StackPolicy::Fixed(20 << 10);
        let class = Class::for_policy(policy).unwrap();
        assert_eq!(class, Class::for_policy(policy).unwrap());
        assert!(Class::all().any(|other| other == class));
        assert_ne!(
            class,
            Class::for_policy(StackPolicy::Fixed(12 << 10)).unwrap()
        );
    }

    #[test]
    fn class_info_survives_packing() {
        for info in [
            DEEP,
            ClassInfo {
                region: 7,
                usable: LARGEST_SLOT - PAGE,
                initial: LARGEST_SLOT - PAGE,
            },
            ClassInfo {
                region: 0,
                usable: 2 * PAGE,
                initial: 64,
            },
        ] {
            assert_eq!(ClassInfo::unpack(info.pack()), info);
        }
    }
}
