//! Timers of one processor: what is to happen, and when.
//!
//! It has no thread and readies nobody: the scheduler calls [`Timers::poll`]
//! and makes runnable whom it returns.
//!
//! # Shape
//!
//! Most programs sleep for one of a few lengths, so timers mostly come in the
//! order in which they fire. They are kept in a few *runs*, each a queue in
//! order, and in a 4-ary *heap* that takes what fits no run. An entry is two
//! words; what is to happen is in a slab, at an index that the entry holds
//! together with a generation. To arm costs a comparison with the tail of each
//! run, to fire takes the least of the fronts: both touch memory in order.
//!
//! To cancel frees the slab's place at once and leaves the entry, which is
//! recognised by its generation when it comes to the front. Entries that are
//! dead are swept out when they outnumber the live ones, so that a deadline
//! set and cancelled a million times costs memory once.
//!
//! # Invariants
//!
//! Under the lock, between operations:
//! 1. The front of each run, and the root of the heap, is live.
//! 2. `next` is the least of those, `u64::MAX` where there is none.
//! 3. `live` places of the slab are taken, each by exactly one entry.
//!
//! # Rejected
//!
//! A heap with positions, cancelled in place: a write to a random cache line
//! for each level, at each move; with a million sleepers that is most of the
//! cost. A hierarchical wheel: constant time too, but it fires by ticks.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;

use crate::goroutine::Parkable;
use crate::netpoll::{PollDesc, Side};
use crate::shim::{AtomicU64, Ordering};
use crate::util::lock::Lock;

/// What happens when a timer fires.
#[derive(Clone)]
pub(crate) enum Action {
    /// Readies who waits with that ticket, unless its wait was over.
    Wake {
        /// Who waits.
        who: Parkable,
        /// With this ticket.
        ticket: u32,
    },
    /// Readies who waits for a descriptor, if it still does.
    Expire {
        /// For this one.
        desc: &'static PollDesc,
        /// To read or to write.
        side: Side,
        /// Who waits.
        who: Parkable,
    },
    /// Calls a short function that does not block, given the time that the
    /// timer was armed for. It runs on the stack of whoever polls.
    Call(Arc<dyn Fn(u64) + Send + Sync>),
    /// The same once each period; periods that were missed are left out.
    Every(Arc<Periodic>),
}

/// A call once each period.
pub(crate) struct Periodic {
    /// At least 1.
    pub(crate) period_ns: u64,
    /// As in [`Action::Call`].
    pub(crate) call: Box<dyn Fn(u64) + Send + Sync>,
}

impl fmt::Debug for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Wake { who, ticket } => write!(f, "Wake({who:?}, {ticket})"),
            Self::Expire { who, side, .. } => write!(f, "Expire({who:?}, {side:?})"),
            Self::Call(_) => f.write_str("Call"),
            Self::Every(periodic) => write!(f, "Every({} ns)", periodic.period_ns),
        }
    }
}

/// A timer that was armed; it may have fired since.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TimerKey {
    place: u32,
    generation: u32,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    when_ns: u64,
    key: TimerKey,
}

/// A place of the slab. Each arming has a generation of its own; a free place
/// has [`NO_GENERATION`].
#[derive(Debug)]
struct Place {
    generation: u32,
    content: Content,
}

#[derive(Debug)]
enum Content {
    Free { next: u32 },
    Armed(Action),
}

const NO_PLACE: u32 = u32::MAX;
const NO_GENERATION: u32 = 0;
const NEVER: u64 = u64::MAX;

/// Enough for the sleeps, ticks and deadlines of a usual program to have one
/// each; each costs a comparison to arm and one to fire.
const RUNS: usize = 4;
const ARITY: usize = 4;

/// Dead entries below this number are never swept for.
const SWEEP_FROM: usize = 64;

/// Once no timer is left, room for more than this is given back.
const KEEP: usize = 1024;

/// See the module.
pub(crate) struct Timers {
    next: AtomicU64,
    queue: Lock<Queue>,
}

#[derive(Debug)]
struct Queue {
    runs: [VecDeque<Entry>; RUNS],
    heap: Vec<Entry>,
    places: Vec<Place>,
    free: u32,
    last_generation: u32,
    live: usize,
}

impl fmt::Debug for Timers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Timers")
            .field("next_ns", &self.next_ns())
            .finish_non_exhaustive()
    }
}

