//! Deadlines and time-outs: those that must end a wait, and those that must not.

use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bench_runtime::net::{
    PipeWriter, TcpListener, TcpStream, UdpSocket, UnixDatagram, UnixStream, pipe,
};
use bench_runtime::time::sleep;

use crate::support::everywhere;

const MOMENT: Duration = Duration::from_millis(5);
const LONG: Duration = Duration::from_secs(100);

fn tcp_pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let near = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    (near, listener.accept().unwrap().0)
}

fn is_late<T: std::fmt::Debug>(result: io::Result<T>) -> bool {
    match result {
        Err(e) => e.kind() == io::ErrorKind::TimedOut,
        Ok(_) => false,
    }
}

#[test]
fn read_deadline_from_the_past_to_a_second_ends_the_read_in_time() {
    everywhere(|_| {
        let (near, _far) = tcp_pair();
        let ahead = [0, 1, 10_000, 1_000_000, 20_000_000, 1_000_000_000];
        for deadline in ahead.map(|ns| Instant::now() + Duration::from_nanos(ns)) {
            near.set_read_deadline(Some(deadline));
            assert!(is_late((&near).read(&mut [0])));
            assert!(Instant::now() >= deadline, "early");
            assert!(is_late((&near).read(&mut [0])));
        }
    });
}

#[test]
fn read_deadline_that_has_passed_hides_data_until_it_is_moved() {
    everywhere(|_| {
        let (near, far) = tcp_pair();
        (&far).write_all(b"x").unwrap();
        near.set_read_deadline(Some(Instant::now()));
        assert!(is_late((&near).read(&mut [0])));
        near.set_read_deadline(None);
        assert_eq!((&near).read(&mut [0; 2]).unwrap(), 1);
    });
}

#[test]
fn deadline_far_away_or_none_does_not_end_a_read() {
    everywhere(|way| {
        let (near, far) = tcp_pair();
        for deadline in [None, Some(Instant::now() + LONG)] {
            near.set_deadline(deadline);
            let far = far.try_clone().unwrap();
            let writer = way.go(move || {
                sleep(MOMENT);
                (&far).write_all(b"x").unwrap();
            });
            assert_eq!((&near).read(&mut [0; 2]).unwrap(), 1);
            writer.join();
        }
    });
}

#[test]
fn write_deadline_ends_a_write_that_the_peer_does_not_read() {
    everywhere(|_| {
        let (near, far) = tcp_pair();
        let deadline = Instant::now() + MOMENT * 4;
        near.set_write_deadline(Some(deadline));
        let chunk = vec![0; 1 << 20];
        let error = loop {
            if let Err(e) = (&near).write(&chunk) {
                break e;
            }
        };
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert!(Instant::now() >= deadline);
        (&far).write_all(b"x").unwrap();
        assert_eq!((&near).read(&mut [0; 2]).unwrap(), 1);
    });
}

#[test]
fn timeout_is_counted_for_each_operation() {
    everywhere(|_| {
        let (near, far) = tcp_pair();
        near.set_read_timeout(Some(MOMENT)).unwrap();
        assert_eq!(near.read_timeout(), Some(MOMENT));
        for _ in 0..3 {
            let begin = Instant::now();
            assert!(is_late((&near).read(&mut [0])));
            assert!(begin.elapsed() >= MOMENT);
            (&far).write_all(b"x").unwrap();
            assert_eq!((&near).read(&mut [0; 2]).unwrap(), 1);
        }
        let zero = near.set_write_timeout(Some(Duration::ZERO)).unwrap_err();
        assert_eq!(zero.kind(), io::ErrorKind::InvalidInput);
        near.set_read_timeout(None).unwrap();
        assert_eq!(near.read_timeout(), None);
    });
}

#[test]
fn deadline_set_by_another_task_ends_a_read_that_waits() {
    everywhere(|way| {
        for _ in 0..50 {
            let (near, _far) = UnixStream::pair().unwrap();
            let near = Arc::new(near);
            let reader = {
                let near = near.clone();
                way.go(move || (&*near).read(&mut [0]))
            };
            way.yield_now();
            near.set_read_deadline(Some(Instant::now()));
            assert!(is_late(reader.join()));
        }
    });
}

