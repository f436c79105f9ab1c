//! One operation on a descriptor, from its first try to its end. [`super::wait`] lists its steps.

use std::io;
use std::mem;
use std::os::fd::BorrowedFd;
use std::ptr::{self, NonNull};
use std::sync::Arc;
use std::time::Duration;

use crate::goroutine::{Parkable, WaitReason, Waiter};
use crate::net::wait::{Before, NEVER, ThreadWait, Waits};
use crate::net::{closed_error, outside};
use crate::netpoll::slot::Registered;
use crate::netpoll::{Netpoll, PollDesc, Side};
use crate::sched;
use crate::seam;
use crate::shim::Ordering;
use crate::sys::event_fd::EventFd;
use crate::sys::fd;
use crate::time::armed;
use crate::timer::Action;

/// A plain thread that got no eventfd gets no kick. It checks for a change after this time.
const BLIND_WAIT: Duration = Duration::from_millis(20);

thread_local! {
    /// A plain thread's eventfd; `None` if the process is out of descriptors.
    static WAKE: Option<Arc<EventFd>> = EventFd::new().ok().map(Arc::new);
}

/// `None` for a plain thread.
#[inline]
fn poller() -> Option<io::Result<&'static Netpoll>> {
    #[cfg(test)]
    if let Some(netpoll) = super::tests::poller() {
        return Some(Ok(netpoll));
    }
    seam::netpoll()
}

pub(super) struct Attempt<'a> {
    waits: &'a Waits,
    side: Side,
    desc: Option<&'static PollDesc>,
    tick: u64,
    /// The deadline of this operation alone; `NEVER` if there is none.
    limit_ns: u64,
    waited: bool,
    /// Urgent data has ended a wait of a plain thread. A read does not take urgent data, so later
    /// waits ignore it.
    skips_urgent: bool,
}

/// Where a future's waiter is.
pub(super) enum Entered {
    Slot(&'static PollDesc),
    Queue(Place),
}

/// A future's boxed waiter in the queue.
pub(super) struct Place(NonNull<Waiter>);

// SAFETY: other threads use the waiter only under the queue's lock, or once they have dequeued it.
unsafe impl Send for Place {}
// SAFETY: through a shared reference only the ticket is read, which does not change.
unsafe impl Sync for Place {}

impl Place {
    fn new(who: Parkable) -> Self {
        let waiter = Waiter::multi(who, who.ticket(), ptr::null_mut(), 0);
        Self(NonNull::from(Box::leak(Box::new(waiter))))
    }

    pub(super) fn ticket(&self) -> u32 {
        // SAFETY: the box is freed by `Attempt::leave_queue`, which takes this.
        unsafe { self.0.as_ref() }.ticket
    }
}

impl<'a> Attempt<'a> {
    #[inline]
    pub(super) fn begin(waits: &'a Waits, side: Side, limit_ns: u64) -> Self {
        // Acquire: pairs with the Release in `watched_by`.
        let recent = waits.recent.load(Ordering::Acquire);
        Self {
            waits,
            side,
            // SAFETY: null, or a `PollDesc`, which is never freed.
            desc: unsafe { recent.as_ref() },
            tick: 0,
            limit_ns,
            waited: false,
            skips_urgent: false,
        }
    }

    /// Steps 1 and 2. The tick is read first: a close or a new deadline is stored before its kick
    /// increments the tick. So if step 2 misses the change, the wait at step 4 ends at once.
    #[inline]
    pub(super) fn check(&mut self) -> io::Result<()> {
        if let Some(desc) = self.desc {
            self.tick = desc.slot(self.side).tick();
        }
        if self.waits.closed.load(Ordering::Acquire) {
            return Err(closed_error());
        }
        if self.end_ns() != NEVER {
            return self.check_time();
        }
        Ok(())
    }

    #[cold]
    fn check_time(&self) -> io::Result<()> {
        if self.end_ns() <= sched::now_ns() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        Ok(())
    }

    #[inline]
    pub(super) fn end_ns(&self) -> u64 {
        let state = self.waits.side(self.side);
        // Acquire: pairs with the Release in `set_deadline`.
        state.deadline_ns.load(Ordering::Acquire).min(self.limit_ns)
    }

    /// True if the first read can be skipped: the stream was drained, or probably was, and no edge
    /// came since.
    #[inline]
    pub(super) fn is_drained(&self) -> bool {
        !self.waited && self.desc.is_some_and(|desc| desc.is_drained(self.tick))
    }

