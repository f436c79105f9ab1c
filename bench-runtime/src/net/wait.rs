//! How an operation on a descriptor waits.
//!
//! # Protocol
//!
//! 1. Read the tick of the descriptor's slot ([`crate::netpoll::slot`]).
//! 2. Fail if the descriptor is closed or the deadline has passed.
//! 3. Try the operation. Most operations end here, without a lock or a counter.
//! 4. If it would block: register in the slot for any edge after that tick, arm a timer if there is
//!    a deadline, park; then go to 1.
//! 5. If the slot is taken, because another goroutine waits for the same side: join the queue,
//!    check again that the slot is taken, park; then go to 1.
//! 6. When an operation that has waited, in the slot or in the queue, ends with any result, its
//!    goroutine readies the first waiter in the queue.
//!
//! [`super::attempt`] takes these steps. Steps 5 and 6 lose no waiter. The goroutine that queues
//! increments `queued` and then reads the slot. The thread that ends the wait in the slot empties
//! the slot, and the goroutine that waited there then reads `queued`. Both access the slot by a
//! read-modify-write, so the second of them sees what the first wrote before. Either the goroutine
//! that queues finds the slot empty, or the goroutine that waited finds that `queued` is not 0.
//!
//! A new deadline and a close kick all waiters ([`Waits::kick`]): they go to 1, and see the change
//! at 2.
//!
//! A plain thread waits with `ppoll(2)` for the descriptor and for an eventfd
//! of its own, which a kick sets.

use std::io;
use std::iter;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr;
use std::sync::Arc;
use std::time::Duration;

use crate::goroutine::{Kind, Parkable, WaitQueue};
use crate::net::closed_error;
use crate::netpoll::{Netpoll, PollDesc, Registration, Side};
use crate::sched::readied;
use crate::shim::{AtomicBool, AtomicPtr, AtomicU32, AtomicU64, Ordering};
use crate::sys::event_fd::EventFd;
use crate::sys::fork;
use crate::util::lock::Lock;

/// No deadline, no time-out.
pub(super) const NEVER: u64 = u64::MAX;

#[derive(Debug)]
pub(super) struct Waits {
    pub(super) closed: AtomicBool,
    /// The descriptor is a connection that a listener has accepted.
    pub(super) is_accepted: bool,
    /// The `PollDesc` of one of the registrations, mostly the one that watches the reading side, for
    /// readers without the lock.
    pub(super) recent: AtomicPtr<PollDesc>,
    registrations: Lock<Vec<Registration>>,
    read: SideState,
    write: SideState,
    pub(super) threads: Lock<Vec<ThreadWait>>,
}

#[derive(Debug)]
pub(super) struct SideState {
    pub(super) deadline_ns: AtomicU64,
    timeout_ns: AtomicU64,
    pub(super) queued: AtomicU32,
    pub(super) queue: Lock<WaitQueue>,
}

#[derive(Debug)]
pub(super) struct ThreadWait {
    pub(super) side: Side,
    pub(super) wake: Arc<EventFd>,
}

impl SideState {
    fn new() -> Self {
        Self {
            deadline_ns: AtomicU64::new(NEVER),
            timeout_ns: AtomicU64::new(NEVER),
            queued: AtomicU32::new(0),
            queue: Lock::new(WaitQueue::new()),
        }
    }
}

impl Drop for Waits {
    /// Empties the slots: a forgotten future may still be in one, and the slot will serve another
    /// descriptor.
    fn drop(&mut self) {
        if fork::is_child() {
            // Goroutines in the slots wait in the parent process.
            return;
        }
        let mut all = Vec::new();
        for registration in self.registrations.lock().iter() {
            for side in [Side::Read, Side::Write] {
                if registration.desc().slot(side).is_busy() {
                    all.extend(registration.kick(side));
                }
            }
        }
        readied::ready_all(all);
    }
}

impl Waits {
    pub(super) fn new(is_accepted: bool) -> Self {
        Self {
            closed: AtomicBool::new(false),
            is_accepted,
            recent: AtomicPtr::new(ptr::null_mut()),
            registrations: Lock::new(Vec::new()),
            read: SideState::new(),
            write: SideState::new(),
            threads: Lock::new(Vec::new()),
        }
    }

    #[inline]
    pub(super) fn side(&self, side: Side) -> &SideState {
        match side {
            Side::Read => &self.read,
            Side::Write => &self.write,
        }
    }

    /// Operations that are not done at `deadline_ns` fail.
    pub(super) fn set_deadline(&self, side: Side, deadline_ns: u64) {
        let state = self.side(side);
        // Release, and before the kick: see `Attempt::check`.
        state.deadline_ns.store(deadline_ns, Ordering::Release);
        self.kick(side);
    }

    /// Operations that take longer than `timeout_ns` fail.
    pub(super) fn set_timeout(&self, side: Side, timeout_ns: u64) {
        // Relaxed: it guards no other data.
        self.side(side)
            .timeout_ns
            .store(timeout_ns, Ordering::Relaxed);
    }

