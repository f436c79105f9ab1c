//! The Ps of a runtime: how many there are, which exist, and how that changes
//! while it runs.
//!
//! Ps are made when they are first needed and never freed. GOMAXPROCS is a number:
//! those below it are idle or held, those from it on are dead, or will be once the M that
//! holds them looks at it, after a notice.

use std::io;
use std::ptr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use super::builder::Builder;
use super::machine::Machine;
use super::processor::{Processor, ProcessorStatus};
use super::runtime::Shared;
use super::trace::event::Kind;
use crate::goroutine::List;
use crate::sys::cgroup::{Cgroup, procs_for};
use crate::sys::{affinity, barrier};
use crate::util::lock::Lock;

/// GOMAXPROCS is at most this.
const MAX_PROCS: usize = 4096;

/// See the module.
#[derive(Debug)]
pub(super) struct Procs {
    /// GOMAXPROCS.
    number: AtomicUsize,
    all: Box<[OnceLock<Box<Processor>>]>,
    /// Ps that exist: all below this index.
    made: AtomicUsize,
    /// GOMAXPROCS was set by hand or by the environment.
    fixed: AtomicBool,
    resize: Lock<()>,
}

impl Procs {
    /// None as yet, and how many there are to be.
    pub(super) fn new(builder: &Builder) -> io::Result<(Self, usize)> {
        let by_environment = std::env::var("GOMAXPROCS")
            .ok()
            .and_then(|v| v.trim().parse::<usize>().ok());
        let by_hand = builder.procs.or(by_environment.filter(|&n| n > 0));
        let number = by_hand.unwrap_or_else(|| number_for_host(builder.reads_files));
        if !(1..=MAX_PROCS).contains(&number) {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!("GOMAXPROCS must be 1 to {MAX_PROCS}, not {number}"),
            ));
        }
        let procs = Self {
            number: AtomicUsize::new(0),
            all: (0..MAX_PROCS).map(|_| OnceLock::new()).collect(),
            made: AtomicUsize::new(0),
            fixed: AtomicBool::new(by_hand.is_some()),
            resize: Lock::new(()),
        };
        Ok((procs, number))
    }
}

/// What the host allows.
fn number_for_host(reads_files: bool) -> usize {
    let quota = reads_files.then(|| Cgroup::of_this_process().cpus());
    procs_for(affinity::cpus().len(), quota.flatten())
}

impl Shared {
    /// GOMAXPROCS.
    #[inline(always)]
    pub(crate) fn procs(&self) -> usize {
        self.procs.number.load(Ordering::Relaxed)
    }

    /// True while GOMAXPROCS follows the host.
    pub(crate) fn procs_follow_host(&self) -> bool {
        !self.procs.fixed.load(Ordering::Relaxed)
    }

    /// Reads the host's limits again.
    pub(crate) fn follow_host(&'static self) {
        let procs = number_for_host(self.reads_files()).min(MAX_PROCS);
        if procs != self.procs() && self.procs_follow_host() {
            self.resize_to(procs);
        }
    }

    pub(crate) fn set_procs_by_hand(&'static self, procs: usize) -> usize {
        assert!(
            (1..=MAX_PROCS).contains(&procs),
            "GOMAXPROCS must be 1 to {MAX_PROCS}, not {procs}"
        );
        self.procs.fixed.store(true, Ordering::Relaxed);
        self.resize_to(procs)
    }

