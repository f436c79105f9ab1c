//! The global queue: goroutines that belong to no P, in four lists: one for each class, and one
//! for hogs of the normal class.

use std::sync::atomic::{AtomicUsize, Ordering};

use crate::goroutine::{Goroutine, List};
use crate::util::lock::Lock;

/// The scheduling class of a goroutine.
///
/// High ones run before all others and low ones if nothing else is runnable;
/// but a share of picks, fixed in `pick`, checks the lower classes first, so
/// that none starves.
///
/// In a pinned runtime the class decides only when a goroutine starts. After
/// its start it waits in the one queue of its thread, in the order in which
/// that thread's goroutines became runnable: the classes are queues of the
/// whole runtime, from which no other thread could run it.
///
/// # Examples
///
/// ```
/// use bench_runtime::{GoBuilder, Priority, Runtime, chan};
///
/// // SAFETY: nothing here parks inside a thread-local's initialiser or scope.
/// let order = unsafe { Runtime::builder().procs(1).build() }?.run(|| {
///     let (tx, rx) = chan(3);
///     for class in [Priority::Low, Priority::Normal, Priority::High] {
///         let tx = tx.clone();
///         let start = GoBuilder::new().priority(class);
///         drop(start.go(move || tx.send(class)).unwrap());
///     }
///     drop(tx);
///     rx.iter().collect::<Vec<_>>()
/// });
/// assert_eq!(order.len(), 3);
/// println!("{order:?}"); // Mostly the high one first.
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Priority {
    /// In between.
    #[default]
    Normal = 0,
    /// Before all others.
    High = 1,
    /// If nothing else is runnable, and sometimes before.
    Low = 2,
}

impl Priority {
    pub(crate) fn of(g: &Goroutine) -> Self {
        match g.priority_bits() {
            1 => Self::High,
            2 => Self::Low,
            _ => Self::Normal,
        }
    }
}

/// Which of the lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum GlobalClass {
    Normal,
    High,
    Low,
    /// Hogs of the normal class.
    Preempted,
}

impl GlobalClass {
    pub(crate) const ALL: [Self; 4] = [Self::Normal, Self::High, Self::Low, Self::Preempted];
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

/// The queues. Lengths are readable without the lock; they are exact under it.
#[derive(Debug)]
pub(crate) struct GlobalQueue {
    lists: Lock<[List; GlobalClass::ALL.len()]>,
    lens: [AtomicUsize; GlobalClass::ALL.len()],
}

impl GlobalQueue {
    pub(crate) fn new() -> Self {
        Self {
            lists: Lock::new(GlobalClass::ALL.map(|_| List::new())),
            lens: GlobalClass::ALL.map(|_| AtomicUsize::new(0)),
        }
    }

    /// How many of a class wait; may be stale.
    #[inline(always)]
    pub(crate) fn len(&self, class: GlobalClass) -> usize {
        self.lens[class as usize].load(Ordering::Relaxed)
    }

    /// True when all classes are empty; may be stale.
    pub(crate) fn is_empty(&self) -> bool {
        self.lens.iter().all(|len| len.load(Ordering::Acquire) == 0)
    }

    /// Appends one to a class.
    pub(crate) fn push(&self, class: GlobalClass, g: &'static Goroutine) {
        let class = class as usize;
        let mut lists = self.lists.lock();
        lists[class].push(g);
        self.lens[class].store(lists[class].len(), Ordering::Release);
    }

    /// Appends many of the normal class.
    pub(crate) fn push_normal(&self, batch: &mut List) {
        let mut lists = self.lists.lock();
        let normal = GlobalClass::Normal as usize;
        lists[normal].append(batch);
        self.lens[normal].store(lists[normal].len(), Ordering::Release);
    }

    /// Forgets all that wait. Their links may then be reused.
    pub(crate) fn clear(&self) {
        let mut lists = self.lists.lock();
        for (list, len) in lists.iter_mut().zip(&self.lens) {
            *list = List::new();
            len.store(0, Ordering::Release);
        }
    }

    /// Takes the first of a class.
    pub(crate) fn pop_one(&self, class: GlobalClass) -> Option<&'static Goroutine> {
        self.pop(class, 1, |_| unreachable!("one was asked for"))
    }

    /// Takes the first of a class, and `more` with the next ones of it, up to
    /// `limit` in all.
    pub(crate) fn pop(
        &self,
        class: GlobalClass,
        limit: usize,
        mut more: impl FnMut(&'static Goroutine),
    ) -> Option<&'static Goroutine> {
        let class = class as usize;
        if self.lens[class].load(Ordering::Acquire) == 0 {
            return None;
        }
        let mut lists = self.lists.lock();
        let first = lists[class].pop();
        for _ in 1..limit {
            match lists[class].pop() {
                Some(g) => more(g),
                None => break,
            }
        }
        self.lens[class].store(lists[class].len(), Ordering::Release);
        first
    }
}
