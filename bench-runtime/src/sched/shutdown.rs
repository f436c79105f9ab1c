//! The end of a runtime: how it stops, what its handles answer afterwards, and
//! what it gives back.
//!
//! 1. `stopping` is set; every M goes home at its next call and ends, woken if
//!    it sleeps. Helpers without a job end. All have [`GRACE`] to do so,
//!    or [`WIND_UP`].
//! 2. The outlook is [`Outlook::Stopped`]: who joins a goroutine that has not
//!    ended learns that it will not, also who begins to wait later.
//! 3. Whoever finds that no thread is left, the one who stops or the last
//!    thread, drops the closures that never started, and gives back stacks,
//!    timers and descriptors. Stacks of goroutines that had started and not
//!    ended stay as they are for ever.
//! 4. When no user is left and no record is in use, the core is freed and the
//!    records go to other runtimes ([`super::lifetime`]).

use std::ptr;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::api::Shutdown;
use super::profile::GoroutineProfile;
use super::runtime::Shared;
use super::spawn;
use crate::goroutine::{
    Goroutine, JOIN_DETACHED, JOIN_DONE, JOIN_LOST, JOIN_OPEN, Kind, Parkable, Status,
};
use crate::sys::fork;

/// How long a shutdown waits for goroutines in mid-computation. Under the thread
/// sanitizer all takes longer.
const GRACE: Duration = Duration::from_millis(if cfg!(rt_tsan) { 5_000 } else { 200 });

/// The same where no goroutine is left: its own threads end by themselves, once
/// the host lets them run.
const WIND_UP: Duration = Duration::from_secs(5);

/// Goroutines that a leak report names.
pub(super) const LEAKS_SHOWN: usize = 1_000;

/// Whether goroutines that have not ended can.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Outlook {
    Open,
    /// With fake time: not before somebody outside does something.
    Stuck,
    /// Never: the runtime has stopped.
    Stopped,
}

impl Shared {
    /// See [`super::api::Runtime::shutdown`].
    pub(super) fn stop(&'static self) -> Shutdown {
        // A fork's child has no threads to wait for.
        if self.stopping.swap(true, Ordering::SeqCst) || fork::is_child() {
            return Shutdown::default();
        }
        super::dump::no_dump_on_quit(self);
        self.attention.add();
        let began = Instant::now();
        loop {
            // Ms come to rest at any time; whoever did is sent on its way.
            let resting: Vec<_> = {
                let mut lists = self.idle.lock();
                let mut all: Vec<_> = lists.machines.drain(..).collect();
                all.append(&mut lists.reserved);
                while let Some(m) = self.idle.first_in_line(&mut lists) {
                    all.push(m);
                }
                all
            };
            for m in resting {
                m.wake(None);
            }
            self.helpers.dismiss();
            self.machines
                .lock()
                .iter()
                .for_each(|m| m.interrupt_polling());
            self.wake_sysmon();
            let threads = self.lock_threads();
            let patience = match self.goroutines_count() {
                0 => WIND_UP,
                _ => GRACE,
            };
            if threads.all() == 0 || began.elapsed() >= patience {
                break;
            }
            let wait = Duration::from_millis(1);
            drop(self.thread_ended.wait_timeout(threads, wait));
        }
        let threads_count = self.lock_threads().all();
        self.outlook.store(Outlook::Stopped as u8, Ordering::SeqCst);
        let unfinished_count = self.goroutines_count();
        // A million lines help nobody.
        let mut unfinished = self.goroutines();
        unfinished.truncate(LEAKS_SHOWN);
        // Perhaps none is left by now, and the last one saw no stop.
        self.clear_up();
        self.release_joiners(JOIN_LOST);
        Shutdown {
            unfinished_count,
            unfinished,
            stacks: GoroutineProfile::default(),
            threads_count,
        }
    }

    /// Drops closures that never started; no M runs any more.
    fn abandon_fresh(&'static self) {
        while self.admitting.load(Ordering::Acquire) != 0 {
            std::thread::yield_now();
        }
        let mut fresh = Vec::new();
        self.slab().for_each(|g| {
            if g.status() == Status::Runnable
                && g.context.load(Ordering::Acquire) == crate::goroutine::FRESH
            {
                fresh.push(g);
            }
        });
        for g in fresh {
            spawn::abandon(self, g, None);
        }
    }

