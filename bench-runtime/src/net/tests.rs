//! Tests of the waits without the scheduler: a thread of a [`Runtime`] waits with a poller, as a
//! goroutine does, while another thread polls. `tests/it` tests the public behaviour.

use std::cell::Cell;
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::net::{TcpListener, TcpStream, UdpSocket, UnixStream, is_closed_error, pipe};
use crate::netpoll::Netpoll;
use crate::sched;
use crate::sys::socket;

thread_local! {
    static POLLER: Cell<Option<&'static Netpoll>> = const { Cell::new(None) };
}

pub(super) fn poller() -> Option<&'static Netpoll> {
    POLLER.get()
}

struct Runtime {
    netpoll: &'static Netpoll,
    stop_flag: Arc<AtomicBool>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Runtime {
    fn new() -> Self {
        // Leaked: there are few, and they last as long as the test program.
        let netpoll: &'static Netpoll = Box::leak(Box::new(Netpoll::new().unwrap()));
        let stop_flag = Arc::new(AtomicBool::new(false));
        let stop = stop_flag.clone();
        let thread = thread::spawn(move || {
            let mut ready = Vec::new();
            while !stop.load(Ordering::Acquire) {
                netpoll.poll(None, &mut ready);
                ready.drain(..).for_each(sched::ready);
            }
        });
        Self {
            netpoll,
            stop_flag,
            thread: Some(thread),
        }
    }

    fn go<T: Send + 'static>(
        &self,
        f: impl FnOnce() -> T + Send + 'static,
    ) -> thread::JoinHandle<T> {
        let netpoll = self.netpoll;
        thread::spawn(move || {
            POLLER.set(Some(netpoll));
            f()
        })
    }

    fn run<T: Send + 'static>(&self, f: impl FnOnce() -> T + Send + 'static) -> T {
        match self.go(f).join() {
            Ok(value) => value,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }

    fn until_waiting(&self, count: usize) {
        while self.netpoll.waiters_count() != count {
            thread::yield_now();
        }
    }
}

impl Drop for Runtime {
    fn drop(&mut self) {
        self.stop_flag.store(true, Ordering::Release);
        self.netpoll.interrupt();
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
        if !thread::panicking() {
            assert_eq!(self.netpoll.waiters_count(), 0, "the count is exact");
        }
    }
}

fn tcp_pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let near = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    (near, listener.accept().unwrap().0)
}

#[test]
fn echo_over_one_poller_loses_no_byte() {
    let rt = Runtime::new();
    let (near, far) = tcp_pair();
    let server = rt.go(move || io::copy(&mut &far, &mut &far).unwrap());
    rt.run(move || {
        let mut near = near;
        for round in 0..2_000u32 {
            let message = round.to_le_bytes();
            near.write_all(&message).unwrap();
            let mut answer = [0; 4];
            near.read_exact(&mut answer).unwrap();
            assert_eq!(answer, message);
        }
    });
    assert_eq!(server.join().unwrap(), 8_000);
}

#[test]
fn goroutines_of_two_pollers_that_read_and_write_at_once_lose_no_byte() {
    const LEN: usize = 4 << 20;
    let [one, two] = [(); 2].map(|()| Runtime::new());
    let (near, far) = tcp_pair();
    let near = Arc::new(near);
    let echo = thread::spawn(move || io::copy(&mut &far, &mut &far).unwrap());
    let writing = {
        let near = near.clone();
        one.go(move || {
            for _ in 0..LEN / 4096 {
                (&*near).write_all(&[7; 4096]).unwrap();
            }
        })
    };
    let reading = two.go(move || {
        let mut left = LEN;
        let mut block = [0; 4096];
        while left > 0 {
            let size = (&*near).read(&mut block).unwrap();
            assert!(size > 0 && block[..size].iter().all(|&byte| byte == 7));
            left -= size;
        }
        near.shutdown(std::net::Shutdown::Both).unwrap();
    });
    writing.join().unwrap();
    reading.join().unwrap();
    assert_eq!(echo.join().unwrap(), LEN as u64);
}

