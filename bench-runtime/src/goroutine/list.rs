//! A first-in first-out list of goroutines, linked through their records. A goroutine is on one
//! list at a time; the thread that dequeued it owns the link.

use std::ptr::{self, NonNull};
use std::sync::atomic::Ordering;

use super::Goroutine;

#[derive(Debug)]
pub(crate) struct List {
    head: *mut Goroutine,
    tail: *mut Goroutine,
    len: usize,
}

// SAFETY: records are `Send`, and the list owns the links of the records in it.
unsafe impl Send for List {}

impl Default for List {
    fn default() -> Self {
        Self::new()
    }
}

impl List {
    pub(crate) const fn new() -> Self {
        Self {
            head: ptr::null_mut(),
            tail: ptr::null_mut(),
            len: 0,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    #[inline]
    pub(crate) fn push(&mut self, g: &'static Goroutine) {
        let raw = ptr::from_ref(g).cast_mut();
        g.next().store(ptr::null_mut(), Ordering::Relaxed);
        match NonNull::new(self.tail) {
            // SAFETY: the tail is on the list, and records are type-stable.
            Some(tail) => unsafe { tail.as_ref() }
                .next()
                .store(raw, Ordering::Relaxed),
            None => self.head = raw,
        }
        self.tail = raw;
        self.len += 1;
    }

    #[inline]
    pub(crate) fn pop(&mut self) -> Option<&'static Goroutine> {
        let head = NonNull::new(self.head)?;
        // SAFETY: it is on the list, and records are type-stable.
        let g: &'static Goroutine = unsafe { head.as_ref() };
        self.head = g.next().load(Ordering::Relaxed);
        if self.head.is_null() {
            self.tail = ptr::null_mut();
        }
        self.len -= 1;
        Some(g)
    }

    pub(crate) fn append(&mut self, other: &mut Self) {
        if other.head.is_null() {
            return;
        }
        match NonNull::new(self.tail) {
            // SAFETY: as in `push`.
            Some(tail) => unsafe { tail.as_ref() }
                .next()
                .store(other.head, Ordering::Relaxed),
            None => self.head = other.head,
        }
        self.tail = other.tail;
        self.len += other.len;
        *other = Self::new();
    }
}