impl Timers {
    /// None.
    pub(crate) fn new() -> Self {
        Self {
            next: AtomicU64::new(NEVER),
            queue: Lock::new(Queue {
                runs: [const { VecDeque::new() }; RUNS],
                heap: Vec::new(),
                places: Vec::new(),
                free: NO_PLACE,
                last_generation: NO_GENERATION,
                live: 0,
            }),
        }
    }

    /// Arms a timer for a time of [`crate::sched::now_ns`]. A poller that
    /// sleeps until a later time is not told: compare [`Self::next_ns`].
    pub(crate) fn arm(&self, when_ns: u64, action: Action) -> TimerKey {
        // The last instant stands for never.
        let when_ns = when_ns.min(NEVER - 1);
        let mut queue = self.queue.lock();
        let key = queue.take_place(action);
        queue.insert(Entry { when_ns, key });
        if when_ns < self.next.load(Ordering::Relaxed) {
            self.next.store(when_ns, Ordering::Release);
        }
        key
    }

    /// Takes a timer back. True: it was armed and will not fire (again).
    /// False: it has fired, or a poll has begun to fire it, or it was
    /// cancelled before.
    pub(crate) fn cancel(&self, key: TimerKey) -> bool {
        let mut queue = self.queue.lock();
        let action = queue.free_place(key);
        if action.is_none() {
            return false;
        }
        queue.drop_dead_fronts();
        queue.sweep_if_due();
        self.next.store(queue.least(), Ordering::Release);
        drop(queue);
        // What a call holds is dropped here, out of the lock.
        drop(action);
        true
    }

    /// The time at which the next timer is due, `u64::MAX` for never. Takes no
    /// lock.
    #[inline]
    pub(crate) fn next_ns(&self) -> u64 {
        // Acquire: pairs with the Release where it is stored, so that who sees
        // a time and then polls finds the timer.
        self.next.load(Ordering::Acquire)
    }

    /// Fires all timers that are due at `now_ns`: who can go on because of it
    /// is added to `ready`; calls are made before this returns.
    pub(crate) fn poll(&self, now_ns: u64, ready: &mut Vec<Parkable>) {
        if now_ns < self.next_ns() {
            return;
        }
        let mut calls = Vec::new();
        {
            let mut queue = self.queue.lock();
            while let Some((when_ns, action)) = queue.pop_due(now_ns) {
                match action {
                    Action::Wake { who, ticket } => ready.extend(who.claim(ticket).then_some(who)),
                    Action::Expire { desc, side, who } => {
                        ready.extend(desc.expire(side, who).then_some(who));
                    }
                    action => calls.push((when_ns, action)),
                }
            }
            self.next.store(queue.least(), Ordering::Release);
            queue.shrink_if_empty();
        }
        for (when_ns, action) in calls {
            match action {
                Action::Call(call) => call(when_ns),
                Action::Every(periodic) => (periodic.call)(when_ns),
                Action::Wake { .. } | Action::Expire { .. } => {}
            }
        }
    }

    /// How many are armed.
    pub(crate) fn len(&self) -> usize {
        self.queue.lock().live
    }
}

impl Queue {
    fn take_place(&mut self, action: Action) -> TimerKey {
        self.live += 1;
        self.last_generation = self.last_generation.wrapping_add(1);
        if self.last_generation == NO_GENERATION {
            self.last_generation += 1;
        }
        let generation = self.last_generation;
        let armed = Place {
            generation,
            content: Content::Armed(action),
        };
        if self.free == NO_PLACE {
            let place = self.places.len() as u32;
            self.places.push(armed);
            return TimerKey { place, generation };
        }
        let place = self.free;
        match std::mem::replace(&mut self.places[place as usize], armed).content {
            Content::Free { next } => self.free = next,
            Content::Armed(_) => crate::fatal::fatal!("a free timer is armed"),
        }
        TimerKey { place, generation }
    }

    fn free_place(&mut self, key: TimerKey) -> Option<Action> {
        if !self.is_live(key) {
            return None;
        }
        let free = Place {
            generation: NO_GENERATION,
            content: Content::Free { next: self.free },
        };
        self.free = key.place;
        self.live -= 1;
        match std::mem::replace(&mut self.places[key.place as usize], free).content {
            Content::Armed(action) => Some(action),
            Content::Free { .. } => crate::fatal::fatal!("an armed timer is free"),
        }
    }

