//! The threads of a runtime: how they are started, counted and told from others,
//! and how they end.

use std::io;
use std::ptr;
use std::sync::atomic::Ordering;
use std::sync::{Arc, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use super::helpers::HELPER_STACK;
use super::idle::Lists;
use super::machine::Machine;
use super::processor::{Processor, ProcessorStatus};
use super::run_loop::machine_main;
use super::runtime::Shared;
use super::shutdown::RunState;
use super::trace::event::Kind;
use crate::goroutine::Goroutine;
use crate::sys::thread_end;
use crate::util::lock::Lock;

/// Threads a runtime may have, unless the builder says otherwise: Go's figure.
pub(super) const MAX_THREADS: usize = 10_000;

/// Stack of an M's own thread: the scheduler's loop and timer callbacks.
pub(super) const THREAD_STACK: usize = 256 * 1024;

/// How a thread of a runtime ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ThreadEnd {
    /// With the destructors of its thread-locals.
    Usual,
    /// Without them: goroutines that started on it, in a pinned runtime, are
    /// not at their end, and may have lent what lies there to other threads.
    KeepsLocals,
}

/// How often a thread is tried to be started that the kernel has no room for at the
/// moment, after pauses of 1 ms, 2 ms and so on: Go's figures.
const START_TRIES: u64 = 20;

/// Starts an OS thread with a stack of so many bytes. Blocks the thread, for 210 ms
/// at most, while the kernel has no room for another.
///
/// # Errors
///
/// When it has none then; the text says what to do.
pub(super) fn start(
    name: &str,
    stack: usize,
    body: impl FnOnce() + Send + 'static,
) -> io::Result<()> {
    // A start that fails takes what it was to run with it.
    let body = Arc::new(Lock::new(Some(body)));
    for pause in 1.. {
        let body = Arc::clone(&body);
        let run = move || {
            let taken = body.lock().take();
            // Now: the thread may end without destructors.
            drop(body);
            if let Some(body) = taken {
                body();
            }
        };
        let thread = thread::Builder::new().name(name.into()).stack_size(stack);
        match thread.spawn(run) {
            Ok(_) => break,
            Err(e) if e.kind() == io::ErrorKind::WouldBlock && pause <= START_TRIES => {
                thread::sleep(Duration::from_millis(pause));
            }
            Err(e) => {
                let text = format!(
                    "cannot start a thread: {e}; see ulimit -u, ulimit -v, kernel.threads-max and \
                     the control group's pids.max"
                );
                return Err(io::Error::new(e.kind(), text));
            }
        }
    }
    Ok(())
}

/// The same for a function of the program's, on a stack as helpers have.
///
/// # Errors
///
/// As of [`start`]; the function is dropped then.
pub(crate) fn start_thread(name: &str, f: impl FnOnce() + Send + 'static) -> io::Result<()> {
    start(name, HELPER_STACK, f)
}

/// What a thread of a runtime is for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum ThreadKind {
    Machine,
    Helper,
}

/// Threads of a runtime that have not ended.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Threads {
    machines: usize,
    helpers: usize,
}

impl Threads {
    /// Those that run the program's code.
    pub(super) fn all(self) -> usize {
        self.machines + self.helpers
    }

    fn of(&mut self, kind: ThreadKind) -> &mut usize {
        match kind {
            ThreadKind::Machine => &mut self.machines,
            ThreadKind::Helper => &mut self.helpers,
        }
    }
}

impl Shared {
    /// Puts a P to use: wakes a sleeping M with it, or starts a new one.
    pub(crate) fn start_machine(
        &'static self,
        lists: &mut Lists,
        p: &'static Processor,
        spinning: bool,
    ) {
        p.set_status(ProcessorStatus::Running);
        let asleep = lists.machines.pop_back();
        let m = asleep.unwrap_or_else(|| self.new_machine());
        m.spinning.store(spinning, Ordering::Relaxed);
        self.wake_machine(m, Some(p));
    }

    /// Gives a P that the caller holds, and a goroutine, to `m`, which was
    /// taken off the list of sleeping Ms, or to a new one.
    pub(super) fn start_on(
        &'static self,
        m: Option<&'static Machine>,
        p: &'static Processor,
        g: &'static Goroutine,
    ) {
        p.set_status(ProcessorStatus::Running);
        let m = m.unwrap_or_else(|| self.new_machine());
        // Not into its inbox: there another could start before it and never
        // let it.
        m.assigned
            .store(ptr::from_ref(g).cast_mut(), Ordering::Relaxed);
        self.wake_machine(m, Some(p));
    }

    fn new_machine(&'static self) -> &'static Machine {
        let mut machines = self.machines.lock();
        let m: &'static Machine = Box::leak(Box::new(Machine::new(machines.len(), self)));
        machines.push(m);
        drop(machines);
        self.record(Kind::ThreadStart, m.id as u64, 0);
        let name = format!("m{}", m.id);
        self.start_thread(ThreadKind::Machine, name, move || machine_main(m));
        m
    }

    /// Starts a thread of the runtime, whose last act is [`Self::thread_ends`].
    pub(crate) fn start_thread(
        &'static self,
        kind: ThreadKind,
        name: String,
        body: impl FnOnce() -> ThreadEnd + Send + 'static,
    ) {
        let running = {
            let mut threads = self.lock_threads();
            *threads.of(kind) += 1;
            threads.all()
        };
        if running > self.max_threads {
            crate::fatal::fatal!(
                "the program needs more than {} threads: so many goroutines are in blocking calls at once; \
                 raise Builder::max_threads, or bound the calls with a Semaphore",
                self.max_threads
            );
        }
        let stack = match kind {
            ThreadKind::Machine => THREAD_STACK,
            ThreadKind::Helper => HELPER_STACK,
        };
        super::lock_thread::on_clean_thread(move || {
            let user = self.user();
            let started = start(&name, stack, move || {
                let end = body();
                drop(user);
                if end == ThreadEnd::KeepsLocals {
                    thread_end::end_without_destructors();
                }
            });
            if let Err(error) = started {
                crate::fatal::fatal!("{error}; {running} exist for goroutines");
            }
        });
    }

    pub(super) fn lock_threads(&self) -> MutexGuard<'_, Threads> {
        self.threads.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The last act of an M's thread.
    pub(crate) fn machine_ends(&'static self, m: &'static Machine) {
        if m.spinning.swap(false, Ordering::Relaxed) {
            self.idle.spinning_count.fetch_sub(1, Ordering::SeqCst);
        }
        m.unmark_retaken();
        self.record(Kind::ThreadEnd, m.id as u64, 0);
        self.thread_ends(ThreadKind::Machine);
    }

    /// The last act of a thread of the runtime.
    pub(crate) fn thread_ends(&'static self, kind: ThreadKind) {
        // Notified under the lock, so that no waiter misses it.
        let mut threads = self.lock_threads();
        *threads.of(kind) -= 1;
        self.thread_ended.notify_all();
        drop(threads);
        if self.run_state() == RunState::Stopped {
            self.clear_up();
        }
    }

    /// Ms whose thread runs.
    pub(crate) fn machines_count(&self) -> usize {
        self.lock_threads().machines
    }

    /// Ms and helpers whose thread runs.
    pub(crate) fn threads_count(&self) -> usize {
        self.lock_threads().all()
    }

    /// How many goroutines may run on without a P at once: each has a thread,
    /// and the rest of them is for calls that say that they block.
    pub(super) fn max_hogs(&self) -> usize {
        (self.max_threads / 2).max(1)
    }
}
