//! What one P has of the recorder.

use std::sync::atomic::{AtomicU8, Ordering};

use super::event::{Event, Kind};
use super::latency::{Counts, Sample};
use super::ring::Ring;
use super::{Recorder, SAMPLE, SWITCHES, id_of, new_ring, site_event};
use crate::goroutine::Goroutine;
use crate::sys::clock;

/// See the module. Only the M that holds the P writes, inside the runtime.
#[derive(Debug)]
pub(crate) struct Part {
    pub(crate) ring: Ring,
    /// What is recorded or timed beyond the usual.
    watch: AtomicU8,
    sample: Sample,
    pub(crate) latencies: Counts,
}

impl Part {
    /// Its first goroutine is timed.
    pub(crate) fn new() -> Self {
        Self {
            ring: new_ring(),
            watch: AtomicU8::new(SAMPLE),
            sample: Sample::default(),
            latencies: Counts::new(),
        }
    }

    /// True if this event is recorded, or timed.
    #[inline(always)]
    pub(crate) fn watches(&self, what: u8) -> bool {
        self.watch.load(Ordering::Relaxed) & what != 0
    }

    /// The next goroutine that becomes runnable here is timed.
    pub(crate) fn watch_next(&self) {
        let watch = self.watch.load(Ordering::Relaxed);
        self.watch.store(watch | SAMPLE, Ordering::Relaxed);
    }

    /// Follows the level of the runtime, from now on.
    pub(crate) fn follow_level(&self, recorder: &Recorder) {
        let watch = self.watch.load(Ordering::Relaxed) & SAMPLE;
        self.watch
            .store(watch | recorder.watch(), Ordering::Relaxed);
    }

    /// Records an event that is happening now.
    pub(crate) fn record(&self, kind: Kind, subject: u64, detail: u64) {
        self.record_at(Event::new(clock::now_ns(), kind, subject, detail));
    }

    pub(crate) fn record_at(&self, event: Event) {
        self.ring.push(event.pack());
    }

    /// Called by a P that [`Self::watches`] for anything and has spawned a
    /// goroutine, which no other thread can see yet.
    #[cold]
    #[inline(never)]
    pub(crate) fn note_spawn(&self, g: &'static Goroutine) {
        self.time_ready(g);
        if self.watches(SWITCHES) {
            let at_ns = clock::now_ns();
            self.record_at(Event::new(at_ns, Kind::Spawn, id_of(g), 0));
            if let Some(site) = g.site() {
                self.record_at(site_event(at_ns, site));
            }
        }
    }

    /// The same for one that was readied, and is in no queue yet.
    #[cold]
    #[inline(never)]
    pub(crate) fn note_ready(&self, g: &'static Goroutine) {
        self.time_ready(g);
        if self.watches(SWITCHES) {
            self.record(Kind::Ready, id_of(g), 0);
        }
    }

    fn time_ready(&self, g: &'static Goroutine) {
        let watch = self.watch.load(Ordering::Relaxed);
        if watch & SAMPLE != 0 {
            self.watch.store(watch & !SAMPLE, Ordering::Relaxed);
            self.sample.begin(g);
        }
    }

    /// Called by one that records switches, at a switch from the current
    /// goroutine, which is null if it ended, to `next`.
    #[cold]
    #[inline(never)]
    pub(crate) fn note_switch(&self, last: Option<&Goroutine>, next: Option<&'static Goroutine>) {
        let at_ns = clock::now_ns();
        if let Some(last) = last {
            // It is valid until the goroutine itself continues, which it cannot
            // while we use its stack.
            let reason = last.head.reason.load(Ordering::Relaxed);
            let kind = if reason == 0 { Kind::Yield } else { Kind::Park };
            self.record_at(Event::new(at_ns, kind, id_of(last), reason.into()));
        }
        if let Some(next) = next {
            self.record_at(Event::new(at_ns, Kind::Run, id_of(next), 0));
        }
    }

    /// Since when a goroutine has been runnable, if it is timed here. For any M, which runs it.
    pub(crate) fn end_timing(&self, g: &'static Goroutine) -> Option<u64> {
        self.sample.end(g)
    }
}
