//! The records of a runtime's goroutines: taken, given back, counted.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::blocking::Blocked;
use super::helpers::Job;
use super::processor::Processor;
use super::runtime::Shared;
use super::spawn;
use crate::goroutine::{Goroutine, Parkable, Status, slab};
use crate::stack::{Class, StackError};

impl Shared {
    /// The slab of this runtime's records.
    #[inline(always)]
    pub(crate) fn slab(&'static self) -> &'static slab::Slab {
        match self.slab.get() {
            Some(slab) => slab,
            None => crate::fatal::fatal!("a runtime without a slab"),
        }
    }

    /// The kind of stack a goroutine runs on.
    #[inline(always)]
    pub(crate) fn stack_class(&self, g: &Goroutine) -> Class {
        match g.details() {
            None => self.default_class,
            Some(details) => details.class().unwrap_or(self.default_class),
        }
    }

    /// Takes back the record of a goroutine that is over, from an M with a P.
    #[inline(always)]
    pub(crate) fn recycle(&'static self, p: &'static Processor, g: &'static Goroutine) {
        g.drop_details();
        g.set_status(Status::Idle);
        // SAFETY: the caller holds P inside the runtime.
        unsafe { p.own() }.records.put(self.slab(), g);
    }

    /// As [`Self::recycle`], from anywhere.
    pub(crate) fn recycle_outside(&'static self, g: &'static Goroutine) {
        let _user = self.user();
        g.drop_details();
        self.gives_back();
        g.set_status(Status::Idle);
        self.slab().put(g);
    }

    /// An unused record, for a thread without a P.
    pub(crate) fn take_record_outside(&'static self) -> &'static Goroutine {
        self.spawned_outside.fetch_add(1, Ordering::Relaxed);
        self.outside.lock().take(self.slab())
    }

    /// The records of those that have not ended, as far as they can be seen.
    pub(super) fn records_in_use(&'static self) -> Vec<&'static Goroutine> {
        let mut all = Vec::new();
        self.slab().for_each(|g| {
            if !matches!(g.status(), Status::Idle | Status::Dead) {
                all.push(g);
            }
        });
        all
    }

    /// Goroutines that have not ended.
    pub(crate) fn goroutines_count(&'static self) -> usize {
        let mut ended = 0u64;
        let mut spawned = self.spawned_outside.load(Ordering::Relaxed);
        // Ends first, so that the difference never falls below the truth.
        self.for_each_processor(|p| ended += p.ended_count.load(Ordering::Acquire));
        self.for_each_processor(|p| spawned += p.spawned_count.load(Ordering::Acquire));
        usize::try_from(spawned.saturating_sub(ended)).unwrap_or(0)
    }

    /// Ends a goroutine that can have no stack, and has not run. A helper drops its
    /// closure, the program's code, which may park; but where there is no room for
    /// a helper's thread either it is dropped here, and must not park. Where so many are
    /// at it already the thread waits for one of them, but not for long: that one may
    /// wait for this thread.
    #[cold]
    pub(crate) fn refuse_stack(
        &'static self,
        p: &'static Processor,
        g: &'static Goroutine,
        error: StackError,
    ) {
        const AT_ONCE: usize = 16;
        const PATIENCE: Duration = Duration::from_millis(10);
        struct Refused(Blocked, &'static Shared, &'static Goroutine, StackError);
        unsafe fn abandon(refused: *mut ()) -> Option<Parkable> {
            // SAFETY: made from a box below, and run once.
            let refused = *unsafe { Box::from_raw(refused.cast::<Refused>()) };
            // Until its joiner has been readied it is no deadlock.
            let Refused(_blocked, shared, g, error) = refused;
            spawn::abandon(shared, g, Some(Box::new(error)));
            shared.refusing.fetch_sub(1, Ordering::Relaxed);
            None
        }
        Processor::count(&p.ended_count);
        if !error.leaves_room_for_a_thread() {
            return spawn::abandon(self, g, Some(Box::new(error)));
        }
        let begun = Instant::now();
        while self.refusing.load(Ordering::Relaxed) >= AT_ONCE && begun.elapsed() < PATIENCE {
            std::thread::sleep(Duration::from_micros(50));
        }
        self.refusing.fetch_add(1, Ordering::Relaxed);
        let blocked = Blocked::begin(self);
        let refused = Box::into_raw(Box::new(Refused(blocked, self, g, error)));
        // SAFETY: the box lives until the job has run; closures and errors may
        // go to another thread.
        unsafe {
            self.help(Job {
                run: abandon,
                data: refused.cast(),
            });
        }
    }
}
