//! One direction of a descriptor: its waiter, and the count of edges.
//!
//! While the descriptor is open, both words change only by read-modify-write.
//!
//! | `waiter` | `tick`                     | meaning                                   |
//! |----------|----------------------------|-------------------------------------------|
//! | null     | the tick an operation read | no edge has come since                    |
//! | null     | greater                    | an edge has come: try again (Go's "ready")|
//! | `g`      | the tick `g` read          | `g` waits; the next edge takes it         |
//! | `g`      | greater                    | an edge came while `g` registered; the    |
//! |          |                            | poller takes `g`, or `g` withdraws itself |
//!
//! Only the thread that changes `waiter` from `g` to null ends the wait of `g`. It readies `g`
//! after an edge, a kick or an expired deadline; or it is `g` itself, which then does not park.
//! So no ticket is needed, and a late expiry or a stale event only causes one more try.
//!
//! Go's ready flag must be reset before each try, so a goroutine could reset a flag that another
//! goroutine has not read. A count has no reset, and also shows that no data came since a stream
//! was drained ([`Slot::is_drained`]).
//!
//! # Protocol
//!
//! 1. The goroutine reads `tick`, then tries its operation.
//! 2. It would block: [`Slot::register`] sets `waiter`, then compares `tick`.
//! 3. The poller, for an edge, increments `tick`, then reads `waiter`.
//!
//! Steps 2 and 3 write one word and then access the other. Both access `tick` by a
//! read-modify-write, so the second one sees what the first wrote before: no edge is lost.

use std::ptr::{self, NonNull};

use crate::goroutine::{Head, Parkable};
use crate::shim::{AtomicPtr, AtomicU64, Ordering};

#[derive(Debug)]
pub(crate) struct Slot {
    tick: AtomicU64,
    waiter: AtomicPtr<Head>,
    /// The tick at which an operation found no data left; `NEVER` for none.
    drained_at: AtomicU64,
}

const NEVER: u64 = u64::MAX;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Registered {
    /// Park: a ready will come, or has come.
    Waiting,
    /// An edge came in between: do not park, try again.
    Changed,
    /// Another goroutine waits already.
    Busy,
}

impl Slot {
    pub(crate) fn new() -> Self {
        Self {
            tick: AtomicU64::new(0),
            waiter: AtomicPtr::new(ptr::null_mut()),
            drained_at: AtomicU64::new(NEVER),
        }
    }

    /// Only while its descriptor is not open.
    pub(crate) fn reset(&self) {
        debug_assert!(self.waiter.load(Ordering::Relaxed).is_null());
        self.drained_at.store(NEVER, Ordering::Relaxed);
        // Release: pairs with the Acquire in `tick`.
        self.tick.store(0, Ordering::Release);
    }

    /// Step 1: the tick so far.
    #[inline]
    pub(crate) fn tick(&self) -> u64 {
        // Acquire: pairs with the AcqRel in `notify`, so that a thread that sees a kick
        // sees the deadline that was set before it.
        self.tick.load(Ordering::Acquire)
    }

    /// Step 2: from here on an edge after `seen` readies `waiter`.
    pub(crate) fn register(&self, waiter: Parkable, seen: u64) -> Registered {
        // Release: pairs with the Acquire of the thread that takes it. Acquire: pairs
        // with the Release of the thread that emptied the slot, whose wait was earlier.
        if self
            .waiter
            .compare_exchange(
                ptr::null_mut(),
                waiter.as_ptr(),
                Ordering::AcqRel,
                Ordering::Relaxed,
            )
            .is_err()
        {
            return Registered::Busy;
        }
        // A read-modify-write even if it changes nothing. Release: pairs with
        // the Acquire of a later `notify`, which then sees `waiter`. Acquire:
        // pairs with the Release of an earlier one.
        let unchanged = self
            .tick
            .compare_exchange(seen, seen, Ordering::AcqRel, Ordering::Acquire)
            .is_ok();
        if unchanged || !self.withdraw(waiter) {
            Registered::Waiting
        } else {
            Registered::Changed
        }
    }

    /// True for one caller only, which has then ended the wait.
    pub(crate) fn withdraw(&self, waiter: Parkable) -> bool {
        // AcqRel: as in `register`.
        self.waiter
            .compare_exchange(
                waiter.as_ptr(),
                ptr::null_mut(),
                Ordering::AcqRel,
                Ordering::Relaxed,
            )
            .is_ok()
    }

