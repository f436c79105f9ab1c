//! The bugs of gRPC.

use std::mem::forget;
use std::sync::Arc;
use std::time::Duration;

use bench_runtime::context::Context;
use bench_runtime::sync::Mutex;
use bench_runtime::time;

use super::{LOCK, Program, RECV, SEND, channel, poll_until_parked, start};

#[rustfmt::skip]
pub(super) const PROGRAMS: &[Program] = &[
    Program { name: "660", run: benchmark_660, leaks: &[("call", SEND)] },
    Program { name: "795", run: server_795, leaks: &[("serve", LOCK), ("stop", LOCK)] },
    Program { name: "862", run: dial_862, leaks: &[("reset", RECV)] },
    Program { name: "1275", run: stream_1275, leaks: &[("reader", RECV), ("test", RECV)] },
    Program { name: "1424", run: balancer_1424, leaks: &[("notify", RECV)] },
    Program { name: "1460", run: keepalive_1460, leaks: &[("keepalive", RECV), ("stream", LOCK)] },
    Program { name: "3017", run: sub_connection_3017, leaks: &[("remove", LOCK), ("test", RECV)] },
];

/// A call ends after the receiver of its answer was stopped.
fn benchmark_660(mended: bool) {
    let (done, answers) = channel(usize::from(mended));
    let (stop, stopped) = channel::<()>(0);
    start("call", move || done.send("answer").unwrap());
    start("loop", move || {
        // In Go the loop may take the answer or the stop. Here it takes the stop.
        stopped.recv();
        drop(answers);
    });
    stop.close();
}

/// A graceful stop of a stopped server returns with the lock held.
fn server_795(mended: bool) {
    let server = Arc::new(Mutex::new(true));
    let theirs = server.clone();
    let (stopped_once, is_stopped) = channel::<()>(0);
    start("stop", move || {
        for _ in 0..2 {
            let is_stopped = theirs.lock();
            if *is_stopped && !mended {
                forget(is_stopped);
            }
            let _ = stopped_once.close();
        }
    });
    is_stopped.recv();
    start("serve", move || drop(server.lock()));
}

/// A dial that fails does not stop the goroutine that tries again.
fn dial_862(mended: bool) {
    let (ctx, close) = Context::background().with_cancel();
    start("reset", move || ctx.done().recv());
    let failed = true;
    if failed && mended {
        close.cancel();
    }
}

/// Closing a stream does not end a read of it.
fn stream_1275(mended: bool) {
    start("test", move || {
        let (receive, buffer) = channel::<&str>(1);
        let (done, is_done) = channel::<()>(0);
        start("reader", move || {
            buffer.recv();
            done.close();
        });
        let close_stream = || {
            if mended {
                receive.send("stream closed").unwrap();
            }
        };
        close_stream();
        is_done.recv();
    });
}

/// The watcher returns without signalling its end.
fn balancer_1424(mended: bool) {
    let (done, is_done) = channel::<()>(0);
    let (close, closed) = channel::<()>(0);
    start("notify", move || is_done.recv());
    start("watcher", move || {
        closed.recv();
        if mended {
            done.close();
        }
    });
    close.close();
}

/// A goroutine waits for a wake while it holds the lock that the waker needs.
fn keepalive_1460(mended: bool) {
    let transport = Arc::new(Mutex::new(()));
    let (awaken, awakened) = channel::<()>(1);
    let theirs = transport.clone();
    start("keepalive", move || {
        let held = theirs.lock();
        if mended {
            drop(held);
        }
        awakened.recv();
    });
    if !mended {
        poll_until_parked("keepalive", RECV);
    }
    start("stream", move || {
        let held = transport.lock();
        awaken.send(()).unwrap();
        drop(held);
    });
}

/// The call of the timer is cancelled too late, and returns with the lock held.
fn sub_connection_3017(mended: bool) {
    let (fired, has_fired) = channel::<()>(0);
    let was_fired = has_fired.clone();
    start("test", move || {
        let cache = Arc::new(Mutex::new(false));
        let (done, is_done) = channel::<()>(0);
        // Tells the timer's call not to delete the connection.
        *cache.lock() = true;
        let theirs = cache.clone();
        time::after_func(Duration::from_millis(1), move || {
            let abort = theirs.lock();
            if *abort && !mended {
                forget(abort);
            }
            fired.close();
        });
        start("remove", move || {
            has_fired.recv();
            *cache.lock() = false;
            done.close();
        });
        is_done.recv();
    });
    was_fired.recv();
}