#[test]
fn stream_larger_than_the_buffers_arrives_whole() {
    const LEN: usize = 8 << 20;
    let rt = Runtime::new();
    let (near, far) = tcp_pair();
    let writer = rt.go(move || {
        let data: Vec<u8> = (0..LEN).map(|i| (i % 251) as u8).collect();
        (&near).write_all(&data).unwrap();
    });
    let read = rt.run(move || {
        let mut all = Vec::new();
        (&far).read_to_end(&mut all).unwrap();
        all
    });
    writer.join().unwrap();
    assert_eq!(read.len(), LEN);
    assert!(read.iter().enumerate().all(|(i, &b)| b == (i % 251) as u8));
}

/// Once a stream is drained, the next read waits without a try. It must see the end of the stream
/// all the same, whether the end comes with the data, right after the data, or later.
#[test]
fn end_after_a_partial_read_is_always_seen() {
    let rt = Runtime::new();
    for round in 0..600 {
        let (near, far) = tcp_pair();
        let reader = rt.go(move || {
            let mut all = Vec::new();
            let mut buf = [0; 64];
            loop {
                match (&near).read(&mut buf).unwrap() {
                    0 => break all,
                    n => all.extend_from_slice(&buf[..n]),
                }
            }
        });
        (&far).write_all(b"data").unwrap();
        match round % 3 {
            0 => {}
            1 => thread::yield_now(),
            _ => rt.until_waiting(1),
        }
        drop(far);
        assert_eq!(reader.join().unwrap(), b"data");
    }
}

#[test]
fn data_after_urgent_data_is_read() {
    use std::os::fd::AsRawFd;
    let rt = Runtime::new();
    for _ in 0..50 {
        let (near, far) = tcp_pair();
        let reader = rt.go(move || {
            let mut got = 0;
            let mut buf = [0; 64];
            while got < 7 {
                got += (&near).read(&mut buf).unwrap();
            }
            got
        });
        (&far).write_all(b"abc").unwrap();
        let urgent = nix::sys::socket::MsgFlags::MSG_OOB;
        nix::sys::socket::send(far.as_raw_fd(), b"!", urgent).unwrap();
        (&far).write_all(b"defg").unwrap();
        assert_eq!(reader.join().unwrap(), 7);
    }
}

#[test]
fn many_readers_of_one_socket_take_each_datagram_once() {
    const READERS: usize = 8;
    const PER_READER: usize = 200;
    let rt = Runtime::new();
    let socket = Arc::new(UdpSocket::bind("127.0.0.1:0").unwrap());
    let got = Arc::new(AtomicUsize::new(0));
    let readers: Vec<_> = (0..READERS)
        .map(|_| {
            let (socket, got) = (socket.clone(), got.clone());
            rt.go(move || {
                let mut buf = [0; 8];
                for _ in 0..PER_READER {
                    socket.recv(&mut buf).unwrap();
                    got.fetch_add(1, Ordering::AcqRel);
                }
            })
        })
        .collect();
    let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    for sent in 0..READERS * PER_READER {
        sender.send_to(b"x", address).unwrap();
        // Some datagrams find readers that run, some find only readers that wait. At most 16 are in
        // the queue, so the kernel drops none.
        if sent % 16 == 15 {
            while got.load(Ordering::Acquire) <= sent {
                thread::yield_now();
            }
        }
    }
    readers.into_iter().for_each(|r| r.join().unwrap());
}

#[test]
fn many_acceptors_of_one_listener_take_each_connection_once() {
    const ACCEPTORS: usize = 6;
    const PER_ACCEPTOR: usize = 40;
    let rt = Runtime::new();
    let listener = Arc::new(TcpListener::bind("127.0.0.1:0").unwrap());
    let address = listener.local_addr().unwrap();
    let acceptors: Vec<_> = (0..ACCEPTORS)
        .map(|_| {
            let listener = listener.clone();
            rt.go(move || {
                for _ in 0..PER_ACCEPTOR {
                    let (stream, _) = listener.accept().unwrap();
                    (&stream).write_all(b"x").unwrap();
                }
            })
        })
        .collect();
    for burst in 0..(ACCEPTORS * PER_ACCEPTOR) / 8 {
        let streams: Vec<_> = (0..8)
            .map(|_| TcpStream::connect(address).unwrap())
            .collect();
        for stream in streams {
            (&stream).read_exact(&mut [0]).unwrap();
        }
        let _ = burst;
    }
    acceptors.into_iter().for_each(|a| a.join().unwrap());
}

