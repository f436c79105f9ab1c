//! The thread that receives the signals of the process, and its listeners. It starts with the
//! first listener and stays. Listeners are added, removed and called under one lock, so a removed
//! listener gets no further signal.

use std::{io, mem};

use crate::runtime::deadlock::Awaited;
use crate::sched::wakers;
use crate::sys::notice::{self, Action, Noted};
use crate::threads::{self, THREAD_STACK};
use crate::util::lock::Lock;

/// Called with the number of each signal. Must not block.
type Tell = Box<dyn Fn(i32) + Send>;

struct Listener {
    key: u64,
    signals: u64,
    tell: Tell,
}

struct Registry {
    listeners: Vec<Listener>,
    /// The caught signals, with their former actions.
    caught: Vec<(i32, Action)>,
    next_key: u64,
}

static REGISTRY: Lock<Registry> = Lock::new(Registry {
    listeners: Vec::new(),
    caught: Vec::new(),
    next_key: 0,
});

impl Registry {
    /// Gives signals that have no listener any more their former actions back.
    fn let_go(&mut self) {
        let wanted = self.listeners.iter().fold(0, |all, l| all | l.signals);
        self.caught.retain(|(signal, former)| {
            let stays = wanted & notice::bit(*signal) != 0;
            if !stays {
                notice::let_go(*signal, former);
            }
            stays
        });
    }

    fn catch(&mut self, signals: u64) -> io::Result<()> {
        for signal in 1..=notice::LARGEST {
            let asked = signals & notice::bit(signal) != 0;
            if asked && self.caught.iter().all(|(caught, _)| *caught != signal) {
                self.caught.push((signal, notice::catch(signal)?));
            }
        }
        Ok(())
    }
}

/// A registered listener, until this is dropped.
#[derive(Debug)]
pub(crate) struct Listening {
    key: u64,
    /// While it lives, no deadlock is reported.
    awaited: Option<Awaited>,
}

/// Calls `tell` with each of these signals, on a thread that all listeners share. A signal that
/// comes again before the call is reported once.
///
/// # Errors
///
/// When the kernel refuses a signal, or has no room for a descriptor or a thread.
pub(crate) fn listen(signals: u64, tell: impl Fn(i32) + Send + 'static) -> io::Result<Listening> {
    let mut all = REGISTRY.lock();
    if !notice::is_open() {
        start(notice::open()?)?;
    }
    if let Err(error) = all.catch(signals) {
        all.let_go();
        return Err(error);
    }
    let key = all.next_key;
    all.next_key += 1;
    let tell = Box::new(tell);
    all.listeners.push(Listener { key, signals, tell });
    let awaited = Some(Awaited::begin());
    Ok(Listening { key, awaited })
}

impl Listening {
    /// Keeps the listener for ever. Deadlocks are reported again, because its signals end no
    /// goroutine's wait.
    pub(crate) fn forget(mut self) {
        self.awaited = None;
        mem::forget(self);
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        let mut all = REGISTRY.lock();
        let at = all.listeners.iter().position(|l| l.key == self.key);
        let gone = at.map(|at| all.listeners.swap_remove(at));
        all.let_go();
        drop(all);
        // Not under the lock: the drop of the listener's captures may ready a waiter.
        drop(gone);
    }
}

fn tell_all(mut signals: u64) {
    let all = REGISTRY.lock();
    while signals != 0 {
        let signal = signals.trailing_zeros().cast_signed() + 1;
        let listeners = all.listeners.iter();
        listeners
            .filter(|l| l.signals & notice::bit(signal) != 0)
            .for_each(|l| (l.tell)(signal));
        signals &= signals - 1;
    }
}

fn start(noted: Noted) -> io::Result<()> {
    threads::start_counted("signals", THREAD_STACK, move || {
        notice::unblock_all();
        loop {
            let signals = noted.wait();
            // This thread counts as an outside thread while it may end a wait. The listener's
            // `Awaited` is not enough, because the listener may be dropped meanwhile.
            threads::count(-1);
            // Not under the lock: a waker may drop a listener.
            wakers::wake_apart(wakers::collecting(|| tell_all(signals)));
            threads::count(1);
        }
    })
}