    /// Step 3: an edge or a kick. The caller must ready the parkable that this returns.
    #[inline]
    pub(crate) fn notify(&self) -> Option<Parkable> {
        // AcqRel: see `register`.
        self.tick.fetch_add(1, Ordering::AcqRel);
        // Relaxed: the addition orders it.
        if self.waiter.load(Ordering::Relaxed).is_null() {
            return None;
        }
        // AcqRel: as in `register`.
        let who = NonNull::new(self.waiter.swap(ptr::null_mut(), Ordering::AcqRel))?;
        // SAFETY: only `register` stores here, and it stores the head of a parkable.
        Some(unsafe { Parkable::from_head(who) })
    }

    /// Whether a waiter is in the slot. The thread that ends its wait sees the caller's earlier
    /// writes.
    pub(crate) fn is_busy(&self) -> bool {
        let who = self.waiter.load(Ordering::Relaxed);
        // A read-modify-write that changes nothing. The caller (`net::attempt`) has incremented
        // `queued` before; for the reason see `net::wait`, steps 5 and 6. Release: pairs with the
        // Acquire of the thread that takes the waiter.
        !who.is_null()
            && self
                .waiter
                .compare_exchange(who, who, Ordering::AcqRel, Ordering::Relaxed)
                .is_ok()
    }

    /// False if a waiter is in the slot. If it returns true, a waiter that registers later sees the
    /// caller's earlier writes.
    pub(crate) fn is_free(&self) -> bool {
        let null = ptr::null_mut();
        // A read-modify-write that changes nothing. Release: pairs with the Acquire of `register`.
        self.waiter
            .compare_exchange(null, null, Ordering::AcqRel, Ordering::Relaxed)
            .is_ok()
    }

    /// Notes that an operation that began at tick `seen` drained the stream; if the watch is
    /// level-triggered ([`super::level`]), that it probably did.
    #[inline]
    pub(crate) fn set_drained(&self, seen: u64) {
        self.drained_at.store(seen, Ordering::Relaxed);
    }

    /// True if no edge came since [`Self::set_drained`]. The caller remembers conditions that no
    /// later edge repeats, such as the end of the stream.
    #[inline]
    pub(crate) fn is_drained(&self, tick: u64) -> bool {
        // Relaxed: a tick is compared with a tick. A stale value is either a tick that will not
        // come again, or equally true.
        self.drained_at.load(Ordering::Relaxed) == tick
    }
}

#[cfg(all(test, not(rt_loom)))]
mod tests {
    use super::*;
    use crate::goroutine::thread::ThreadRecord;

    /// Not `sched::current`, whose assembly miri cannot run.
    fn me() -> Parkable {
        ThreadRecord::current().parkable()
    }

    #[test]
    fn edge_before_register_is_seen_as_changed() {
        let slot = Slot::new();
        let seen = slot.tick();
        assert!(slot.notify().is_none());
        assert_eq!(slot.register(me(), seen), Registered::Changed);
        assert!(slot.notify().is_none(), "nobody was left in the slot");
    }

    #[test]
    fn edge_takes_the_waiter_once() {
        let slot = Slot::new();
        let me = me();
        assert_eq!(slot.register(me, slot.tick()), Registered::Waiting);
        assert_eq!(slot.notify(), Some(me));
        assert_eq!(slot.notify(), None);
        assert!(!slot.withdraw(me));
    }

    #[test]
    fn second_waiter_finds_the_slot_busy() {
        let slot = Slot::new();
        let me = me();
        assert!(!slot.is_busy());
        assert_eq!(slot.register(me, 0), Registered::Waiting);
        let other = std::thread::spawn(self::me).join().unwrap();
        assert_eq!(slot.register(other, 0), Registered::Busy);
        assert!(slot.is_busy());
        assert!(!slot.withdraw(other));
        assert!(slot.withdraw(me));
    }

    #[test]
    fn drained_slot_is_not_drained_after_an_edge() {
        let slot = Slot::new();
        assert!(!slot.is_drained(slot.tick()));
        slot.set_drained(slot.tick());
        assert!(slot.is_drained(slot.tick()));
        slot.notify();
        assert!(!slot.is_drained(slot.tick()));
    }
}