    fn is_live(&self, key: TimerKey) -> bool {
        self.places
            .get(key.place as usize)
            .is_some_and(|place| place.generation == key.generation)
    }

    /// Gives memory back after a rush.
    fn shrink_if_empty(&mut self) {
        if self.live > 0 || self.places.capacity() <= KEEP {
            return;
        }
        // All entries are dead, and stay dead: no generation comes twice.
        self.runs.iter_mut().for_each(|run| *run = VecDeque::new());
        self.heap = Vec::new();
        self.places = Vec::new();
        self.free = NO_PLACE;
    }

    /// Takes the next timer that is due out, and puts a periodic one back.
    fn pop_due(&mut self, now_ns: u64) -> Option<(u64, Action)> {
        let mut least = self.heap.first().map_or(NEVER, |entry| entry.when_ns);
        let mut from = RUNS;
        for (i, run) in self.runs.iter().enumerate() {
            if let Some(front) = run.front()
                && front.when_ns < least
            {
                least = front.when_ns;
                from = i;
            }
        }
        if least > now_ns {
            return None;
        }
        let entry = if from == RUNS {
            self.heap_pop()
        } else {
            self.runs[from].pop_front()
        }?;
        let place = &self.places[entry.key.place as usize];
        let action = match &place.content {
            Content::Armed(Action::Every(periodic)) => {
                let missed = (now_ns - entry.when_ns) / periodic.period_ns;
                let step = periodic.period_ns.saturating_mul(missed.saturating_add(1));
                let again = Entry {
                    when_ns: entry.when_ns.saturating_add(step).min(NEVER - 1),
                    key: entry.key,
                };
                let action = Action::Every(periodic.clone());
                self.insert(again);
                Some(action)
            }
            _ => self.free_place(entry.key),
        };
        if from == RUNS {
            self.drop_dead_root();
        } else {
            self.drop_dead_front(from);
        }
        Some((entry.when_ns, action?))
    }

    /// The time of the first one; by invariant 1 no entry looked at is dead.
    fn least(&self) -> u64 {
        let runs = self.runs.iter().filter_map(VecDeque::front);
        runs.chain(self.heap.first())
            .map(|entry| entry.when_ns)
            .min()
            .unwrap_or(NEVER)
    }

    fn insert(&mut self, entry: Entry) {
        let mut best: Option<(usize, u64)> = None;
        for (i, run) in self.runs.iter().enumerate() {
            // An empty run counts as one that ends at time 0: it is taken
            // only where no other fits.
            let tail = run.back().map_or(0, |tail| tail.when_ns);
            if tail <= entry.when_ns && best.is_none_or(|(_, t)| tail > t) {
                best = Some((i, tail));
            }
        }
        match best {
            Some((i, _)) => self.runs[i].push_back(entry),
            None => self.heap_push(entry),
        }
    }

    fn drop_dead_fronts(&mut self) {
        (0..RUNS).for_each(|i| self.drop_dead_front(i));
        self.drop_dead_root();
    }

    fn drop_dead_front(&mut self, run: usize) {
        while let Some(front) = self.runs[run].front()
            && !self.is_live(front.key)
        {
            self.runs[run].pop_front();
        }
    }

    fn drop_dead_root(&mut self) {
        while let Some(root) = self.heap.first()
            && !self.is_live(root.key)
        {
            self.heap_pop();
        }
    }

    fn sweep_if_due(&mut self) {
        let entries = self.heap.len() + self.runs.iter().map(VecDeque::len).sum::<usize>();
        let dead = entries - self.live;
        if dead < SWEEP_FROM || dead <= self.live {
            return;
        }
        let places = &self.places;
        let is_live =
            |entry: &Entry| places[entry.key.place as usize].generation == entry.key.generation;
        for run in &mut self.runs {
            run.retain(is_live);
        }
        self.heap.retain(is_live);
        // Any order is a heap once each inner node was sifted, last first.
        for i in (0..self.heap.len().div_ceil(ARITY)).rev() {
            self.sift_down(i);
        }
    }

