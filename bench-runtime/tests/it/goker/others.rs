//! The bugs of Hugo, Istio, Knative Serving and Syncthing.

use std::sync::Arc;

use bench_runtime::sync::{Mutex, RwMutex, WaitGroup};

use super::{GROUP, LOCK, Program, READ, RECV, SEND, channel, poll_until_parked, start};

#[rustfmt::skip]
pub(super) const PROGRAMS: &[Program] = &[
    Program { name: "hugo3251", run: hugo_3251, leaks: &[("another", LOCK), ("first", READ), ("test", GROUP)] },
    Program { name: "hugo5379", run: hugo_5379, leaks: &[("page", LOCK), ("renderer", LOCK), ("test", GROUP)] },
    Program { name: "istio16224", run: istio_16224, leaks: &[("run", SEND), ("test", LOCK)] },
    Program { name: "istio17860", run: istio_17860, leaks: &[("wait", SEND)] },
    Program { name: "istio18454", run: istio_18454, leaks: &[("worker", RECV)] },
    Program { name: "serving2137", run: serving_2137, leaks: &[("first", LOCK), ("second", SEND), ("test", RECV)] },
    Program { name: "syncthing4829", run: syncthing_4829, leaks: &[("clear", READ)] },
    Program { name: "syncthing5795", run: syncthing_5795, leaks: &[("dispatcher", RECV), ("start", RECV)] },
];

/// A map has a lock of its own, and a lock for each address. The second goroutine holds the map's
/// lock while it waits for the first goroutine's lock. The first needs the map's lock to unlock.
fn hugo_3251(mended: bool) {
    start("test", move || {
        let map = Arc::new(RwMutex::new(Arc::new(Mutex::new(()))));
        let group = WaitGroup::new();
        group.add(2);
        let (theirs, done) = (map.clone(), group.clone());
        let (held, is_held) = channel(0);
        start("first", move || {
            let lock = theirs.read().clone();
            let guard = lock.lock();
            held.send(()).unwrap();
            if !mended {
                poll_until_parked("another", LOCK);
            }
            drop(theirs.read());
            drop(guard);
            done.done();
        });
        is_held.recv();
        let done = group.clone();
        start("another", move || {
            let locked = map.write();
            let lock = locked.clone();
            if mended {
                drop(locked);
            }
            drop(lock.lock());
            done.done();
        });
        group.wait();
    });
}

/// Making a page requests the same page.
fn hugo_5379(mended: bool) {
    start("test", move || {
        let content = Arc::new(Mutex::new(0));
        let group = WaitGroup::new();
        group.add(2);
        let (theirs, done) = (content.clone(), group.clone());
        let (held, is_held) = channel(0);
        start("page", move || {
            let making = theirs.lock();
            held.send(()).unwrap();
            if mended {
                drop(making);
            }
            *theirs.lock() += 1;
            done.done();
        });
        is_held.recv();
        let done = group.clone();
        start("renderer", move || {
            *content.lock() += 1;
            done.done();
        });
        group.wait();
    });
}

/// A handler sends while it holds the lock that its receiver takes first.
fn istio_16224(mended: bool) {
    let events = Arc::new(Mutex::new(()));
    let (tell, told) = channel(0);
    let handler = events.clone();
    start("run", move || {
        let held = handler.lock();
        if mended {
            drop(held);
        }
        tell.send(1).unwrap();
    });
    poll_until_parked("run", SEND);
    start("test", move || {
        drop(events.lock());
        told.recv();
    });
}

/// A goroutine sends the status of a proxy that has ended after its agent.
fn istio_17860(mended: bool) {
    let (status, statuses) = channel(usize::from(mended));
    let (stop, stopped) = channel::<()>(0);
    start("agent", move || {
        stopped.recv();
        drop(statuses);
    });
    stop.close();
    start("wait", move || status.send("exited").unwrap());
}

/// A worker receives from a timer's channel that another receiver has emptied already.
fn istio_18454(mended: bool) {
    let (fire, fired) = channel(1);
    fire.send(()).unwrap();
    let other = fired.clone();
    assert!(other.recv().is_some(), "the other was first");
    start("worker", move || {
        if mended {
            let _ = fired.try_recv();
        } else {
            fired.recv();
        }
    });
}

/// The holder of a place waits for a lock, which is released only after another request for the
/// place was accepted.
fn serving_2137(mended: bool) {
    start("test", move || {
        let (active, places) = channel(1);
        let (accepted, is_accepted) = channel(2);
        let lock = Arc::new(Mutex::new(()));
        let held = lock.lock();
        let (theirs, place, done) = (lock.clone(), active.clone(), places.clone());
        let admitted = accepted.clone();
        start("first", move || {
            place.send(()).unwrap();
            drop(theirs.lock());
            done.recv();
            admitted.send("first").unwrap();
        });
        poll_until_parked("first", LOCK);
        start("second", move || {
            active.send(()).unwrap();
            places.recv();
            accepted.send("second").unwrap();
        });
        if mended {
            drop(held);
            is_accepted.recv();
        } else {
            is_accepted.recv();
            drop(held);
        }
        is_accepted.recv();
    });
}

/// A function that takes a lock for reading is called while this lock is held for writing.
fn syncthing_4829(mended: bool) {
    let mapping = Arc::new(RwMutex::new(vec!["address"]));
    start("clear", move || {
        let mut addresses = mapping.write();
        addresses.clear();
        let notify = || assert!(mapping.read().is_empty());
        if mended {
            drop(addresses);
        }
        notify();
    });
}

/// A dispatcher that closes the connection waits for its own end.
fn syncthing_5795(mended: bool) {
    let (inbox, messages) = channel(0);
    let (ended, has_ended) = channel::<()>(0);
    let close_waits = has_ended.clone();
    start("dispatcher", move || {
        messages.recv();
        let close = || {
            if !mended {
                close_waits.recv();
            }
        };
        close();
        ended.close();
    });
    start("start", move || {
        inbox.send("cluster config").unwrap();
        has_ended.recv();
    });
}
