//! Sockets and pipes: data, ends, errors, closing.

use std::io::{self, BufRead, BufReader, ErrorKind, IoSlice, IoSliceMut, Read, Write};
use std::net::{Shutdown, ToSocketAddrs};
use std::os::unix::net::SocketAddr as UnixAddr;
use std::sync::Arc;
use std::time::Duration;

use bench_runtime::chan;
use bench_runtime::fs::File;
use bench_runtime::net::{
    Descriptor, PipeWriter, Shared, TcpListener, TcpStream, UdpSocket, UnixDatagram, UnixListener,
    UnixStream, is_closed_error, pipe,
};

use bench_runtime::sync::{Mutex, Semaphore};

use crate::support::everywhere;

fn tcp_pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let near = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    (near, listener.accept().unwrap().0)
}

#[test]
fn connections_of_a_pool_lose_no_answer_whoever_takes_them() {
    everywhere(|way| {
        const CONNECTIONS: usize = 3;
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let server = way.go(move || {
            let echoes: Vec<_> = (listener.incoming().take(CONNECTIONS))
                .map(|stream| {
                    let stream = stream.unwrap();
                    way.go(move || io::copy(&mut &stream, &mut &stream).unwrap())
                })
                .collect();
            echoes.into_iter().map(|e| e.join()).sum::<u64>()
        });
        let pool: Vec<_> = (0..CONNECTIONS)
            .map(|_| TcpStream::connect(address).unwrap())
            .collect();
        let pool = Arc::new(Mutex::new(pool));
        let permits = Arc::new(Semaphore::new(CONNECTIONS));
        let (users, rounds) = (way.count(4, 12), way.count(20, 300));
        let users: Vec<_> = (0..users)
            .map(|user| {
                let (pool, permits) = (pool.clone(), permits.clone());
                way.go(move || {
                    for round in 0..rounds {
                        let _permit = permits.acquire(1);
                        let stream = pool.lock().pop().unwrap();
                        let message = (user * 1_000 + round).to_le_bytes();
                        (&stream).write_all(&message).unwrap();
                        let mut answer = [0; 8];
                        (&stream).read_exact(&mut answer).unwrap();
                        assert_eq!(answer, message);
                        pool.lock().push(stream);
                    }
                })
            })
            .collect();
        let asked = (users.len() * rounds * 8) as u64;
        users.into_iter().for_each(|u| u.join());
        pool.lock().clear();
        assert_eq!(server.join(), asked);
    });
}

#[test]
fn echo_server_answers_many_connections_at_once() {
    everywhere(|way| {
        let count = way.count(16, 200);
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let server = way.go(move || {
            let echoes: Vec<_> = listener
                .incoming()
                .take(count)
                .map(|stream| {
                    let stream = stream.unwrap();
                    assert!(stream.nodelay().unwrap());
                    way.go(move || io::copy(&mut &stream, &mut &stream).unwrap())
                })
                .collect();
            echoes.into_iter().map(|e| e.join()).sum::<u64>()
        });
        let clients: Vec<_> = (0..count)
            .map(|i| {
                way.go(move || {
                    let stream = TcpStream::connect(address).unwrap();
                    assert!(stream.nodelay().unwrap());
                    for round in 0..50 {
                        let message = (i * 1_000 + round).to_le_bytes();
                        (&stream).write_all(&message).unwrap();
                        let mut answer = [0; 8];
                        (&stream).read_exact(&mut answer).unwrap();
                        assert_eq!(answer, message);
                    }
                })
            })
            .collect();
        clients.into_iter().for_each(|c| c.join());
        assert_eq!(server.join(), count as u64 * 50 * 8);
    });
}

#[test]
fn stream_larger_than_all_buffers_arrives_whole_over_each_kind() {
    const LEN: usize = 3 << 20;
    everywhere(|way| {
        let (unix_w, unix_r) = UnixStream::pair().unwrap();
        let (tcp_w, tcp_r) = tcp_pair();
        let (pipe_r, pipe_w) = pipe().unwrap();
        let kinds: [(Box<dyn Write + Send>, Box<dyn Read + Send>); 3] = [
            (Box::new(unix_w), Box::new(unix_r)),
            (Box::new(tcp_w), Box::new(tcp_r)),
            (Box::new(pipe_w), Box::new(pipe_r)),
        ];
        for (mut writer, mut reader) in kinds {
            let task = way.go(move || {
                let data: Vec<u8> = (0..LEN).map(|i| (i % 251) as u8).collect();
                writer.write_all(&data).unwrap();
            });
            let mut all = Vec::new();
            reader.read_to_end(&mut all).unwrap();
            task.join();
            assert_eq!(all.len(), LEN);
            assert!(all.iter().enumerate().all(|(i, &b)| b == (i % 251) as u8));
        }
    });
}

