//! The bugs of Kubernetes.

use std::sync::Arc;

use bench_runtime::context::Context;
use bench_runtime::select;
use bench_runtime::sync::{Cond, Mutex, RwMutex};

use super::{
    COND, LOCK, Program, READ, RECV, SELECT, SEND, WRITE, channel, poll_until_parked, start,
};

#[rustfmt::skip]
pub(super) const PROGRAMS: &[Program] = &[
    Program { name: "1321", run: mux_1321, leaks: &[("distribute", SEND), ("stop", LOCK)] },
    Program { name: "5316", run: request_5316, leaks: &[("handler", SEND)] },
    Program { name: "6632", run: framer_6632, leaks: &[("monitor", LOCK), ("write", SEND)] },
    Program { name: "10182", run: status_10182, leaks: &[("set", SEND), ("sync", LOCK)] },
    Program { name: "11298", run: notifier_11298, leaks: &[("service", COND), ("test", RECV)] },
    Program { name: "13135", run: cacher_13135, leaks: &[("cacher", LOCK), ("event", LOCK)] },
    Program { name: "25331", run: watch_25331, leaks: &[("watch", SEND)] },
    Program { name: "26980", run: listener_26980, leaks: &[("add", LOCK), ("pop", RECV), ("test", RECV)] },
    Program { name: "30872", run: federation_30872, leaks: &[("controller", LOCK), ("deliverer", LOCK)] },
    Program { name: "38669", run: cache_watcher_38669, leaks: &[("process", SEND)] },
    Program { name: "58107", run: quota_58107, leaks: &[("first", COND), ("second", READ), ("sync", WRITE)] },
    Program { name: "62464", run: cpu_manager_62464, leaks: &[("reconcile", READ), ("remove", WRITE)] },
    Program { name: "70277", run: poller_70277, leaks: &[("poller", SELECT)] },
];

/// A goroutine sends to a watcher while it holds the lock that the watcher's stop needs.
fn mux_1321(mended: bool) {
    let mux = Arc::new(Mutex::new(()));
    let (result, _results) = channel(0);
    let (stop, stopped) = channel::<()>(0);
    let theirs = mux.clone();
    start("distribute", move || {
        let _held = theirs.lock();
        if mended {
            select! {
                send(result, 1) => {}
                recv(stopped) => {}
            }
        } else {
            result.send(1).unwrap();
        }
    });
    poll_until_parked("distribute", if mended { SELECT } else { SEND });
    start("stop", move || {
        if mended {
            stop.close();
        }
        let _held = mux.lock();
    });
}

/// The receiver has given up; the answer cannot be sent.
fn request_5316(mended: bool) {
    let (answer, answers) = channel(usize::from(mended));
    let (late, is_late) = channel::<()>(0);
    start("handler", move || answer.send("done").unwrap());
    late.close();
    // In Go, if both are ready, the select may take the time limit. Here it always does.
    is_late.recv();
    drop(answers);
}

/// A goroutine sends to a full channel while it holds the lock that the channel's close needs.
fn framer_6632(mended: bool) {
    let lock = Arc::new(Mutex::new(()));
    let (reset, resets) = channel(1);
    reset.send(0).unwrap();
    let (closing, is_closing) = channel::<()>(0);
    let (writes, end) = (lock.clone(), is_closing.clone());
    start("write", move || {
        let _held = writes.lock();
        if mended {
            select! {
                send(reset, 1) => {}
                recv(end) => {}
            }
        } else {
            reset.send(1).unwrap();
        }
    });
    poll_until_parked("write", if mended { SELECT } else { SEND });
    start("monitor", move || {
        is_closing.recv();
        let _held = lock.lock();
        drop(resets);
    });
    closing.close();
}

/// A goroutine sends while it holds the lock that the receiver takes before it receives again.
fn status_10182(mended: bool) {
    let statuses = Arc::new(Mutex::new(0));
    let (tell, told) = channel(0);
    let theirs = statuses.clone();
    start("sync", move || {
        told.recv();
        if !mended {
            poll_until_parked("set", SEND);
        }
        *theirs.lock() -= 1;
        told.recv();
    });
    start("set", move || {
        for _ in 0..2 {
            let mut statuses = statuses.lock();
            *statuses += 1;
            if mended {
                drop(statuses);
                tell.send(()).unwrap();
            } else {
                tell.send(()).unwrap();
            }
        }
    });
}

/// A signal that comes before the wait is lost.
fn notifier_11298(mended: bool) {
    start("test", move || {
        let shared = Arc::new((Mutex::new(false), Cond::new()));
        let (done, is_done) = channel::<()>(0);
        *shared.0.lock() = true;
        shared.1.signal();
        start("service", move || {
            let (notified, cond) = &*shared;
            let held = notified.lock();
            if mended {
                drop(cond.wait_while(held, |notified| !*notified));
            } else {
                drop(cond.wait(held));
            }
            done.close();
        });
        is_done.recv();
    });
}

