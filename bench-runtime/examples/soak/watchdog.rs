//! The thread that checks that every actor makes progress.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Weak, mpsc};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use bench_runtime::Runtime;

use crate::scenarios::SCENARIOS;

const IDLE: u64 = u64::MAX;

#[derive(Debug)]
pub(crate) struct Board {
    began: Instant,
    current: Vec<AtomicU64>,
    /// When the actor last ended a scenario, in milliseconds; `u64::MAX` once the actor has left.
    since: Vec<AtomicU64>,
    counts: Vec<AtomicU64>,
    over: AtomicBool,
    closed: AtomicBool,
}

impl Board {
    pub(crate) fn new(actors: usize) -> Self {
        Self {
            began: Instant::now(),
            current: (0..actors).map(|_| AtomicU64::new(IDLE)).collect(),
            since: (0..actors).map(|_| AtomicU64::new(0)).collect(),
            counts: SCENARIOS.iter().map(|_| AtomicU64::new(0)).collect(),
            over: AtomicBool::new(false),
            closed: AtomicBool::new(false),
        }
    }

    fn now_ms(&self) -> u64 {
        self.began.elapsed().as_millis() as u64
    }

    pub(crate) fn begin(&self, actor: usize, scenario: usize) {
        self.current[actor].store(scenario as u64, Ordering::SeqCst);
    }

    pub(crate) fn end(&self, actor: usize) {
        let scenario = self.current[actor].load(Ordering::SeqCst) as usize;
        self.counts[scenario].fetch_add(1, Ordering::SeqCst);
        self.since[actor].store(self.now_ms(), Ordering::SeqCst);
    }

    pub(crate) fn leave(&self, actor: usize) {
        self.current[actor].store(IDLE, Ordering::SeqCst);
        self.since[actor].store(u64::MAX, Ordering::SeqCst);
    }

    pub(crate) fn finish(&self) {
        self.over.store(true, Ordering::SeqCst);
    }

    /// Ends the watchdog.
    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::SeqCst);
    }

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

    fn stuck(&self, timeout: Duration) -> Vec<(usize, &'static str)> {
        let now = self.now_ms();
        (0..self.current.len())
            .filter(|&actor| {
                let since = self.since[actor].load(Ordering::SeqCst);
                now.saturating_sub(since) > timeout.as_millis() as u64
            })
            .map(|actor| {
                let current = self.current[actor].load(Ordering::SeqCst);
                (actor, SCENARIOS.get(current as usize).map_or("-", |s| s.0))
            })
            .collect()
    }
}

/// How long the program may take to end after the last scenario, in addition to the time-out.
const CLOSING: Duration = Duration::from_secs(60);

/// How long the runtime may take to print its state.
const TELLING: Duration = Duration::from_secs(10);

/// Runs until [`Board::close`]. Before it has reported a hang, the thread does not use the runtime,
/// because the runtime's locks may be the cause.
pub(crate) fn start(
    board: Arc<Board>,
    runtime: Weak<Runtime>,
    timeout: Duration,
) -> JoinHandle<()> {
    std::thread::spawn(move || {
        let mut rounds = 0;
        let mut last = Instant::now();
        while !board.over.load(Ordering::SeqCst) {
            std::thread::sleep(Duration::from_millis(50));
            let now_rounds = board.rounds();
            if now_rounds != rounds {
                rounds = now_rounds;
                last = Instant::now();
            }
            let stuck = board.stuck(timeout);
            if !stuck.is_empty() || last.elapsed() > timeout * 2 {
                hang(&format!("no progress of {stuck:?}"), &runtime);
            }
        }
        let over = Instant::now();
        while !board.closed.load(Ordering::SeqCst) {
            std::thread::sleep(Duration::from_millis(50));
            if over.elapsed() > timeout + CLOSING {
                hang("the end does not come", &runtime);
            }
        }
    })
}

/// Prints the progress. The watchdog does not, because that takes locks of the runtime.
pub(crate) fn start_reporter(board: Arc<Board>, runtime: Weak<Runtime>) -> JoinHandle<()> {
    std::thread::spawn(move || {
        let mut reported = Instant::now();
        while !board.over.load(Ordering::SeqCst) {
            std::thread::sleep(Duration::from_millis(50));
            if reported.elapsed() > Duration::from_secs(10)
                && let Some(runtime) = runtime.upgrade()
            {
                reported = Instant::now();
                println!("soak: {} rounds, {:?}", board.rounds(), runtime.metrics());
            }
        }
    })
}

/// Prints the facts of a hang, the most certain first, and aborts.
fn hang(what: &str, runtime: &Weak<Runtime>) -> ! {
    eprintln!("soak: HANG: {what}");
    eprint!("{}", threads());
    let (printed, is_printed) = mpsc::channel();
    let runtime = runtime.clone();
    std::thread::spawn(move || {
        match runtime.upgrade() {
            Some(runtime) => eprintln!("{}", runtime.debug_state()),
            None => eprintln!("soak: the handle of the runtime is gone"),
        }
        let _ = printed.send(());
    });
    if is_printed.recv_timeout(TELLING).is_err() {
        eprintln!("soak: the runtime does not describe itself: one of its locks is held");
    }
    std::process::abort();
}

/// The name and state of each thread and, if known, the system call and the kernel function in
/// which it sleeps.
fn threads() -> String {
    let mut out = String::new();
    for task in std::fs::read_dir("/proc/self/task")
        .into_iter()
        .flatten()
        .flatten()
    {
        let read = |file: &str| {
            let text = std::fs::read_to_string(task.path().join(file)).unwrap_or_default();
            text.trim().to_owned()
        };
        let stat = read("stat");
        let state = stat
            .rsplit(')')
            .next()
            .and_then(|rest| rest.split_whitespace().next());
        out += &format!(
            "thread {} {:?} {} in {:?}, system call {}\n",
            task.file_name().display(),
            read("comm"),
            state.unwrap_or("?"),
            read("wchan"),
            read("syscall"),
        );
    }
    out
}
