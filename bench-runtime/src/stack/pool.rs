//! Free stacks: a cache for each P, last in, first out.
//!
//! A cache that has [`HOT`] used stacks of a class, and gets another, moves its oldest [`SPILL`] to
//! the arena. An empty cache takes [`SPILL`] stacks from the arena. If neither the cache nor the
//! arena has a deep stack, a request for one gets a shallow stack.
//!
//! `SPEED.md` (*Stacks*) says why pages are not prefaulted, and why sizes of stacks are not
//! learned.

use std::sync::atomic::Ordering;

use super::arena::{Arena, FreeList, FreeSlot};
use super::class::Class;
use super::limits::{HOT, SPILL};
use super::slots::{State, Word};
use super::{Stack, StackError, trim};

/// The most free stacks of a class in the arena that keep their pages (64 MiB at a page each).
/// Pages of further stacks are freed at once.
const WARM: usize = 16 << 10;
/// A cache is trimmed at most once in this time, because a trim takes some 20 µs.
const TRIM_MS: u32 = 10;

#[derive(Debug, Default)]
struct ClassCache {
    /// Used stacks, whose headers are initialised.
    hot: Vec<Stack>,
    /// Slots without pages, whose headers must be written.
    cold: Vec<FreeSlot>,
}

#[derive(Debug, Default)]
pub(crate) struct StackCache {
    classes: Vec<ClassCache>,
    /// When [`Self::trim`] last did something, in milliseconds.
    trimmed_ms: u32,
    arena: Option<&'static Arena>,
}

impl StackCache {
    pub(crate) const fn new() -> Self {
        Self {
            classes: Vec::new(),
            trimmed_ms: 0,
            arena: None,
        }
    }

    #[cfg(test)]
    pub(super) fn of_arena(arena: &'static Arena) -> Self {
        arena.add_cache();
        Self {
            classes: Vec::new(),
            trimmed_ms: 0,
            arena: Some(arena),
        }
    }

    /// A stack of this class, or a shallow stack if no deep stack is left. Its header holds the
    /// values of its last user.
    #[inline]
    pub(crate) fn take(&mut self, class: Class) -> Result<Stack, StackError> {
        match self
            .classes
            .get_mut(class.index())
            .and_then(|of_class| of_class.hot.pop())
        {
            Some(stack) => {
                stack.reset_accounting();
                Ok(stack)
            }
            None => self.take_cold(class),
        }
    }

    #[cold]
    #[inline(never)]
    fn take_cold(&mut self, class: Class) -> Result<Stack, StackError> {
        let arena = self.arena()?;
        if class != Class::DEEP {
            return self.take_from(arena, class);
        }
        let has_cold =
            (self.classes.get(class.index())).is_some_and(|of_class| !of_class.cold.is_empty());
        if (has_cold || !arena.deep_spent())
            && let Ok(stack) = self.take_from(arena, class)
        {
            return Ok(stack);
        }
        self.take(Class::SHALLOW)
    }

    fn take_from(&mut self, arena: &'static Arena, class: Class) -> Result<Stack, StackError> {
        if self.classes.len() <= class.index() {
            self.classes
                .resize_with(class.index() + 1, ClassCache::default);
        }
        let of_class = &mut self.classes[class.index()];
        if of_class.cold.is_empty() {
            let FreeList { warm, cold } = arena.take(class, SPILL)?;
            of_class.hot.extend(
                warm.into_iter()
                    .map(|FreeSlot(header)| Stack::from_header(header)),
            );
            of_class.cold = cold;
        }
        if let Some(stack) = of_class.hot.pop() {
            stack.reset_accounting();
            return Ok(stack);
        }
        match of_class.cold.pop() {
            Some(FreeSlot(header)) => {
                // SAFETY: the slot is from the arena, and a slot's pages from its limit up are
                // writable.
                unsafe { Stack::initialise(header, class, &class.info()) };
                if let Some(word) = arena.word_of(header.as_ptr() as usize) {
                    // Release: pairs with the Acquire in the sweep, which reads the header of a
                    // live slot.
                    word.store(Word::plain(State::Live, class).0, Ordering::Release);
                }
                Ok(Stack::from_header(header))
            }
            None => unreachable!("the arena gives one slot at least, or an error"),
        }
    }

    /// No code may run on the stack any more.
    #[inline]
    pub(crate) fn put(&mut self, stack: Stack) {
        let class = stack.class();
        match self.classes.get_mut(class.index()) {
            Some(of_class) if of_class.hot.len() < HOT => of_class.hot.push(stack),
            _ => self.put_spilling(stack, class),
        }
    }

    #[cold]
    #[inline(never)]
    fn put_spilling(&mut self, stack: Stack, class: Class) {
        if self.classes.len() <= class.index() {
            self.classes
                .resize_with(class.index() + 1, ClassCache::default);
        }
        let of_class = &mut self.classes[class.index()];
        if of_class.hot.len() >= HOT
            && let Some(arena) = self.arena.or_else(Arena::existing)
        {
            give_to_arena(arena, class, of_class.hot.drain(..SPILL));
        }
        of_class.hot.push(stack);
    }

    /// Frees the pages of deep calls in the free stacks, at most once in [`TRIM_MS`]. `now_ms` is a
    /// monotonic clock, which may wrap around.
    pub(crate) fn trim(&mut self, now_ms: u32) {
        if now_ms.wrapping_sub(self.trimmed_ms) < TRIM_MS {
            return;
        }
        self.trimmed_ms = now_ms;
        for of_class in &self.classes {
            trim::in_cache(&of_class.hot);
        }
    }

