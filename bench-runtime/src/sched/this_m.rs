//! The M of the calling thread: the only way to the part that only an M's own thread may use.
//!
//! A [`ThisM`] is not `Send`, so it stays with its thread. A goroutine that parks may
//! continue on another M: it gets that one from the switch (`switch::leave_stack`), and
//! nothing keeps a `ThisM` over a switch.

use std::marker::PhantomData;
use std::ops::Deref;
use std::sync::atomic::Ordering;

use super::idle::Lists;
use super::machine::{Machine, MachineQueues};
use super::processor::{Processor, ThisP};
use super::shared::Shared;
use crate::netpoll::Netpoll;
use crate::recorder::event::Kind;
use crate::recorder::{SWITCHES, id_of};
use crate::util::counter::Counter;
use crate::util::lock::LockGuard;

/// Ms of the process whose P was retaken and that have none since.
pub(super) static RETAKEN: Counter = Counter::new();

/// See the module.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ThisM {
    machine: &'static Machine,
    /// Not `Send`, not `Sync`.
    _thread: PhantomData<*const ()>,
}

impl Deref for ThisM {
    type Target = Machine;

    #[inline(always)]
    fn deref(&self) -> &Machine {
        self.machine
    }
}

impl ThisM {
    /// # Safety
    ///
    /// The calling thread is this M's, until its next switch to another stack.
    #[inline(always)]
    pub(crate) unsafe fn new(machine: &'static Machine) -> Self {
        Self {
            machine,
            _thread: PhantomData,
        }
    }

    /// The part that other threads may use, too.
    #[inline(always)]
    pub(crate) fn machine(self) -> &'static Machine {
        self.machine
    }

    /// Its runtime.
    #[inline(always)]
    pub(crate) fn shared(self) -> &'static Shared {
        // SAFETY: `wake::new_machine` puts the address of the runtime there, which lives as
        // long as its Ms.
        unsafe {
            &*self
                .machine
                .runtime
                .load(Ordering::Relaxed)
                .cast::<Shared>()
        }
    }

    /// Comes into the runtime. `None` if the P was retaken. Returns also
    /// whether it was already inside, for `leave`.
    #[inline(always)]
    pub(crate) fn enter(self) -> (Option<ThisP>, bool) {
        // SAFETY: our own thread.
        let (p, was_inside) = unsafe { self.machine.enter() };
        // SAFETY: it holds P, inside.
        (p.map(|p| unsafe { ThisP::new(p) }), was_inside)
    }

    /// Goes back to the goroutine's code.
    #[inline(always)]
    pub(crate) fn leave(self, was_inside: bool) {
        // SAFETY: our own thread.
        unsafe { self.machine.leave(was_inside) }
    }

    /// The P it holds. Only inside the runtime.
    pub(crate) fn held(self) -> Option<ThisP> {
        // SAFETY: our own thread; it holds P, inside.
        unsafe { self.machine.held().map(|p| ThisP::new(p)) }
    }

    /// Takes up a P, which no M has. Only inside the runtime, without one.
    pub(crate) fn acquire_p(self, p: &'static Processor) -> ThisP {
        unmark_retaken(self.shared(), self.machine);
        self.note_start(p);
        // SAFETY: our own thread, which holds P from here on.
        let p = unsafe {
            self.machine.set_p(Some(p));
            ThisP::new(p)
        };
        self.shared().sysmon_wait.wake();
        p
    }

    /// Acquires an idle P, or queues for one and sleeps until it is woken. Only inside the
    /// runtime, without one. Blocks the thread.
    pub(super) fn acquire_or_wait(self, mut lists: LockGuard<'_, Lists>) {
        let idle = &self.shared().idle;
        match idle.acquire(&mut lists) {
            Some(p) => {
                drop(lists);
                self.acquire_p(p);
            }
            None => {
                idle.wait_for_p(&mut lists, self.machine);
                drop(lists);
                self.sleep();
            }
        }
    }

    /// Lets go of its P. Only inside the runtime.
    pub(crate) fn release_p(self) {
        if let Some(p) = self.held() {
            p.recorder.record(Kind::Stop, self.id as u64, 0);
        }
        // SAFETY: our own thread.
        unsafe { self.machine.set_p(None) }
    }

    /// Sleeps until woken, and takes up the P that the waker handed over, if
    /// any. Blocks the thread.
    pub(crate) fn sleep(self) {
        // SAFETY: our own thread.
        if let Some(p) = unsafe { self.machine.sleep() } {
            self.acquire_p(p);
        }
    }

    /// In a pinned runtime: its queues.
    #[inline(always)]
    pub(super) fn queues(self) -> &'static MachineQueues {
        // SAFETY: our own thread.
        unsafe { self.machine.queues() }
    }

    /// Moves what is in its inbox to the end of its queue.
    pub(super) fn take_inbox(self) {
        // SAFETY: our own thread.
        unsafe { self.machine.take_inbox() }
    }

    /// From now on a thread that wakes it must also interrupt its poller: its own,
    /// or the runtime's, which this returns. To be called before the heavy
    /// barrier.
    pub(crate) fn begin_polling(self) -> &'static Netpoll {
        let own = self.machine.own_netpoll();
        let netpoll = own.unwrap_or(&self.shared().netpoll);
        self.machine.set_polls_in(netpoll);
        netpoll
    }

    /// Its own thread, inside, leaves the stack of its current goroutine for
    /// its own.
    #[inline(always)]
    pub(crate) fn note_leave(self) {
        if let Some(p) = self.held()
            && p.recorder.watches(SWITCHES)
        {
            p.recorder.note_switch(self.current_goroutine(), None);
        }
    }

    /// The same if the goroutine has ended: its record may belong to another.
    #[inline(always)]
    pub(crate) fn note_end(self) {
        if let Some(p) = self.held()
            && p.recorder.watches(SWITCHES)
        {
            p.recorder.record(Kind::End, 0, 0);
        }
    }

    /// It has taken a P.
    fn note_start(self, p: &'static Processor) {
        p.recorder.record(Kind::Start, self.id as u64, 0);
        if p.recorder.watches(SWITCHES)
            && let Some(g) = self.current_goroutine()
        {
            p.recorder.record(Kind::Run, id_of(g), 0);
        }
    }
}

/// Marks an M whose P was just retaken, so that [`super::give_way`] checks. Under the lock by
/// which it finds that out: before it can acquire another P.
pub(crate) fn mark_retaken(shared: &Shared, m: &Machine) {
    if !m.p_retaken.swap(true, Ordering::Relaxed) {
        RETAKEN.add();
        shared.retaken_count.add();
    }
}

/// Unmarks it: it holds a P again, or it ends.
#[inline]
pub(crate) fn unmark_retaken(shared: &Shared, m: &Machine) {
    if m.is_p_retaken() && m.p_retaken.swap(false, Ordering::Relaxed) {
        RETAKEN.sub();
        shared.retaken_count.sub();
    }
}
