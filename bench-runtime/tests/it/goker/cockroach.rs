//! The bugs of CockroachDB.

use std::mem::forget;
use std::sync::Arc;

use bench_runtime::context::Context;
use bench_runtime::sync::{Mutex, RwMutex, WaitGroup};
use bench_runtime::{GoBuilder, select};

use super::{
    GROUP, LOCK, Program, READ, RECV, SELECT, SEND, WRITE, channel, poll_until_parked, start,
};

#[rustfmt::skip]
pub(super) const PROGRAMS: &[Program] = &[
    Program { name: "584", run: gossip_584, leaks: &[("manage", LOCK)] },
    Program { name: "1055", run: stopper_1055, leaks: &[("early", RECV), ("late", LOCK), ("stop", GROUP)] },
    Program { name: "1462", run: interceptor_1462, leaks: &[("stop", GROUP), ("worker", SEND)] },
    Program { name: "2448", run: raft_2448, leaks: &[("multiraft", SELECT), ("store", SELECT)] },
    Program { name: "3710", run: raft_log_3710, leaks: &[("process", WRITE), ("scan", READ)] },
    Program { name: "6181", run: range_cache_6181, leaks: &[("insert", WRITE), ("lookup", READ), ("test", GROUP)] },
    Program { name: "7504", run: leases_7504, leaks: &[("acquire", LOCK), ("release", LOCK)] },
    Program { name: "9935", run: logging_9935, leaks: &[("output", LOCK)] },
    Program { name: "10214", run: heartbeats_10214, leaks: &[("send", LOCK), ("tick", LOCK)] },
    Program { name: "10790", run: begin_commands_10790, leaks: &[("waiter", RECV)] },
    Program { name: "13197", run: transaction_13197, leaks: &[("await_done", RECV)] },
    Program { name: "13755", run: rows_13755, leaks: &[("await_done", RECV)] },
    Program { name: "16167", run: executor_16167, leaks: &[("execute", READ), ("update", WRITE)] },
    Program { name: "18101", run: restore_18101, leaks: &[("scatter", SEND)] },
    Program { name: "24808", run: compactor_24808, leaks: &[("start", SEND)] },
    Program { name: "25456", run: consistency_25456, leaks: &[("queue", RECV)] },
    Program { name: "35073", run: outbox_35073, leaks: &[("processor", SEND)] },
    Program { name: "35931", run: flow_35931, leaks: &[("cancel", SEND), ("reader", RECV)] },
];

/// A loop ends with its lock held.
fn gossip_584(mended: bool) {
    let closed = Arc::new(Mutex::new(true));
    start("manage", move || {
        loop {
            let is_closed = closed.lock();
            if *is_closed {
                if !mended {
                    forget(is_closed);
                }
                break;
            }
        }
        drop(closed.lock());
    });
}

/// The stop waits for tasks before it signals their end, and holds the lock that a task takes
/// first.
fn stopper_1055(mended: bool) {
    let draining = Arc::new(Mutex::new(false));
    let tasks = WaitGroup::new();
    let (stop, stopped) = channel::<()>(0);
    let task = |name: &str| {
        let (draining, tasks, stopped) = (draining.clone(), tasks.clone(), stopped.clone());
        start(name, move || {
            {
                let draining = draining.lock();
                if *draining {
                    return;
                }
                tasks.add(1);
            }
            stopped.recv();
            tasks.done();
        });
    };
    task("early");
    poll_until_parked("early", RECV);
    let (is_draining, all) = (draining.clone(), tasks.clone());
    start("stop", move || {
        let mut draining = is_draining.lock();
        *draining = true;
        if mended {
            drop(draining);
            stop.close();
            all.wait();
        } else {
            all.wait();
            stop.close();
        }
    });
    if !mended {
        poll_until_parked("stop", GROUP);
    }
    task("late");
}