#[test]
fn vectored_reads_and_writes_fill_all_buffers() {
    everywhere(|_| {
        let (near, far) = tcp_pair();
        let sent = (&near)
            .write_vectored(&[IoSlice::new(b"ab"), IoSlice::new(b"cde")])
            .unwrap();
        assert_eq!(sent, 5);
        let (mut one, mut two) = ([0; 1], [0; 9]);
        let mut bufs = [IoSliceMut::new(&mut one), IoSliceMut::new(&mut two)];
        assert_eq!((&far).read_vectored(&mut bufs).unwrap(), 5);
        assert_eq!((&one, &two[..4]), (b"a", &b"bcde"[..]));
    });
}

#[test]
fn peek_leaves_the_data_in_the_stream() {
    everywhere(|_| {
        let (near, far) = tcp_pair();
        (&near).write_all(b"xy").unwrap();
        let mut buf = [0; 2];
        assert_eq!(far.peek(&mut buf[..1]).unwrap(), 1);
        (&far).read_exact(&mut buf).unwrap();
        assert_eq!(&buf, b"xy");
    });
}

#[test]
fn end_of_stream_is_read_as_zero_again_and_again() {
    everywhere(|way| {
        let (near, far) = tcp_pair();
        let reader = way.go(move || {
            let mut text = String::new();
            (&far).read_to_string(&mut text).unwrap();
            assert_eq!((&far).read(&mut [0]).unwrap(), 0);
            assert_eq!((&far).read(&mut [0; 9]).unwrap(), 0);
            text
        });
        (&near).write_all(b"last words").unwrap();
        near.shutdown(Shutdown::Write).unwrap();
        assert_eq!(reader.join(), "last words");
    });
}

#[test]
fn write_to_a_peer_that_is_gone_fails_without_a_signal() {
    everywhere(|_| {
        let (near, far) = tcp_pair();
        drop(far);
        let error = loop {
            if let Err(e) = (&near).write(b"into the void") {
                break e;
            }
        };
        assert!(matches!(
            error.kind(),
            ErrorKind::BrokenPipe | ErrorKind::ConnectionReset
        ));
        let (reader, writer) = pipe().unwrap();
        drop(reader);
        let error = (&writer).write(b"x").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::BrokenPipe);
    });
}

#[test]
fn connect_without_a_listener_is_refused() {
    everywhere(|_| {
        let free = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = free.local_addr().unwrap();
        drop(free);
        let error = TcpStream::connect(address).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
        let late = TcpStream::connect_timeout(&address, Duration::from_secs(100));
        assert_eq!(late.unwrap_err().kind(), ErrorKind::ConnectionRefused);
    });
}

#[test]
fn connect_tries_all_addresses_of_a_name() {
    everywhere(|_| {
        let free = TcpListener::bind("127.0.0.1:0").unwrap();
        let refused = free.local_addr().unwrap();
        drop(free);
        let listener = TcpListener::bind("localhost:0").unwrap();
        let addresses = [refused, listener.local_addr().unwrap()];
        TcpStream::connect(&addresses[..]).unwrap();
        let none: &[std::net::SocketAddr] = &[];
        assert_eq!(
            TcpStream::connect(none).unwrap_err().kind(),
            ErrorKind::InvalidInput
        );
        assert!("no port".to_socket_addrs().is_err());
        assert!(TcpStream::connect("no port").is_err());
    });
}