#[test]
fn deadlines_set_by_many_at_once_lose_no_byte() {
    everywhere(|way| {
        let (near, far) = tcp_pair();
        let near = Arc::new(near);
        let done = Arc::new(AtomicBool::new(false));
        let setters: Vec<_> = (1..4u32)
            .map(|i| {
                let (near, done) = (near.clone(), done.clone());
                way.go(move || {
                    while !done.load(Ordering::Acquire) {
                        near.set_deadline(Some(Instant::now() + Duration::from_micros(50) * i));
                        way.yield_now();
                    }
                })
            })
            .collect();
        let writer = way.go(move || (0..=255u8).for_each(|b| (&far).write_all(&[b]).unwrap()));
        let mut got = Vec::new();
        while got.len() < 256 {
            let mut buf = [0; 7];
            match (&*near).read(&mut buf) {
                Ok(n) => got.extend_from_slice(&buf[..n]),
                Err(e) => {
                    assert_eq!(e.kind(), io::ErrorKind::TimedOut);
                    // The read failed by an earlier deadline. The goroutine that moves the deadline
                    // may be pinned to this thread.
                    way.yield_now();
                }
            }
        }
        assert!(got.iter().copied().eq(0..=255));
        done.store(true, Ordering::Release);
        setters.into_iter().for_each(|s| s.join());
        writer.join();
    });
}

#[test]
fn accept_and_datagrams_and_pipes_have_deadlines_too() {
    everywhere(|_| {
        let end = Instant::now() + MOMENT;
        let deadline = Some(end);
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_deadline(deadline);
        assert!(is_late(listener.accept()));
        let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
        udp.set_read_deadline(deadline);
        assert!(is_late(udp.recv_from(&mut [0])));
        let (unix, other) = UnixDatagram::pair().unwrap();
        unix.set_deadline(deadline);
        assert!(is_late(unix.recv(&mut [0])));
        other.set_write_timeout(Some(MOMENT)).unwrap();
        let full = std::iter::repeat_with(|| other.send(&[0; 4096])).find(Result::is_err);
        assert!(is_late(full.unwrap()));
        let (reader, writer) = pipe().unwrap();
        reader.set_deadline(deadline);
        assert!(is_late((&reader).read(&mut [0])));
        fill(&writer);
        assert!(Instant::now() >= end);
    });
}

fn fill(writer: &PipeWriter) {
    let mut writer = writer;
    writer.set_deadline(Some(Instant::now() + MOMENT));
    assert!(is_late(writer.write_all(&vec![0; 1 << 20])));
}

#[test]
fn datagram_to_a_path_with_a_full_queue_waits_for_room_and_for_its_timeout() {
    everywhere(|way| {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("socket");
        let receiver = UnixDatagram::bind(&path).unwrap();
        let sender = UnixDatagram::unbound().unwrap();
        sender.set_write_timeout(Some(MOMENT)).unwrap();
        let mut sent = 0;
        while sender.send_to(b"x", &path).is_ok() {
            sent += 1;
        }
        sender.set_write_timeout(None).unwrap();
        let late = way.go(move || sender.send_to(b"x", &path).unwrap());
        for _ in 0..=sent {
            assert_eq!(receiver.recv(&mut [0; 8]).unwrap(), 1);
        }
        assert_eq!(late.join(), 1);
    });
}

#[test]
fn connect_timeout_ends_a_connect_that_is_not_answered() {
    everywhere(|_| {
        // A listener whose queue is full drops new connections.
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        nix::sys::socket::listen(&listener, nix::sys::socket::Backlog::new(0).unwrap()).unwrap();
        let address: SocketAddr = listener.local_addr().unwrap();
        let mut held = Vec::new();
        let error = loop {
            let begin = Instant::now();
            match TcpStream::connect_timeout(&address, MOMENT * 20) {
                Ok(stream) => held.push(stream),
                Err(e) => {
                    assert!(begin.elapsed() >= MOMENT * 20);
                    break e;
                }
            }
            assert!(held.len() < 100, "the queue never fills");
        };
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    });
}
