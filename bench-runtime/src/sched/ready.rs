//! Making goroutines runnable: which queue they go to, and which M is woken.
//!
//! # Where a readied goroutine goes
//!
//! | which                                 | where                              |
//! |---------------------------------------|------------------------------------|
//! | locked to an M                        | that M, which queues for a P       |
//! | not of the normal class               | its list in the global queue       |
//! | found by its own M's poll, of timers too | behind what is in the list or queue |
//! | started, in a pinned runtime          | its M's own `run_next` or inbox    |
//! | any other, from inside the runtime    | the P's `run_next`                 |
//! | any other, from outside               | the global queue                   |
//!
//! # When an M is woken for `run_next`
//!
//! Not at once: mostly the goroutine that readied it parks soon, and a wake costs more
//! than the wait. If sysmon finds the same goroutine there in two rounds, it moves it to
//! the global queue and makes the runtime *eager* for a while: then
//! readied goroutines go to the end of the queue, where idle Ps steal them at
//! once. (Waking for each was measured by others at a fifth of throughput, and
//! never waking at 20 times the latency, for different programs: tokio's
//! issues 8065 and 4941.)

use std::ptr::{self, NonNull};
use std::sync::atomic::Ordering;

use super::current;
use super::global_queue::{GlobalClass, Priority};
use super::machine::Machine;
use super::processor::Processor;
use super::runtime::Shared;
use super::trace::ANY;
use crate::goroutine::slab::Slab;
use crate::goroutine::{
    CLAIMED_BIT, FLAG_COMPACTED, FLAG_LOCKED, FRESH, Goroutine, List, RUNNING_BIT, Status,
};
use crate::stack::{StackHeader, header_of};
use crate::sys::{barrier, fork};

/// Flags that keep a goroutine off the fast path.
const SPECIAL: u8 = FLAG_LOCKED | (0b11 << crate::goroutine::FLAG_PRIORITY_SHIFT);

/// The runtime that a goroutine belongs to.
#[inline(always)]
pub(crate) fn shared_of(g: &Goroutine) -> &'static Shared {
    // SAFETY: the slab of a runtime names its `Shared`, which lives as long as
    // any of its records.
    unsafe { &*Slab::owner_of(g).cast::<Shared>() }
}

/// The stack header of a goroutine that has started and not ended.
pub(crate) fn header_of_started(g: &Goroutine) -> Option<&'static StackHeader> {
    let context = g.context.load(Ordering::Acquire);
    if context == FRESH {
        return None;
    }
    // The header's address, or another one inside the slot.
    match header_of(context & !(RUNNING_BIT | CLAIMED_BIT)) {
        // SAFETY: slots are never unmapped.
        Some(header) => Some(unsafe { header.as_ref() }),
        None => super::off_slot::header_of_suspended(g),
    }
}

/// The M that a goroutine which has started and not ended ran on last. Only for the
/// caller that has readied it.
pub(crate) fn machine_of_started(g: &Goroutine) -> Option<&'static Machine> {
    let context = g.context.load(Ordering::Acquire);
    if context & RUNNING_BIT == 0
        && g.has_flag(FLAG_COMPACTED)
        && let Some(m) = super::stacks::machine_of_compacted(context)
    {
        // SAFETY: as in `machine_of`.
        return Some(unsafe { m.cast().as_ref() });
    }
    header_of_started(g).map(current::machine_of)
}

/// Ends the wait of a goroutine.
#[inline]
pub(crate) fn ready_goroutine(g: &'static Goroutine) {
    g.set_status(Status::Runnable);
    if let Some(header) = current::header() {
        let m = current::machine_of(header);
        let (p, was_inside) = m.enter();
        match p {
            Some(p) if ptr::eq(m.shared, shared_of(g)) => {
                if p.watches(ANY) {
                    p.note_ready(g);
                }
                make_runnable(m, p, g);
            }
            _ => shared_of(g).submit(g),
        }
        m.leave(was_inside);
        return;
    }
    ready_from_thread(g);
}

/// The caller is no goroutine: a plain thread, or an M on g0, which is inside.
#[cold]
fn ready_from_thread(g: &'static Goroutine) {
    match current::thread_machine() {
        Some(m) if ptr::eq(m.shared, shared_of(g)) => match m.held() {
            Some(p) => {
                p.note_ready(g);
                make_runnable(m, p, g);
            }
            None => m.shared.submit(g),
        },
        _ => shared_of(g).submit(g),
    }
}