/// A worker sends to a receiver that has returned, and the stop waits for the worker.
fn interceptor_1462(mended: bool) {
    let (events, taken) = channel(0);
    let (stop, stopped) = channel::<()>(0);
    let (go_on, told) = channel::<()>(0);
    let workers = WaitGroup::new();
    workers.add(1);
    let (stopping, done) = (stopped.clone(), workers.clone());
    start("worker", move || {
        loop {
            select! {
                recv(stopping) => break,
                default => {}
            }
            told.recv();
            if mended {
                select! {
                    send(events, 1) => {}
                    recv(stopping) => {}
                }
            } else {
                events.send(1).unwrap();
            }
        }
        done.done();
    });
    let processor = GoBuilder::new().name("processor").go(move || {
        select! {
            recv(taken) => {}
            recv(stopped) => {}
        }
    });
    poll_until_parked("processor", SELECT);
    poll_until_parked("worker", RECV);
    start("stop", move || {
        stop.close();
        processor.unwrap().join().unwrap();
        go_on.close();
        workers.wait();
    });
}

/// Two loops each wait for the other to receive.
fn raft_2448(mended: bool) {
    let (events, event) = channel(0);
    // The bug is that the channel has no room for an answer.
    let (callbacks, callback) = channel(usize::from(mended));
    let (_stop, stopped) = channel::<()>(0);
    let stopping = stopped.clone();
    start("multiraft", move || {
        for n in 0..2 {
            select! {
                send(events, n) => {}
                recv(stopping) => return,
            }
        }
        callback.recv();
    });
    start("store", move || {
        event.recv();
        // The callback of the event.
        select! {
            send(callbacks, ()) => {}
            recv(stopped) => return,
        }
        event.recv();
    });
}

/// A reader locks twice, and a writer begins to wait in between.
fn read_twice(mended: bool, reader: &str, writer: &'static str) {
    let lock = Arc::new(RwMutex::new(()));
    let theirs = lock.clone();
    let (held, is_held) = channel(0);
    start(reader, move || {
        let outer = theirs.read();
        held.send(()).unwrap();
        if mended {
            drop(outer);
            drop(theirs.read());
        } else {
            poll_until_parked(writer, WRITE);
            drop(theirs.read());
            drop(outer);
        }
    });
    is_held.recv();
    start(writer, move || drop(lock.write()));
}

fn raft_log_3710(mended: bool) {
    read_twice(mended, "scan", "process");
}

fn executor_16167(mended: bool) {
    read_twice(mended, "execute", "update");
}

/// A lookup locks the cache for reading again, to print it, while a writer waits.
fn range_cache_6181(mended: bool) {
    start("test", move || {
        let cache = Arc::new(RwMutex::new(vec![1]));
        let group = WaitGroup::new();
        group.add(2);
        let (theirs, done) = (cache.clone(), group.clone());
        start("lookup", move || {
            let entries = theirs.read();
            if mended {
                drop(entries);
            } else {
                poll_until_parked("insert", WRITE);
            }
            assert!(!theirs.read().is_empty(), "what printing does");
            done.done();
        });
        if !mended {
            // Waits until the lookup has the lock.
            while cache.try_write().is_some() {
                bench_runtime::yield_now();
            }
        }
        let done = group.clone();
        start("insert", move || {
            cache.write().push(2);
            done.done();
        });
        group.wait();
    });
}

/// Two locks are taken in both orders.
fn both_orders(mended: bool, one: &str, other: &str) {
    let locks = Arc::new((Mutex::new(()), Mutex::new(())));
    let (ready, both) = channel(2);
    let (begin, begun) = channel::<()>(0);
    for (name, is_reversed) in [(one, false), (other, true)] {
        let (locks, ready, begun) = (locks.clone(), ready.clone(), begun.clone());
        start(name, move || {
            let (first, second) = if is_reversed && !mended {
                (&locks.1, &locks.0)
            } else {
                (&locks.0, &locks.1)
            };
            if mended {
                ready.send(()).unwrap();
            }
            let _first = first.lock();
            if !mended {
                ready.send(()).unwrap();
                begun.recv();
            }
            let _second = second.lock();
        });
    }
    both.recv();
    both.recv();
    begin.close();
}