    #[inline]
    pub(super) fn set_drained(&self) {
        if let Some(desc) = self.desc {
            desc.slot(self.side).set_drained(self.tick);
        }
    }

    /// Notes a read that got data, of a descriptor that is never written.
    #[inline]
    pub(super) fn note_read(&self) {
        if let Some(desc) = self.desc {
            desc.note_read(self.tick, self.waited);
        }
    }

    /// Notes a read that found no data, of a descriptor that is never written.
    pub(super) fn note_empty_read(&self) {
        if let Some(desc) = self.desc {
            desc.note_empty_read(self.tick, self.waited);
        }
    }

    /// At the first wait, turns the time-out into a deadline.
    #[inline]
    fn set_limit(&mut self) {
        if self.limit_ns == NEVER
            && let Some(timeout) = self.waits.timeout(self.side)
        {
            let timeout_ns = u64::try_from(timeout.as_nanos()).unwrap_or(NEVER);
            self.limit_ns = sched::now_ns().saturating_add(timeout_ns);
        }
    }

    /// Steps 4 and 5, after a try that would have blocked. Blocks the goroutine.
    #[cold]
    pub(super) fn wait(&mut self, fd: BorrowedFd<'_>) -> io::Result<()> {
        self.set_limit();
        match poller() {
            Some(netpoll) => self.wait_as_goroutine(netpoll?, fd),
            None => {
                self.waited = true;
                self.wait_as_thread(fd)
            }
        }
    }

    /// `None` if the operation must be tried again first, because its tick was not read before the
    /// try, and no watch has begun since, which would report what the try missed.
    #[inline]
    fn poll_desc(
        &mut self,
        netpoll: &Netpoll,
        fd: BorrowedFd<'_>,
    ) -> io::Result<Option<&'static PollDesc>> {
        let desc = match self.desc {
            Some(desc) if netpoll.watches(desc) => desc,
            _ => {
                let (desc, before) = self.waits.watched_by(netpoll, fd, self.side)?;
                self.desc = Some(desc);
                self.tick = match before {
                    Before::Unknown => 0,
                    Before::Watched => return Ok(None),
                    Before::Left { tick } => tick,
                };
                if before == Before::Unknown && self.waits.is_accepted {
                    sched::scheduler::learn_connection();
                }
                desc
            }
        };
        // Checked again: a close before this `PollDesc` was registered did not kick it.
        if self.waits.is_closed() {
            return Err(closed_error());
        }
        Ok(Some(desc))
    }

    fn wait_as_goroutine(&mut self, netpoll: &Netpoll, fd: BorrowedFd<'_>) -> io::Result<()> {
        let Some(desc) = self.poll_desc(netpoll, fd)? else {
            return Ok(());
        };
        let end_ns = self.end_ns();
        let me = sched::prepare_park(WaitReason::Io, ptr::from_ref(desc).cast());
        // Set even if the waiter was in the slot only for a moment: another goroutine may have
        // found the slot busy, and queued.
        self.waited = true;
        match netpoll.register(desc, self.side, me, self.tick) {
            Registered::Waiting => {
                if end_ns == NEVER {
                    sched::park(me);
                } else {
                    let expire = Action::Expire {
                        desc,
                        side: self.side,
                        who: me,
                    };
                    let timer = armed::arm(end_ns, expire);
                    sched::park(me);
                    timer.cancel();
                }
            }
            Registered::Changed => sched::cancel_park(me),
            Registered::Busy => self.queue_up(desc, me, end_ns),
        }
        Ok(())
    }

    /// Steps 4 and 5 for a future, which does not park. `None`: try the operation again.
    pub(super) fn enter(
        &mut self,
        fd: BorrowedFd<'_>,
        who: Parkable,
    ) -> io::Result<Option<Entered>> {
        self.set_limit();
        let netpoll = poller().unwrap_or_else(outside::netpoll)?;
        let Some(desc) = self.poll_desc(netpoll, fd)? else {
            return Ok(None);
        };
        self.waited = true;
        match netpoll.register(desc, self.side, who, self.tick) {
            Registered::Waiting => return Ok(Some(Entered::Slot(desc))),
            Registered::Changed => return Ok(None),
            Registered::Busy => {}
        }
        let place = Place::new(who);
        // SAFETY: it is in a box until `leave_queue` has removed it; a forgotten
        // future leaks the box.
        unsafe { self.join_queue(place.0.as_ptr()) };
        if !desc.slot(self.side).is_busy() && who.claim(place.ticket()) {
            self.leave_queue(place);
            return Ok(None);
        }
        Ok(Some(Entered::Queue(place)))
    }

