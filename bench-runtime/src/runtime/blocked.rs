//! The warning of a pinned runtime that a goroutine holds its thread while others wait that can run
//! only on that thread. The goroutine blocks in a call outside the runtime, or computes without a
//! call into the runtime.
//!
//! The others may wait for ever: if the goroutine waits for a lock of std that one of them holds,
//! or is in an endless loop. The deadlock check does not find this, because the thread does not
//! sleep in the runtime. So sysmon checks the threads whose P it has retaken. If such a thread has
//! slept for [`LONG_NS`], or has used the CPU for as long, sysmon writes to stderr which goroutine
//! it runs and which goroutines wait.

use std::ptr;
use std::time::Duration;

use crate::debug::profile::NAMED;
use crate::debug::{info, stderr};
use crate::goroutine::header::header_of_started;
use crate::goroutine::{FLAG_COMPACTED, Goroutine, Status};
use crate::sched::machine::Machine;
use crate::sched::shared::Shared;
use crate::sched::sysmon::{Round, Watch};

/// The time between two checks. Chosen, not measured.
const CHECK_NS: u64 = 100_000_000;
/// After this time a goroutine is reported: it is longer than a call that is only slow. With a
/// check before and after, and the time until the P is retaken, the warning comes within a second.
const LONG_NS: u64 = 7 * CHECK_NS;

/// The state of a thread without a P, as earlier checks found it.
#[derive(Clone, Copy, Debug, Default)]
struct Stay {
    /// When its P was retaken, which identifies the stay: see [`Machine::retaken_ns`]. 0: none.
    retaken_ns: u64,
    /// CPU time of the thread when the stay was first seen.
    began_cpu_ns: u64,
    since_ns: u64,
    cpu_ns: u64,
    is_warned: bool,
}

/// Why the waiting goroutines cannot run on their thread.
#[derive(Clone, Copy, Debug)]
enum Hold {
    Blocks,
    Computes,
}

/// Sysmon's watch over such threads.
#[derive(Debug, Default)]
pub(crate) struct Blocked {
    next_ns: u64,
    /// The index is the M's number.
    stays: Vec<Stay>,
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
        let machines = shared.machines.lock().clone();
        self.stays.resize(machines.len(), Stay::default());
        for (m, stay) in machines.into_iter().zip(&mut self.stays) {
            if let Some(hold) = stay.due_warning(shared, m, now_ns) {
                stay.is_warned = true;
                tell(shared, m, hold, now_ns - m.retaken_ns());
            }
        }
    }
}

impl Stay {
    /// Checks `m`; returns the warning, if one is due and none was written yet.
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
                since_ns: now_ns,
                cpu_ns,
                is_warned: false,
            };
            return None;
        }
        // Less work does not count, because a thread that sleeps may have been woken in between.
        if worked_ns > CHECK_NS / 100 {
            self.since_ns = now_ns;
            let computes = cpu_ns - self.began_cpu_ns >= LONG_NS;
            return (computes && !self.is_warned).then_some(Hold::Computes);
        }
        let is_due = !self.is_warned && now_ns - self.since_ns >= LONG_NS;
        (is_due && shared.settings.reads_files && m.is_asleep()).then_some(Hold::Blocks)
    }
}

fn warns_of_blocked_threads(shared: &Shared) -> bool {
    shared.settings.warns_of_blocked && !shared.settings.migrating && !shared.is_test()
}

fn tell(shared: &'static Shared, m: &'static Machine, hold: Hold, for_ns: u64) {
    let Some(blocks) = m.current_goroutine() else {
        return;
    };
    let Some(who) = info::info_of(blocks) else {
        return;
    };
    let mut all = vec![who];
    shared.slab().for_each(|g| {
        if all.len() <= NAMED && g.status() == Status::Runnable && stays_with(g, m) {
            all.extend(info::info_of(g));
        }
    });
    if !m.is_p_retaken() {
        return;
    }
    let (id, number, ms) = (all[0].id, m.id, for_ns / 1_000_000);
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

/// True if `g`, which is runnable, has started on this M. False for a goroutine whose stack is
/// compacted, because its header may move meanwhile.
fn stays_with(g: &'static Goroutine, m: &Machine) -> bool {
    let header = header_of_started(g).filter(|_| !g.has_flag(FLAG_COMPACTED));
    header.is_some_and(|header| ptr::eq(header.machine.look().cast(), m))
}
