//! A goroutine that has started stays on its thread, so a server's goroutines must start on several.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net as std_net;
use std::os::unix::net as std_unix;
use std::sync::{Arc, Mutex};
use std::thread::{self, ThreadId};
use std::time::Duration;

use bench_runtime::net::{TcpListener, UnixListener};
use bench_runtime::{GoBuilder, Runtime, go};

use crate::start::Start;

/// How much of something each thread has done.
#[derive(Clone, Debug, Default)]
struct ByThread(Arc<Mutex<HashMap<ThreadId, usize>>>);

impl ByThread {
    fn note(&self) {
        let mut counts = self.0.lock().unwrap();
        *counts.entry(thread::current().id()).or_default() += 1;
    }

    /// From the least to the most.
    fn counts(&self) -> Vec<usize> {
        let mut counts: Vec<usize> = self.0.lock().unwrap().values().copied().collect();
        counts.sort_unstable();
        counts
    }
}

const CONNECTIONS: usize = 40;

/// A goroutine starts on the other thread only while a P is idle. Other programs may keep that
/// thread from its CPU, and so its P from being idle, in some of the tries.
fn start_on_both_threads(counts_of_a_try: impl Fn() -> Vec<usize>) {
    let mut seen = Vec::new();
    for _ in 0..10 {
        let counts = counts_of_a_try();
        // A third thread is made if one of the two blocks.
        let most = counts.last().copied();
        if most.is_some_and(|most| most <= CONNECTIONS * 3 / 4) {
            return;
        }
        seen.push(counts);
    }
    panic!("{seen:?}");
}

/// Serves connections that stay open. Each has been served before the next one comes. Returns how
/// many of them each thread started, from the least to the most.
fn serve<S: Read + Write + Send + 'static, C: Read + Write>(
    accept: impl Fn() -> S + Send + 'static,
    connect: impl Fn() -> C + Send + 'static,
) -> Vec<usize> {
    let served = ByThread::default();
    let noted = served.clone();
    let runtime = Runtime::builder().procs(2).start().unwrap();
    runtime.run(move || {
        let clients = thread::spawn(move || {
            let mut open = Vec::new();
            for _ in 0..CONNECTIONS {
                let mut stream = connect();
                stream.write_all(b"a").unwrap();
                stream.read_exact(&mut [0]).unwrap();
                open.push(stream);
            }
        });
        let handlers: Vec<_> = (0..CONNECTIONS)
            .map(|_| {
                let (mut stream, noted) = (accept(), noted.clone());
                go(move || {
                    noted.note();
                    let mut byte = [0];
                    while stream.read_exact(&mut byte).is_ok() {
                        stream.write_all(&byte).unwrap();
                    }
                })
            })
            .collect();
        handlers.into_iter().for_each(|one| one.join().unwrap());
        clients.join().unwrap();
    });
    served.counts()
}

#[test]
fn goroutines_of_tcp_connections_start_on_both_threads() {
    start_on_both_threads(|| {
        let listener = std_net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let listener = TcpListener::from_std(listener).unwrap();
        serve(
            move || listener.accept().unwrap().0,
            move || std_net::TcpStream::connect(address).unwrap(),
        )
    });
}

#[test]
fn goroutines_of_unix_connections_start_on_both_threads() {
    start_on_both_threads(|| {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("socket");
        let listener = UnixListener::bind(&path).unwrap();
        serve(
            move || listener.accept().unwrap().0,
            move || std_unix::UnixStream::connect(&path).unwrap(),
        )
    });
}

/// Such a goroutine has two reasons to start on another thread.
#[test]
fn cpu_bound_goroutines_of_connections_start() {
    const CONNECTIONS: usize = 4;
    for procs in [1, 2] {
        let runtime = Runtime::builder().procs(procs).start().unwrap();
        let listener = std_net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let listener = TcpListener::from_std(listener).unwrap();
        let clients = thread::spawn(move || {
            let mut open = Vec::new();
            for _ in 0..CONNECTIONS {
                let mut stream = std_net::TcpStream::connect(address).unwrap();
                stream
                    .set_read_timeout(Some(Duration::from_secs(20)))
                    .unwrap();
                stream.write_all(b"a").unwrap();
                stream.read_exact(&mut [0]).expect("the goroutine starts");
                open.push(stream);
            }
        });
        runtime.run(move || {
            let handlers: Vec<_> = (0..CONNECTIONS)
                .map(|_| {
                    let mut stream = listener.accept().unwrap().0;
                    let serve = move || {
                        let mut byte = [0];
                        while stream.read_exact(&mut byte).is_ok() {
                            stream.write_all(&byte).unwrap();
                        }
                    };
                    GoBuilder::new().cpu_bound(true).go(serve).unwrap()
                })
                .collect();
            handlers.into_iter().for_each(|one| one.join().unwrap());
        });
        clients.join().unwrap();
    }
}
