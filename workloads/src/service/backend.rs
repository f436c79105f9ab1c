//! The backend of `service.http`: a separate program that speaks RESP and
//! delays its answers, a real Redis, or an existing PostgreSQL. All have the
//! same records.

use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpListener, TcpStream};
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use nix::sys::socket::{
    AddressFamily, SockFlag, SockType, SockaddrIn, bind, getsockname, setsockopt, socket, sockopt,
};

use super::database::DATABASE;
use super::resp::{self, Reply};
use super::{ITEMS, Record, Route};
use crate::host::{affinity, open_files};
use crate::kernels::lehmer;
use crate::lane::{Failure, Order};
use crate::load::helper::{Helper, Listening};
use crate::load::own_cpus;
use crate::load::service::{Given, as_arguments};

/// The environment variable that names Redis's server, if it is not `redis-server`.
const REDIS: &str = "THREADBARE_REDIS";
/// The parameter that chooses the backend, and its values.
const BACKEND: &str = "backend";
const IS_REDIS: u64 = 1;
const IS_DATABASE: u64 = 2;

/// How long a read of a key takes.
#[derive(Clone, Copy, Debug)]
struct Delays {
    /// How long each answer takes at least, in nanoseconds.
    delay_ns: u64,
    /// The most additional time of an answer.
    spread_ns: u64,
    /// How long the answer to a slow key takes.
    slow_ns: u64,
}

/// The address of a backend, and its protocol.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// By RESP, over TCP.
    Resp(SocketAddr),
    /// By the client of a PostgreSQL with this address.
    Database(String),
}

/// A backend that is there until this is dropped.
pub(crate) struct Backend {
    pub(crate) place: Place,
    _helper: Option<Helper>,
}

/// Starts a backend in a separate process, or checks the database, if the lane
/// `has_client` for one. Blocks the thread.
pub(crate) fn start(order: &Order, has_client: bool) -> Result<Backend, Failure> {
    if order.get(BACKEND) == IS_DATABASE {
        if !has_client {
            return Err(Failure::not_supported(
                "this lane has no client of PostgreSQL here",
            ));
        }
        let url = std::env::var(DATABASE).map_err(|_| {
            Failure::failed("no PostgreSQL is named: threadbare run --service ADDRESS")
        })?;
        return Ok(Backend {
            place: Place::Database(url),
            _helper: None,
        });
    }
    let arguments = ["backend".to_owned()].into_iter();
    let arguments: Vec<_> = arguments.chain(as_arguments(&order.parameters)).collect();
    let helper = Helper::start("backend", &arguments)?;
    Ok(Backend {
        place: Place::Resp(helper.address),
        _helper: Some(helper),
    })
}

/// Serves until the input ends; prints its address before. Blocks the thread.
///
/// # Errors
///
/// If it cannot listen, if there is no Redis but one is requested, or if its
/// answer is not accepted.
pub fn run(given: &Given, output: &mut impl Write) -> anyhow::Result<()> {
    let delays = Delays {
        delay_ns: given.get("delay_ns")?,
        spread_ns: given.get("spread_ns")?,
        slow_ns: given.get("slow_ns")?,
    };
    let _ = open_files::raise_limit();
    let _ = nix::sys::prctl::set_timerslack(1);
    // Not on the CPUs of the measured server: a real backend is on another host.
    if let Some(&last) = own_cpus()?.as_ref().and_then(|cpus| cpus.last()) {
        affinity::pin_where_allowed(&[last]).context("pinning the backend")?;
    }
    let store = Arc::new(Store::new(delays));
    let redis = match given.get(BACKEND)? {
        IS_REDIS => Some(Redis::start(
            std::env::var_os(REDIS)
                .unwrap_or_else(|| "redis-server".into())
                .into(),
        )?),
        IS_DATABASE => bail!("a PostgreSQL is asked by lanes that have its client"),
        _ => None,
    };
    let address = match &redis {
        Some(redis) => redis.address,
        None => store.clone().listen()?,
    };
    fill(address)?;
    writeln!(output, "{}", serde_json::to_string(&Listening { address })?)?;
    output.flush()?;
    io::stdin()
        .read_to_end(&mut Vec::new())
        .context("reading the input")
        .map(drop)
}

/// Sets all keys that the service reads.
fn fill(address: SocketAddr) -> anyhow::Result<()> {
    let mut commands = Vec::new();
    for item in 0..ITEMS {
        let record = serde_json::to_vec(&Record::of(item))?;
        for route in [Route::Cheap, Route::Slow] {
            resp::command(
                &mut commands,
                &[b"SET", route.key(item).as_bytes(), &record],
            );
        }
    }
    let mut stream = TcpStream::connect(address)?;
    let writer = stream.try_clone()?;
    let written = thread::spawn(move || (&writer).write_all(&commands));
    let (mut come, mut block) = (Vec::new(), [0; 16 << 10]);
    for _ in 0..2 * ITEMS {
        loop {
            match resp::reply(&come) {
                Ok(Some((Reply::Value(_), end))) => {
                    come.drain(..end);
                    break;
                }
                Ok(None) => match stream.read(&mut block)? {
                    0 => bail!("the backend closed the connection that fills it"),
                    size => come.extend_from_slice(&block[..size]),
                },
                other => bail!("the backend answered SET by {other:?}"),
            }
        }
    }
    match written.join() {
        Ok(written) => written.context("filling the backend"),
        Err(payload) => std::panic::resume_unwind(payload),
    }
}

/// The keys of our own backend.
struct Store {
    delays: Delays,
    values: Mutex<HashMap<Vec<u8>, Arc<[u8]>>>,
    reads: AtomicU64,
}

impl Store {
    fn new(delays: Delays) -> Self {
        Self {
            delays,
            values: Mutex::default(),
            reads: AtomicU64::new(0),
        }
    }

