//! A line about the scheduler every `THREADBARE_SCHEDTRACE` milliseconds, as Go's
//! `GODEBUG=schedtrace`:
//!
//! ```text
//! SCHED 1004ms: gomaxprocs=2 idleprocs=0 threads=5 spinningthreads=0 idlethreads=3 runqueue=0 [1 0]
//! ```
//!
//! `threads`: Ms and helpers. `idlethreads`: Ms that sleep. `runqueue`: the global queue. In
//! brackets: the Ps' queues, with the goroutines that only the P's M may run.

use std::fmt::{self, Display, Write};
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::debug::info::infos_in;
use crate::fatal::tell;
use crate::sched::global_queue::GlobalClass;
use crate::sched::machine::Machine;
use crate::sched::processor::ProcessorStatus;
use crate::sched::shared::Shared;
use crate::sched::sysmon::{Round, Watch};
use crate::sys::clock;

#[derive(Debug)]
struct Schedtrace {
    started_ns: u64,
    every_ns: u64,
    next_ns: u64,
}

/// `None` unless the environment sets an interval above zero.
pub(crate) fn of_environment() -> Option<Box<dyn Watch>> {
    let every = std::env::var("THREADBARE_SCHEDTRACE").ok()?;
    let every_ms = every.trim().parse::<u64>().ok().filter(|&ms| ms > 0)?;
    let every_ns = every_ms.saturating_mul(1_000_000);
    let started_ns = clock::now_ns();
    Some(Box::new(Schedtrace {
        started_ns,
        every_ns,
        next_ns: started_ns.saturating_add(every_ns),
    }))
}

impl Watch for Schedtrace {
    fn pause(&self, _: &'static Shared, now_ns: u64) -> Option<Duration> {
        Some(Duration::from_nanos(self.next_ns.saturating_sub(now_ns)))
    }

    fn check(&mut self, shared: &'static Shared, round: &Round) {
        let now_ns = round.now_ns;
        if now_ns >= self.next_ns {
            self.next_ns = now_ns.saturating_add(self.every_ns);
            let ms = (now_ns - self.started_ns) / 1_000_000;
            tell(format_args!("SCHED {ms}ms: {}", state_line(shared)));
        }
    }
}

/// Each number is exact, but they may be read at different times.
fn state_line(shared: &'static Shared) -> impl Display {
    let mut queues = String::new();
    for p in shared.processors().take(shared.procs()) {
        let holder = shared.owner_of(p);
        let own = match p.status() == ProcessorStatus::Running {
            true => holder.map_or(0, Machine::queued_count),
            false => 0,
        };
        let next = usize::from(!p.run_next.is_none(Ordering::Relaxed));
        let space = if queues.is_empty() { "" } else { " " };
        let _ = write!(queues, "{space}{}", p.queued_count() + next + own);
    }
    let global: usize = GlobalClass::ALL
        .map(|class| shared.global.len(class))
        .iter()
        .sum();
    let asleep = {
        let lists = shared.idle.lock();
        lists.machines.len() + lists.reserved.len()
    };
    let parts = [
        ("gomaxprocs", shared.procs()),
        ("idleprocs", shared.idle.processors_count() as usize),
        ("threads", shared.threads.count()),
        (
            "spinningthreads",
            shared.idle.spinning_count.load(Ordering::Relaxed) as usize,
        ),
        ("idlethreads", asleep),
        ("runqueue", global),
    ];
    fmt::from_fn(move |f| {
        for (name, value) in parts {
            write!(f, "{name}={value} ")?;
        }
        write!(f, "[{queues}]")
    })
}

pub(crate) fn debug_state(shared: &'static Shared) -> String {
    let mut out = String::new();
    let ids =
        |ms: &mut dyn Iterator<Item = &&'static Machine>| ms.map(|m| m.id).collect::<Vec<_>>();
    {
        let lists = shared.idle.lock();
        let _ = writeln!(
            out,
            "procs {} idle Ps {:?} sleeping Ms {:?} reserved {:?} in line {:?} spinning {} poller {:?} global {:?}",
            shared.procs(),
            lists.processors.iter().map(|p| p.id).collect::<Vec<_>>(),
            ids(&mut lists.machines.iter()),
            ids(&mut lists.reserved.iter()),
            ids(&mut lists.p_waiters.iter()),
            shared.idle.spinning_count.load(Ordering::SeqCst),
            shared.poller,
            shared.global,
        );
    }
    for p in shared.processors() {
        let _ = writeln!(
            out,
            "P{} {:?} queue {} next {:?} notice {:?} owner {:?} timers {}",
            p.id,
            p.status(),
            p.queued_count(),
            p.run_next,
            p.notice,
            p.owner(),
            p.timers.len(),
        );
    }
    for m in shared.machines() {
        let _ = writeln!(
            out,
            "M{} inbox {} spinning {:?}",
            m.id,
            m.has_inbox(),
            m.spinning
        );
    }
    for info in infos_in(shared.slab()) {
        let _ = writeln!(out, "{info}");
    }
    out
}
