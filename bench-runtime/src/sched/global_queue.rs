//! The global queue: goroutines that are in no P's queue, in four lists: one for each class, and
//! one for hogs of the normal class.

use std::sync::atomic::{AtomicUsize, Ordering};

use crate::goroutine::{Goroutine, List, Priority};
use crate::util::lock::Lock;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum GlobalClass {
    Normal,
    High,
    Low,
    /// Hogs of the normal class.
    Hog,
}

impl GlobalClass {
    pub(crate) const ALL: [Self; 4] = [Self::Normal, Self::High, Self::Low, Self::Hog];
}

impl From<Priority> for GlobalClass {
    fn from(priority: Priority) -> Self {
        match priority {
            Priority::Normal => Self::Normal,
            Priority::High => Self::High,
            Priority::Low => Self::Low,
        }
    }
}

/// The lengths are read without the lock.
#[derive(Debug, Default)]
pub(crate) struct GlobalQueue {
    lists: Lock<[List; GlobalClass::ALL.len()]>,
    lens: [AtomicUsize; GlobalClass::ALL.len()],
}

impl GlobalQueue {
    /// The length at some moment just before.
    #[inline(always)]
    pub(crate) fn len(&self, class: GlobalClass) -> usize {
        self.lens[class as usize].load(Ordering::Relaxed)
    }

    /// True if each list was empty when its length was read. The lengths are read one by one.
    pub(crate) fn is_empty(&self) -> bool {
        self.lens.iter().all(|len| len.load(Ordering::Acquire) == 0)
    }

    fn with<R>(&self, class: GlobalClass, f: impl FnOnce(&mut List) -> R) -> R {
        let list = &mut self.lists.lock()[class as usize];
        let result = f(list);
        self.lens[class as usize].store(list.len(), Ordering::Release);
        result
    }

    pub(crate) fn push(&self, class: GlobalClass, g: &'static Goroutine) {
        self.with(class, |list| list.push(g));
    }

    pub(crate) fn push_normal(&self, batch: &mut List) {
        self.with(GlobalClass::Normal, |list| list.append(batch));
    }

    /// Forgets all goroutines, without unlinking them one by one. Their links may then be reused.
    pub(crate) fn clear(&self) {
        for class in GlobalClass::ALL {
            self.with(class, |list| *list = List::new());
        }
    }

    pub(crate) fn pop_one(&self, class: GlobalClass) -> Option<&'static Goroutine> {
        self.pop(class, 1, |_| unreachable!("one was asked for"))
    }

    /// Returns the first goroutine of the class. `more` gets the next goroutines, up to `limit` in
    /// all.
    pub(crate) fn pop(
        &self,
        class: GlobalClass,
        limit: usize,
        more: impl FnMut(&'static Goroutine),
    ) -> Option<&'static Goroutine> {
        if self.lens[class as usize].load(Ordering::Acquire) == 0 {
            return None;
        }
        self.with(class, |list| {
            let first = list.pop();
            (1..limit).map_while(|_| list.pop()).for_each(more);
            first
        })
    }
}