    /// Changes the number of Ps. New ones are idle at once; those that are too
    /// many are retired by the Ms that hold them, at the next pick.
    pub(super) fn resize_to(&'static self, procs: usize) -> usize {
        let _resize = self.procs.resize.lock();
        self.record(Kind::Procs, procs as u64, 0);
        let old = self.procs.number.swap(procs, Ordering::SeqCst);
        for index in 0..procs {
            let p: &'static Processor =
                self.procs.all[index].get_or_init(|| Box::new(Processor::new(index)));
            self.procs.made.fetch_max(index + 1, Ordering::AcqRel);
            let mut lists = self.idle.lock();
            if p.status() == ProcessorStatus::Dead {
                self.idle.release(&mut lists, p);
            }
        }
        for index in procs..self.procs.made.load(Ordering::Acquire) {
            let Some(p) = self.processor(index) else {
                continue;
            };
            let withdrawn = self.idle.withdraw(&mut self.idle.lock(), p);
            if withdrawn {
                self.retire(p);
            }
        }
        // The others look at their own number, and at whether they are alone.
        // Release: pairs with the Acquire in `find_runnable`, so that a thread that sees
        // the notice sees the number.
        self.for_each_processor(|p| p.notice.store(true, Ordering::Release));
        if procs > old {
            // Work that was queued while there was no P for it wakes no M:
            // it waits in a busy P's queue as well as in the global one.
            barrier::heavy();
            self.wake_one();
        }
        old
    }

    /// A P by its number.
    pub(crate) fn processor(&'static self, index: usize) -> Option<&'static Processor> {
        self.procs.all.get(index)?.get().map(|p| &**p)
    }

    /// The P that always exists.
    pub(crate) fn first_processor(&'static self) -> &'static Processor {
        match self.processor(0) {
            Some(p) => p,
            None => crate::fatal::fatal!("a runtime without a P"),
        }
    }

    /// Every P that was ever made, dead ones too: they may have timers.
    pub(crate) fn for_each_processor(&'static self, mut f: impl FnMut(&'static Processor)) {
        for index in 0..self.procs.made.load(Ordering::Acquire) {
            if let Some(p) = self.processor(index) {
                f(p);
            }
        }
    }

    /// The holder answers a notice: false if the P was retired.
    pub(crate) fn handle_notice(&'static self, m: &'static Machine, p: &'static Processor) -> bool {
        if p.id >= self.procs() {
            m.set_p(None);
            self.retire(p);
            return false;
        }
        // Under the lock, so that no P comes alive between the look at the
        // others and the change: it could steal by compare-exchange while we
        // pop by plain stores.
        p.follow_level(&self.recorder);
        let lists = self.idle.lock();
        let mut alone = self.procs() == 1;
        self.for_each_processor(|other| {
            alone &= ptr::eq(other, p) || other.status() == ProcessorStatus::Dead;
        });
        p.queue.set_shared(!alone);
        drop(lists);
        if self.procs() == 1 && !alone {
            // Look again when the others are gone.
            p.notice.store(true, Ordering::Relaxed);
        }
        true
    }

    /// Empties a P that the caller holds and lays it down. Its timers stay:
    /// every M looks at them.
    fn retire(&'static self, p: &'static Processor) {
        let mut batch = List::new();
        let next = p.run_next.swap(ptr::null_mut(), Ordering::Relaxed);
        // SAFETY: records are type-stable, and the caller holds P, so that
        // no other thread touches its own part.
        unsafe {
            if let Some(next) = next.as_ref() {
                batch.push(next);
            }
            while let Some(g) = p.queue.pop() {
                batch.push(g.as_ref());
            }
            p.own().stacks.drain();
        }
        self.global.push_normal(&mut batch);
        let mut lists = self.idle.lock();
        p.queue.set_shared(true);
        p.owner.store(ptr::null_mut(), Ordering::Release);
        p.set_status(ProcessorStatus::Dead);
        if p.id < self.procs() {
            // It was called back meanwhile.
            self.idle.release(&mut lists, p);
        }
        drop(lists);
        if !self.global.is_empty() {
            self.wake_one();
        }
    }

    /// As `hand_off`, for a P that may be one too many.
    pub(crate) fn hand_off_or_retire(&'static self, p: &'static Processor) {
        if p.id >= self.procs() {
            self.retire(p)
        } else {
            self.hand_off(p)
        }
    }
}