/// Puts a goroutine where it will run next on this P, or where it belongs.
#[inline(always)]
pub(crate) fn make_runnable(m: &'static Machine, p: &'static Processor, g: &'static Goroutine) {
    if m.shared.pinned {
        return make_pinned_runnable(m, p, g);
    }
    if g.has_flag(SPECIAL) {
        return make_special_runnable(m, p, g);
    }
    if m.shared.eager.load(Ordering::Relaxed) != 0 {
        return push_back(m, p, g);
    }
    let old = p.run_next.load(Ordering::Relaxed);
    p.run_next
        .store(ptr::from_ref(g).cast_mut(), Ordering::Release);
    if !old.is_null() {
        // SAFETY: records are type-stable.
        push_back(m, p, unsafe { &*old });
    }
}

/// [`make_special_runnable`] for one that has started on this M, in a pinned
/// runtime. A function of its own that calls no other, so it saves no register.
#[inline(never)]
fn make_pinned_runnable(m: &'static Machine, p: &'static Processor, g: &'static Goroutine) {
    // Acquire: as in `header_of_started`.
    let context = g.context.load(Ordering::Acquire);
    if context == FRESH || g.has_flag(FLAG_LOCKED | FLAG_COMPACTED) {
        return make_special_runnable(m, p, g);
    }
    match header_of(context & !(RUNNING_BIT | CLAIMED_BIT)) {
        // SAFETY: slots are never unmapped.
        Some(header) if ptr::eq(unsafe { header.as_ref() }.machine.get().cast(), m) => {
            set_run_next(m, g);
        }
        _ => make_special_runnable(m, p, g),
    }
}

/// In a pinned runtime: has a goroutine of this M run next. Not by an exchange:
/// only this M touches it.
#[inline(always)]
fn set_run_next(m: &'static Machine, g: &'static Goroutine) {
    let old = m.run_next.load(Ordering::Relaxed);
    m.run_next
        .store(ptr::from_ref(g).cast_mut(), Ordering::Relaxed);
    if !old.is_null() {
        // SAFETY: our own M; records are type-stable.
        unsafe { m.push_pinned(&*old) };
    }
}

#[cold]
#[inline(never)]
fn make_special_runnable(m: &'static Machine, p: &'static Processor, g: &'static Goroutine) {
    let shared = m.shared;
    if g.has_flag(FLAG_LOCKED) {
        return shared.submit(g);
    }
    if shared.pinned
        && let Some(target) = machine_of_started(g)
    {
        if !ptr::eq(target, m) {
            target.deliver(g);
            shared.notify_machine(target);
            return;
        }
        set_run_next(m, g);
        return;
    }
    if Priority::of(g) != Priority::Normal {
        return shared.submit(g);
    }
    push_back(m, p, g);
}

/// As [`make_runnable`], but behind the others that wait here, and without waking an
/// M: for a caller that readies several in order.
pub(crate) fn make_runnable_in_turn(
    m: &'static Machine,
    p: &'static Processor,
    g: &'static Goroutine,
) {
    if g.has_flag(SPECIAL) {
        return make_special_runnable(m, p, g);
    }
    if !m.shared.pinned {
        return push_back_quietly(m, p, g);
    }
    match machine_of_started(g) {
        // SAFETY: our own M.
        Some(own) if ptr::eq(own, m) => unsafe { m.push_pinned(g) },
        _ => make_special_runnable(m, p, g),
    }
}

/// Puts a goroutine at the end of the P's queue, and wakes an M for it if one
/// should be.
#[inline(always)]
pub(crate) fn push_back(m: &'static Machine, p: &'static Processor, g: &'static Goroutine) {
    push_back_quietly(m, p, g);
    m.shared.wake_one();
}

/// The same without waking an M: for a caller that calls `wake_one` afterwards.
#[inline(always)]
pub(crate) fn push_back_quietly(m: &'static Machine, p: &'static Processor, g: &'static Goroutine) {
    if p.queue.push(NonNull::from(g)).is_err() {
        overflow(m.shared, p, g);
    }
}

/// Puts a goroutine that yields behind the others.
#[inline(always)]
pub(crate) fn push_yielded(m: &'static Machine, p: &'static Processor, g: &'static Goroutine) {
    if m.shared.pinned {
        // SAFETY: our own M, and the yielder has started on it.
        return unsafe { m.push_pinned(g) };
    }
    if g.has_flag(SPECIAL) {
        return push_yielded_special(m, g);
    }
    push_back(m, p, g);
}

#[cold]
#[inline(never)]
fn push_yielded_special(m: &'static Machine, g: &'static Goroutine) {
    if Priority::of(g) != Priority::Normal {
        return m.shared.submit(g);
    }
    // SAFETY: our own M, and the yielder has started on it.
    unsafe { m.push_pinned(g) };
}

