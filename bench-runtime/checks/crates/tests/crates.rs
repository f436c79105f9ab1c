//! A program for each line of the table at `Builder::build`; most run in both modes.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bench_runtime::{Builder, Runtime, blocking, chan, go, yield_now};

/// Runs `main` on one P, pinned and migrating.
fn each_mode(main: fn()) {
    run(Runtime::builder(), main);
    run(Runtime::builder().migrating(), main);
}

fn run(builder: Builder, main: fn()) {
    // SAFETY: on one P no goroutine moves while no thread blocks; where a
    // program breaks the contract of a mode, the memory that it then reaches is
    // never freed.
    let runtime = unsafe { builder.procs(1).build() }.expect("it starts");
    runtime.run(main);
}

/// Runs the first goroutine up to its park, the second up to its park, and then both to their ends.
fn interleaved<T: Send + 'static>(body: fn(u64, &dyn Fn()) -> T) -> [T; 2] {
    let task = |n| go(move || body(n, &|| (0..4).for_each(|_| yield_now())));
    let both = [task(1), task(2)];
    both.map(|task| task.join().expect("it does not panic"))
}

#[test]
fn stacker_is_fine_also_with_a_park_inside() {
    each_mode(|| {
        let (to, others) = chan::<u64>(0);
        let (back, from) = chan::<u64>(0);
        bench_runtime::go!(
            others
                .iter()
                .for_each(|n| back.send(n).expect("it receives"))
        );
        for n in 0..1_000 {
            let got = stacker::grow(256 << 10, || {
                assert!(bench_runtime::in_goroutine());
                to.send(n).expect("it receives");
                let child = go(yield_now);
                let got = from.recv();
                child.join().expect("it does not panic");
                got
            });
            assert_eq!(got, Some(n));
        }
    });
}

#[test]
fn goroutines_that_park_on_foreign_stacks_are_readied_by_a_plain_thread() {
    for builder in [Runtime::builder(), Runtime::builder().migrating()] {
        // SAFETY: nothing of a thread is held over a park.
        let runtime = unsafe { builder.procs(2).build() }.expect("it starts");
        let (to, from) = chan::<u64>(0);
        let reader = runtime.spawn(move || {
            stacker::grow(256 << 10, || {
                let nap = Duration::from_millis(1);
                bench_runtime::time::sleep(nap);
                from.iter().sum::<u64>()
            })
        });
        for n in 1..=100 {
            to.send(n).expect("it receives");
        }
        drop(to);
        assert_eq!(reader.join().expect("it does not panic"), 5_050);
    }
}

scoped_tls::scoped_thread_local!(static SCOPED: u64);
static LIVES: [u64; 3] = [0, 1, 2];

#[test]
fn scoped_tls_is_fine_without_a_park_inside() {
    each_mode(|| {
        let seen = interleaved(|n, park| {
            park();
            let seen = SCOPED.set(&LIVES[n as usize], || SCOPED.with(|n| *n));
            park();
            seen
        });
        assert_eq!(seen, [1, 2]);
        assert!(!SCOPED.is_set());
    });
}

#[test]
fn scoped_tls_with_a_park_inside_returns_a_value_after_its_scope() {
    // This breaks the contract. The memory that it reaches is never freed.
    run(Runtime::builder(), || {
        let first = go(|| SCOPED.set(&LIVES[1], || (0..4).for_each(|_| yield_now())));
        let second = go(|| SCOPED.set(&LIVES[2], || (0..8).for_each(|_| yield_now())));
        first.join().expect("it does not panic");
        second.join().expect("it does not panic");
        assert!(SCOPED.is_set(), "outside of both scopes");
    });
}

#[test]
fn tracing_spans_are_right_without_a_park_and_only_mixed_up_with_one() {
    let registry = tracing_subscriber::registry();
    tracing::subscriber::set_global_default(registry).expect("the first");
    run(Runtime::builder(), || {
        let same = |before: &tracing::Span| before.id() == tracing::Span::current().id();
        let inside = interleaved(|n, park| {
            let span = tracing::info_span!("task", n);
            park();
            let right = span.in_scope(|| tracing::Span::current().id() == span.id());
            park();
            right
        });
        assert_eq!(inside, [true, true]);
        let span = tracing::info_span!("held");
        let entered = span.enter();
        let other = go(move || tracing::Span::current().id().is_some());
        assert!(other.join().expect("it does not panic"), "another's span");
        drop(entered);
        assert!(!same(&span));
    });
}

struct Counts(AtomicUsize);

impl log::Log for Counts {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, _: &log::Record<'_>) {
        // A logger that waits, such as one that writes to a channel.
        yield_now();
        self.0.fetch_add(1, Ordering::SeqCst);
    }

    fn flush(&self) {}
}

