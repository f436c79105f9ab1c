//! The textbook bounded queue: a mutex and two condition variables. It counts the waiting threads,
//! because std's `notify_one` makes a system call even if no thread waits.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

pub(super) struct Queue<T> {
    state: Mutex<State<T>>,
    capacity: usize,
    not_empty: Condvar,
    not_full: Condvar,
}

struct State<T> {
    items: VecDeque<T>,
    /// The number of threads that wait for an item and are not notified yet; perhaps too high,
    /// never too low.
    receivers: usize,
    /// The number of threads that wait for room, counted in the same way.
    senders: usize,
}

impl<T> Queue<T> {
    /// A capacity of 0 counts as 1.
    pub(super) fn bounded(capacity: usize) -> Self {
        Self {
            state: Mutex::new(State {
                items: VecDeque::new(),
                receivers: 0,
                senders: 0,
            }),
            capacity: capacity.max(1),
            not_empty: Condvar::new(),
            not_full: Condvar::new(),
        }
    }

    pub(super) fn unbounded() -> Self {
        Self::bounded(usize::MAX)
    }

    /// Blocks the thread while the queue is full.
    pub(super) fn push(&self, item: T) {
        let mut state = self.lock();
        while state.items.len() == self.capacity {
            state.senders += 1;
            state = wait(&self.not_full, state);
        }
        state.items.push_back(item);
        let is_wanted = take_one(&mut state.receivers);
        // The woken receiver can then take the lock at once.
        drop(state);
        if is_wanted {
            self.not_empty.notify_one();
        }
    }

    /// Blocks the thread until there is an item.
    pub(super) fn pop(&self) -> T {
        let mut state = self.lock();
        let item = loop {
            match state.items.pop_front() {
                Some(item) => break item,
                None => {
                    state.receivers += 1;
                    state = wait(&self.not_empty, state);
                }
            }
        };
        let is_wanted = take_one(&mut state.senders);
        drop(state);
        if is_wanted {
            self.not_full.notify_one();
        }
        item
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn wait<'a, T>(on: &Condvar, state: MutexGuard<'a, State<T>>) -> MutexGuard<'a, State<T>> {
    on.wait(state).unwrap_or_else(PoisonError::into_inner)
}

/// Counts a waiting thread as notified; false if there is none. A thread that must wait again
/// counts itself again.
fn take_one(waiting: &mut usize) -> bool {
    let is_there = *waiting > 0;
    *waiting -= usize::from(is_there);
    is_there
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread;

    #[test]
    fn every_item_of_many_senders_comes_to_one_of_many_receivers() {
        for capacity in [1, 3, usize::MAX] {
            let queue = Queue::bounded(capacity);
            let sum: u64 = thread::scope(|scope| {
                let receivers: Vec<_> = (0..4)
                    .map(|_| scope.spawn(|| (0..5_000).map(|_| queue.pop()).sum::<u64>()))
                    .collect();
                for sender in 0..4 {
                    let queue = &queue;
                    scope.spawn(move || {
                        (0..5_000).for_each(|item| queue.push(sender * 5_000 + item))
                    });
                }
                receivers.into_iter().map(|one| one.join().unwrap()).sum()
            });
            assert_eq!(sum, 20_000 * 19_999 / 2);
        }
    }

    #[test]
    fn no_notification_is_sent_if_no_thread_waits() {
        let queue = Queue::bounded(2);
        queue.push(1);
        queue.pop();
        let state = queue.lock();
        assert_eq!((state.receivers, state.senders), (0, 0));
    }
}
