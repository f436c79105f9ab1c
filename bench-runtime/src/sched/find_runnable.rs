//! What an M runs next, and how it comes to rest when there is nothing.
//!
//! The order in which it looks, at each pick on its own stack:
//!
//! 1. the P is to be given up: GOMAXPROCS shrank; or, once in [`SCHED_TICKS`] picks and
//!    if only hogs are left, another M queues for a P and this one has had its P for as
//!    long as the other one's last turn; before the latter, a hog whose turn it is;
//! 2. the P's due timers;
//! 3. once in [`SCHED_TICKS`] picks the classes below the high one: every other time
//!    the low one, then the normal one, in the global queue and then step 5;
//!    so none starves;
//! 4. the high class;
//! 5. `run_next`, for a time slice that all goroutines of a chain through it share,
//!    then the P's queue; in a pinned runtime mail has every other pick,
//!    and the M's own list and the P's queue go by turns;
//! 6. the global queue, a share of the normal class; one whose P was retaken;
//! 7. the netpoller, without waiting;
//! 8. in a pinned runtime, a short spin for mail if that has hit lately; then
//!    other Ps, spinning, if not too many do; and their due timers;
//! 9. the low class;
//! 10. rest: steps S1 to S4 of [`super::idle`]; one resting M waits in the
//!     netpoller, for the first timer at most, all others on their futex.
//!
//! Steps 3 to 6 are in [`super::pick`]. Between two goroutines that are both at
//! hand, the one that parks picks the next by [`super::pick::pick_fast`] on its
//! own stack, which is step 5 alone; every [`SCHED_TICKS`] picks, or when the P is given
//! notice, it switches to g0 instead.

use std::ptr;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::global_queue::GlobalClass;
use super::idle::Lists;
use super::machine::Machine;
use super::pick::{SCHED_TICKS, begin_slice, count_pick};
use super::processor::{Processor, ProcessorStatus};
use super::runtime::Shared;
use super::spin::{SHORT_SLEEP_NS, SPIN_CHECK};
use super::trace::{ANY, event};
use crate::goroutine::{Goroutine, Kind, Parkable};
use crate::netpoll::Netpoll;
use crate::sys::{barrier, clock};

/// How long an M spins for mail, in nanoseconds: about what a sleep and a wake cost.
const SPIN_NS: u64 = 50_000;

/// The same after a job for a spinning helper: its result comes at once, or after a
/// call that takes long.
const HELPER_SPIN_NS: u64 = 10_000;