#[test]
fn deadline_never_ends_a_wait_early() {
    let rt = Runtime::new();
    let (near, _far) = tcp_pair();
    rt.run(move || {
        for micros in [1, 50, 1_000, 10_000] {
            let deadline = Instant::now() + Duration::from_micros(micros);
            near.set_read_deadline(Some(deadline));
            let error = (&near).read(&mut [0]).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::TimedOut);
            assert!(Instant::now() >= deadline);
        }
    });
}

#[test]
fn deadline_set_by_another_thread_ends_or_lengthens_a_wait() {
    let rt = Runtime::new();
    let (near, far) = tcp_pair();
    let near = Arc::new(near);
    let reader = {
        let near = near.clone();
        rt.go(move || (&*near).read(&mut [0]).map_err(|e| e.kind()))
    };
    rt.until_waiting(1);
    near.set_read_deadline(Some(Instant::now()));
    assert_eq!(reader.join().unwrap(), Err(io::ErrorKind::TimedOut));

    near.set_read_deadline(Some(Instant::now() + Duration::from_millis(30)));
    let reader = {
        let near = near.clone();
        rt.go(move || (&*near).read(&mut [0]).map_err(|e| e.kind()))
    };
    near.set_read_deadline(None);
    thread::sleep(Duration::from_millis(60));
    (&far).write_all(b"x").unwrap();
    assert_eq!(reader.join().unwrap(), Ok(1));
}

#[test]
fn queued_readers_end_at_their_deadline_and_at_a_close() {
    let rt = Runtime::new();
    let (near, _far) = UnixStream::pair().unwrap();
    let near = Arc::new(near);
    let go = || {
        let near = near.clone();
        rt.go(move || (&*near).read(&mut [0]).unwrap_err())
    };
    near.set_read_deadline(Some(Instant::now() + Duration::from_millis(20)));
    let late: Vec<_> = (0..5).map(|_| go()).collect();
    for reader in late {
        assert_eq!(reader.join().unwrap().kind(), io::ErrorKind::TimedOut);
    }
    near.set_read_deadline(None);
    let closed: Vec<_> = (0..5).map(|_| go()).collect();
    rt.until_waiting(1);
    near.close().unwrap();
    for reader in closed {
        assert!(is_closed_error(&reader.join().unwrap()));
    }
}

#[test]
fn close_races_with_reads_and_always_ends_them() {
    let rt = Runtime::new();
    for _ in 0..300 {
        let (near, _far) = UnixStream::pair().unwrap();
        let near = Arc::new(near);
        let reader = {
            let near = near.clone();
            rt.go(move || (&*near).read(&mut [0]).unwrap_err())
        };
        near.close().unwrap();
        assert!(is_closed_error(&reader.join().unwrap()));
        assert!(is_closed_error(&near.close().unwrap_err()));
    }
}

#[test]
fn socket_used_from_two_runtimes_is_watched_where_a_goroutine_waits() {
    let (one, two) = (Runtime::new(), Runtime::new());
    let (near, far) = tcp_pair();
    let (near, far) = (Arc::new(near), Arc::new(far));
    for round in 0..100u8 {
        for rt in [&one, &two] {
            let reader = {
                let near = near.clone();
                rt.go(move || {
                    let mut buf = [0; 8];
                    let n = (&*near).read(&mut buf).unwrap();
                    buf[..n].to_vec()
                })
            };
            if round % 2 == 0 {
                rt.until_waiting(1);
            }
            (&*far).write_all(&[round]).unwrap();
            assert_eq!(reader.join().unwrap(), [round]);
        }
    }
    // Both wait at once: one gets the byte, and a kick ends the wait of the other.
    let readers: Vec<_> = [&one, &two]
        .into_iter()
        .map(|rt| {
            let near = near.clone();
            rt.go(move || (&*near).read(&mut [0]).map_err(|e| e.kind()))
        })
        .collect();
    one.until_waiting(1);
    two.until_waiting(1);
    (&*far).write_all(b"x").unwrap();
    while readers.iter().all(|r| !r.is_finished()) {
        thread::yield_now();
    }
    near.set_read_deadline(Some(Instant::now()));
    let mut results: Vec<_> = readers.into_iter().map(|r| r.join().unwrap()).collect();
    results.sort_by_key(Result::is_err);
    assert_eq!(results, [Ok(1), Err(io::ErrorKind::TimedOut)]);
}

