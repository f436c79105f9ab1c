//! The runs, the heap and the slab: see [`crate::timer`] for their shape and
//! invariants.

use std::collections::VecDeque;

use super::action::{Action, TimerKey};

#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    pub(super) when_ns: u64,
    pub(super) key: TimerKey,
}

/// A place of the slab. Each arming takes the next generation, which wraps around after 2³² − 1
/// armings; a free place has [`NO_GENERATION`].
#[derive(Debug)]
pub(super) struct Place {
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
pub(super) const NEVER: u64 = u64::MAX;

/// Enough for the sleeps, ticks and deadlines of a usual program. Each run costs a comparison at
/// each arming and at each firing.
const RUNS: usize = 4;
const ARITY: usize = 4;

/// Fewer dead entries than this are not swept.
const SWEEP_FROM: usize = 64;

/// If no timer is left and the slab has room for more than this, all memory is freed.
pub(super) const KEEP: usize = 1024;

#[derive(Debug)]
pub(super) struct Queue {
    pub(super) runs: [VecDeque<Entry>; RUNS],
    pub(super) heap: Vec<Entry>,
    pub(super) places: Vec<Place>,
    free: u32,
    last_generation: u32,
    pub(super) live: usize,
}

impl Queue {
    pub(super) const fn new() -> Self {
        Self {
            runs: [const { VecDeque::new() }; RUNS],
            heap: Vec::new(),
            places: Vec::new(),
            free: NO_PLACE,
            last_generation: NO_GENERATION,
            live: 0,
        }
    }

    pub(super) fn take_place(&mut self, action: Action) -> TimerKey {
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

    pub(super) fn free_place(&mut self, key: TimerKey) -> Option<Action> {
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

    pub(super) fn clear(&mut self) -> Vec<Action> {
        // `last_generation` is kept: the keys of these timers match no later timer until it wraps
        // around.
        self.runs.iter_mut().for_each(|run| *run = VecDeque::new());
        self.heap = Vec::new();
        self.free = NO_PLACE;
        self.live = 0;
        let armed = |place: Place| match place.content {
            Content::Armed(action) => Some(action),
            Content::Free { .. } => None,
        };
        std::mem::take(&mut self.places)
            .into_iter()
            .filter_map(armed)
            .collect()
    }

    pub(super) fn shrink_if_empty(&mut self) {
        if self.live > 0 || self.places.capacity() <= KEEP {
            return;
        }
        // All entries are dead. `last_generation` is kept, as in `clear`.
        self.runs.iter_mut().for_each(|run| *run = VecDeque::new());
        self.heap = Vec::new();
        self.places = Vec::new();
        self.free = NO_PLACE;
    }

    pub(super) fn pop_due(&mut self, now_ns: u64) -> Option<(u64, Action)> {
        let mut least = self.heap.first().map_or(NEVER, |entry| entry.when_ns);
        // `RUNS` stands for the heap.
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

    /// None of these entries is dead: invariant 1 in [`crate::timer`].
    pub(super) fn least(&self) -> u64 {
        let runs = self.runs.iter().filter_map(VecDeque::front);
        runs.chain(self.heap.first())
            .map(|entry| entry.when_ns)
            .min()
            .unwrap_or(NEVER)
    }

    pub(super) fn insert(&mut self, entry: Entry) {
        let mut best: Option<(usize, u64)> = None;
        for (i, run) in self.runs.iter().enumerate() {
            // An empty run counts as a run that ends at time 0, and is used if no other run fits.
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

    pub(super) fn drop_dead_fronts(&mut self) {
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

    pub(super) fn sweep_if_due(&mut self) {
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
        // Any order becomes a heap if each inner node is sifted down, the last one first.
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
