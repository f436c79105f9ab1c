use std::sync::atomic::{AtomicU8, Ordering};

use super::event::{Event, Kind};
use super::latency::{Counts, Sample};
use super::ring::Ring;
use super::{Recorder, SAMPLE, SWITCHES, id_of, new_ring, site_event};
use crate::goroutine::Goroutine;
use crate::sys::clock;

/// The part of the recorder that each P has. Only the M that holds the P writes, inside the
/// runtime.
#[derive(Debug)]
pub(crate) struct Part {
    pub(crate) ring: Ring,
    watch: AtomicU8,
    sample: Sample,
    pub(crate) latencies: Counts,
}

impl Part {
    /// The first goroutine that becomes runnable here is timed.
    pub(crate) fn new() -> Self {
        Self {
            ring: new_ring(),
            watch: AtomicU8::new(SAMPLE),
            sample: Sample::default(),
            latencies: Counts::new(),
        }
    }

    #[inline(always)]
    pub(crate) fn watches(&self, what: u8) -> bool {
        self.watch.load(Ordering::Relaxed) & what != 0
    }

    pub(crate) fn time_next(&self) {
        let watch = self.watch.load(Ordering::Relaxed);
        self.watch.store(watch | SAMPLE, Ordering::Relaxed);
    }

    pub(crate) fn follow_level(&self, recorder: &Recorder) {
        let watch = self.watch.load(Ordering::Relaxed) & SAMPLE;
        self.watch
            .store(watch | recorder.watch(), Ordering::Relaxed);
    }

    pub(crate) fn record(&self, kind: Kind, subject: u64, detail: u64) {
        self.record_at(Event::new(clock::now_ns(), kind, subject, detail));
    }

    pub(crate) fn record_at(&self, event: Event) {
        self.ring.push(event.pack());
    }

    /// Called if [`Self::watches`] is true of [`ANY`](super::ANY) and the P has spawned a
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

    /// As [`Self::note_spawn`], for a goroutine that was readied and is in no queue yet.
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

    /// `last` is `None` if that goroutine has ended. Called if switches are recorded.
    #[cold]
    #[inline(never)]
    pub(crate) fn note_switch(&self, last: Option<&Goroutine>, next: Option<&'static Goroutine>) {
        let at_ns = clock::now_ns();
        if let Some(last) = last {
            // The reason is valid until `last` continues, which it cannot do while this thread is
            // still on its stack.
            let reason = last.head.reason.load(Ordering::Relaxed);
            let kind = if reason == 0 { Kind::Yield } else { Kind::Park };
            self.record_at(Event::new(at_ns, kind, id_of(last), reason.into()));
        }
        if let Some(next) = next {
            self.record_at(Event::new(at_ns, Kind::Run, id_of(next), 0));
        }
    }

    /// As [`Sample::end`].
    pub(crate) fn end_timing(&self, g: &'static Goroutine) -> Option<u64> {
        self.sample.end(g)
    }
}
