//! The network poller: goroutines that wait for file descriptors.
//!
//! It has no thread and readies no goroutine: [`Netpoll::poll`] returns to the scheduler the
//! goroutines whose waits have ended. A descriptor is watched, edge-triggered, from the first time
//! that an operation on it would block; [`slot`] describes how an edge ends a wait. A pipe may
//! become level-triggered ([`level`]). In a pinned runtime each M whose goroutines wait for
//! descriptors has a poller of its own. If several of these Ms use a socket, each side is
//! watched by the poller of the M whose goroutine waits for it ([`desc`]).
//!
//! Rejected: *level-triggered with one shot*, because each wait is a system call.

mod desc;
mod level;
pub(crate) mod slot;
mod table;
mod watch;

use std::io;
use std::os::fd::RawFd;
use std::sync::Arc;
use std::time::Duration;

pub(crate) use desc::PollDesc;
pub(crate) use watch::{Side, Watch};

use crate::goroutine::Parkable;
use crate::shim::{AtomicBool, AtomicUsize, Ordering};
use crate::sys::event_fd::EventFd;
use crate::sys::poller::{Events, Interest, Poller};
use crate::util::lock::Lock;

#[derive(Debug)]
pub(crate) struct Netpoll {
    watch: Arc<Watch>,
}

/// Watches of stopped runtimes, for later runtimes: each costs two descriptors. A thread of
/// the old runtime may still interrupt or poll. Then the new runtime sees a spurious interrupt,
/// or that thread readies a goroutine of the new runtime; both are harmless.
static SPARE: Lock<Vec<Arc<Watch>>> = Lock::new(Vec::new());

impl Netpoll {
    /// # Errors
    ///
    /// When the process is out of file descriptors: it takes two.
    pub(crate) fn new() -> io::Result<Self> {
        if let Some(watch) = SPARE.lock().pop() {
            return Ok(Self { watch });
        }
        let poller = Poller::new()?;
        let wake = EventFd::new()?;
        poller.add(wake.as_raw_fd(), table::INTERRUPT_TOKEN, Interest::Data)?;
        Ok(Self {
            watch: Arc::new(Watch {
                poller,
                wake,
                interrupted: AtomicBool::new(false),
                waiting: AtomicUsize::new(0),
            }),
        })
    }

    /// Gives the poller to a later runtime, unless a goroutine still waits for a descriptor: that
    /// goroutine waits for ever.
    pub(crate) fn retire(&self) {
        if self.waiters_count() == 0 {
            SPARE.lock().push(self.watch.clone());
        }
    }

    /// Begins to watch a descriptor, which must not block and must stay open until the
    /// registration is dropped. Both of its ticks begin at 0; a condition that is already true
    /// counts as an edge.
    ///
    /// # Errors
    ///
    /// When the kernel refuses: `EPERM` for a regular file, which is always
    /// ready; `ENOSPC` at the limit `fs.epoll.max_user_watches`.
    pub(crate) fn open(&self, fd: RawFd) -> io::Result<Registration> {
        let desc = table::open(&self.watch, fd);
        // Both sides: some drivers only ever report what was asked for first.
        if let Err(e) = self.watch.poller.add(fd, desc.token(), Interest::ALL_EDGES) {
            table::close(desc);
            return Err(e);
        }
        Ok(Registration {
            desc,
            watch: self.watch.clone(),
            fd,
        })
    }

    #[inline]
    pub(crate) fn watches(&self, desc: &PollDesc) -> bool {
        desc.belongs_to(&self.watch)
    }

    /// Begins a wait of `who` for an edge after tick `seen`. Only for a descriptor of this
    /// poller.
    #[inline]
    pub(crate) fn register(
        &self,
        desc: &PollDesc,
        side: Side,
        who: Parkable,
        seen: u64,
    ) -> slot::Registered {
        self.watch.starts_waiting();
        let registered = desc.slot(side).register(who, seen);
        if registered != slot::Registered::Waiting {
            self.watch.stopped_waiting(1);
        } else if !desc.watches_side(side) {
            desc.watch_side(side);
        }
        registered
    }

