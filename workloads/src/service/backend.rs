//! The backend of `service.http`: a program of the suite that speaks RESP and delays its answers, a
//! Redis, or an existing PostgreSQL. All have the same records.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};

use super::database::DATABASE;
use super::resp::{self, Reply};
use super::store::{self, Delays};
use super::{ITEMS, Record, Route};
use crate::host::reserved_port::ReservedPort;
use crate::host::{affinity, open_files};
use crate::lane::{Failure, Order};
use crate::load::helper::{Helper, Listening};
use crate::load::own_cpus;
use crate::load::service::{Given, as_arguments};

const REDIS: &str = "THREADBARE_REDIS";
const BACKEND: &str = "backend";
const IS_REDIS: u64 = 1;
const IS_DATABASE: u64 = 2;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    Resp(SocketAddr),
    /// PostgreSQL at this address.
    Database(String),
}

pub(crate) struct Backend {
    pub(crate) place: Place,
    _helper: Option<Helper>,
}

/// Starts a backend program. For PostgreSQL it only reads the address from the environment, if the
/// lane `has_client`. Blocks the thread.
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

/// Prints the backend's address, and serves until the input ends. Blocks the thread.
///
/// # Errors
///
/// If it cannot listen, if Redis is missing, or for PostgreSQL, to which lanes connect themselves.
pub fn run(given: &Given, output: &mut impl Write) -> anyhow::Result<()> {
    let delays = Delays {
        delay_ns: given.get("delay_ns")?,
        spread_ns: given.get("spread_ns")?,
        slow_ns: given.get("slow_ns")?,
    };
    let _ = open_files::raise_limit();
    let _ = nix::sys::prctl::set_timerslack(1);
    // The backend does not use the CPUs of the measured server, because a real backend is on
    // another host.
    if let Some(&last) = own_cpus()?.as_ref().and_then(|cpus| cpus.last()) {
        affinity::pin_where_allowed(&[last]).context("pinning the backend")?;
    }
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
        None => store::start(delays)?,
    };
    fill(address)?;
    writeln!(output, "{}", serde_json::to_string(&Listening { address })?)?;
    output.flush()?;
    io::stdin()
        .read_to_end(&mut Vec::new())
        .context("reading the input")
        .map(drop)
}

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
    let (mut received, mut block) = (Vec::new(), [0; 16 << 10]);
    for _ in 0..2 * ITEMS {
        loop {
            match resp::reply(&received) {
                Ok(Some((Reply::Value(_), end))) => {
                    received.drain(..end);
                    break;
                }
                Ok(None) => match stream.read(&mut block)? {
                    0 => bail!("the backend closed the connection that fills it"),
                    size => received.extend_from_slice(&block[..size]),
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

/// A `redis-server` without persistence. Dropping it ends it.
struct Redis {
    child: Child,
    address: SocketAddr,
    _folder: tempfile::TempDir,
}

impl Redis {
    fn start(program: PathBuf) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let reserved = ReservedPort::at(SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0))?;
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

impl Drop for Redis {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