#[test]
fn writer_of_a_full_pipe_continues_after_a_read() {
    let rt = Runtime::new();
    let (reader, writer) = pipe().unwrap();
    let writing = rt.go(move || (&writer).write_all(&vec![7; 1 << 20]).unwrap());
    rt.until_waiting(1);
    let read = rt.run(move || {
        let mut all = Vec::new();
        (&reader).read_to_end(&mut all).unwrap();
        all
    });
    writing.join().unwrap();
    assert_eq!(read, vec![7; 1 << 20]);
}

#[test]
fn repeated_changes_of_the_deadline_neither_lose_nor_invent_a_byte() {
    let rt = Runtime::new();
    let (near, far) = tcp_pair();
    let near = Arc::new(near);
    let done = Arc::new(AtomicBool::new(false));
    let setter = {
        let (near, done) = (near.clone(), done.clone());
        thread::spawn(move || {
            let mut soon = false;
            while !done.load(Ordering::Acquire) {
                soon = !soon;
                let in_us = if soon { 20 } else { 2_000 };
                near.set_read_deadline(Some(Instant::now() + Duration::from_micros(in_us)));
                thread::yield_now();
            }
        })
    };
    let reader = rt.go(move || {
        let mut got = Vec::new();
        let mut buf = [0; 3];
        while got.len() < 3_000 {
            match (&*near).read(&mut buf) {
                Ok(n) => got.extend_from_slice(&buf[..n]),
                Err(e) => assert_eq!(e.kind(), io::ErrorKind::TimedOut),
            }
        }
        got
    });
    let sent: Vec<u8> = (0..3_000u32).map(|i| i as u8).collect();
    for byte in &sent {
        (&far).write_all(std::slice::from_ref(byte)).unwrap();
    }
    assert_eq!(reader.join().unwrap(), sent);
    done.store(true, Ordering::Release);
    setter.join().unwrap();
}

/// In a child process, because the test lowers the limit of its process.
#[test]
fn incoming_survives_the_lack_of_descriptors() {
    let name = "net::tests::incoming_survives_the_lack_of_descriptors";
    crate::sys::child::expect_success(name, "", || {
        let rt = Runtime::new();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let server = rt.go(move || {
            let streams: Vec<_> = listener
                .incoming()
                .take(2)
                .collect::<Result<_, _>>()
                .unwrap();
            streams
                .iter()
                .for_each(|mut stream| stream.write_all(b"x").unwrap());
        });
        rt.until_waiting(1);
        let limit = libc::rlimit {
            rlim_cur: 64,
            rlim_max: 64,
        };
        // SAFETY: the struct outlives the call, which only reads it.
        let lowered = unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) };
        assert_eq!(lowered, 0);
        // The clients' sockets are made first, because `hoard` takes all other descriptors.
        let clients = [(); 2].map(|()| socket::tcp(&address).unwrap());
        let mut hoard: Vec<_> =
            std::iter::from_fn(|| std::fs::File::open("/dev/null").ok()).collect();
        for client in &clients {
            socket::connect(client.as_fd(), &address).unwrap();
        }
        // Long enough for the loop to fail and to pause, more than once.
        thread::sleep(Duration::from_millis(40));
        assert!(!server.is_finished());
        hoard.truncate(hoard.len() / 2);
        server.join().unwrap();
        for client in clients {
            crate::sys::fd::set_nonblocking(client.as_fd(), false).unwrap();
            let mut client = std::net::TcpStream::from(client);
            client.read_exact(&mut [0]).unwrap();
        }
    });
}

mod by_level;