#[test]
fn close_ends_what_waits_and_tells_the_peer() {
    everywhere(|way| {
        let (near, far) = tcp_pair();
        let near = Arc::new(near);
        let reader = {
            let near = near.clone();
            way.go(move || (&*near).read(&mut [0]))
        };
        way.let_others_run();
        near.close().unwrap();
        assert!(is_closed_error(&reader.join().unwrap_err()));
        assert_eq!((&far).read(&mut [0]).unwrap(), 0, "the handle still lives");
        for error in [
            near.close().unwrap_err(),
            (&*near).write(b"x").unwrap_err(),
            (&*near).read(&mut [0]).unwrap_err(),
            near.local_addr().unwrap_err(),
            Arc::into_inner(near).unwrap().into_std().unwrap_err(),
        ] {
            assert!(is_closed_error(&error), "{error}");
        }
        assert!(!is_closed_error(&io::Error::from(ErrorKind::NotConnected)));
    });
}

#[test]
fn close_of_a_listener_ends_its_accept_loops_and_frees_the_port() {
    everywhere(|way| {
        let listener = Arc::new(TcpListener::bind("127.0.0.1:0").unwrap());
        let address = listener.local_addr().unwrap();
        let loops: Vec<_> = (0..4)
            .map(|_| {
                let listener = listener.clone();
                way.go(move || listener.incoming().map(Result::unwrap).count())
            })
            .collect();
        let streams: Vec<_> = (0..10)
            .map(|_| TcpStream::connect(address).unwrap())
            .collect();
        for stream in &streams {
            assert_eq!((&*stream).read(&mut [0]).unwrap(), 0);
        }
        listener.close().unwrap();
        assert_eq!(loops.into_iter().map(|l| l.join()).sum::<usize>(), 10);
        assert_eq!(
            TcpStream::connect(address).unwrap_err().kind(),
            ErrorKind::ConnectionRefused
        );
    });
}

#[test]
fn close_of_one_pipe_end_reaches_the_other() {
    everywhere(|way| {
        let (reader, writer) = pipe().unwrap();
        let read = way.go(move || (&reader).read(&mut [0]).unwrap());
        way.let_others_run();
        writer.close().unwrap();
        assert_eq!(read.join(), 0);
        let (reader, writer) = pipe().unwrap();
        let written = way.go(move || (&writer).write_all(&vec![0; 1 << 20]).unwrap_err());
        way.let_others_run();
        reader.close().unwrap();
        assert_eq!(written.join().kind(), ErrorKind::BrokenPipe);
    });
}

#[test]
fn ring_of_pipes_passes_every_number_on_whether_its_readers_find_one_or_wait() {
    const TASKS: usize = 12;
    everywhere(|way| {
        let hops = way.count(100, 2_000);
        for numbers in [1, 4, TASKS] {
            let pipes: Vec<_> = (0..TASKS).map(|_| Arc::new(pipe().unwrap())).collect();
            for (i, ends) in pipes[..numbers].iter().enumerate() {
                (&ends.1).write_all(&i.to_le_bytes()).unwrap();
            }
            let tasks: Vec<_> = (0..TASKS)
                .map(|i| {
                    let (from, to) = (pipes[i].clone(), pipes[(i + 1) % TASKS].clone());
                    way.go(move || {
                        for _ in 0..hops {
                            let mut bytes = [0; 8];
                            (&from.0).read_exact(&mut bytes).unwrap();
                            let number = usize::from_le_bytes(bytes) + 1;
                            (&to.1).write_all(&number.to_le_bytes()).unwrap();
                        }
                    })
                })
                .collect();
            tasks.into_iter().for_each(|task| task.join());
            let left: usize = pipes[..numbers]
                .iter()
                .map(|ends| {
                    let mut bytes = [0; 8];
                    (&ends.0).read_exact(&mut bytes).unwrap();
                    usize::from_le_bytes(bytes)
                })
                .sum();
            assert_eq!(left, TASKS * hops + (0..numbers).sum::<usize>());
        }
    });
}

#[test]
fn clone_shares_the_stream_and_has_separate_deadlines() {
    everywhere(|_| {
        let (near, far) = tcp_pair();
        let twin = near.try_clone().unwrap();
        near.set_read_deadline(Some(std::time::Instant::now()));
        (&far).write_all(b"x").unwrap();
        assert_eq!((&twin).read(&mut [0; 2]).unwrap(), 1);
        drop(near);
        (&twin).write_all(b"y").unwrap();
        assert_eq!((&far).read(&mut [0; 2]).unwrap(), 1);
        twin.close().unwrap();
        assert_eq!((&far).read(&mut [0; 2]).unwrap(), 0);
    });
}

