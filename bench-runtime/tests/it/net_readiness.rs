//! Readiness as a future: when it is ready, with which errors it fails, and which waiter is next.

use std::future::Future;
use std::io::{self, Read, Write};
use std::mem::forget;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, RawWaker, RawWakerVTable, Wake, Waker};
use std::time::{Duration, Instant};

use bench_runtime::future::block_on;
use bench_runtime::net::{
    Descriptor, Readiness, TcpListener, TcpStream, UdpSocket, UnixStream, is_closed_error, pipe,
};
use bench_runtime::{Runtime, chan, select, time};
use nix::sys::eventfd::{EfdFlags, EventFd};

use crate::future::each_runtime;
use crate::start::Start;
use crate::support::everywhere;

const MOMENT: Duration = Duration::from_millis(5);
const ROUNDS: usize = 200;

fn poll(readiness: &mut Readiness<'_>) -> Poll<io::Result<()>> {
    Pin::new(readiness).poll(&mut Context::from_waker(Waker::noop()))
}

#[test]
fn each_side_is_ready_when_its_operation_would_not_block() {
    everywhere(|way| {
        let (near, far) = UnixStream::pair().unwrap();
        block_on(near.writable()).unwrap();
        let writer = way.go(move || {
            time::sleep(MOMENT);
            (&far).write_all(b"x").unwrap();
            far
        });
        block_on(near.readable()).unwrap();
        assert_eq!((&near).read(&mut [0; 8]).unwrap(), 1);
        let far = writer.join();
        near.set_write_timeout(Some(MOMENT)).unwrap();
        while (&near).write(&[0; 65_536]).is_ok() {}
        let late = block_on(near.writable()).unwrap_err();
        assert_eq!(late.kind(), io::ErrorKind::TimedOut);
        near.set_write_timeout(None).unwrap();
        let reader = way.go(move || {
            let mut all = vec![0; 65_536];
            while (&far).read(&mut all).unwrap() > 0 {}
        });
        block_on(near.writable()).unwrap();
        drop(near);
        reader.join();
    });
}

#[test]
fn select_waits_for_sockets_pipes_and_channels_at_once() {
    everywhere(|way| {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
        let (reader, writer) = pipe().unwrap();
        let event = Arc::new(EventFd::from_flags(EfdFlags::empty()).unwrap());
        let watched = Descriptor::duplicate_of(&*event).unwrap();
        let (tx, rx) = chan(0);
        let to = udp.local_addr().unwrap();
        let tasks = [
            way.go(move || (0..ROUNDS).for_each(|_| drop(TcpStream::connect(address).unwrap()))),
            way.go(move || {
                let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
                for _ in 0..ROUNDS {
                    socket.send_to(b"datagram", to).unwrap();
                    time::sleep(Duration::from_micros(50));
                }
            }),
            way.go(move || (0..ROUNDS).for_each(|_| (&writer).write_all(b"x").unwrap())),
            way.go(move || (0..ROUNDS).for_each(|_| assert_eq!(event.write(1), Ok(8)))),
            way.go(move || (0..ROUNDS).for_each(|n| tx.send(n).unwrap())),
        ];
        let [
            mut streams,
            mut datagrams,
            mut bytes,
            mut events,
            mut values,
        ] = [0; 5];
        while [streams, bytes, events, values] != [ROUNDS; 4] || datagrams == 0 {
            select! {
                future(listener.readable()) -> ready => {
                    ready.unwrap();
                    listener.accept().unwrap();
                    streams += 1;
                }
                future(udp.readable()) -> ready => {
                    ready.unwrap();
                    assert_eq!(udp.recv_from(&mut [0; 16]).unwrap().0, 8);
                    datagrams += 1;
                }
                future(reader.readable(), if bytes < ROUNDS) -> ready => {
                    ready.unwrap();
                    bytes += (&reader).read(&mut [0; 64]).unwrap();
                }
                future(watched.readable()) -> ready => {
                    ready.unwrap();
                    let mut count = [0; 8];
                    (&watched).read_exact(&mut count).unwrap();
                    events += u64::from_ne_bytes(count) as usize;
                }
                recv((values < ROUNDS).then_some(&rx)) -> value => {
                    assert_eq!(value, Some(values));
                    values += 1;
                }
            }
        }
        tasks.into_iter().for_each(|task| task.join());
    });
}

