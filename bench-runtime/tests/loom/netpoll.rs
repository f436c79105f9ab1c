//! The netpoller: the product's `PollDesc`s, slots and levels, with a kernel that watches one pipe
//! or stream.

use std::io;
use std::os::fd::RawFd;
use std::ptr::NonNull;

use loom::sync::atomic::{AtomicUsize, Ordering};
use loom::sync::{Condvar, Mutex};

use crate::goroutine::{Head, Parkable};
use crate::sys::poller::{Event, Interest};

#[path = "../../src/netpoll/desc.rs"]
#[allow(dead_code, reason = "the models do not use all of it")]
mod desc;
#[path = "../../src/netpoll/level.rs"]
mod level;
#[path = "../../src/netpoll/slot.rs"]
#[allow(dead_code, reason = "the models do not use all of it")]
mod slot;

#[path = "netpoll/level_model.rs"]
mod level_model;
#[path = "netpoll/scene.rs"]
mod scene;
#[path = "netpoll/sides_model.rs"]
mod sides_model;
#[path = "netpoll/slot_model.rs"]
mod slot_model;

mod watch {
    pub(crate) use super::{Side, Watch};
}

/// As in the product.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Side {
    Read,
    #[allow(dead_code, reason = "a pipe that is read is not written")]
    Write,
}

/// As in the product: a poller, and the number of goroutines that wait for it.
pub(crate) struct Watch {
    poller: Kernel,
    waiting: AtomicUsize,
}

impl Watch {
    fn stopped_waiting(&self, n: usize) {
        self.waiting.fetch_sub(n, Ordering::Relaxed);
    }
}

/// Leaked, because records are never freed.
fn parkable() -> Parkable {
    // SAFETY: leaked.
    unsafe { Parkable::from_head(NonNull::from(Box::leak(Box::new(Head(0))))) }
}

/// The kernel's pipe and its epoll item, as in its `fs/eventpoll.c`: under one lock.
struct Kernel {
    item: Mutex<Item>,
    listed: Condvar,
    broken: Broken,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Broken {
    Nothing,
    /// An event ends the level-triggered watch before `on` is cleared, and the change that is
    /// requested later has no effect.
    EarlyEdge,
    /// A change makes no event if there is data to read, and discards an event that was due.
    SilentChange,
    /// A waiter does not check whether its side is watched.
    Unchecked,
}

#[derive(Default)]
struct Item {
    messages: usize,
    by_level: bool,
    /// Messages are not reported.
    is_left: bool,
    /// In the list that the next poll reads.
    listed: bool,
    /// The descriptor's number belongs to another file.
    is_another: bool,
    over: bool,
    token: u64,
}

impl Kernel {
    fn new(broken: Broken) -> Self {
        Self {
            item: Mutex::new(Item::default()),
            listed: Condvar::new(),
            broken,
        }
    }

    fn list(&self, item: &mut Item) {
        item.listed = true;
        self.listed.notify_all();
    }

    fn write(&self, messages: usize) {
        let mut item = self.item.lock().unwrap();
        item.messages += messages;
        if !item.is_left {
            self.list(&mut item);
        }
    }

    fn read(&self) -> bool {
        let mut item = self.item.lock().unwrap();
        let any = item.messages > 0;
        item.messages -= usize::from(any);
        any
    }

    /// As `Poller::change`.
    fn change(&self, _fd: RawFd, token: u64, interest: Interest) -> io::Result<()> {
        let by_level = matches!(interest, Interest::Data);
        let mut item = self.item.lock().unwrap();
        assert!(!item.is_another, "changed the watch of another file");
        assert_eq!(item.token, token);
        item.is_left = matches!(interest, Interest::Edges { read: false, .. });
        if item.is_left {
            item.listed = false;
            return Ok(());
        }
        match self.broken {
            Broken::EarlyEdge if !by_level => return Ok(()),
            Broken::SilentChange => item.listed = false,
            _ if item.messages > 0 => self.list(&mut item),
            _ => {}
        }
        item.by_level = by_level;
        Ok(())
    }

    fn poll(&self) -> Option<(u64, Event)> {
        let mut item = self.item.lock().unwrap();
        loop {
            if item.over {
                return None;
            }
            if std::mem::take(&mut item.listed) && item.messages > 0 {
                if item.by_level {
                    self.list(&mut item);
                    item.by_level = self.broken != Broken::EarlyEdge;
                }
                return Some((item.token, Event));
            }
            item = self.listed.wait(item).unwrap();
        }
    }

    fn end(&self) {
        self.item.lock().unwrap().over = true;
        self.listed.notify_all();
    }
}