#[test]
fn stream_converted_to_std_blocks_and_can_be_converted_back() {
    everywhere(|_| {
        let (near, far) = tcp_pair();
        let mut std_near = near.into_std().unwrap();
        std_near.write_all(b"x").unwrap();
        assert_eq!((&far).read(&mut [0; 2]).unwrap(), 1);
        std_near
            .set_read_timeout(Some(Duration::from_millis(1)))
            .unwrap();
        // A non-blocking socket would fail too, but at once.
        let begin = std::time::Instant::now();
        assert!(std_near.read(&mut [0]).is_err());
        assert!(begin.elapsed() >= Duration::from_millis(1));
        let near = TcpStream::from_std(std_near).unwrap();
        (&far).write_all(b"y").unwrap();
        assert_eq!((&near).read(&mut [0; 2]).unwrap(), 1);
    });
}

#[test]
fn udp_receives_whole_datagrams_with_the_address_of_the_sender() {
    everywhere(|way| {
        let a = UdpSocket::bind("127.0.0.1:0").unwrap();
        let b = UdpSocket::bind("127.0.0.1:0").unwrap();
        let (to, from) = (b.local_addr().unwrap(), a.local_addr().unwrap());
        let receiver = way.go(move || {
            let mut buf = [0; 16];
            let mut got = Vec::new();
            for _ in 0..3 {
                let (n, sender) = b.recv_from(&mut buf).unwrap();
                assert_eq!(sender, from);
                got.push(buf[..n].to_vec());
            }
            b.connect(from).unwrap();
            b.send(b"done").unwrap();
            got
        });
        for message in [&b"one"[..], b"", b"three"] {
            assert_eq!(a.send_to(message, to).unwrap(), message.len());
        }
        a.connect(to).unwrap();
        let mut buf = [0; 16];
        assert_eq!(a.peek(&mut buf).unwrap(), 4);
        assert_eq!(a.recv(&mut buf).unwrap(), 4);
        assert_eq!(receiver.join(), [&b"one"[..], b"", b"three"]);
    });
}

#[test]
fn unix_sockets_connect_by_path_and_by_abstract_name() {
    use std::os::linux::net::SocketAddrExt;
    everywhere(|way| {
        let dir = tempfile::tempdir().unwrap();
        let path = UnixAddr::from_pathname(dir.path().join("socket")).unwrap();
        let name = format!("{:?}-{way:?}", dir.path());
        let name = UnixAddr::from_abstract_name(name).unwrap();
        for address in [path, name] {
            let listener = UnixListener::bind_addr(&address).unwrap();
            let client = way.go(move || {
                let mut stream = UnixStream::connect_addr(&address).unwrap();
                stream.write_all(b"one\ntwo\n").unwrap();
            });
            let (stream, _) = listener.accept().unwrap();
            let lines: Vec<_> = BufReader::new(stream).lines().map(Result::unwrap).collect();
            assert_eq!(lines, ["one", "two"]);
            client.join();
        }
        let missing = UnixStream::connect(dir.path().join("missing")).unwrap_err();
        assert_eq!(missing.kind(), ErrorKind::NotFound);
    });
}

#[test]
fn unix_connect_waits_for_room_in_the_queue_of_the_listener() {
    everywhere(|way| {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("socket");
        let listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
        nix::sys::socket::listen(&listener, nix::sys::socket::Backlog::new(0).unwrap()).unwrap();
        let listener = UnixListener::from_std(listener).unwrap();
        let clients: Vec<_> = (0..8)
            .map(|_| {
                let path = path.clone();
                way.go(move || UnixStream::connect(path).unwrap())
            })
            .collect();
        way.let_others_run();
        let accepted: Vec<_> = (0..8).map(|_| listener.accept().unwrap()).collect();
        clients.into_iter().for_each(|c| drop(c.join()));
        assert_eq!(accepted.len(), 8);
    });
}