#[test]
fn deadline_time_out_and_close_end_a_wait() {
    everywhere(|way| {
        let (near, _far) = UnixStream::pair().unwrap();
        let near = Arc::new(near);
        let begun = Instant::now();
        near.set_read_timeout(Some(MOMENT)).unwrap();
        let late = block_on(near.readable()).unwrap_err();
        assert_eq!(late.kind(), io::ErrorKind::TimedOut);
        assert!(begun.elapsed() >= MOMENT);
        near.set_read_timeout(None).unwrap();

        let sets = {
            let near = near.clone();
            way.go(move || {
                time::sleep(MOMENT);
                near.set_read_deadline(Some(Instant::now() + MOMENT));
            })
        };
        let late = block_on(near.readable()).unwrap_err();
        assert_eq!(late.kind(), io::ErrorKind::TimedOut);
        assert!(begun.elapsed() >= 3 * MOMENT);
        sets.join();
        near.set_read_deadline(None);

        let closes = {
            let near = near.clone();
            way.go(move || {
                time::sleep(MOMENT);
                near.close().unwrap();
            })
        };
        assert!(is_closed_error(&block_on(near.readable()).unwrap_err()));
        assert!(is_closed_error(&block_on(near.writable()).unwrap_err()));
        closes.join();
    });
}

#[test]
fn other_waiters_of_the_same_side_continue_after_a_future() {
    everywhere(|way| {
        for drops in [false, true] {
            let (near, far) = UnixStream::pair().unwrap();
            let near = Arc::new(near);
            let mut first = near.readable();
            assert!(poll(&mut first).is_pending());
            let mut second = near.readable();
            assert!(poll(&mut second).is_pending());
            let reader = {
                let near = near.clone();
                way.go(move || (&*near).read(&mut [0; 4]).unwrap())
            };
            time::sleep(MOMENT);
            if drops {
                // The first waiter leaves its slot to the second, which is then dropped too.
                drop(first);
                drop(second);
                (&far).write_all(b"data").unwrap();
                assert_eq!(reader.join(), 4);
            } else {
                // More than the reader takes.
                (&far).write_all(b"datadata").unwrap();
                block_on(first).unwrap();
                assert_eq!(reader.join(), 4);
                assert_eq!((&*near).read(&mut [0; 8]).unwrap(), 4);
                assert!(poll(&mut second).is_pending(), "it was read");
                (&far).write_all(b"more").unwrap();
                block_on(second).unwrap();
            }
        }
    });
}

#[test]
fn futures_dropped_while_data_comes_lose_no_wake_of_others() {
    everywhere(|way| {
        let (near, far) = UnixStream::pair().unwrap();
        let near = Arc::new(near);
        let reader = {
            let near = near.clone();
            way.go(move || {
                let mut total = 0;
                loop {
                    match (&*near).read(&mut [0; 1]).unwrap() {
                        0 => return total,
                        n => total += n,
                    }
                }
            })
        };
        let (quit, end) = chan::<()>(0);
        let looks = {
            let near = near.clone();
            way.go(move || {
                let mut count = 0;
                loop {
                    select! {
                        future(near.readable()) -> ready => ready.unwrap(),
                        recv(end) => return count,
                        timeout(Duration::from_micros(20)) => count += 1,
                    }
                    bench_runtime::yield_now();
                }
            })
        };
        for _ in 0..ROUNDS {
            (&far).write_all(b"x").unwrap();
            time::sleep(Duration::from_micros(30));
        }
        far.shutdown(std::net::Shutdown::Write).unwrap();
        assert_eq!(reader.join(), ROUNDS);
        drop(quit);
        looks.join();
    });
}

#[test]
fn forgotten_future_does_not_block_the_slot_of_the_next_descriptor() {
    for builder in [Runtime::builder(), Runtime::builder().migrating()] {
        // Timers of forgotten futures may start goroutines at any time.
        let runtime = builder.procs(2).start().unwrap();
        runtime.run(|| {
            for _ in 0..50 {
                let (near, _far) = UnixStream::pair().unwrap();
                let soon = Duration::from_micros(100);
                near.set_read_timeout(Some(soon)).unwrap();
                let (mut waits, mut queued) = (near.readable(), near.readable());
                // On a busy host the time-out may be over.
                let _ = (poll(&mut waits), poll(&mut queued));
                forget((waits, queued));
                drop(near);
                let (near, far) = UnixStream::pair().unwrap();
                let reader = bench_runtime::go(move || (&near).read(&mut [0; 8]).unwrap());
                bench_runtime::yield_now();
                (&far).write_all(b"data").unwrap();
                assert_eq!(reader.join().unwrap(), 4);
            }
        });
    }
}

#[test]
fn future_begun_in_a_goroutine_is_finished_on_a_thread() {
    each_runtime(|runtime| {
        let (near, far) = UnixStream::pair().unwrap();
        let near: &'static UnixStream = Box::leak(Box::new(near));
        let begun = runtime.run(move || {
            let mut waits = near.readable();
            assert!(poll(&mut waits).is_pending());
            waits
        });
        let writer = std::thread::spawn(move || {
            std::thread::sleep(MOMENT);
            (&far).write_all(b"x").unwrap();
            far
        });
        block_on(begun).unwrap();
        drop(writer.join().unwrap());
        let mut again = near.readable();
        assert!(
            matches!(poll(&mut again), Poll::Ready(Ok(()))),
            "the end can be read"
        );
        assert!(block_on(pin!(near.readable())).is_ok());
    });
}