#[test]
fn log_is_fine() {
    static COUNTS: Counts = Counts(AtomicUsize::new(0));
    log::set_logger(&COUNTS).expect("the first");
    log::set_max_level(log::LevelFilter::Info);
    each_mode(|| {
        interleaved(|n, park| {
            log::info!("before, {n}");
            park();
            log::info!("after, {n}");
        });
    });
    assert_eq!(COUNTS.0.load(Ordering::SeqCst), 8);
}

#[test]
fn rand_is_fine_pinned_and_migrating_if_called_anew_after_a_park() {
    run(Runtime::builder(), || {
        let drawn = interleaved(|_, park| {
            let mut rng = rand::rng();
            let before: u64 = rand::RngExt::random(&mut rng);
            park();
            [before, rand::RngExt::random(&mut rng)]
        });
        assert_eq!(drawn.as_flattened().iter().collect::<HashSet<_>>().len(), 4);
    });
    run(Runtime::builder().migrating(), || {
        let drawn = interleaved(|_, park| {
            let before = rand::random::<u64>();
            park();
            [before, rand::random::<u64>()]
        });
        assert_eq!(drawn.as_flattened().iter().collect::<HashSet<_>>().len(), 4);
    });
}

#[test]
fn guards_of_std_and_parking_lot_lock_out_the_goroutines_of_their_own_thread() {
    static STD: std::sync::Mutex<u32> = std::sync::Mutex::new(0);
    static LOT: parking_lot::Mutex<u32> = parking_lot::Mutex::new(0);
    each_mode(|| {
        // Both mutexes work if no goroutine parks while it holds one.
        interleaved(|_, park| {
            *STD.lock().expect("nobody panicked") += 1;
            *LOT.lock() += 1;
            park();
        });
    });
    assert_eq!((*STD.lock().expect("nobody panicked"), *LOT.lock()), (4, 4));
    run(Runtime::builder(), || {
        let (ours, theirs) = (STD.lock().expect("nobody panicked"), LOT.lock());
        let locked_out = go(|| STD.try_lock().is_err() && LOT.try_lock().is_none());
        // A `lock` there would block the thread that this goroutine waits for.
        assert!(locked_out.join().expect("it does not panic"));
        drop((ours, theirs));
    });
}

#[test]
fn regex_is_fine() {
    each_mode(|| {
        let found = interleaved(|n, park| {
            let regex = regex::Regex::new(r"(\w+) (\d+)").expect("it is one");
            let text = format!("one {n}, two {n}");
            let mut found = Vec::new();
            for each in regex.captures_iter(&text) {
                park();
                found.push(each[2].to_owned());
            }
            found
        });
        assert_eq!(found, [["1", "1"], ["2", "2"]]);
    });
}

#[test]
fn rayon_is_fine_also_with_a_wait_inside_where_the_scope_is_in_blocking() {
    each_mode(|| {
        let (to, from) = chan::<u64>(0);
        let sender = go(move || (1..=2).for_each(|n| to.send(n).expect("it receives")));
        let sum = blocking(|| {
            let sum = AtomicUsize::new(0);
            rayon::scope(|s| {
                for _ in 0..2 {
                    s.spawn(|_| {
                        let n = from.recv().expect("two are sent");
                        sum.fetch_add(n as usize, Ordering::SeqCst);
                    });
                }
            });
            sum.into_inner()
        });
        assert_eq!(sum, 3);
        sender.join().expect("it does not panic");
    });
}

#[cfg(feature = "sqlite")]
#[test]
fn rusqlite_is_fine() {
    each_mode(|| {
        let sums = interleaved(|n, park| {
            let db = rusqlite::Connection::open_in_memory().expect("it opens");
            db.execute_batch("create table t (n integer)")
                .expect("it is one");
            let mut insert = db.prepare("insert into t values (?1)").expect("SQL");
            for i in 0..10 {
                park();
                insert.execute([n as i64 * i]).expect("it has room");
            }
            let sum = "select sum(n) from t";
            db.query_row(sum, [], |row| row.get::<_, i64>(0))
                .expect("a sum")
        });
        assert_eq!(sums, [45, 90]);
    });
}