    fn heap_push(&mut self, entry: Entry) {
        let mut at = self.heap.len();
        self.heap.push(entry);
        while at > 0 {
            let parent = (at - 1) / ARITY;
            if self.heap[parent].when_ns <= entry.when_ns {
                break;
            }
            self.heap.swap(at, parent);
            at = parent;
        }
    }

    fn heap_pop(&mut self) -> Option<Entry> {
        let last = self.heap.len().checked_sub(1)?;
        self.heap.swap(0, last);
        let root = self.heap.pop();
        self.sift_down(0);
        root
    }

    fn sift_down(&mut self, mut at: usize) {
        loop {
            let first = at * ARITY + 1;
            let children = first..(first + ARITY).min(self.heap.len());
            let Some(least) = children.min_by_key(|&child| self.heap[child].when_ns) else {
                return;
            };
            if self.heap[at].when_ns <= self.heap[least].when_ns {
                return;
            }
            self.heap.swap(at, least);
            at = least;
        }
    }
}

#[cfg(all(test, not(rt_loom)))]
mod tests {
    use super::*;
    use crate::sched;
    use std::sync::Mutex;

    /// Timers that note when they were fired.
    struct Log {
        timers: Timers,
        fired: Arc<Mutex<Vec<u64>>>,
    }

    impl Log {
        fn new() -> Self {
            Self {
                timers: Timers::new(),
                fired: Arc::default(),
            }
        }

        fn call(&self) -> Arc<dyn Fn(u64) + Send + Sync> {
            let fired = self.fired.clone();
            Arc::new(move |when| fired.lock().unwrap().push(when))
        }

        fn arm(&self, when: u64) -> TimerKey {
            self.timers.arm(when, Action::Call(self.call()))
        }

        fn poll(&self, now: u64) -> Vec<u64> {
            self.timers.poll(now, &mut Vec::new());
            std::mem::take(&mut *self.fired.lock().unwrap())
        }
    }

    #[test]
    fn timers_armed_in_any_order_fire_in_order_of_time() {
        let log = Log::new();
        let mut whens: Vec<u64> = (0..500u64).map(|i| i * 7919 % 503 + 1).collect();
        for &when in &whens {
            log.arm(when);
        }
        assert_eq!(log.timers.len(), 500);
        assert_eq!(log.timers.next_ns(), *whens.iter().min().unwrap());
        whens.sort_unstable();
        let split = whens.partition_point(|&when| when <= 250);
        assert_eq!(log.poll(250), whens[..split]);
        assert_eq!(log.timers.next_ns(), whens[split]);
        assert_eq!(log.poll(u64::MAX), whens[split..]);
        assert_eq!(log.timers.len(), 0);
        assert_eq!(log.timers.next_ns(), u64::MAX);
    }

    #[test]
    fn timer_not_yet_due_does_not_fire() {
        let log = Log::new();
        log.arm(10);
        assert!(log.poll(9).is_empty());
        assert_eq!(log.poll(10), [10]);
        assert!(log.poll(11).is_empty());
    }

    #[test]
    fn cancel_tells_whether_the_timer_was_armed() {
        let log = Log::new();
        let (first, second) = (log.arm(1), log.arm(2));
        assert!(log.timers.cancel(first));
        assert!(!log.timers.cancel(first));
        assert_eq!(log.timers.next_ns(), 2);
        assert_eq!(log.poll(2), [2]);
        assert!(!log.timers.cancel(second));
    }

    #[test]
    fn key_of_a_fired_timer_does_not_cancel_the_one_in_its_place() {
        let log = Log::new();
        let old = log.arm(1);
        log.poll(1);
        let new = log.arm(2);
        assert_eq!(old.place, new.place);
        assert!(!log.timers.cancel(old));
        assert_eq!(log.poll(2), [2]);
    }

    #[test]
    fn cancelled_timers_leave_no_memory_behind() {
        let log = Log::new();
        log.arm(u64::MAX);
        for i in 0..100_000u64 {
            // Mixed, so that runs and heap both have to be swept.
            let key = log.arm(1_000_000 + i * 7919 % 100_003);
            assert!(log.timers.cancel(key));
        }
        let queue = log.timers.queue.lock();
        let entries = queue.heap.len() + queue.runs.iter().map(VecDeque::len).sum::<usize>();
        assert!(entries < 1_000, "{entries} entries for one live timer");
        assert_eq!(queue.live, 1);
    }