    pub(super) fn timeout(&self, side: Side) -> Option<Duration> {
        let ns = self.side(side).timeout_ns.load(Ordering::Relaxed);
        (ns != NEVER).then(|| Duration::from_nanos(ns))
    }

    pub(super) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    /// Makes all operations fail, now and later. Calls `end` once, to close the descriptor itself,
    /// after the watch has ended and before the waits end.
    pub(super) fn close(&self, end: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
        if self.closed.swap(true, Ordering::AcqRel) {
            return Err(closed_error());
        }
        self.registrations
            .lock()
            .iter()
            .for_each(Registration::end_watch);
        let ended = end();
        self.kick(Side::Read);
        self.kick(Side::Write);
        ended
    }

    #[cold]
    pub(super) fn closed_error_or(&self, error: io::Error) -> io::Error {
        if self.is_closed() {
            closed_error()
        } else {
            error
        }
    }

    /// Makes all waiters of a side try again.
    fn kick(&self, side: Side) {
        let mut all: Vec<Parkable> = {
            let registrations = self.registrations.lock();
            registrations.iter().filter_map(|r| r.kick(side)).collect()
        };
        all.extend(iter::from_fn(|| self.dequeue(side)));
        for thread in self.threads.lock().iter().filter(|t| t.side == side) {
            thread.wake.set();
        }
        readied::ready_all(all);
    }

    fn dequeue(&self, side: Side) -> Option<Parkable> {
        let state = self.side(side);
        let mut queue = state.queue.lock();
        // SAFETY: the waiter was in the queue, and its owner waits until the caller readies it.
        let who = queue
            .dequeue()
            .map(|waiter| unsafe { waiter.as_ref() }.owner);
        if queue.is_empty() {
            // Release: under the lock, like all changes of `queued`.
            state.queued.store(0, Ordering::Release);
        }
        who
    }

    /// Step 6.
    pub(super) fn pass_on(&self, side: Side) {
        // Acquire: pairs with the addition in `Attempt::join_queue`, through the slot.
        if self.side(side).queued.load(Ordering::Acquire) == 0 {
            return;
        }
        // Runtimes share the queue, but not the slots. With several runtimes all queued waiters are
        // readied, because any of them may be the one that can continue.
        let all = self.registrations.lock().len() > 1;
        let mut is_done = false;
        readied::ready_all(iter::from_fn(|| {
            if is_done {
                return None;
            }
            let who = self.dequeue(side)?;
            // A future consumes no data, so the next waiter is readied too.
            is_done = !all && who.head().kind != Kind::Future;
            Some(who)
        }));
    }

    #[cfg(test)]
    pub(super) fn is_watched_by_level(&self) -> bool {
        let registrations = self.registrations.lock();
        registrations.iter().any(|r| r.desc().is_watched_by_level())
    }

    /// Acts as if many reads had each been followed by an empty one.
    #[cfg(test)]
    pub(super) fn watch_by_level(&self) {
        for registration in self.registrations.lock().iter() {
            registration.desc().watch_by_level();
        }
    }

    /// This poller's `PollDesc` of the descriptor, which watches this side from now on, and how it did
    /// before. If it did not watch the side, the others leave it; if it is new, they leave both sides.
    /// A side for which a goroutine waits is not left.
    pub(super) fn watched_by(
        &self,
        netpoll: &Netpoll,
        fd: BorrowedFd<'_>,
        side: Side,
    ) -> io::Result<(&'static PollDesc, Before)> {
        let mut registrations = self.registrations.lock();
        let known = registrations.iter().find(|r| netpoll.watches(r.desc()));
        let (desc, before) = match known.map(Registration::desc) {
            Some(desc) => {
                // The tick is read first. Only a thread with this lock leaves a side. So if the side is
                // not watched now, it was not watched when the tick was read. The watch that begins
                // below, or that another waiter begins, reports what has come, and so increments the
                // tick.
                let tick = desc.slot(side).tick();
                if desc.watches_side(side) {
                    (desc, Before::Watched)
                } else {
                    desc.watch_side(side);
                    let others = registrations.iter().filter(|r| !ptr::eq(r.desc(), desc));
                    others.for_each(|r| r.desc().leave_side(side));
                    (desc, Before::Left { tick })
                }
            }
            None if self.is_closed() => return Err(closed_error()),
            None => {
                let made = netpoll.open(fd.as_raw_fd())?;
                let desc = made.desc();
                if !registrations.is_empty() {
                    desc.leave_side(side.other());
                    let others = registrations.iter();
                    others.for_each(|r| r.desc().leave_both_sides());
                }
                registrations.push(made);
                (desc, Before::Unknown)
            }
        };
        if side == Side::Read || registrations.len() == 1 {
            // Release: pairs with the Acquire in `Attempt::begin`.
            self.recent
                .store(ptr::from_ref(desc).cast_mut(), Ordering::Release);
        }
        Ok((desc, before))
    }
}

/// How a poller watched a side of a descriptor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Before {
    Unknown,
    Watched,
    /// It did not watch the side, and had this tick.
    Left {
        tick: u64,
    },
}
