//! The textbook bounded queue of a mutex and two condition variables.
//!
//! Not `std::sync::mpsc::sync_channel`: that spins before it blocks, which on
//! one CPU costs threads several times what this does.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, PoisonError};

use super::Channel;

/// A queue that threads share.
#[derive(Clone)]
pub(super) struct Queue(Arc<Shared>);

struct Shared {
    numbers: Mutex<VecDeque<u64>>,
    capacity: usize,
    not_empty: Condvar,
    not_full: Condvar,
}

impl Channel for Queue {
    fn new(capacity: usize) -> Self {
        let capacity = capacity.max(1);
        Self(Arc::new(Shared {
            numbers: Mutex::new(VecDeque::with_capacity(capacity)),
            capacity,
            not_empty: Condvar::new(),
            not_full: Condvar::new(),
        }))
    }

    fn send(&self, number: u64) {
        let numbers = self
            .0
            .numbers
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let mut numbers = self
            .0
            .not_full
            .wait_while(numbers, |numbers| numbers.len() == self.0.capacity)
            .unwrap_or_else(PoisonError::into_inner);
        numbers.push_back(number);
        // Woken without the lock, the receiver finds it free.
        drop(numbers);
        self.0.not_empty.notify_one();
    }

    fn recv(&self) -> u64 {
        let mut numbers = self
            .0
            .numbers
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let number = loop {
            match numbers.pop_front() {
                Some(number) => break number,
                None => {
                    numbers = self
                        .0
                        .not_empty
                        .wait(numbers)
                        .unwrap_or_else(PoisonError::into_inner)
                }
            }
        };
        drop(numbers);
        self.0.not_full.notify_one();
        number
    }
}
