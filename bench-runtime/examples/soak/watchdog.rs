//! Who watches that every actor gets on.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use bench_runtime::Runtime;

use crate::scenarios::SCENARIOS;

const IDLE: u64 = u64::MAX;

/// What each actor is at.
#[derive(Debug)]
pub(crate) struct Board {
    began: Instant,
    /// The scenario, or [`IDLE`].
    at: Vec<AtomicU64>,
    /// Since when, in milliseconds.
    since: Vec<AtomicU64>,
    counts: Vec<AtomicU64>,
    over: AtomicBool,
}

impl Board {
    pub(crate) fn new(actors: usize) -> Self {
        Self {
            began: Instant::now(),
            at: (0..actors).map(|_| AtomicU64::new(IDLE)).collect(),
            since: (0..actors).map(|_| AtomicU64::new(0)).collect(),
            counts: SCENARIOS.iter().map(|_| AtomicU64::new(0)).collect(),
            over: AtomicBool::new(false),
        }
    }

    fn now_ms(&self) -> u64 {
        self.began.elapsed().as_millis() as u64
    }

    pub(crate) fn begin(&self, actor: usize, scenario: usize) {
        self.at[actor].store(scenario as u64, Ordering::SeqCst);
    }

    pub(crate) fn end(&self, actor: usize) {
        let scenario = self.at[actor].load(Ordering::SeqCst) as usize;
        self.counts[scenario].fetch_add(1, Ordering::SeqCst);
        self.since[actor].store(self.now_ms(), Ordering::SeqCst);
    }

    /// The actor is done for good.
    pub(crate) fn leave(&self, actor: usize) {
        self.at[actor].store(IDLE, Ordering::SeqCst);
        self.since[actor].store(u64::MAX, Ordering::SeqCst);
    }

    pub(crate) fn finish(&self) {
        self.over.store(true, Ordering::SeqCst);
    }

    /// True once every actor has left.
    pub(crate) fn is_over(&self) -> bool {
        self.over.load(Ordering::SeqCst)
            || self
                .since
                .iter()
                .all(|since| since.load(Ordering::SeqCst) == u64::MAX)
    }

    pub(crate) fn rounds(&self) -> u64 {
        self.counts.iter().map(|n| n.load(Ordering::SeqCst)).sum()
    }

    pub(crate) fn scenario_counts(&self) -> impl Iterator<Item = (&'static str, u64)> {
        SCENARIOS
            .iter()
            .zip(&self.counts)
            .map(|((name, _), count)| (*name, count.load(Ordering::SeqCst)))
    }

    /// Actors without progress for `patience`, and what they are at.
    fn stuck(&self, patience: Duration) -> Vec<(usize, &'static str)> {
        let now = self.now_ms();
        (0..self.at.len())
            .filter(|&actor| {
                let since = self.since[actor].load(Ordering::SeqCst);
                now.saturating_sub(since) > patience.as_millis() as u64
            })
            .map(|actor| {
                let at = self.at[actor].load(Ordering::SeqCst);
                (actor, SCENARIOS.get(at as usize).map_or("-", |s| s.0))
            })
            .collect()
    }
}

/// Starts the thread.
pub(crate) fn start(
    board: Arc<Board>,
    runtime: Arc<Runtime>,
    patience: Duration,
) -> JoinHandle<()> {
    std::thread::spawn(move || {
        let mut rounds = 0;
        let mut last = Instant::now();
        let mut reported = Instant::now();
        while !board.over.load(Ordering::SeqCst) {
            std::thread::sleep(Duration::from_millis(50));
            let now_rounds = board.rounds();
            if now_rounds != rounds {
                rounds = now_rounds;
                last = Instant::now();
            }
            if reported.elapsed() > Duration::from_secs(10) {
                reported = Instant::now();
                println!("soak: {rounds} rounds, {:?}", runtime.metrics());
            }
            let stuck = board.stuck(patience);
            if !stuck.is_empty() || last.elapsed() > patience * 2 {
                eprintln!(
                    "soak: HANG: no progress of {stuck:?}\n{}",
                    runtime.debug_state()
                );
                std::process::abort();
            }
        }
    })
}