    #[test]
    fn memory_of_a_rush_is_given_back_and_its_keys_stay_dead() {
        let log = Log::new();
        let keys: Vec<TimerKey> = (0..5_000).map(|when| log.arm(when)).collect();
        assert_eq!(log.poll(5_000).len(), 5_000);
        assert!(log.timers.queue.lock().places.capacity() <= KEEP);
        log.arm(6_000);
        assert!(keys.iter().all(|&key| !log.timers.cancel(key)));
        assert_eq!(log.timers.len(), 1);
    }

    #[test]
    fn sweep_of_half_the_timers_keeps_the_other_half_in_order() {
        let log = Log::new();
        let keys: Vec<(u64, TimerKey)> = (0..4_000u64)
            .map(|i| i * 7919 % 4_001)
            .map(|when| (when, log.arm(when)))
            .collect();
        let mut kept: Vec<u64> = Vec::new();
        for (i, (when, key)) in keys.into_iter().enumerate() {
            if i % 4 == 0 {
                kept.push(when);
            } else {
                assert!(log.timers.cancel(key));
            }
        }
        kept.sort_unstable();
        assert_eq!(log.timers.next_ns(), kept[0]);
        assert_eq!(log.poll(u64::MAX), kept);
    }

    #[test]
    fn periodic_timer_skips_what_it_missed_and_keeps_its_phase() {
        let log = Log::new();
        let call = log.call();
        let every = Action::Every(Arc::new(Periodic {
            period_ns: 10,
            call: Box::new(move |when| call(when)),
        }));
        let key = log.timers.arm(10, every);
        assert_eq!(log.poll(10), [10]);
        assert_eq!(log.timers.next_ns(), 20);
        assert_eq!(log.poll(57), [20]);
        assert_eq!(log.timers.next_ns(), 60);
        assert!(log.timers.cancel(key));
        assert!(log.poll(100).is_empty());
        assert_eq!(log.timers.len(), 0);
    }

    #[test]
    fn wake_returns_only_whose_ticket_still_stands() {
        let timers = Timers::new();
        let me = sched::current();
        let ticket = me.ticket();
        timers.arm(1, Action::Wake { who: me, ticket });
        timers.arm(2, Action::Wake { who: me, ticket });
        let mut ready = Vec::new();
        timers.poll(5, &mut ready);
        assert_eq!(ready, [me], "the second claim failed");
        assert!(!me.claim(ticket));
    }

    #[test]
    fn call_may_arm_and_cancel() {
        let timers = Arc::new(Timers::new());
        let inner = timers.clone();
        let key = timers.arm(100, Action::Call(Arc::new(|_| {})));
        timers.arm(
            1,
            Action::Call(Arc::new(move |_| {
                assert!(inner.cancel(key));
                inner.arm(50, Action::Call(Arc::new(|_| {})));
            })),
        );
        timers.poll(1, &mut Vec::new());
        assert_eq!(timers.next_ns(), 50);
        assert_eq!(timers.len(), 1);
    }

    #[test]
    fn random_arms_and_cancels_fire_what_a_sorted_list_would() {
        let mut rng = 0x9e37_79b9_7f4a_7c15u64;
        let mut random = move |below: u64| {
            rng ^= rng << 13;
            rng ^= rng >> 7;
            rng ^= rng << 17;
            rng % below
        };
        let log = Log::new();
        let mut model: Vec<(u64, TimerKey)> = Vec::new();
        let mut now = 0;
        for _ in 0..20_000 {
            match random(4) {
                0 | 1 => {
                    let when = now + random(1_000);
                    model.push((when, log.arm(when)));
                }
                2 if !model.is_empty() => {
                    let (_, key) = model.swap_remove(random(model.len() as u64) as usize);
                    assert!(log.timers.cancel(key));
                }
                _ => {
                    now += random(20);
                    let mut due: Vec<u64> = model.iter().map(|t| t.0).collect();
                    due.retain(|&when| when <= now);
                    due.sort_unstable();
                    model.retain(|t| t.0 > now);
                    assert_eq!(log.poll(now), due);
                    let least = model.iter().map(|t| t.0).min().unwrap_or(NEVER);
                    assert_eq!(log.timers.next_ns(), least);
                }
            }
            assert_eq!(log.timers.len(), model.len());
        }
    }
}