impl Shared {
    /// The next goroutine for this M, which is on its own stack. Blocks the
    /// thread while there is none. `None`: the runtime shuts down.
    pub(crate) fn find_runnable(&'static self, m: &'static Machine) -> Option<&'static Goroutine> {
        loop {
            if self.is_stopping() {
                return None;
            }
            let Some(p) = m.held() else {
                m.unmark_retaken();
                self.wait_for_processor(m);
                continue;
            };
            // SAFETY: records are type-stable.
            if let Some(g) = unsafe { m.assigned.load(Ordering::Relaxed).as_ref() } {
                m.assigned.store(ptr::null_mut(), Ordering::Relaxed);
                begin_slice(p);
                return Some(g);
            }
            // SAFETY: as above.
            if let Some(g) = unsafe { m.set_aside.load(Ordering::Relaxed).as_ref() } {
                m.set_aside.store(ptr::null_mut(), Ordering::Relaxed);
                self.start_on_own_machine(m, p, g);
                continue;
            }
            if p.notice.swap(false, Ordering::Acquire) && !self.handle_notice(m, p) {
                continue;
            }
            count_pick(p);
            // SAFETY: we hold P on our own stack.
            let turn = unsafe { p.own() }.sched_tick >= SCHED_TICKS;
            if let Some(g) = self.pick_long(m, p, turn) {
                self.stop_spinning(m);
                return Some(g);
            }
            let only_long = || m.has_preempted() && !m.has_light_work() && p.queue.is_empty();
            if self.idle.p_waiters_count() != 0
                && (turn || only_long())
                && self.give_turn_to_p_waiter(m, p, turn)
            {
                continue;
            }
            self.fire_timers(m, p, p);
            if let Some(g) = self.pick_on_g0(m, p, turn) {
                // Only what was found counts, so that a seeded order does not
                // depend on how often an idle M looked.
                // SAFETY: we hold P on our own stack.
                unsafe { p.own() }.sched_tick += 1;
                self.stop_spinning(m);
                return Some(g);
            }
            if self.idle.p_waiters_count() != 0 && self.give_to_p_waiter(m, p) {
                continue;
            }
            if self.poll_net(m, p) {
                continue;
            }
            // Before it counts as spinning: a spinning M that finds work must wake
            // another.
            if self.pinned && self.spin_for_mail(m, p) {
                continue;
            }
            if let Some(g) = self.pick_abroad(m, p) {
                self.stop_spinning(m);
                return Some(g);
            }
            if p.has_work() || m.has_pinned_work() {
                continue;
            }
            if self.advance_fake_time() {
                continue;
            }
            self.rest(m, p);
        }
    }

    /// In a pinned runtime, for an M with nothing to do: keeps its P for as long as a
    /// sleep and a wake cost, if mail from another M or a helper is likely within that
    /// time. A round trip between goroutines on two Ms then takes 0.4 µs, not 24, on a
    /// quiet host with two CPUs. True if mail came. Blocks the thread.
    fn spin_for_mail(&'static self, m: &'static Machine, p: &'static Processor) -> bool {
        if !m.mail_spin.should_spin() || self.is_test() {
            return false;
        }
        let is_helped = m.helper_was_spinning.swap(false, Ordering::Relaxed);
        let until = clock::now_ns() + if is_helped { HELPER_SPIN_NS } else { SPIN_NS };
        loop {
            let others = self.idle.processors_count() as usize + 1 < self.procs();
            if !others && !is_helped {
                // No other M runs that could send it.
                return false;
            }
            for _ in 0..SPIN_CHECK {
                if m.has_mail() {
                    m.mail_spin.note_spin(true);
                    return true;
                }
                std::hint::spin_loop();
            }
            if self.is_stopping()
                || p.notice.load(Ordering::Relaxed)
                || self.idle.p_waiters_count() != 0
                || self.sees_work(m)
            {
                return false;
            }
            if clock::now_ns() >= until {
                m.mail_spin.note_spin(false);
                return false;
            }
        }
    }

    /// Steps 8 and 9.
    fn pick_abroad(
        &'static self,
        m: &'static Machine,
        p: &'static Processor,
    ) -> Option<&'static Goroutine> {
        let busy = (self.procs() as u32).saturating_sub(self.idle.processors_count());
        if busy > 1 || self.procs() > 1 {
            let spins = m.spinning.load(Ordering::Relaxed);
            if spins || 2 * self.idle.spinning_count.load(Ordering::Relaxed) < busy {
                if !spins {
                    m.spinning.store(true, Ordering::Relaxed);
                    self.idle.spinning_count.fetch_add(1, Ordering::SeqCst);
                }
                if let Some(g) = self.steal(p) {
                    begin_slice(p);
                    return Some(g);
                }
            }
        }
        self.for_each_processor(|other| {
            if !ptr::eq(other, p) {
                self.fire_timers(m, p, other);
            }
        });
        if p.has_work() || m.has_pinned_work() {
            return None;
        }
        self.global.pop_one(GlobalClass::Low)
    }

    /// Fires the due timers of `from`; what they ready goes to `p`.
    fn fire_timers(
        &'static self,
        m: &'static Machine,
        p: &'static Processor,
        from: &'static Processor,
    ) {
        let next = from.timers.next_ns();
        if next == u64::MAX || next > self.now_ns() {
            return;
        }
        // SAFETY: we hold P on our own stack; the timers' callbacks reach the
        // rest of `own`, but not `ready`, which is taken out.
        let mut ready = std::mem::take(unsafe { &mut p.own().ready });
        from.timers.poll(self.now_ns(), &mut ready);
        p.record(event::Kind::Timers, from.id as u64, ready.len() as u64);
        self.ready_all(m, p, &mut ready);
        // SAFETY: as above.
        unsafe { p.own().ready = ready };
    }

    /// Step 7: says whether something became runnable.
    pub(super) fn poll_net(&'static self, m: &'static Machine, p: &'static Processor) -> bool {
        let Some(netpoll) = m.known_netpoll() else {
            return false;
        };
        let others = !self.pinned && !self.poller.load(Ordering::Relaxed).is_null();
        if netpoll.waiters_count() == 0 || others {
            return false;
        }
        // SAFETY: as in `fire_timers`.
        let mut ready = std::mem::take(unsafe { &mut p.own().ready });
        self.last_poll_ns.store(self.now_ns(), Ordering::Relaxed);
        netpoll.poll(Some(Duration::ZERO), &mut ready);
        let any = !ready.is_empty();
        if any {
            p.record(event::Kind::Netpoll, ready.len() as u64, 0);
        }
        self.ready_all(m, p, &mut ready);
        // SAFETY: as above.
        unsafe { p.own().ready = ready };
        any
    }

    /// Makes all of them runnable, in their order, at the end of the queue. For a single
    /// one no other M is woken: this M runs it.
    fn ready_all(
        &'static self,
        m: &'static Machine,
        p: &'static Processor,
        ready: &mut Vec<Parkable>,
    ) {
        for who in ready.drain(..) {
            match who.head().kind {
                Kind::Thread | Kind::Future => super::park::ready_other(who),
                Kind::Goroutine => {
                    let g = Goroutine::of(who);
                    g.set_status(crate::goroutine::Status::Runnable);
                    if !ptr::eq(super::ready::shared_of(g), self) {
                        super::ready::shared_of(g).submit(g);
                        continue;
                    }
                    if p.watches(ANY) {
                        p.note_ready(g);
                    }
                    super::ready::make_runnable_in_turn(m, p, g);
                }
            }
        }
        if p.queue.len() > 1 {
            self.wake_one();
        }
    }

    /// Ends spinning: the spinner that finds work wakes the next one.
    pub(crate) fn stop_spinning(&'static self, m: &'static Machine) {
        if m.spinning.load(Ordering::Relaxed) {
            m.spinning.store(false, Ordering::Relaxed);
            self.idle.spinning_count.fetch_sub(1, Ordering::SeqCst);
            self.wake_one();
        }
    }

    /// With work left: gives the P to the first M that queues for one, if this M has had
    /// it for as long as that M's last turn. By time: by count, an M with a hog would get
    /// nearly all of it. `turn`: because of the number of picks.
    fn give_turn_to_p_waiter(
        &'static self,
        m: &'static Machine,
        p: &'static Processor,
        turn: bool,
    ) -> bool {
        // SAFETY: we hold P on our own stack.
        let own = unsafe { p.own() };
        let held_ns = m.holds_for_ns();
        let mut lists = self.idle.lock();
        let waits = lists
            .p_waiters
            .front()
            .is_some_and(|first| self.is_test() || first.fair_wait_ns() < held_ns);
        if !waits || (turn && own.given_at_tick) {
            return false;
        }
        own.given_at_tick |= turn;
        m.end_turn(held_ns);
        self.give_to_first_p_waiter(m, p, &mut lists)
    }

    /// Gives the P, for which there is no work, to the first M that queues for one.
    fn give_to_p_waiter(&'static self, m: &'static Machine, p: &'static Processor) -> bool {
        m.end_turn(0);
        self.give_to_first_p_waiter(m, p, &mut self.idle.lock())
    }

    fn give_to_first_p_waiter(
        &'static self,
        m: &'static Machine,
        p: &'static Processor,
        lists: &mut Lists,
    ) -> bool {
        let Some(first) = self.idle.pop_p_waiter(lists) else {
            return false;
        };
        self.cease_spinning(m);
        m.set_p(None);
        first.wake(Some(p));
        true
    }

    fn cease_spinning(&self, m: &Machine) {
        if m.spinning.swap(false, Ordering::Relaxed) {
            self.idle.spinning_count.fetch_sub(1, Ordering::SeqCst);
        }
    }

    /// Step 10, S1: the P goes to the idle list. The rest of the way to sleep
    /// is [`Self::wait_for_processor`].
    fn rest(&'static self, m: &'static Machine, p: &'static Processor) {
        let now = clock::now_ns();
        // SAFETY: we hold P on our own stack.
        unsafe { p.own() }.stacks.trim((now / 1_000_000) as u32);
        let mut lists = self.idle.lock();
        if self.is_stopping() || !self.global.is_empty() || p.notice.load(Ordering::Relaxed) {
            return;
        }
        m.rests_since_ns.store(now, Ordering::Relaxed);
        m.end_turn(0);
        m.set_p(None);
        self.idle.release(&mut lists, p); // S1
    }

    /// An M without a P: S1 to S4 of [`super::idle`]. It queues for a P if it has work
    /// that only it may do, else sleeps, in the netpoller if no other M does. Blocks the
    /// thread.
    fn wait_for_processor(&'static self, m: &'static Machine) {
        m.resting.store(true, Ordering::Relaxed);
        self.wait_resting(m);
        m.resting.store(false, Ordering::Relaxed);
        if self.pinned {
            let rested_ns = || clock::now_ns() - m.rests_since_ns.load(Ordering::Relaxed);
            m.mail_spin
                .note_sleep(m.has_mail() && rested_ns() < SHORT_SLEEP_NS);
        }
    }

    fn wait_resting(&'static self, m: &'static Machine) {
        let was_spinning = m.spinning.load(Ordering::Relaxed);
        self.cease_spinning(m); // S1
        let keeps_time = self.claim_polling(m);
        // With work that only it may do it queues for a P instead.
        let polls = keeps_time || (m.has_own_fds() && !m.has_pinned_work());
        let polls = polls.then(|| m.begin_polling());
        barrier::heavy(); // S2
        if self.sees_work(m) {
            // S3
            let mut lists = self.idle.lock();
            if let Some(p) = self.idle.acquire(&mut lists) {
                self.cease_polling(m, keeps_time);
                drop(lists);
                m.set_p(Some(p));
                self.wake_sysmon();
                if was_spinning {
                    m.spinning.store(true, Ordering::Relaxed);
                    self.idle.spinning_count.fetch_add(1, Ordering::SeqCst);
                }
                return;
            }
        }
        // S4
        if let Some(netpoll) = polls {
            return self.rest_polling(m, netpoll, keeps_time);
        }
        let mut lists = self.idle.lock();
        if self.is_stopping() {
            return;
        }
        if m.has_pinned_work() {
            match self.idle.acquire(&mut lists) {
                Some(p) => {
                    drop(lists);
                    m.set_p(Some(p));
                    return self.wake_sysmon();
                }
                None => self.idle.wait_for_p(&mut lists, m),
            }
        } else {
            lists.machines.push_back(m);
        }
        drop(lists);
        self.check_deadlock();
        m.sleep();
    }

    /// S3: anything that this M could run or do.
    fn sees_work(&'static self, m: &'static Machine) -> bool {
        let mut work = !self.global.is_empty() || m.has_pinned_work();
        let mut now = 0;
        self.for_each_processor(|p| {
            if p.status() == ProcessorStatus::Running && !p.queue.is_empty() {
                work = true;
            }
            let next = p.timers.next_ns();
            if next != u64::MAX {
                if now == 0 {
                    now = self.now_ns();
                }
                work |= next <= now;
            }
        });
        work
    }

    /// The earliest timer of all Ps.
    pub(crate) fn first_timer_ns(&'static self) -> u64 {
        let mut first = u64::MAX;
        self.for_each_processor(|p| first = first.min(p.timers.next_ns()));
        first
    }

    /// Becomes the M that waits in the netpoller, if there is something to wait for and
    /// no other M waits there.
    fn claim_polling(&'static self, m: &'static Machine) -> bool {
        let first = self.first_timer_ns();
        if first <= self.now_ns() && self.idle.processors_count() == 0 {
            // A running M or sysmon fires it; waiting here would be spinning.
            return false;
        }
        let claimed = (self.netpoll.waiters_count() != 0 || first != u64::MAX)
            && !m.has_pinned_work()
            && self
                .poller
                .compare_exchange(
                    ptr::null_mut(),
                    ptr::from_ref(m).cast_mut(),
                    Ordering::AcqRel,
                    Ordering::Relaxed,
                )
                .is_ok();
        if claimed {
            self.poll_until_ns.store(u64::MAX, Ordering::SeqCst);
        }
        claimed
    }

    /// Under the lock of the lists, so that the deadlock check sees the M either polling
    /// or awake.
    fn cease_polling(&self, m: &Machine, keeps_time: bool) {
        if keeps_time {
            self.poller.store(ptr::null_mut(), Ordering::SeqCst);
        }
        m.end_polling();
    }

    /// S4 of an M that polls: waits for fds, for the first timer if `keeps_time`, or for a
    /// wake. Blocks the thread.
    fn rest_polling(&'static self, m: &'static Machine, netpoll: &Netpoll, keeps_time: bool) {
        {
            let mut lists = self.idle.lock();
            if self.is_stopping() || m.has_pinned_work() {
                return self.cease_polling(m, keeps_time);
            }
            // Others are woken before it: leaving the netpoller costs more.
            lists.machines.push_front(m);
        }
        // The claim came before the heavy barrier of S2: a thread that armed an earlier
        // timer since saw it and interrupts; a timer armed before is seen by this scan.
        let mut first = u64::MAX;
        if keeps_time {
            first = self.first_timer_ns();
            self.poll_until_ns.store(first, Ordering::SeqCst);
        }
        let now = self.now_ns();
        let timeout = (first != u64::MAX).then(|| Duration::from_nanos(first.saturating_sub(now)));
        let mut ready = std::mem::take(&mut *self.polled.lock());
        netpoll.poll(timeout, &mut ready);
        let now = self.now_ns();
        self.last_poll_ns.store(now, Ordering::Relaxed);
        if keeps_time {
            self.poll_until_ns.store(0, Ordering::SeqCst);
        }

        // The lock is held until the M is off the list.
        let mut lists = self.idle.lock();
        self.cease_polling(m, keeps_time);
        let due = !ready.is_empty() || first <= now;
        if lists.take_machine(m) {
            let p = if due || m.has_pinned_work() {
                self.idle.acquire(&mut lists)
            } else {
                None
            };
            drop(lists);
            if let Some(p) = p {
                m.set_p(Some(p));
                self.wake_sysmon();
            }
        } else {
            // Another thread took this M off the list: the wake has come or will come, or
            // the M queues for a P; the goroutines that it found must not wait for that.
            drop(lists);
            ready.drain(..).for_each(super::park::ready);
            m.sleep();
        }
        match m.held() {
            Some(p) => {
                if !ready.is_empty() {
                    p.record(event::Kind::Netpoll, ready.len() as u64, 0);
                }
                self.ready_all(m, p, &mut ready);
                // No M waits in the netpoller while this one runs, which is short as a
                // rule; else sysmon polls.
                if due && self.eager.load(Ordering::Relaxed) != 0 {
                    self.wake_one();
                }
            }
            None => {
                for who in ready.drain(..) {
                    super::park::ready(who);
                }
            }
        }
        *self.polled.lock() = ready;
    }
}