    /// Removes the waiter, if it is still queued, and frees it.
    pub(super) fn leave_queue(&self, place: Place) {
        // SAFETY: alive, and in this queue or in none.
        unsafe {
            self.remove(place.0.as_ptr());
            drop(Box::from_raw(place.0.as_ptr()));
        }
    }

    /// Step 6, before the operation ends.
    pub(super) fn pass_on(&mut self) {
        if mem::take(&mut self.waited) {
            self.waits.pass_on(self.side);
        }
    }

    /// # Safety
    ///
    /// The waiter does not move until it is removed, or is dequeued and its owner readied.
    unsafe fn join_queue(&self, waiter: *mut Waiter) {
        let state = self.waits.side(self.side);
        let mut queue = state.queue.lock();
        // SAFETY: by the caller's promise.
        unsafe { queue.enqueue(waiter) };
        // AcqRel: see `Slot::is_busy`, which the caller calls next.
        state.queued.fetch_add(1, Ordering::AcqRel);
    }

    /// Returns whether the waiter was queued.
    ///
    /// # Safety
    ///
    /// The waiter is alive, and in this queue or in none.
    unsafe fn remove(&self, waiter: *mut Waiter) -> bool {
        let state = self.waits.side(self.side);
        let mut queue = state.queue.lock();
        // SAFETY: by the caller's promise.
        let removed = unsafe { queue.remove(waiter) };
        if queue.is_empty() {
            state.queued.store(0, Ordering::Release);
        }
        removed
    }

    /// Step 5.
    fn queue_up(&self, desc: &PollDesc, me: Parkable, end_ns: u64) {
        let ticket = me.ticket();
        let mut waiter = Waiter::multi(me, ticket, ptr::null_mut(), 0);
        let waiter = &raw mut waiter;
        // SAFETY: it is on this stack until another thread has dequeued it,
        // which then readies us, or it is removed below.
        unsafe { self.join_queue(waiter) };
        // SAFETY: alive, and in this queue or in none.
        let remove = || unsafe { self.remove(waiter) };
        if !desc.slot(self.side).is_busy() && remove() {
            sched::cancel_park(me);
        } else if end_ns == NEVER {
            sched::park(me);
        } else {
            sched::park_until(me, ticket, end_ns);
            remove();
        }
    }

    fn wait_as_thread(&mut self, fd: BorrowedFd<'_>) -> io::Result<()> {
        // Also `None` while the thread drops its thread-locals.
        let wake = WAKE.try_with(Clone::clone).ok().flatten();
        if let Some(wake) = &wake {
            self.waits.threads.lock().push(ThreadWait {
                side: self.side,
                wake: wake.clone(),
            });
        }
        let result = self.poll_as_thread(fd, wake.as_deref());
        if let Some(wake) = &wake {
            let mut threads = self.waits.threads.lock();
            if let Some(at) = threads.iter().position(|t| Arc::ptr_eq(&t.wake, wake)) {
                threads.swap_remove(at);
            }
            // Under the lock: no later kick finds this thread in the list and sets the eventfd.
            wake.clear();
        }
        result
    }

    fn poll_as_thread(&mut self, fd: BorrowedFd<'_>, wake: Option<&EventFd>) -> io::Result<()> {
        // Checked after joining the list: earlier changes are visible here, and later changes cause
        // a kick.
        if self.waits.is_closed() {
            return Err(closed_error());
        }
        let end_ns = self.end_ns();
        let left =
            (end_ns != NEVER).then(|| Duration::from_nanos(end_ns.saturating_sub(sched::now_ns())));
        let left = match wake {
            Some(_) => left,
            None => Some(left.map_or(BLIND_WAIT, |left| left.min(BLIND_WAIT))),
        };
        let to_write = self.side == Side::Write;
        if fd::wait(fd, to_write, !self.skips_urgent, wake, left)? {
            self.skips_urgent = true;
        }
        Ok(())
    }
}

impl Drop for Attempt<'_> {
    #[inline]
    fn drop(&mut self) {
        if self.waited {
            self.waits.pass_on(self.side);
        }
    }
}