    /// Serves each connection on a separate thread, until the process ends: a
    /// thread sleeps to the microsecond.
    fn listen(self: Arc<Self>) -> anyhow::Result<SocketAddr> {
        let listener =
            TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("listening on the loopback")?;
        let address = listener.local_addr()?;
        thread::spawn(move || {
            loop {
                let Ok((stream, _)) = listener.accept() else {
                    // Out of files for the moment: other connections will close some.
                    thread::sleep(Duration::from_millis(10));
                    continue;
                };
                let store = self.clone();
                // A client's error only ends its connection. If no thread can
                // be started, it is closed.
                let _ = thread::Builder::new()
                    .stack_size(256 << 10)
                    .spawn(move || store.converse(stream));
            }
        });
        Ok(address)
    }

    fn converse(&self, mut stream: TcpStream) -> io::Result<()> {
        stream.set_nodelay(true)?;
        let (mut come, mut answers, mut block) = (Vec::new(), Vec::new(), vec![0; 16 << 10]);
        loop {
            let size = stream.read(&mut block)?;
            if size == 0 {
                return Ok(());
            }
            let arrived = Instant::now();
            come.extend_from_slice(&block[..size]);
            let mut from = 0;
            while let Some((words, end)) =
                resp::words(&come[from..]).map_err(|_| io::ErrorKind::InvalidData)?
            {
                let words: Vec<_> = words.into_iter().map(|word| &come[from..][word]).collect();
                let wait = self.answer(&words, &mut answers);
                // Commands that came together wait together.
                let left = wait.saturating_sub(arrived.elapsed());
                if !left.is_zero() {
                    thread::sleep(left);
                }
                if answers.len() > 32 << 10 {
                    stream.write_all(&answers)?;
                    answers.clear();
                }
                from += end;
            }
            come.drain(..from);
            stream.write_all(&answers)?;
            answers.clear();
        }
    }

    /// Appends the answer to a command. Returns how long it takes.
    fn answer(&self, words: &[&[u8]], out: &mut Vec<u8>) -> Duration {
        let values = || self.values.lock().unwrap_or_else(PoisonError::into_inner);
        match words {
            [name, key] if name.eq_ignore_ascii_case(b"get") => {
                let number = self.reads.fetch_add(1, Ordering::Relaxed);
                let value = values().get(*key).cloned();
                match value {
                    Some(value) => resp::bulk(out, &value),
                    None => out.extend_from_slice(b"$-1\r\n"),
                }
                self.delays.of(key, number)
            }
            [name, key, value] if name.eq_ignore_ascii_case(b"set") => {
                values().insert(key.to_vec(), (*value).into());
                out.extend_from_slice(b"+OK\r\n");
                Duration::ZERO
            }
            _ => {
                out.extend_from_slice(b"-ERR unknown command\r\n");
                Duration::ZERO
            }
        }
    }
}

impl Delays {
    /// How long the read `number`, of `key`, takes.
    fn of(self, key: &[u8], number: u64) -> Duration {
        let ns = match key.starts_with(b"slow:") {
            true => self.slow_ns,
            // Evenly spread, by a generator whose first numbers differ.
            false => self.delay_ns + lehmer::after(number, 2) % (self.spread_ns + 1),
        };
        Duration::from_nanos(ns)
    }
}

/// A running `redis-server` without persistence. Dropping it ends it.
struct Redis {
    child: Child,
    address: SocketAddr,
    _folder: tempfile::TempDir,
}

impl Redis {
    fn start(program: PathBuf) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let reserved = Reserved::new()?;
        let address = reserved.address;
        let child = Command::new(&program)
            .args(["--bind", "127.0.0.1", "--port", &address.port().to_string()])
            .args(["--save", "", "--appendonly", "no", "--daemonize", "no"])
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .with_context(|| {
                format!(
                    "starting {}; apt-get install redis-server, or name it in {REDIS}",
                    program.display()
                )
            })?;
        let mut redis = Self {
            child,
            address,
            _folder: folder,
        };
        let timeout = Instant::now() + Duration::from_secs(10);
        while TcpStream::connect(address).is_err() {
            if let Some(status) = redis.child.try_wait()? {
                bail!("{} ended with {status}", program.display());
            }
            anyhow::ensure!(
                Instant::now() < timeout,
                "{} does not listen",
                program.display()
            );
            thread::sleep(Duration::from_millis(5));
        }
        Ok(redis)
    }
}

/// A port that no other program gets while this is alive. A server that allows
/// the reuse of addresses, as Redis does, can listen on it nevertheless.
struct Reserved {
    address: SocketAddr,
    _socket: OwnedFd,
}

impl Reserved {
    fn new() -> anyhow::Result<Self> {
        let kind = (AddressFamily::Inet, SockType::Stream);
        let socket = socket(kind.0, kind.1, SockFlag::SOCK_CLOEXEC, None)?;
        setsockopt(&socket, sockopt::ReuseAddr, &true)?;
        bind(socket.as_raw_fd(), &SockaddrIn::new(127, 0, 0, 1, 0))?;
        let bound: SockaddrIn = getsockname(socket.as_raw_fd())?;
        Ok(Self {
            address: SocketAddrV4::from(bound).into(),
            _socket: socket,
        })
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reserved_port_refuses_connections_and_is_given_only_to_a_bind_that_names_it() {
        let reserved = Reserved::new().unwrap();
        assert!(TcpStream::connect(reserved.address).is_err());
        for _ in 0..1_000 {
            let other = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
            assert_ne!(other.local_addr().unwrap(), reserved.address);
        }
        let named = TcpListener::bind(reserved.address).unwrap();
        assert!(TcpStream::connect(reserved.address).is_ok());
        drop(named);
    }
}
