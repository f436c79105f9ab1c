use loom::sync::atomic::{AtomicUsize, Ordering};
use loom::sync::{Arc, Notify};
use loom::thread::JoinHandle;

use super::desc::PollDesc;
use super::slot::Registered;
use super::{Broken, Kernel, Side, Watch, parkable};
use crate::goroutine::Parkable;

const NUMBER: i32 = 7;

/// A reader, and a poller of the descriptor.
pub(super) struct Scene {
    pub(super) desc: PollDesc,
    watch: Watch,
    me: Parkable,
    readies: AtomicUsize,
    woken: Notify,
}

impl Scene {
    pub(super) fn new(broken: Broken) -> Arc<Self> {
        let scene = Arc::new(Self {
            desc: PollDesc::new(0),
            watch: Watch {
                poller: Kernel::new(broken),
                waiting: AtomicUsize::new(0),
            },
            me: parkable(),
            readies: AtomicUsize::new(0),
            woken: Notify::new(),
        });
        scene.desc.open(&scene.watch, NUMBER);
        scene.kernel().item.lock().unwrap().token = scene.desc.token();
        scene
    }

    pub(super) fn kernel(&self) -> &Kernel {
        &self.watch.poller
    }

    /// Reads so many messages, then ends the polls and the other `threads`. Each park must have ended
    /// by one ready.
    pub(super) fn read_all(&self, messages: usize, threads: Vec<JoinHandle<()>>) {
        let mut parks = 0;
        (0..messages).for_each(|_| self.read(&mut parks));
        self.kernel().end();
        threads.into_iter().for_each(|t| t.join().unwrap());
        assert_eq!(self.readies.load(Ordering::Acquire), parks);
        assert_eq!(self.watch.waiting.load(Ordering::Acquire), 0);
    }

    /// One message, by the steps of `net::fd` and `net::attempt`.
    fn read(&self, parks: &mut usize) {
        let mut waited = false;
        loop {
            let tick = self.desc.slot(Side::Read).tick();
            if waited || !self.desc.is_drained(tick) {
                if self.kernel().read() {
                    return self.desc.note_read(tick, waited);
                }
                self.desc.note_empty_read(tick, waited);
            }
            waited = true;
            self.watch.waiting.fetch_add(1, Ordering::Relaxed);
            match self.desc.slot(Side::Read).register(self.me, tick) {
                Registered::Waiting => {
                    // As `Netpoll::register`.
                    if self.kernel().broken != Broken::Unchecked
                        && !self.desc.watches_side(Side::Read)
                    {
                        self.desc.watch_side(Side::Read);
                    }
                    *parks += 1;
                    while self.readies.load(Ordering::Acquire) < *parks {
                        self.woken.wait();
                    }
                }
                _ => self.watch.stopped_waiting(1),
            }
        }
    }

    /// As `Netpoll::poll`, repeatedly.
    pub(super) fn poll(&self) {
        while let Some((token, event)) = self.kernel().poll() {
            let mut ready = Vec::new();
            if self.desc.is_current(token) {
                let taken = self.desc.on_event(event, &mut ready);
                self.watch.stopped_waiting(taken);
            }
            if ready.is_empty() {
                // Another thread may have changed the watch but not yet `on`.
                loom::thread::yield_now();
            }
            for waiter in ready {
                assert_eq!(waiter, self.me);
                self.readies.fetch_add(1, Ordering::AcqRel);
                self.woken.notify();
            }
        }
    }
}

pub(super) fn spawn(scene: &Arc<Scene>, f: impl FnOnce(&Scene) + Send + 'static) -> JoinHandle<()> {
    let scene = scene.clone();
    loom::thread::spawn(move || f(&scene))
}