#[test]
fn unix_datagrams_block_their_sender_while_the_queue_is_full() {
    everywhere(|way| {
        let (a, b) = UnixDatagram::pair().unwrap();
        let count = 2_000u32;
        let sender = way.go(move || {
            for i in 0..count {
                assert_eq!(a.send(&i.to_le_bytes()).unwrap(), 4);
            }
        });
        for i in 0..count {
            let mut buf = [0; 8];
            assert_eq!(b.recv(&mut buf).unwrap(), 4);
            assert_eq!(buf[..4], i.to_le_bytes());
        }
        sender.join();
    });
}

#[test]
fn one_stream_is_read_and_written_by_different_tasks_at_once() {
    everywhere(|way| {
        let (near, far) = UnixStream::pair().unwrap();
        let (near, far) = (Arc::new(near), Arc::new(far));
        let mut tasks = Vec::new();
        for (one, other) in [(near.clone(), far.clone()), (far, near)] {
            tasks.push(way.go(move || {
                for _ in 0..100 {
                    (&*one).write_all(&[1; 4096]).unwrap();
                }
            }));
            tasks.push(way.go(move || {
                let mut left = 100 * 4096;
                let mut buf = [0; 1024];
                while left > 0 {
                    left -= (&*other).read(&mut buf).unwrap();
                }
            }));
        }
        tasks.into_iter().for_each(|t| t.join());
    });
}

#[test]
fn ping_pong_over_sockets_and_channels_mixes() {
    everywhere(|way| {
        let (near, far) = UnixStream::pair().unwrap();
        let (tx, rx) = chan(0);
        let relay = way.go(move || {
            let mut byte = [0];
            while (&far).read(&mut byte).unwrap() == 1 {
                tx.send(byte[0]).unwrap();
            }
        });
        for i in 0..1_000u32 {
            (&near).write_all(&[i as u8]).unwrap();
            assert_eq!(rx.recv(), Some(i as u8));
        }
        drop(near);
        relay.join();
        assert_eq!(rx.recv(), None);
    });
}

#[test]
fn shutdown_ends_the_receives_of_a_datagram_socket_now_and_later() {
    everywhere(|way| {
        let (far, near) = UnixDatagram::pair().unwrap();
        let near = Arc::new(near);
        far.send(b"kept").unwrap();
        let waiting = near.clone();
        let (first, firsts) = chan(0);
        let waiter = way.go(move || {
            let mut buf = [0; 8];
            let n = waiting.recv(&mut buf).unwrap();
            first.send(buf[..n].to_vec()).unwrap();
            // The result is the same if the wait begins after the shutdown.
            (
                waiting.recv(&mut buf).unwrap(),
                waiting.recv_from(&mut buf).unwrap(),
            )
        });
        assert_eq!(firsts.recv().as_deref(), Some(&b"kept"[..]));
        way.let_others_run();
        near.shutdown(Shutdown::Read).unwrap();
        let (second, (third, from)) = waiter.join();
        assert_eq!((second, third), (0, 0));
        assert!(from.is_unnamed());
        assert_eq!(near.recv(&mut [0; 8]).unwrap(), 0);
    });
}

/// A datagram socket shows each write as one packet.
#[test]
fn formatted_text_is_one_write_of_each_kind() {
    use std::os::fd::OwnedFd;
    use std::os::unix::net::{UnixDatagram as Packets, UnixStream as StdStream};

    fn check(make: impl FnOnce(OwnedFd) -> Box<dyn Write>) {
        let (near, far) = Packets::pair().unwrap();
        let mut near = make(near.into());
        writeln!(near, "{} and {:>3}", 1, "b").unwrap();
        writeln!(near, "plain").unwrap();
        let mut packet = [0; 64];
        for line in ["1 and   b\n", "plain\n"] {
            let len = far.recv(&mut packet).unwrap();
            assert_eq!(&packet[..len], line.as_bytes());
        }
    }

    everywhere(|_| {
        let unix = |fd| UnixStream::from_std(StdStream::from(fd)).unwrap();
        check(|fd| Box::new(unix(fd)));
        check(|fd| Box::new(Shared::new(unix(fd))));
        check(|fd| Box::new(TcpStream::from_std(fd.into()).unwrap()));
        check(|fd| Box::new(PipeWriter::try_from(fd).unwrap()));
        check(|fd| Box::new(File::from(fd)));
        check(|fd| {
            let near = Packets::from(fd);
            near.set_nonblocking(true).unwrap();
            Box::new(Descriptor::new(near))
        });
    });
}