    /// Waits until there is an event or an interrupt, for `timeout` at most, and adds the waiters
    /// whose waits end to `ready`. Blocks the thread. Any number of threads may poll at once.
    pub(crate) fn poll(&self, timeout: Option<Duration>, ready: &mut Vec<Parkable>) {
        let blocks = timeout.is_none_or(|t| !t.is_zero());
        let mut events = Events::new();
        if let Err(e) = self.watch.poller.wait(timeout, &mut events) {
            crate::fatal::fatal!("cannot wait for file descriptors: {e}");
        }
        let mut taken = 0;
        for event in events.iter() {
            if event.token == table::INTERRUPT_TOKEN {
                // A poll without a wait leaves the interrupt for the poll that blocks.
                if blocks {
                    self.watch.wake.clear();
                    // After the clearing, so a later interrupt sets the eventfd again. AcqRel:
                    // writes before an earlier interrupt are visible from here on.
                    self.watch.interrupted.swap(false, Ordering::AcqRel);
                }
            } else if let Some(desc) = table::find(event.token) {
                taken += desc.on_event(event, ready);
            }
        }
        if taken > 0 {
            self.watch.stopped_waiting(taken);
        }
    }

    /// Ends a poll that blocks now, or the next one that would. Several calls before one poll
    /// count as one.
    pub(crate) fn interrupt(&self) {
        // AcqRel: the poll that this ends sees the caller's earlier writes; see also `poll`.
        if !self.watch.interrupted.swap(true, Ordering::AcqRel) {
            self.watch.wake.set();
        }
    }

    #[inline]
    pub(crate) fn waiters_count(&self) -> usize {
        // Relaxed: the count need not be exact.
        self.watch.waiting.load(Ordering::Relaxed)
    }
}

/// A descriptor that is watched, until this is dropped.
#[derive(Debug)]
pub(crate) struct Registration {
    desc: &'static PollDesc,
    watch: Arc<Watch>,
    fd: RawFd,
}

impl Registration {
    /// No goroutine may wait there after the registration is dropped.
    pub(crate) fn desc(&self) -> &'static PollDesc {
        self.desc
    }

    /// Ends the watch before the number is reused for another file.
    pub(crate) fn end_watch(&self) {
        // This fails if the watch has ended already.
        let _ = self.watch.poller.delete(self.fd);
    }

    /// Takes the waiter of a side. The caller must ready it, and it tries again.
    pub(crate) fn kick(&self, side: Side) -> Option<Parkable> {
        let who = self.desc.slot(side).notify();
        if who.is_some() {
            self.watch.stopped_waiting(1);
        }
        who
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        self.end_watch();
        table::close(self.desc);
    }
}

#[cfg(all(test, not(rt_loom)))]
mod tests {
    use super::*;
    use crate::sched;
    use slot::Registered;
    use std::io::Write;
    use std::os::fd::AsRawFd;
    use std::os::unix::net::UnixStream;
    use std::time::Instant;

    fn pair() -> (UnixStream, UnixStream) {
        let (a, b) = UnixStream::pair().unwrap();
        a.set_nonblocking(true).unwrap();
        (a, b)
    }

    const SOON: Option<Duration> = Some(Duration::from_secs(20));
    const NOW: Option<Duration> = Some(Duration::ZERO);

    #[test]
    fn poll_returns_the_waiter_for_data() {
        let (near, mut far) = pair();
        let netpoll = Netpoll::new().unwrap();
        let registration = netpoll.open(near.as_raw_fd()).unwrap();
        let desc = registration.desc();
        let me = sched::park::current();
        let mut ready = Vec::new();
        netpoll.poll(NOW, &mut ready); // The first event: the socket is writable.
        let seen = desc.slot(Side::Read).tick();
        assert_eq!(
            netpoll.register(desc, Side::Read, me, seen),
            Registered::Waiting
        );
        assert_eq!(netpoll.waiters_count(), 1);
        netpoll.poll(NOW, &mut ready);
        assert!(ready.is_empty(), "no data yet");
        far.write_all(b"x").unwrap();
        netpoll.poll(SOON, &mut ready);
        assert_eq!(ready, [me]);
        assert_eq!(netpoll.waiters_count(), 0);
    }