/// Each of two goroutines holds the lock that the other needs.
fn crossed(mended: bool, one: &str, other: &str) {
    let (cacher, watch) = (Arc::new(Mutex::new(())), Arc::new(Mutex::new(())));
    let (both, ready) = channel(2);
    let (begin, begun) = channel::<()>(0);
    let order = [(one, &cacher, &watch), (other, &watch, &cacher)];
    for (name, first, second) in order {
        let (first, second) = (first.clone(), second.clone());
        let (both, begun) = (both.clone(), begun.clone());
        start(name, move || {
            let held = first.lock();
            if mended {
                drop(held);
                both.send(()).unwrap();
                drop(second.lock());
            } else {
                both.send(()).unwrap();
                begun.recv();
                drop(second.lock());
                drop(held);
            }
        });
    }
    ready.recv();
    ready.recv();
    begin.close();
}

/// A cache replaces its content, while an event calls the cacher.
fn cacher_13135(mended: bool) {
    crossed(mended, "cacher", "event");
}

/// An informer runs beside the goroutine that delivers its delayed events.
fn federation_30872(mended: bool) {
    crossed(mended, "controller", "deliverer");
}

/// The watch is stopped after an error, and then sends a result that has no receiver.
fn watch_25331(mended: bool) {
    let (ctx, cancel) = Context::background().with_cancel();
    let (errors, error) = channel(1);
    let (result, _results) = channel(0);
    errors.send("failed").unwrap();
    cancel.cancel();
    start("watch", move || {
        let error = error.recv().unwrap();
        if mended {
            select! {
                send(result, error) => {}
                recv(ctx.done()) => {}
            }
        } else {
            result.send(error).unwrap();
        }
    });
}

/// A goroutine waits for the next item while it holds the lock that adding an item needs.
fn listener_26980(mended: bool) {
    start("test", move || {
        let listener = Arc::new(Mutex::new(Vec::new()));
        let (next, nexts) = channel::<()>(0);
        let (done, is_done) = channel::<()>(0);
        let theirs = listener.clone();
        start("pop", move || {
            let held = theirs.lock();
            if mended {
                drop(held);
            }
            nexts.recv();
        });
        if !mended {
            poll_until_parked("pop", RECV);
        }
        start("add", move || {
            listener.lock().push(1);
            next.close();
            done.close();
        });
        is_done.recv();
    });
}

/// A goroutine sends an event for a watcher that has stopped.
fn cache_watcher_38669(mended: bool) {
    let (input, inputs) = channel(1);
    let (result, _results) = channel(0);
    let (stop, stopped) = channel::<()>(0);
    input.send(1).unwrap();
    stop.close();
    start("process", move || {
        let event = inputs.recv().unwrap();
        if mended {
            select! {
                send(result, event) => {}
                recv(stopped) => {}
            }
        } else {
            result.send(event).unwrap();
        }
    });
}

/// A goroutine waits for an item in a queue while it holds a lock for reading. A waiting writer
/// then keeps out the reader that would add an item.
fn quota_58107(mended: bool) {
    let workers = Arc::new(RwMutex::new(()));
    let queue = Arc::new((Mutex::new(0), Cond::new()));
    let (lock, jobs) = (workers.clone(), queue.clone());
    start("first", move || {
        let reading = lock.read();
        if mended {
            drop(reading);
        }
        drop(jobs.1.wait_while(jobs.0.lock(), |jobs| *jobs == 0));
    });
    poll_until_parked("first", COND);
    let lock = workers.clone();
    start("sync", move || drop(lock.write()));
    if !mended {
        poll_until_parked("sync", WRITE);
    }
    start("second", move || {
        drop(workers.read());
        *queue.0.lock() += 1;
        queue.1.signal();
    });
}

/// A reader locks twice, and a writer begins to wait in between.
fn cpu_manager_62464(mended: bool) {
    let state = Arc::new(RwMutex::new(4));
    let theirs = state.clone();
    let (held, is_held) = channel(0);
    start("reconcile", move || {
        let default = theirs.read();
        held.send(()).unwrap();
        if mended {
            assert!(*default <= 4);
        } else {
            poll_until_parked("remove", WRITE);
            assert_eq!(*default, *theirs.read());
        }
    });
    is_held.recv();
    start("remove", move || *state.write() -= 1);
}

/// The poller waits to send a tick or to be told to end. Neither happens.
fn poller_70277(mended: bool) {
    let (tick, _ticks) = channel::<()>(0);
    let (done, is_done) = channel::<()>(0);
    start("poller", move || {
        select! {
            send(tick, ()) => {}
            recv(is_done) => {}
        }
    });
    if mended {
        done.close();
    }
}
