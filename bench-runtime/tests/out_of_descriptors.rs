//! A server that runs out of file descriptors: its accept loop pauses, other goroutines continue,
//! and it accepts again once some are free.

mod start;

use std::fs::File;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use bench_runtime::net::TcpListener;
use bench_runtime::{Builder, Runtime, go, time};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, SockaddrStorage, connect, socket};
use start::Start;

const TIMEOUT: Duration = Duration::from_secs(60);

/// A socket that can connect when no descriptor is left.
fn unconnected() -> OwnedFd {
    let (family, kind) = (AddressFamily::Inet, SockType::Stream);
    socket(family, kind, SockFlag::SOCK_CLOEXEC, None).expect("a socket")
}

fn connected(socket: OwnedFd, to: SocketAddr) -> TcpStream {
    connect(socket.as_raw_fd(), &SockaddrStorage::from(to)).expect("the kernel accepts it");
    let stream = TcpStream::from(socket);
    stream
        .set_read_timeout(Some(TIMEOUT))
        .expect("a time limit");
    stream
}

fn assert_served(stream: &mut TcpStream) {
    stream.write_all(b"?").expect("it is open");
    let mut byte = [0];
    stream.read_exact(&mut byte).expect("the server answers");
    assert_eq!(&byte, b"?");
}

fn loop_survives(builder: Builder) {
    let runtime = builder.procs(2).start().expect("a runtime starts");
    let (told, address) = std::sync::mpsc::channel();
    let (ticks, accepted) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicU32::new(0)));
    let _ = runtime.spawn({
        let ticks = ticks.clone();
        move || {
            loop {
                time::sleep(Duration::from_millis(1));
                ticks.fetch_add(1, Ordering::Relaxed);
            }
        }
    });
    let _ = runtime.spawn({
        let accepted = accepted.clone();
        move || {
            let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
            told.send(listener.local_addr().expect("its address"))
                .expect("it is asked for");
            for connection in listener.incoming() {
                let mut connection = connection.expect("a shortage is no failure of the loop");
                accepted.fetch_add(1, Ordering::Relaxed);
                go!({
                    let mut byte = [0];
                    while matches!(connection.read(&mut byte), Ok(1)) {
                        connection.write_all(&byte).expect("the client reads");
                    }
                });
            }
        }
    });
    let address = address.recv().expect("it listens");
    // A process, and each of its threads, opens some descriptors only once. So a first connection is
    // served here, and its goroutine waits for more. The connection stays open, because its close
    // would free a descriptor of the server.
    let mut first = connected(unconnected(), address);
    assert_served(&mut first);
    let waits_count = || {
        let all = runtime.goroutines();
        all.iter().filter(|g| g.state == "IO wait").count()
    };
    while waits_count() < 2 {
        std::thread::yield_now();
    }

    let (early, late) = (unconnected(), unconnected());
    let mut held = Vec::new();
    let error = loop {
        match File::open("/dev/null") {
            Ok(file) => held.push(file),
            Err(error) => break error,
        }
    };
    assert_eq!(error.raw_os_error(), Some(libc::EMFILE));
    let mut early = connected(early, address);
    let at_first = ticks.load(Ordering::Relaxed);
    while ticks.load(Ordering::Relaxed) < at_first + 50 {
        std::thread::yield_now();
    }
    assert_eq!(
        accepted.load(Ordering::Relaxed),
        1,
        "there is none to accept with"
    );

    drop(held);
    assert_served(&mut early);
    assert_served(&mut connected(late, address));
    assert_served(&mut first);
    assert_eq!(accepted.load(Ordering::Relaxed), 3);
}

#[test]
fn accept_loop_survives_a_shortage_of_descriptors() {
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE).expect("a limit");
    setrlimit(Resource::RLIMIT_NOFILE, most.min(200), most).expect("it may be lowered");
    loop_survives(Runtime::builder());
    loop_survives(Runtime::builder().migrating());
}