    pub(crate) fn drain(&mut self) {
        let Some(arena) = self.arena.or_else(Arena::existing) else {
            return;
        };
        for (class, of_class) in Class::all().zip(&mut self.classes) {
            give_to_arena(arena, class, of_class.hot.drain(..));
            arena.put_back(class, |free| free.cold.append(&mut of_class.cold));
        }
    }

    fn arena(&mut self) -> Result<&'static Arena, StackError> {
        match self.arena {
            Some(arena) => Ok(arena),
            None => {
                let arena = Arena::global()?;
                arena.add_cache();
                Ok(*self.arena.insert(arena))
            }
        }
    }
}

fn give_to_arena(arena: &Arena, class: Class, stacks: impl Iterator<Item = Stack>) {
    let slots: Vec<FreeSlot> = stacks.map(|stack| FreeSlot(stack.as_ptr())).collect();
    if arena.free(class).lock().warm.len() < WARM {
        return arena.put_back(class, |free| free.warm.extend(slots));
    }
    trim::release(arena, class, &slots);
    arena.put_back(class, |free| free.cold.extend(slots));
}

impl Drop for StackCache {
    fn drop(&mut self) {
        self.drain();
        if let Some(arena) = self.arena {
            arena.remove_cache();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stack::header::owner_of;
    use crate::stack::{StackPolicy, header_of};
    use std::ptr::NonNull;

    fn class() -> Class {
        Class::for_policy(StackPolicy::default()).unwrap()
    }

    #[test]
    fn header_of_any_address_of_a_taken_stack_is_its_header() {
        let mut cache = StackCache::new();
        for policy in [StackPolicy::default(), StackPolicy::Fixed(8 << 10)] {
            let stack = cache.take(Class::for_policy(policy).unwrap()).unwrap();
            let header = NonNull::from(stack.header());
            assert_eq!(owner_of(stack.limit() - 1), Some(header));
            for address in [
                stack.limit(),
                stack.top() as usize - 1,
                stack.top() as usize,
                stack.slot_top() - 1,
            ] {
                assert_eq!(header_of(address), Some(header));
            }
            assert!((stack.top() as usize).is_multiple_of(64));
            assert_eq!(stack.slot_top() - stack.limit(), stack.usable());
            cache.put(stack);
        }
    }

    #[test]
    fn take_after_put_gives_the_same_stack() {
        let mut cache = StackCache::new();
        let stack = cache.take(class()).unwrap();
        stack.header().scratch.set(77);
        cache.put(stack);
        let again = cache.take(class()).unwrap();
        assert_eq!(again, stack);
        assert_eq!(again.header().scratch.get(), 77);
        cache.put(again);
    }

    #[test]
    fn stacks_move_between_caches_through_the_arena() {
        let arena: &'static Arena = Box::leak(Box::new(Arena::reserve(1 << 33, None).unwrap()));
        let mut first = StackCache::of_arena(arena);
        let stacks: Vec<Stack> = (0..500).map(|_| first.take(class()).unwrap()).collect();
        for &stack in &stacks {
            first.put(stack);
        }
        assert!(first.classes[class().index()].hot.len() <= HOT);
        first.drain();
        let mut second = StackCache::of_arena(arena);
        for _ in 0..500 {
            let stack = second.take(class()).unwrap();
            assert!(stacks.contains(&stack), "a new slot though 500 are free");
        }
    }

    #[test]
    fn deep_stacks_are_used_first_and_shallow_ones_when_none_is_left() {
        let arena: &'static Arena = Box::leak(Box::new(Arena::reserve(1 << 33, None).unwrap()));
        let mut cache = StackCache::of_arena(arena);
        let mut take = || cache.take(Class::DEEP).unwrap();
        let deep: Vec<Stack> = std::iter::repeat_with(&mut take)
            .take_while(|stack| stack.class() == Class::DEEP)
            .collect();
        let most = arena.geometry().slots(Class::DEEP.info().region);
        assert!(
            (most - 4..=most).contains(&deep.len()),
            "{} of {most}",
            deep.len()
        );
        assert!(arena.deep_spent());
        let shallow = take();
        assert_eq!(shallow.class(), Class::SHALLOW);
        let mut other = StackCache::of_arena(arena);
        other.put(deep[3]);
        other.drain();
        cache.put(shallow);
        assert_eq!(cache.take(Class::DEEP).unwrap(), deep[3]);
        assert_eq!(cache.take(Class::DEEP).unwrap(), shallow);
    }

    #[test]
    fn stacks_of_two_classes_are_not_mixed() {
        let small = Class::for_policy(StackPolicy::Fixed(8 << 10)).unwrap();
        let mut cache = StackCache::new();
        let stack = cache.take(small).unwrap();
        cache.put(stack);
        assert_ne!(cache.take(class()).unwrap().class(), small);
        assert_eq!(cache.take(small).unwrap(), stack);
    }

    #[test]
    fn takers_on_many_threads_never_share_a_stack() {
        std::thread::scope(|scope| {
            for thread in 1..=4usize {
                scope.spawn(move || {
                    let mut cache = StackCache::new();
                    for round in 0..200 {
                        let mine: Vec<Stack> =
                            (0..97).map(|_| cache.take(class()).unwrap()).collect();
                        for stack in &mine {
                            stack.header().scratch.set(thread << 32 | round);
                        }
                        for stack in mine {
                            assert_eq!(stack.header().scratch.get(), thread << 32 | round);
                            cache.put(stack);
                        }
                    }
                });
            }
        });
    }
}
