//! A slot: no edge is lost, and a waiter is readied once.

use loom::sync::atomic::{AtomicUsize, Ordering};
use loom::sync::{Arc, Mutex, Notify};

use super::parkable;
use super::slot::{Registered, Slot};
use crate::goroutine::Parkable;

/// A socket: after data arrives, an edge follows.
struct Socket {
    slot: Slot,
    data: AtomicUsize,
    readies: AtomicUsize,
}

impl Socket {
    fn new() -> Arc<Self> {
        Arc::new(Self::unshared())
    }

    fn unshared() -> Self {
        Self {
            slot: Slot::new(),
            data: AtomicUsize::new(0),
            readies: AtomicUsize::new(0),
        }
    }

    fn arrive(&self) {
        self.data.fetch_add(1, Ordering::AcqRel);
        self.edge();
    }

    fn edge(&self) {
        if self.slot.notify().is_some() {
            self.readies.fetch_add(1, Ordering::AcqRel);
        }
    }

    fn take(&self) -> bool {
        self.data
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |n| n.checked_sub(1))
            .is_ok()
    }
}

#[test]
fn waiter_is_readied_for_data_that_arrives_while_it_registers() {
    loom::model(|| {
        let me = parkable();
        let socket = Socket::new();
        let far = socket.clone();
        let sender = loom::thread::spawn(move || far.arrive());
        let mut parks = 0;
        loop {
            let seen = socket.slot.tick();
            if socket.take() {
                break;
            }
            if socket.slot.register(me, seen) == Registered::Waiting {
                parks += 1;
                // Each park must end by exactly one ready.
                while socket.readies.load(Ordering::Acquire) < parks {
                    loom::thread::yield_now();
                }
            }
        }
        sender.join().unwrap();
        assert_eq!(socket.readies.load(Ordering::Acquire), parks);
    });
}

#[test]
fn edge_and_expiry_at_once_end_a_wait_once() {
    loom::model(|| {
        let me = parkable();
        let socket = Socket::new();
        let (a, b) = (socket.clone(), socket.clone());
        let edge = loom::thread::spawn(move || a.edge());
        let expiry = loom::thread::spawn(move || {
            if b.slot.withdraw(me) {
                b.readies.fetch_add(1, Ordering::AcqRel);
            }
        });
        let waits = socket.slot.register(me, 0) == Registered::Waiting;
        edge.join().unwrap();
        expiry.join().unwrap();
        let readies = socket.readies.load(Ordering::Acquire);
        let left = socket.slot.withdraw(me);
        assert_eq!(readies + usize::from(left), usize::from(waits));
        assert!(!left, "the edge came, and nobody took the waiter");
    });
}

#[test]
fn two_edges_at_once_ready_a_waiter_once() {
    crate::bounded(4, || {
        let me = parkable();
        let socket = Socket::new();
        let (a, b) = (socket.clone(), socket.clone());
        let one = loom::thread::spawn(move || a.edge());
        let two = loom::thread::spawn(move || b.edge());
        let waits = socket.slot.register(me, 0) == Registered::Waiting;
        one.join().unwrap();
        two.join().unwrap();
        let readies = socket.readies.load(Ordering::Acquire);
        assert_eq!(readies, usize::from(waits));
    });
}

/// A tick that is read after the attempt to read, not before it, loses an edge.
#[test]
#[should_panic(expected = "lost edge")]
fn canary_register_with_a_tick_that_was_read_after_the_try() {
    loom::model(|| {
        let me = parkable();
        let socket = Socket::new();
        let far = socket.clone();
        let sender = loom::thread::spawn(move || far.edge());
        // Here the reader would have tried to read, and found no data.
        let waits = socket.slot.register(me, socket.slot.tick()) == Registered::Waiting;
        sender.join().unwrap();
        let readies = socket.readies.load(Ordering::Acquire);
        assert_eq!(readies, usize::from(waits), "lost edge");
    });
}

/// Two readers of one socket: the slot is the real one, the queue a model of steps 5 and 6 of
/// `net::wait`.
struct Shared {
    socket: Socket,
    queued: AtomicUsize,
    queue: Mutex<Vec<usize>>,
    readers: [Reader; 2],
}

struct Reader {
    me: Parkable,
    readies: AtomicUsize,
    woken: Notify,
}

impl Shared {
    fn new() -> Arc<Self> {
        let reader = || Reader {
            me: parkable(),
            readies: AtomicUsize::new(0),
            woken: Notify::new(),
        };
        Arc::new(Self {
            socket: Socket::unshared(),
            queued: AtomicUsize::new(0),
            queue: Mutex::new(Vec::new()),
            readers: [reader(), reader()],
        })
    }

    fn ready(&self, reader: &Reader) {
        reader.readies.fetch_add(1, Ordering::AcqRel);
        reader.woken.notify();
    }

    fn edge(&self) {
        if let Some(who) = self.socket.slot.notify() {
            let reader = self.readers.iter().find(|r| r.me == who);
            self.ready(reader.expect("one of the two"));
        }
    }

    fn remove(&self, id: usize) -> bool {
        let mut queue = self.queue.lock().unwrap();
        let at = queue.iter().position(|&queued| queued == id);
        if let Some(at) = at {
            queue.remove(at);
        }
        self.queued.store(queue.len(), Ordering::Release);
        at.is_some()
    }

    fn read(&self, id: usize, no_pass_on_after_changed: bool) {
        let reader = &self.readers[id];
        let mut parks = 0;
        let mut waited = false;
        let mut park = || {
            parks += 1;
            while reader.readies.load(Ordering::Acquire) < parks {
                reader.woken.wait();
            }
        };
        loop {
            let seen = self.socket.slot.tick();
            if self.socket.take() {
                break;
            }
            match self.socket.slot.register(reader.me, seen) {
                Registered::Waiting => {
                    waited = true;
                    park();
                }
                Registered::Changed => waited |= !no_pass_on_after_changed,
                Registered::Busy => {
                    waited = true;
                    self.queue.lock().unwrap().push(id);
                    self.queued.fetch_add(1, Ordering::AcqRel);
                    if self.socket.slot.is_busy() || !self.remove(id) {
                        park();
                    }
                }
            }
        }
        if waited && self.queued.load(Ordering::Acquire) != 0 {
            let next = {
                let mut queue = self.queue.lock().unwrap();
                let next = (!queue.is_empty()).then(|| queue.remove(0));
                self.queued.store(queue.len(), Ordering::Release);
                next
            };
            if let Some(next) = next {
                self.ready(&self.readers[next]);
            }
        }
    }
}

fn both_read(no_pass_on_after_changed: bool) {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(3);
    model.check(move || {
        let shared = Shared::new();
        let readers = [0, 1].map(|id| {
            let shared = shared.clone();
            loom::thread::spawn(move || shared.read(id, no_pass_on_after_changed))
        });
        // Two messages at once make one edge.
        shared.socket.data.fetch_add(2, Ordering::AcqRel);
        shared.edge();
        let _ = readers.map(|reader| reader.join().unwrap());
    });
}

#[test]
fn queued_reader_is_always_readied() {
    both_read(false);
}

/// In the canary a reader whose `register` returns `Changed` passes no edge on. It must, because it
/// was in the slot for a moment, and the other reader may have queued then.
#[test]
fn canary_reader_that_does_not_pass_on() {
    let name = "netpoll::slot_model::canary_reader_that_does_not_pass_on";
    crate::expect_deadlock(name, || both_read(true));
}
