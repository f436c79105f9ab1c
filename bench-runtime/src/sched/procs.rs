//! The Ps of a runtime.
//!
//! Ps are made when they are first needed, and freed with the runtime. Those with a number below
//! GOMAXPROCS are idle or held. The others are dead, or will be once their Ms handle a notice.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use super::processor::{Processor, ProcessorStatus};
use super::processor_set::{MAX_PROCS, ProcessorSet};
use crate::sys::affinity;
use crate::sys::cgroup::{Cgroup, procs_for};
use crate::util::lock::Lock;

#[derive(Debug)]
pub(crate) struct Procs {
    /// GOMAXPROCS.
    number: AtomicUsize,
    all: Box<[OnceLock<Box<Processor>>]>,
    /// Ps that exist: all below this index.
    made: AtomicUsize,
    /// See [`Self::for_each_timed`].
    timed: ProcessorSet,
    /// GOMAXPROCS was set explicitly or by the environment.
    fixed: AtomicBool,
    resize: Lock<()>,
}

impl Procs {
    /// `fixed`: GOMAXPROCS does not follow the host.
    pub(crate) fn new(fixed: bool) -> Self {
        Self {
            number: AtomicUsize::new(0),
            all: (0..MAX_PROCS).map(|_| OnceLock::new()).collect(),
            made: AtomicUsize::new(0),
            timed: ProcessorSet::default(),
            fixed: AtomicBool::new(fixed),
            resize: Lock::new(()),
        }
    }

    #[inline(always)]
    pub(super) fn number(&self) -> usize {
        self.number.load(Ordering::Relaxed)
    }

    pub(super) fn follow_host(&self) -> bool {
        !self.fixed.load(Ordering::Relaxed)
    }

    pub(super) fn fix(&self) {
        self.fixed.store(true, Ordering::Relaxed);
    }

    pub(super) fn get(&self, index: usize) -> Option<&Processor> {
        self.all.get(index)?.get().map(|p| &**p)
    }

    pub(super) fn made_count(&self) -> usize {
        self.made.load(Ordering::Acquire)
    }

    pub(super) fn note_timer(&self, p: &Processor) {
        // After the timer was armed: see `for_each_timed`.
        if !self.timed.contains(p.id) {
            self.timed.insert(p.id);
        }
    }

    /// Calls `f` with each P that has timers, and maybe with others. Removes a P that has no timers
    /// and does not run, under the lock of its timers: a thread that arms a timer later adds the P
    /// again.
    pub(super) fn for_each_timed(&'static self, mut f: impl FnMut(&'static Processor)) {
        let timed = self.timed.members(0, self.made_count());
        for p in timed.filter_map(|id| self.get(id)) {
            f(p);
            if p.timers.next_ns() == u64::MAX && p.status() != ProcessorStatus::Running {
                p.timers.call_if_unarmed(|| self.timed.remove(p.id));
            }
        }
    }

    /// Sets GOMAXPROCS, makes the Ps that are missing and calls `f` with the old number. Excludes
    /// other calls meanwhile.
    pub(super) fn resize<R>(&self, number: usize, f: impl FnOnce(usize) -> R) -> R {
        let _resize = self.resize.lock();
        let old = self.number.swap(number, Ordering::SeqCst);
        for index in 0..number {
            self.all[index].get_or_init(|| Box::new(Processor::new(index)));
            self.made.fetch_max(index + 1, Ordering::AcqRel);
        }
        f(old)
    }
}

pub(crate) fn number_for_host(reads_files: bool) -> usize {
    let quota = reads_files.then(|| Cgroup::of_this_process().cpus());
    procs_for(affinity::cpus().len(), quota.flatten())
}