/// Moves half of a full queue, and one more, to the global queue.
#[cold]
#[inline(never)]
fn overflow(shared: &'static Shared, p: &'static Processor, g: &'static Goroutine) {
    let mut batch = List::new();
    // SAFETY: entries are records, which are type-stable.
    p.queue.take_half(|g| batch.push(unsafe { g.as_ref() }));
    batch.push(g);
    shared.global.push_normal(&mut batch);
}

impl Shared {
    /// Puts a goroutine back that cannot run at this moment.
    pub(crate) fn requeue(&'static self, m: &'static Machine, g: &'static Goroutine) {
        if self.pinned && header_of_started(g).is_some() {
            // Only its own M dequeues a started goroutine.
            m.deliver(g);
        } else {
            self.push_global(g);
        }
    }

    /// Appends to the global queue.
    pub(crate) fn push_global(&'static self, g: &'static Goroutine) {
        let class = GlobalClass::from(Priority::of(g));
        if class == GlobalClass::High {
            self.attention.add();
        }
        self.global.push(class, g);
    }

    /// Makes a goroutine runnable from outside: from a thread without a P.
    #[cold]
    pub(crate) fn submit(&'static self, g: &'static Goroutine) {
        if fork::is_child() {
            // It is the parent's.
            return;
        }
        // Once it is in a queue it may run and end, and the runtime with it.
        let _user = self.user();
        self.note_ready_outside(g);
        if g.has_flag(FLAG_LOCKED)
            && let Some(m) = machine_of_started(g)
        {
            m.locked_ready.store(true, Ordering::Release);
            return self.notify_machine(m);
        }
        if self.pinned
            && let Some(m) = machine_of_started(g)
        {
            m.deliver(g);
            return self.notify_machine(m);
        }
        self.push_global(g);
        self.wake_one();
    }

    /// Queues one of the normal class whose P was retaken, which happens in a
    /// migrating runtime only.
    pub(super) fn submit_preempted(&'static self, g: &'static Goroutine) {
        // As in `submit`.
        let _user = self.user();
        self.note_ready_outside(g);
        self.global.push(GlobalClass::Preempted, g);
        self.wake_one();
    }

    /// Steps W2 and W3 of [`super::idle`].
    #[inline(always)]
    pub(crate) fn wake_one(&'static self) {
        barrier::light(); // W2
        if self.idle.processors_count() != 0
            && self.idle.spinning_count.load(Ordering::Relaxed) == 0
        {
            self.wake_one_slow(); // W3
        }
    }

    #[cold]
    #[inline(never)]
    fn wake_one_slow(&'static self) {
        // AcqRel: one waker at a time goes on.
        if self
            .idle
            .spinning_count
            .compare_exchange(0, 1, Ordering::AcqRel, Ordering::Relaxed)
            .is_err()
        {
            return;
        }
        self.metrics.wakes_count.fetch_add(1, Ordering::Relaxed);
        let mut lists = self.idle.lock();
        let Some(p) = self.idle.acquire(&mut lists) else {
            self.idle.spinning_count.fetch_sub(1, Ordering::AcqRel);
            return;
        };
        self.start_machine(&mut lists, p, true);
    }

    /// Wakes an M for work that only it can do, if it sleeps. An M looks at its inbox
    /// before it sleeps: by the barriers of [`super::idle`] either it sees the mail or
    /// this finds it on the list.
    #[cold]
    pub(crate) fn notify_machine(&'static self, m: &'static Machine) {
        // The mail before the load of `resting`: the M has them in the other order,
        // with a heavy barrier between.
        barrier::light();
        let is_locked = m.locked_ready.load(Ordering::Relaxed);
        if self.pinned && !is_locked && !m.resting.load(Ordering::Relaxed) {
            return;
        }
        // SeqCst: the mail before the look at the list, which the lock orders.
        std::sync::atomic::fence(Ordering::SeqCst);
        let mut lists = self.idle.lock();
        // A reserved M is not woken for mail: it runs only its locked goroutine, and a
        // wake tells it that this goroutine is ready.
        let asleep = lists.take_machine(m)
            || (m.locked_ready.load(Ordering::Acquire) && lists.take_reserved(m));
        if !asleep {
            return;
        }
        match self.idle.acquire(&mut lists) {
            Some(p) => self.wake_machine(m, Some(p)),
            None => {
                self.idle.wait_for_p(&mut lists, m);
                // The M that gives it a P wakes its futex only, not its poller.
                m.interrupt_polling();
            }
        }
    }

    /// Wakes an M that was taken off the idle list; it may sleep in the
    /// netpoller.
    pub(crate) fn wake_machine(&'static self, m: &'static Machine, p: Option<&'static Processor>) {
        m.wake(p);
        m.interrupt_polling();
        self.wake_sysmon();
    }
}