#[cfg(feature = "tls")]
#[test]
fn rustls_is_fine() {
    use std::io::{Read, Write};
    use std::sync::Arc;

    use bench_runtime::net::UnixStream;
    use rustls::pki_types::PrivateKeyDer;
    use rustls::{ClientConfig, ClientConnection, ServerConfig, ServerConnection, StreamOwned};

    const BYTES: usize = 100_000;

    /// Each read and write of the socket may park, also within a handshake or a record.
    fn serve(config: Arc<ServerConfig>, socket: UnixStream) {
        let tls = ServerConnection::new(config).expect("a configuration");
        let mut stream = StreamOwned::new(tls, socket);
        let mut sent = vec![0; BYTES];
        stream.read_exact(&mut sent).expect("all of it");
        stream.write_all(&sent).expect("it is read");
        stream.flush().expect("it is read");
    }

    fn ask(config: Arc<ClientConfig>, socket: UnixStream, byte: u8) {
        let name = "localhost".try_into().expect("a name");
        let tls = ClientConnection::new(config, name).expect("a configuration");
        let mut stream = StreamOwned::new(tls, socket);
        stream.write_all(&[byte; BYTES]).expect("it is read");
        let mut got = vec![0; BYTES];
        stream.read_exact(&mut got).expect("it comes back");
        assert!(got.iter().all(|&each| each == byte));
    }

    each_mode(|| {
        let own = rcgen::generate_simple_self_signed(["localhost".to_owned()]);
        let own = own.expect("a certificate");
        let certificate = own.cert.der().clone();
        let key = PrivateKeyDer::Pkcs8(own.signing_key.serialize_der().into());
        let server = ServerConfig::builder().with_no_client_auth();
        let server = server.with_single_cert(vec![certificate.clone()], key);
        let server = Arc::new(server.expect("the key is its own"));
        let mut roots = rustls::RootCertStore::empty();
        roots.add(certificate).expect("it is one");
        let client = ClientConfig::builder().with_root_certificates(roots);
        let client = Arc::new(client.with_no_client_auth());
        let pair = |n| {
            let (near, far) = UnixStream::pair().expect("descriptors");
            let (server, client) = (server.clone(), client.clone());
            [
                go(move || serve(server, far)),
                go(move || ask(client, near, n)),
            ]
        };
        let tasks: Vec<_> = (0..4).flat_map(pair).collect();
        for task in tasks {
            task.join().expect("it does not panic");
        }
    });
}

#[test]
fn scope_of_std_is_fine_pinned_with_a_park_inside() {
    run(Runtime::builder(), || {
        let (to, from) = chan::<u64>(0);
        let adds = go(move || from.iter().sum::<u64>());
        std::thread::scope(|s| {
            let thread = s.spawn(|| std::thread::sleep(Duration::from_millis(5)));
            (1..=10).for_each(|n| to.send(n).expect("it receives"));
            thread.join().expect("it does not panic");
        });
        drop(to);
        assert_eq!(adds.join().expect("it does not panic"), 55);
    });
}

/// Functions that must not be inlined, by rule 4 of `Builder::build`.
mod anew {
    use std::hash::{BuildHasher, RandomState};

    /// Each hasher of the thread has other keys.
    #[inline(never)]
    pub(super) fn hash() -> u64 {
        RandomState::new().hash_one(())
    }

    #[inline(never)]
    pub(super) fn thread() -> std::thread::ThreadId {
        println!("on {:?}", std::thread::current());
        std::thread::current().id()
    }
}

#[test]
fn thread_locals_of_std_are_fine_pinned_and_migrating_if_read_anew_after_a_park() {
    run(Runtime::builder(), || {
        let made = interleaved(|n, park| {
            let before = HashMap::from([(n, std::thread::current().id())]);
            println!("before, {n}");
            park();
            println!("after, {n}");
            [before, HashMap::from([(n, std::thread::current().id())])]
        });
        assert!(made.iter().all(|[before, after]| before == after));
    });
    // SAFETY: each use of a thread-local is in a function that does not park.
    let runtime = unsafe { Runtime::builder().procs(4).migrating().build() }.expect("it starts");
    let (threads, hashes) = runtime.run(|| {
        let (mut threads, mut hashes) = (HashSet::new(), Vec::new());
        while threads.len() < 3 {
            hashes.push(anew::hash());
            // The kernel tells the thread without the use of a thread-local.
            let known = std::fs::read_link("/proc/thread-self").expect("procfs is mounted");
            threads.insert((known, anew::thread()));
            // The P is handed off to another M, which then runs a hog.
            blocking(|| std::thread::sleep(Duration::from_micros(100)));
            let hog = go(|| {
                let began = Instant::now();
                while began.elapsed() < Duration::from_micros(300) {}
            });
            yield_now();
            bench_runtime::time::sleep(Duration::from_micros(100));
            hog.join().expect("it does not panic");
        }
        (threads, hashes)
    });
    let kernels: HashSet<_> = threads.iter().map(|(known, _)| known).collect();
    let stds: HashSet<_> = threads.iter().map(|(_, id)| id).collect();
    assert_eq!((kernels.len(), stds.len()), (threads.len(), threads.len()));
    assert_eq!(hashes.iter().collect::<HashSet<_>>().len(), hashes.len());
}