/// A task whose waker drops the future, or polls it if `polls`.
struct Inline {
    waits: Mutex<Option<Readiness<'static>>>,
    polls: bool,
}

impl Wake for Inline {
    fn wake(self: Arc<Self>) {
        let waits = self.waits.lock().unwrap().take();
        if let Some(waits) = waits.filter(|_| self.polls) {
            self.poll(waits);
        }
    }
}

impl Inline {
    fn begin(near: &'static UnixStream, polls: bool) -> Arc<Self> {
        let waits = Mutex::new(None);
        let task = Arc::new(Self { waits, polls });
        task.clone().poll(near.readable());
        task
    }

    fn until(&self, holds: fn(&Option<Readiness<'static>>) -> bool) {
        while !holds(&self.waits.lock().unwrap()) {
            time::sleep(MOMENT);
        }
    }

    fn poll(self: Arc<Self>, mut waits: Readiness<'static>) {
        let waker = Waker::from(self.clone());
        let polled = Pin::new(&mut waits).poll(&mut Context::from_waker(&waker));
        if polled.is_pending() {
            *self.waits.lock().unwrap() = Some(waits);
        }
    }
}

#[test]
fn a_task_that_its_wake_drops_does_not_hang() {
    everywhere(|_| {
        let (near, _far) = UnixStream::pair().unwrap();
        let near: &'static UnixStream = Box::leak(Box::new(near));
        let tasks = [(); 3].map(|()| Inline::begin(near, false));
        near.set_read_deadline(Some(Instant::now()));
        tasks.iter().for_each(|task| task.until(Option::is_none));
    });
}

#[test]
fn tasks_that_are_polled_where_they_are_woken_are_woken_once_each() {
    everywhere(|_| {
        let (near, _far) = UnixStream::pair().unwrap();
        let near: &'static UnixStream = Box::leak(Box::new(near));
        let mut first = near.readable();
        assert!(poll(&mut first).is_pending());
        let tasks = [(); 3].map(|()| Inline::begin(near, true));
        drop(first);
        tasks.iter().for_each(|task| task.until(Option::is_some));
        near.close().unwrap();
        tasks.iter().for_each(|task| task.until(Option::is_none));
    });
}

#[test]
fn regular_file_is_always_ready() {
    everywhere(|_| {
        let file = Descriptor::new(tempfile::tempfile().unwrap());
        block_on(file.readable()).unwrap();
        block_on(file.writable()).unwrap();
    });
}

/// A waker that panics after this many clones.
fn clones(left: usize) -> Waker {
    const fn table() -> &'static RawWakerVTable {
        &RawWakerVTable::new(
            |left| {
                // SAFETY: leaked below.
                let count = unsafe { &*left.cast::<AtomicUsize>() };
                let before = count.fetch_sub(1, Ordering::Relaxed);
                assert!((1..100).contains(&before), "cloned too often");
                RawWaker::new(left, table())
            },
            |_| {},
            |_| {},
            |_| {},
        )
    }
    // The count wraps below zero.
    let left = Box::leak(Box::new(AtomicUsize::new(left)));
    let raw = RawWaker::new((&raw const *left).cast(), table());
    // SAFETY: the count is never freed, and any thread may use it.
    unsafe { Waker::from_raw(raw) }
}

#[test]
fn waker_that_panics_when_it_is_cloned_leaves_no_waiter() {
    everywhere(|way| {
        // Each poll clones the waker twice: for the wait, and for its deadline.
        for (first, second) in [(0, None), (1, None), (2, Some(0)), (2, Some(1))] {
            let (near, far) = UnixStream::pair().unwrap();
            near.set_read_timeout(Some(Duration::from_secs(3_600)))
                .unwrap();
            let near = Arc::new(near);
            let mut readable = near.readable();
            let mut poll_with = |left| {
                let waker = clones(left);
                let mut cx = Context::from_waker(&waker);
                catch_unwind(AssertUnwindSafe(|| Pin::new(&mut readable).poll(&mut cx)))
            };
            let polled = poll_with(first);
            assert_eq!(polled.is_ok(), second.is_some());
            if let Some(second) = second {
                assert!(matches!(polled, Ok(Poll::Pending)));
                assert!(poll_with(second).is_err());
            }
            drop(readable);
            // The reader must find the slot free.
            let reader = way.go({
                let near = near.clone();
                move || (&*near).read(&mut [0; 8]).unwrap()
            });
            time::sleep(MOMENT);
            (&far).write_all(b"x").unwrap();
            assert_eq!(reader.join(), 1);
        }
    });
}