    #[test]
    fn interrupt_ends_a_poll_that_blocks_and_is_not_cleared_by_a_poll_that_does_not() {
        let netpoll = Netpoll::new().unwrap();
        let mut ready = Vec::new();
        netpoll.interrupt();
        netpoll.interrupt();
        netpoll.poll(NOW, &mut ready);
        let start = Instant::now();
        netpoll.poll(SOON, &mut ready);
        assert!(start.elapsed() < Duration::from_secs(10));
        // Both interrupts are consumed now, so this poll reaches its time-out.
        let start = Instant::now();
        netpoll.poll(Some(Duration::from_millis(3)), &mut ready);
        assert!(start.elapsed() >= Duration::from_millis(3));
        netpoll.interrupt();
        netpoll.poll(None, &mut ready);
    }

    #[test]
    fn interrupt_from_another_thread_ends_a_poll_without_a_timeout() {
        let netpoll = Arc::new(Netpoll::new().unwrap());
        let other = netpoll.clone();
        let thread = std::thread::spawn(move || other.poll(None, &mut Vec::new()));
        netpoll.interrupt();
        thread.join().unwrap();
    }

    #[test]
    fn short_timeout_is_not_shortened() {
        let netpoll = Netpoll::new().unwrap();
        let start = Instant::now();
        netpoll.poll(Some(Duration::from_micros(150)), &mut Vec::new());
        assert!(start.elapsed() >= Duration::from_micros(150));
    }

    #[test]
    fn registration_dropped_leaves_no_watch_and_its_poll_desc_is_used_again() {
        let (near, mut far) = pair();
        let netpoll = Netpoll::new().unwrap();
        let first = netpoll.open(near.as_raw_fd()).unwrap();
        let stale = first.desc().token();
        drop(first);
        assert!(table::find(stale).is_none());
        far.write_all(b"x").unwrap();
        let mut ready = Vec::new();
        netpoll.poll(NOW, &mut ready);
        assert!(ready.is_empty());
        let again = netpoll.open(near.as_raw_fd()).unwrap();
        assert_eq!(again.desc().slot(Side::Read).tick(), 0);
        netpoll.poll(SOON, &mut ready);
        assert_eq!(again.desc().slot(Side::Read).tick(), 1, "ready when opened");
    }

    #[test]
    fn end_of_stream_is_never_drained() {
        let (near, far) = pair();
        let netpoll = Netpoll::new().unwrap();
        let registration = netpoll.open(near.as_raw_fd()).unwrap();
        let desc = registration.desc();
        drop(far);
        netpoll.poll(SOON, &mut Vec::new());
        let tick = desc.slot(Side::Read).tick();
        desc.slot(Side::Read).set_drained(tick);
        assert!(!desc.is_drained(tick));
    }