/// The lock of a lease and the lock of the table of names are taken in both orders.
fn leases_7504(mended: bool) {
    both_orders(mended, "acquire", "release");
}

/// The lock of coalesced heartbeats and the lock of a replica are taken in both orders.
fn heartbeats_10214(mended: bool) {
    both_orders(mended, "send", "tick");
}

/// A fatal entry flushes the log, which takes its lock again.
fn logging_9935(mended: bool) {
    let log = Arc::new(Mutex::new(Vec::new()));
    start("output", move || {
        let mut lines = log.lock();
        lines.push("fatal");
        if mended {
            drop(lines);
        }
        log.lock().clear();
    });
}

/// A command waits for its turn, which does not come after the context has ended.
fn begin_commands_10790(mended: bool) {
    let (ctx, cancel) = Context::background().with_cancel();
    let (_turn, turns) = channel::<()>(0);
    let theirs = ctx.clone();
    start("begin", move || {
        start("waiter", move || {
            if mended {
                select! {
                    recv(turns) => {}
                    recv(theirs.done()) => {}
                }
            } else {
                turns.recv();
            }
        });
        ctx.done().recv();
    });
    cancel.cancel();
}

/// A transaction is neither committed nor rolled back.
fn transaction_13197(mended: bool) {
    let (ctx, rollback) = Context::background().with_cancel();
    start("await_done", move || ctx.done().recv());
    if mended {
        rollback.cancel();
    }
}

/// The rows of an answer are not closed, because the reader returned early.
fn rows_13755(mended: bool) {
    struct Rows {
        close: bench_runtime::context::Cancel,
    }
    fn query() -> Rows {
        let (ctx, close) = Context::background().with_cancel();
        start("await_done", move || ctx.done().recv());
        Rows { close }
    }
    let rows = query();
    if mended {
        rows.close.cancel();
    }
}

/// The reader returns at the end of the context, and the writer does not notice.
fn restore_18101(mended: bool) {
    let (ctx, cancel) = Context::background().with_cancel();
    let (ready, imports) = channel(0);
    let theirs = ctx.clone();
    start("scatter", move || {
        for n in 0..10 {
            if mended {
                select! {
                    send(ready, n) => {}
                    recv(theirs.done()) => return,
                }
            } else {
                ready.send(n).unwrap();
            }
        }
    });
    imports.recv();
    cancel.cancel();
    ctx.done().recv();
}

/// A start sends to a channel that an earlier suggestion has filled.
fn compactor_24808(mended: bool) {
    let (suggest, suggestions) = channel(1);
    suggest.send(1).unwrap();
    start("start", move || {
        if mended {
            let _ = suggest.try_send(2);
        } else {
            suggest.send(2).unwrap();
        }
        suggestions.recv();
    });
}

/// A queue waits for the end of the program, and should only check for it.
fn consistency_25456(mended: bool) {
    let (_stop, quiescing) = channel::<()>(0);
    start("queue", move || {
        if mended {
            let _ = quiescing.try_recv();
        } else {
            quiescing.recv();
        }
    });
}

/// An outbox fails at its start and leaves its channel open and unread.
fn outbox_35073(mended: bool) {
    let (rows, outbox) = channel(1);
    start("processor", move || {
        for n in 0..3 {
            if rows.send(n).is_err() {
                return;
            }
        }
    });
    let failed = true;
    if failed && mended {
        outbox.iter().take(3).for_each(drop);
    }
}

/// A cancel is written to each input in turn, and the first is full.
fn flow_35931(mended: bool) {
    let (first, _unread) = channel(1);
    let (second, read) = channel(1);
    first.send("row").unwrap();
    start("reader", move || while read.recv() != Some("cancelled") {});
    start("cancel", move || {
        if mended {
            let _ = first.try_send("cancelled");
        } else {
            first.send("cancelled").unwrap();
        }
        second.send("cancelled").unwrap();
    });
}
