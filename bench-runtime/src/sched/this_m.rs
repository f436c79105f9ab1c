//! The M of the calling thread, with the part that only this thread may use.
//!
//! A goroutine that parks may continue on another M: the switch returns that M, and nothing keeps
//! a [`ThisM`] over a switch.

use std::marker::PhantomData;
use std::ops::Deref;
use std::ptr;
use std::sync::atomic::Ordering;

use super::idle::Lists;
use super::machine::{Machine, MachineQueues, Own};
use super::processor::{Processor, ThisP};
use super::shared::Shared;
use crate::netpoll::Netpoll;
use crate::recorder::event::Kind;
use crate::recorder::{SWITCHES, id_of};
use crate::sys::clock;
use crate::util::counter::Counter;
use crate::util::lock::LockGuard;

/// Ms of the process whose P was retaken, and that have had no P since.
pub(super) static RETAKEN_COUNT: Counter = Counter::new();

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

    #[inline(always)]
    pub(crate) fn machine(self) -> &'static Machine {
        self.machine
    }

    #[inline(always)]
    pub(super) fn own(self) -> &'static Own {
        // SAFETY: this is the M's own thread.
        unsafe { self.machine.own() }
    }

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

    /// Returns the P, or `None` if it was retaken; and whether the M was already inside, for
    /// `leave`.
    #[inline(always)]
    pub(crate) fn enter(self) -> (Option<ThisP>, bool) {
        let (p, was_inside) = self.own().p_lock.enter();
        // SAFETY: as in `held`.
        (unsafe { p.as_ref().map(|p| ThisP::new(p)) }, was_inside)
    }

    #[inline(always)]
    pub(crate) fn leave(self, was_inside: bool) {
        self.own().p_lock.leave(was_inside);
    }

    /// Only inside the runtime.
    pub(crate) fn held(self) -> Option<ThisP> {
        // SAFETY: Ps live as long as their runtime's Ms. This one holds it, and is inside.
        unsafe { self.own().p_lock.held().as_ref().map(|p| ThisP::new(p)) }
    }

    /// Takes a P that no M has. Only inside the runtime, without a P.
    pub(crate) fn acquire_p(self, p: &'static Processor) -> ThisP {
        unmark_retaken(self.shared(), self.machine);
        p.recorder.record(Kind::Start, self.id as u64, 0);
        if p.recorder.watches(SWITCHES)
            && let Some(g) = self.current_goroutine()
        {
            p.recorder.record(Kind::Run, id_of(g), 0);
        }
        // Before the lock shows the P: a retake reads the M here.
        p.set_owner(Some(self.id));
        self.holds_since_ns
            .store(clock::now_ns(), Ordering::Relaxed);
        self.own().p_lock.set(ptr::from_ref(p).cast_mut());
        self.shared().sysmon_wait.wake();
        // SAFETY: this thread holds P from here on.
        unsafe { ThisP::new(p) }
    }

    /// Acquires an idle P, or queues for one and sleeps until it is woken. Only inside the
    /// runtime, without a P. Blocks the thread.
    pub(super) fn acquire_or_wait(self, mut lists: LockGuard<'_, Lists>) {
        let idle = &self.shared().idle;
        match idle.acquire(&mut lists) {
            Some(p) => {
                drop(lists);
                self.acquire_p(p);
            }
            None => {
                idle.push_p_waiter(&mut lists, self.machine);
                drop(lists);
                self.sleep();
            }
        }
    }

    /// Only inside the runtime.
    pub(crate) fn release_p(self) {
        if let Some(p) = self.held() {
            p.recorder.record(Kind::Stop, self.id as u64, 0);
        }
        let idle = &self.shared().idle;
        idle.note_wake(self.machine, || self.holds_for_ns());
        self.own().p_lock.set(ptr::null_mut());
    }

    /// Sleeps until woken, and takes the P that the waker has given it, if any. Blocks the thread.
    pub(crate) fn sleep(self) {
        if let Some(p) = self.sleep_for_p() {
            self.acquire_p(p);
        }
    }

    #[inline(always)]
    pub(super) fn queues(self) -> &'static MachineQueues {
        &self.own().queues
    }

    /// Returns the poller in which the M will sleep: its own, if it has one, else the runtime's.
    /// From now on a thread that wakes the M also interrupts that poller. Only before the heavy
    /// barrier of S2.
    pub(crate) fn begin_polling(self) -> &'static Netpoll {
        let own = self.machine.own_netpoll();
        let netpoll = own.unwrap_or(&self.shared().netpoll);
        self.set_polls_in(Some(netpoll));
        netpoll
    }
}

/// Makes [`super::give_way`] check. Called under the lock of [`super::biased_lock`], so before the
/// M can acquire another P.
pub(crate) fn mark_retaken(shared: &Shared, m: &Machine) {
    if !m.p_retaken.swap(true, Ordering::Relaxed) {
        RETAKEN_COUNT.add();
        shared.retaken_count.add();
    }
}

/// The M holds a P again, or it ends.
#[inline]
pub(crate) fn unmark_retaken(shared: &Shared, m: &Machine) {
    if m.is_p_retaken() && m.p_retaken.swap(false, Ordering::Relaxed) {
        RETAKEN_COUNT.sub();
        shared.retaken_count.sub();
    }
}