    /// Once the runtime has stopped and no thread of it is left: drops what
    /// never started and gives back what the runtime holds. Returns when that is
    /// done, also where another thread does it: what is given back can be had
    /// again after a shutdown.
    pub(super) fn clear_up(&'static self) {
        if self.lock_threads().all() == 0 {
            self.cleared_up.call_once(|| {
                self.abandon_fresh();
                self.give_back();
            });
        }
    }

    /// Gives back what a stopped runtime holds; no M runs any more.
    fn give_back(&'static self) {
        self.for_each_processor(|p| {
            // SAFETY: no M runs, so nobody else is in there.
            unsafe { p.own() }.stacks.drain();
            p.timers.clear();
        });
        self.netpoll.retire();
        for m in self.machines.lock().iter() {
            m.retire_netpoll();
        }
    }

    /// Whether goroutines that have not ended can.
    #[inline]
    pub(crate) fn outlook(&self) -> Outlook {
        // SeqCst: see `spawn::wait_for`.
        match self.outlook.load(Ordering::SeqCst) {
            0 => Outlook::Open,
            1 => Outlook::Stuck,
            _ => Outlook::Stopped,
        }
    }

    pub(super) fn change_outlook(&self, from: Outlook, to: Outlook) -> bool {
        let (from, to) = (from as u8, to as u8);
        self.outlook
            .compare_exchange(from, to, Ordering::SeqCst, Ordering::Relaxed)
            .is_ok()
    }

    /// Makes a goroutine runnable that was spawned from outside; false if the
    /// runtime stops. Whoever drops those that never started waits until all
    /// admissions under way are done.
    pub(super) fn admit(&'static self, g: &'static Goroutine) -> bool {
        // SeqCst: before the look; `stop` has them in the other order.
        self.admitting.fetch_add(1, Ordering::SeqCst);
        let stops = self.stopping.load(Ordering::SeqCst);
        if stops {
            // The caller drops it, so that nobody else does.
            g.set_status(Status::Dead);
        } else {
            if self.outlook() == Outlook::Stuck {
                self.change_outlook(Outlook::Stuck, Outlook::Open);
            }
            self.submit(g);
        }
        // Release: pairs with the Acquire in `abandon_fresh`.
        self.admitting.fetch_sub(1, Ordering::Release);
        !stops
    }

    /// Ends the wait of whoever outside this runtime joins a goroutine that
    /// will not end, and leaves `instead` in its `join`; with [`JOIN_LOST`]
    /// also where a handle may yet wait.
    pub(super) fn release_joiners(&'static self, instead: usize) {
        self.slab().for_each(|g| {
            if matches!(g.status(), Status::Idle | Status::Dead) {
                return;
            }
            // SeqCst: after the outlook; see `spawn::wait_for`.
            let join = g.join.load(Ordering::SeqCst);
            let who = match join {
                JOIN_DETACHED | JOIN_DONE | JOIN_LOST => return,
                JOIN_OPEN => None,
                address => ptr::NonNull::new(address as *mut _)
                    // SAFETY: by the table of `join` it is a parkable's head.
                    .map(|head| unsafe { Parkable::from_head(head) }),
            };
            let outside = who.is_some_and(|who| match who.head().kind {
                Kind::Thread => true,
                // It is polled where its waker leads, and goes on waiting while
                // goroutines are only stuck.
                Kind::Future => instead == JOIN_LOST,
                Kind::Goroutine => {
                    instead == JOIN_LOST
                        && !ptr::eq(super::ready::shared_of(Goroutine::of(who)), self)
                }
            });
            if !outside && instead != JOIN_LOST {
                return;
            }
            let changed = g
                .join
                .compare_exchange(join, instead, Ordering::AcqRel, Ordering::Relaxed)
                .is_ok();
            // Those inside do not go on either.
            if let Some(who) = who
                && changed
                && outside
            {
                super::park::ready(who);
            }
        });
    }
}
