//! The end of a runtime: how it stops, what its handles answer afterwards, and
//! what it gives back.
//!
//! 1. `stopping` is set; every M switches to g0 at its next call and ends, woken if
//!    it sleeps. Helpers without a job end. All have [`GRACE`] to do so,
//!    or [`IDLE_GRACE`].
//! 2. The state is [`RunState::Stopped`]: a join of a goroutine that has not ended
//!    returns an error, also a join that begins later.
//! 3. The thread that stops the runtime, or its last thread, drops the closures that never started, and gives back stacks,
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
const IDLE_GRACE: Duration = Duration::from_secs(5);

/// Goroutines that a leak report names.
pub(super) const LEAKS_SHOWN: usize = 1_000;

/// Whether goroutines that have not ended can.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum RunState {
    Running,
    /// With fake time: not before a thread outside does something.
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
            // Ms come to rest at any time; those that did are woken, to end.
            let resting: Vec<_> = {
                let mut lists = self.idle.lock();
                let mut all: Vec<_> = lists.machines.drain(..).collect();
                all.append(&mut lists.reserved);
                while let Some(m) = self.idle.pop_p_waiter(&mut lists) {
                    all.push(m);
                }
                all
            };
            for m in resting {
                m.wake(None);
            }
            self.helpers.release_all();
            self.machines
                .lock()
                .iter()
                .for_each(|m| m.interrupt_polling());
            self.wake_sysmon();
            let threads = self.lock_threads();
            let grace = match self.goroutines_count() {
                0 => IDLE_GRACE,
                _ => GRACE,
            };
            if threads.all() == 0 || began.elapsed() >= grace {
                break;
            }
            let wait = Duration::from_millis(1);
            drop(self.thread_ended.wait_timeout(threads, wait));
        }
        let threads_count = self.lock_threads().all();
        self.run_state
            .store(RunState::Stopped as u8, Ordering::SeqCst);
        let unfinished_count = self.goroutines_count();
        // Not a million lines.
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

    /// Stops the runtime, and returns when no goroutine can run any more: what one borrowed
    /// may then be gone. Blocks the thread.
    #[cold]
    pub(super) fn come_to_rest(&'static self) {
        self.stop();
        let begun = Instant::now();
        while self.lock_threads().all() != 0 {
            if begun.elapsed() > IDLE_GRACE {
                crate::fatal::fatal!(
                    "a goroutine runs on that was about to be given up, and what it borrows \
                     with it: all goroutines waited for each other, and then a foreign thread woke it"
                );
            }
            std::thread::sleep(Duration::from_millis(1));
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
            // SAFETY: no M runs, so no other reference is in use.
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
    pub(crate) fn run_state(&self) -> RunState {
        // SeqCst: see `spawn::wait_for`.
        match self.run_state.load(Ordering::SeqCst) {
            0 => RunState::Running,
            1 => RunState::Stuck,
            _ => RunState::Stopped,
        }
    }

    pub(super) fn change_run_state(&self, from: RunState, to: RunState) -> bool {
        let (from, to) = (from as u8, to as u8);
        self.run_state
            .compare_exchange(from, to, Ordering::SeqCst, Ordering::Relaxed)
            .is_ok()
    }

    /// Makes a goroutine runnable that was spawned from outside; false if the
    /// runtime stops. The thread that drops those that never started waits until all
    /// admissions under way are done.
    pub(super) fn admit(&'static self, g: &'static Goroutine) -> bool {
        // SeqCst: before the look; `stop` has them in the other order.
        self.admitting.fetch_add(1, Ordering::SeqCst);
        let stops = self.stopping.load(Ordering::SeqCst);
        if stops {
            // The caller drops it; `abandon_fresh` must not.
            g.set_status(Status::Dead);
        } else {
            if self.run_state() == RunState::Stuck {
                self.change_run_state(RunState::Stuck, RunState::Running);
            }
            self.submit(g);
        }
        // Release: pairs with the Acquire in `abandon_fresh`.
        self.admitting.fetch_sub(1, Ordering::Release);
        !stops
    }

    /// Ends the wait of callers outside this runtime that join a goroutine that
    /// will not end, and leaves `instead` in its `join`; with [`JOIN_LOST`]
    /// also where a handle may yet wait.
    pub(super) fn release_joiners(&'static self, instead: usize) {
        self.slab().for_each(|g| {
            if matches!(g.status(), Status::Idle | Status::Dead) {
                return;
            }
            // SeqCst: after the run state; see `spawn::wait_for`.
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
