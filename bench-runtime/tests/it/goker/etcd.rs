//! The bugs of etcd.

use std::mem::forget;
use std::sync::Arc;

use bench_runtime::select;
use bench_runtime::sync::{Mutex, RwMutex, WaitGroup};

use super::{GROUP, LOCK, Program, READ, RECV, SEND, WRITE, channel, poll_until_parked, start};

#[rustfmt::skip]
pub(super) const PROGRAMS: &[Program] = &[
    Program { name: "5509", run: client_5509, leaks: &[("close", WRITE)] },
    Program { name: "6708", run: client_6708, leaks: &[("sync", READ)] },
    Program { name: "6857", run: node_6857, leaks: &[("status", SEND)] },
    Program { name: "6873", run: broadcasts_6873, leaks: &[("coalesce", LOCK), ("stop", RECV)] },
    Program { name: "7492", run: tokens_7492, leaks: &[("assign", SEND), ("keeper", LOCK), ("test", GROUP)] },
    Program { name: "7902", run: election_7902, leaks: &[("follower", RECV), ("leader", LOCK), ("test", GROUP)] },
    Program { name: "10492", run: lessor_10492, leaks: &[("checkpoint", LOCK)] },
];

/// A failure leaves the client locked for reading.
fn client_5509(mended: bool) {
    let client = Arc::new(RwMutex::new(()));
    start("close", move || {
        let acquired = client.read();
        let failed = true;
        if failed && !mended {
            forget(acquired);
        } else {
            drop(acquired);
        }
        drop(client.write());
    });
}

/// A client locks its endpoints for reading while it holds the lock for writing.
fn client_6708(mended: bool) {
    let client = Arc::new(RwMutex::new(vec!["a"]));
    start("sync", move || {
        let mut endpoints = client.write();
        endpoints.push("b");
        if mended {
            drop(endpoints);
        }
        assert_eq!(client.read().len(), 2);
    });
}

/// A request is sent to a node that has stopped.
fn node_6857(mended: bool) {
    let (status, asked) = channel::<()>(0);
    let (stop, stopped) = channel::<()>(0);
    let (done, is_done) = channel::<()>(0);
    start("run", move || {
        select! {
            recv(asked) => {}
            recv(stopped) => {}
        }
        done.close();
    });
    stop.close();
    is_done.recv();
    start("status", move || {
        if mended {
            select! {
                send(status, ()) => {}
                recv(is_done) => {}
            }
        } else {
            status.send(()).unwrap();
        }
    });
}

/// A stop holds a lock while it waits for a goroutine that needs this lock.
fn broadcasts_6873(mended: bool) {
    let broadcasts = Arc::new(Mutex::new(()));
    let (updates, update) = channel::<()>(0);
    let (done, is_done) = channel::<()>(0);
    let theirs = broadcasts.clone();
    let (reached, is_reached) = channel::<()>(0);
    start("coalesce", move || {
        update.recv();
        reached.close();
        if !mended {
            poll_until_parked("stop", RECV);
        }
        drop(theirs.lock());
        done.close();
    });
    updates.send(()).unwrap();
    is_reached.recv();
    start("stop", move || {
        let held = broadcasts.lock();
        updates.close();
        if mended {
            drop(held);
        }
        is_done.recv();
    });
}

/// A goroutine holds a lock and sends a token to a keeper, which waits for this lock.
fn tokens_7492(mended: bool) {
    start("test", move || {
        let tokens = Arc::new(Mutex::new(0));
        let (add, added) = channel::<()>(usize::from(mended));
        let group = WaitGroup::new();
        group.add(2);
        let (theirs, done) = (tokens.clone(), group.clone());
        start("assign", move || {
            let mut tokens = theirs.lock();
            *tokens += 1;
            add.send(()).unwrap();
            drop(tokens);
            done.done();
        });
        if !mended {
            poll_until_parked("assign", SEND);
        }
        let done = group.clone();
        start("keeper", move || {
            // Its select took the tick of its clock, not `added`, so it removes old tokens under
            // the lock.
            *tokens.lock() = 0;
            added.recv();
            done.done();
        });
        group.wait();
    });
}

/// The follower holds a lock while it waits for the leader, which needs this lock.
fn election_7902(mended: bool) {
    start("test", move || {
        let round = Arc::new(Mutex::new(()));
        let (next, is_next) = channel::<()>(0);
        let group = WaitGroup::new();
        group.add(2);
        let (theirs, done) = (round.clone(), group.clone());
        start("follower", move || {
            let held = theirs.lock();
            if mended {
                drop(held);
            }
            is_next.recv();
            done.done();
        });
        if !mended {
            poll_until_parked("follower", RECV);
        }
        let done = group.clone();
        start("leader", move || {
            drop(round.lock());
            next.close();
            done.done();
        });
        group.wait();
    });
}

/// A callback is called with a lock held, and takes this lock.
fn lessor_10492(mended: bool) {
    let lessor = Arc::new(Mutex::new(1));
    start("checkpoint", move || {
        let lease = lessor.lock();
        let renew = |left: i32| *lessor.lock() = left;
        if mended {
            drop(lease);
        }
        renew(5);
    });
}
