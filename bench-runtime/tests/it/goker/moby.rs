//! The bugs of Moby, which was Docker.

use std::mem::forget;
use std::sync::Arc;

use bench_runtime::select;
use bench_runtime::sync::{Cond, Mutex, WaitGroup};

use super::{COND, GROUP, LOCK, Program, RECV, SELECT, SEND, channel, poll_until_parked, start};

#[rustfmt::skip]
pub(super) const PROGRAMS: &[Program] = &[
    Program { name: "4951", run: devices_4951, leaks: &[("activate", LOCK), ("delete", LOCK)] },
    Program { name: "7559", run: proxy_7559, leaks: &[("run", LOCK)] },
    Program { name: "17176", run: devices_17176, leaks: &[("delete", LOCK)] },
    Program { name: "21233", run: transfer_21233, leaks: &[("test", RECV), ("watch", SEND)] },
    Program { name: "25384", run: plugins_25384, leaks: &[("init", GROUP)] },
    Program { name: "27782", run: logger_27782, leaks: &[("events", SELECT), ("logs", COND)] },
    Program { name: "28462", run: monitor_28462, leaks: &[("monitor", LOCK), ("state", SEND)] },
    Program { name: "30408", run: plugin_30408, leaks: &[("active", COND), ("test", RECV)] },
    Program { name: "33781", run: probe_33781, leaks: &[("probe", SEND)] },
    Program { name: "36114", run: service_36114, leaks: &[("add", LOCK)] },
];

/// The lock of all devices and that of one device are taken in both orders.
fn devices_4951(mended: bool) {
    let (all, one) = (Arc::new(Mutex::new(())), Arc::new(Mutex::new(())));
    let (devices, device) = (all.clone(), one.clone());
    start("delete", move || {
        if mended {
            let _devices = devices.lock();
            let _device = device.lock();
        } else {
            let _device = device.lock();
            poll_until_parked("activate", LOCK);
            let _devices = devices.lock();
        }
    });
    start("activate", move || {
        let _devices = all.lock();
        if !mended {
            // Waits until the other goroutine has the device.
            while one.try_lock().is_some() {
                bench_runtime::yield_now();
            }
        }
        let _device = one.lock();
    });
}

/// After an error the loop continues with the lock held.
fn proxy_7559(mended: bool) {
    let connections = Arc::new(Mutex::new(0));
    start("run", move || {
        for error in [true, false] {
            let mut count = connections.lock();
            if error {
                if !mended {
                    forget(count);
                }
                continue;
            }
            *count += 1;
        }
    });
}

/// If there is nothing to delete, the function returns with the lock held.
fn devices_17176(mended: bool) {
    let devices = Arc::new(Mutex::new(Vec::<u8>::new()));
    let clean_up = |devices: &Mutex<Vec<u8>>| {
        let held = devices.lock();
        if held.is_empty() && !mended {
            forget(held);
        }
    };
    clean_up(&devices);
    start("delete", move || devices.lock().clear());
}

/// A goroutine sends progress that is no longer received.
fn transfer_21233(mended: bool) {
    start("test", move || {
        let (progress, watched) = channel(0);
        let (running, is_over) = channel::<()>(0);
        let (release, released) = channel::<()>(0);
        start("watch", move || {
            for n in 0..3 {
                if mended {
                    select! {
                        send(progress, n) => {}
                        recv(released) => break,
                    }
                } else {
                    progress.send(n).unwrap();
                }
            }
            running.close();
        });
        assert_eq!(watched.recv(), Some(0));
        if mended {
            release.close();
        }
        is_over.recv();
    });
}

/// The loop waits for all plugins after it has started the first.
fn plugins_25384(mended: bool) {
    start("init", move || {
        let plugins = ["a", "b"];
        let group = WaitGroup::new();
        group.add(plugins.len() as i32);
        for _ in plugins {
            let group = group.clone();
            start("restore", {
                let group = group.clone();
                move || group.done()
            });
            if !mended {
                group.wait();
            }
        }
        group.wait();
    });
}

/// A goroutine waits for an event whose sender still waits to send another event.
fn logger_27782(mended: bool) {
    let watcher = Arc::new((Mutex::new(false), Cond::new()));
    let (events, _unread) = channel(0);
    let (done, is_done) = channel::<()>(0);
    let removed = watcher.clone();
    start("events", move || {
        select! {
            send(events, "removed") => {}
            recv(is_done) => {}
        }
        *removed.0.lock() = true;
        removed.1.broadcast();
    });
    poll_until_parked("events", SELECT);
    start("logs", move || {
        if mended {
            done.close();
        }
        drop(watcher.1.wait_while(watcher.0.lock(), |removed| !*removed));
    });
}

/// A goroutine stops a monitor while it holds the lock that the monitor needs first.
fn monitor_28462(mended: bool) {
    let container = Arc::new(Mutex::new(()));
    let (stop, stopped) = channel::<()>(0);
    let theirs = container.clone();
    start("state", move || {
        let held = theirs.lock();
        if mended {
            drop(held);
        }
        stop.send(()).unwrap();
    });
    poll_until_parked("state", SEND);
    start("monitor", move || {
        // The monitor handles the result of a probe before it checks whether to stop.
        drop(container.lock());
        stopped.recv();
    });
}

/// A goroutine waits until a plugin is active, and gets no signal.
fn plugin_30408(mended: bool) {
    start("test", move || {
        let plugin = Arc::new((Mutex::new(false), Cond::new()));
        let (done, is_done) = channel::<()>(0);
        let theirs = plugin.clone();
        start("active", move || {
            drop(theirs.1.wait_while(theirs.0.lock(), |active| !*active));
            done.close();
        });
        *plugin.0.lock() = mended;
        if mended {
            plugin.1.broadcast();
        } else {
            forget(plugin);
        }
        is_done.recv();
    });
}

/// The monitor is stopped, so the probe's result has no receiver.
fn probe_33781(mended: bool) {
    let (stop, stopped) = channel::<()>(0);
    start("monitor", move || {
        let (result, results) = channel(usize::from(mended));
        start("probe", move || result.send("healthy").unwrap());
        stopped.recv();
        drop(results);
    });
    stop.close();
}

/// After a failure the work is undone while the lock that undoing takes is held.
fn service_36114(mended: bool) {
    let service = Arc::new(Mutex::new(vec!["disk"]));
    start("add", move || {
        let disks = service.lock();
        let failed = disks.len() == 1;
        if mended {
            drop(disks);
        }
        if failed {
            service.lock().clear();
        }
    });
}