    #[test]
    fn pipe_with_an_empty_read_after_each_read_is_watched_by_level_during_a_wait() {
        let (reader, mut writer) = io::pipe().unwrap();
        let netpoll = Netpoll::new().unwrap();
        let registration = netpoll.open(reader.as_raw_fd()).unwrap();
        let desc = registration.desc();
        let me = sched::park::current();
        let wait = || {
            let seen = desc.slot(Side::Read).tick();
            netpoll.register(desc, Side::Read, me, seen)
        };
        assert!(!desc.is_watched_by_level());
        desc.watch_by_level();
        assert!(desc.is_watched_by_level());
        writer.write_all(b"three").unwrap();
        let mut ready = Vec::new();
        for _ in 0..10 {
            // Data that was left is reported again.
            assert_eq!(wait(), Registered::Waiting);
            netpoll.poll(SOON, &mut ready);
            assert_eq!(ready, [me]);
            ready.clear();
            desc.note_read(desc.slot(Side::Read).tick(), true);
        }
        let mut useless = 0;
        while desc.is_watched_by_level() {
            netpoll.poll(SOON, &mut ready);
            useless += 1;
        }
        assert!(useless < 10, "{useless} polls ended for nobody");
        // The change of the watch reports the data once more, and then no edge comes.
        assert_eq!(wait(), Registered::Waiting);
        netpoll.poll(SOON, &mut ready);
        assert_eq!(ready, [me]);
        ready.clear();
        assert_eq!(wait(), Registered::Waiting);
        netpoll.poll(NOW, &mut ready);
        assert!(ready.is_empty(), "it is watched by edge");
        writer.write_all(b"x").unwrap();
        netpoll.poll(SOON, &mut ready);
        assert_eq!(ready, [me]);
    }

    #[test]
    fn side_that_is_left_has_no_edge_until_it_is_watched_again() {
        let (near, mut far) = pair();
        let [first, second] = [(); 2].map(|()| Netpoll::new().unwrap());
        let registrations = [&first, &second].map(|n| n.open(near.as_raw_fd()).unwrap());
        let [left, kept] = registrations.each_ref().map(Registration::desc);
        let me = sched::park::current();
        let mut ready = Vec::new();
        // The socket is writable.
        first.poll(NOW, &mut ready);
        second.poll(NOW, &mut ready);
        left.slot(Side::Read)
            .set_drained(left.slot(Side::Read).tick());
        left.leave_both_sides();
        kept.leave_side(Side::Write);
        let seen = [left, kept].map(|desc| desc.slot(Side::Read).tick());
        assert!(!left.is_drained(seen[0]));
        assert_eq!(
            second.register(kept, Side::Read, me, seen[1]),
            Registered::Waiting
        );
        far.write_all(b"x").unwrap();
        first.poll(NOW, &mut ready);
        assert_eq!(left.slot(Side::Read).tick(), seen[0]);
        second.poll(SOON, &mut ready);
        assert_eq!(ready, [me]);
        ready.clear();
        // A wait watches the side again, and the byte is still there.
        assert_eq!(
            first.register(left, Side::Read, me, seen[0]),
            Registered::Waiting
        );
        assert!(left.watches_side(Side::Read));
        first.poll(SOON, &mut ready);
        assert_eq!(ready, [me]);
    }

    #[test]
    fn side_with_a_waiter_is_not_left_and_the_other_side_is() {
        let (near, mut far) = pair();
        let netpoll = Netpoll::new().unwrap();
        let registration = netpoll.open(near.as_raw_fd()).unwrap();
        let desc = registration.desc();
        let me = sched::park::current();
        netpoll.register(desc, Side::Read, me, 0);
        desc.leave_side(Side::Read);
        desc.leave_side(Side::Write);
        assert!(desc.watches_side(Side::Read) && !desc.watches_side(Side::Write));
        far.write_all(b"x").unwrap();
        let mut ready = Vec::new();
        netpoll.poll(SOON, &mut ready);
        assert_eq!(ready, [me]);
        assert_eq!(desc.slot(Side::Write).tick(), 0);
    }

    #[test]
    fn expire_takes_a_waiter_once_and_uncounts_it() {
        let (near, _far) = pair();
        let netpoll = Netpoll::new().unwrap();
        let registration = netpoll.open(near.as_raw_fd()).unwrap();
        let desc = registration.desc();
        let me = sched::park::current();
        netpoll.register(desc, Side::Read, me, 0);
        assert!(desc.expire(Side::Read, me));
        assert!(!desc.expire(Side::Read, me));
        assert!(registration.kick(Side::Read).is_none());
        assert_eq!(netpoll.waiters_count(), 0);
    }
}
