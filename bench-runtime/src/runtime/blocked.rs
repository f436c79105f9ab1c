//! The warning of
//! [`Builder::warns_of_blocked_threads`](crate::Builder::warns_of_blocked_threads).
//!
//! Sysmon checks the threads whose P it has retaken. If such a thread has slept for [`LONG_NS`],
//! or has used the CPU for as long, sysmon writes to stderr which goroutine the thread runs and
//! which goroutines wait.

use std::ptr;
use std::time::Duration;

use crate::debug::profile::NAMED;
use crate::debug::{info, stderr};
use crate::goroutine::header::header_of_started;
use crate::goroutine::{FLAG_COMPACTED, Goroutine, Status};
use crate::sched::machine::Machine;
use crate::sched::settings::SchedulerKind;
use crate::sched::shared::Shared;
use crate::sched::sysmon::{Round, Watch};
use crate::sys::thread::State;

/// The time between two checks. Chosen, not measured.
const CHECK_NS: u64 = 100_000_000;
/// A goroutine is reported when it has blocked or computed for this time. The sum of this, the time
/// until the P is retaken, and up to two [`CHECK_NS`] is less than a second.
const LONG_NS: u64 = 7 * CHECK_NS;

/// What earlier checks found about a thread since its P was retaken.
#[derive(Clone, Copy, Debug, Default)]
struct History {
    /// The value of [`Machine::retaken_ns`]; 0 if the thread has a P, or no goroutine waits for
    /// the thread.
    retaken_ns: u64,
    /// CPU time of the thread at the first check.
    began_cpu_ns: u64,
    /// The time of the last check that found the CPU used, or of the first check.
    idle_since_ns: u64,
    /// CPU time of the thread at the last check.
    cpu_ns: u64,
    is_warned: bool,
}

#[derive(Clone, Copy, Debug)]
enum Hold {
    Blocks,
    Computes,
}

#[derive(Debug, Default)]
pub(crate) struct Blocked {
    next_ns: u64,
    /// The index is the M's number.
    histories: Vec<History>,
}

impl Watch for Blocked {
    fn pause(&self, shared: &'static Shared, now_ns: u64) -> Option<Duration> {
        let watches = warns_of_blocked_threads(shared) && shared.retaken_count.get() != 0;
        watches.then(|| Duration::from_nanos(self.next_ns.saturating_sub(now_ns)))
    }

    fn check(&mut self, shared: &'static Shared, round: &Round) {
        let now_ns = round.now_ns;
        if self.pause(shared, now_ns) != Some(Duration::ZERO) {
            return;
        }
        self.next_ns = now_ns + CHECK_NS;
        let machines = shared.machines();
        self.histories.resize(machines.len(), History::default());
        for (m, history) in machines.into_iter().zip(&mut self.histories) {
            if let Some(hold) = history.due_warning(shared, m, now_ns) {
                history.is_warned = true;
                warn(shared, m, hold, now_ns - m.retaken_ns());
            }
        }
    }
}

impl History {
    /// Returns what to warn of, if a warning is due and none was written yet.
    fn due_warning(&mut self, shared: &Shared, m: &Machine, now_ns: u64) -> Option<Hold> {
        if !m.is_p_retaken() || !m.has_pinned_work() {
            *self = Self::default();
            return None;
        }
        let cpu_ns = m.cpu_clock.get().and_then(|clock| clock.now_ns());
        let cpu_ns = cpu_ns.unwrap_or_default();
        let worked_ns = cpu_ns.saturating_sub(self.cpu_ns);
        self.cpu_ns = cpu_ns;
        if self.retaken_ns != m.retaken_ns() {
            *self = Self {
                retaken_ns: m.retaken_ns(),
                began_cpu_ns: cpu_ns,
                idle_since_ns: now_ns,
                cpu_ns,
                is_warned: false,
            };
            return None;
        }
        // Less CPU time than this does not count: a thread that blocks may wake for a moment.
        if worked_ns > CHECK_NS / 100 {
            self.idle_since_ns = now_ns;
            let computes = cpu_ns - self.began_cpu_ns >= LONG_NS;
            return (computes && !self.is_warned).then_some(Hold::Computes);
        }
        let is_due = !self.is_warned && now_ns - self.idle_since_ns >= LONG_NS;
        (is_due && shared.thread_state_of(m) == State::Asleep).then_some(Hold::Blocks)
    }
}

fn warns_of_blocked_threads(shared: &Shared) -> bool {
    let settings = &shared.settings;
    settings.warns_of_blocked && settings.kind == SchedulerKind::Pinned && !shared.is_test()
}

fn warn(shared: &'static Shared, m: &'static Machine, hold: Hold, held_ns: u64) {
    let Some(holder) = m.current_goroutine() else {
        return;
    };
    let Some(holder_info) = info::info_of(holder) else {
        return;
    };
    let mut all = vec![holder_info];
    shared.slab().for_each(|g| {
        if all.len() <= NAMED && g.status() == Status::Runnable && has_started_on(g, m) {
            all.extend(info::info_of(g));
        }
    });
    if !m.is_p_retaken() {
        return;
    }
    let (id, number, ms) = (all[0].id, m.id, held_ns / 1_000_000);
    let text = match hold {
        Hold::Blocks => format!(
            "goroutine {id} has blocked thread m{number} for {ms} ms, in a call that the runtime does not \
             know of. Others that started on that thread could run, and wait until it comes back; it \
             never does if it waits for one of them: for a std::sync::Mutex that one holds while it waits, \
             say. Use the locks of bench_runtime::sync, or bench_runtime::blocking around the call."
        ),
        Hold::Computes => format!(
            "goroutine {id} has computed on thread m{number} for {ms} ms without a call into the runtime. \
             Others that started on that thread could run, and wait until it makes one. Call \
             bench_runtime::yield_now now and then, start it by GoBuilder::cpu_bound, or use a migrating \
             runtime."
        ),
    };
    stderr::write_all(&format!("warning: {text}\n\n"), &all);
}

/// True if `g`, which is runnable, has started on this M. Always false if its stack is compacted,
/// because then its header may move meanwhile.
fn has_started_on(g: &'static Goroutine, m: &Machine) -> bool {
    let header = header_of_started(g).filter(|_| !g.has_flag(FLAG_COMPACTED));
    header.is_some_and(|header| ptr::eq(header.machine.look().cast(), m))
}
