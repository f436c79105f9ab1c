//! compio: tasks without stacks on io_uring, with a runtime on each CPU.
//!
//! A task stays on its thread, so its future need not be `Send`, and the shapes of
//! [`crate::shapes::stackless`] do not fit.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use ::compio::BufResult;
use ::compio::dispatcher::Dispatcher;
use ::compio::driver::ProactorBuilder;
use ::compio::driver::op::OpCodeFlag;
use ::compio::fs::File;
use ::compio::io::{AsyncRead, AsyncReadAt, AsyncWriteExt};
use ::compio::net::{TcpListener, TcpStream};
use ::compio::runtime::{JoinError, JoinHandle, Runtime, spawn, spawn_blocking};
use ::compio::time::sleep;
use nix::errno::Errno;

use crate::catalogue::{Shape, Workload};
use crate::host::files::Files;
use crate::host::{backlog, fork};
use crate::kernels::{bytes, lehmer};
use crate::lane::{Entry, Failure, Lane, Order, Outcome, Program};
use crate::load::{self, server_address};
use crate::measure::Meter;
use crate::shapes::io::{block_bytes, over_ns};

pub(super) const RUNTIMES: Entry = Entry {
    name: "compio",
    noun: "compio task",
    title: "compio tasks on io_uring, a runtime for each CPU",
    program: Program::Plain,
    kernel_tasks: false,
    runtime: || format!("compio {}", super::locked_version("compio")),
    refuses,
    start: |_| Ok(Box::new(Compio { current: None })),
};

fn refuses(workload: &Workload) -> Option<&'static str> {
    match workload.shape {
        Shape::Sleepers | Shape::TcpEcho | Shape::Fanout | Shape::FileRead => {
            RING.as_ref().err().map(String::as_str)
        }
        Shape::Email => Some("the mail library has no futures for compio"),
        Shape::Service | Shape::Handler(_) => {
            Some("its futures may move between threads, and those of compio do not")
        }
        _ => Some("this lane is there for what io_uring does: waiting for files and sockets"),
    }
}

static RING: LazyLock<Result<ProactorBuilder, String>> = LazyLock::new(|| {
    let calls = [
        libc::SYS_io_uring_setup,
        libc::SYS_io_uring_enter,
        libc::SYS_io_uring_register,
    ];
    if fork::is_killed_for(&calls) {
        return Err(format!(
            "the host kills a process that asks for io_uring (SIGSYS): have the seccomp profile allow {CALLS}"
        ));
    }
    let needed = OpCodeFlag::basic() | OpCodeFlag::OpenAt | OpCodeFlag::Shutdown;
    let made = Runtime::new()
        .and_then(|_| ProactorBuilder::new().detect_opcode_support(needed).build())
        .and_then(|_| recommended_ring(|ring| ring.build().map(drop)));
    made.map_err(|error| no_ring(&error))
});

/// The settings that compio recommends for a runtime of one thread (all since Linux 6.1), or its
/// defaults if the kernel does not know those settings.
fn recommended_ring(
    make: impl Fn(&ProactorBuilder) -> io::Result<()>,
) -> io::Result<ProactorBuilder> {
    let mut recommended_ring = ProactorBuilder::new();
    recommended_ring.coop_taskrun(true).taskrun_flag(true);
    recommended_ring.single_issuer(true).defer_taskrun(true);
    match make(&recommended_ring) {
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) => Ok(ProactorBuilder::new()),
        made => made.map(|()| recommended_ring),
    }
}

const CALLS: &str = "io_uring_setup, io_uring_enter and io_uring_register";

fn no_ring(error: &io::Error) -> String {
    let way_out = match error.raw_os_error().map(Errno::from_raw) {
        Some(Errno::EPERM | Errno::EACCES) => format!(
            "set kernel.io_uring_disabled to 0, and have the container's seccomp profile allow {CALLS}"
        ),
        Some(Errno::ENOSYS) => format!(
            "take a kernel of 5.11 or later with CONFIG_IO_URING, and have the container's seccomp profile allow {CALLS}"
        ),
        Some(Errno::ENOMEM) => "look at ulimit -l".to_owned(),
        Some(Errno::EMFILE | Errno::ENFILE) => "look at ulimit -n".to_owned(),
        _ => "compio takes Linux 5.11 or later".to_owned(),
    };
    format!("the host refuses io_uring ({error}): {way_out}")
}

struct Compio {
    current: Option<(Cores, (usize, Rule))>,
}

impl Lane for Compio {
    fn run(&mut self, order: &Order) -> Result<Outcome, Failure> {
        let rule = match order.workload.shape {
            Shape::TcpEcho => Rule::First,
            _ => Rule::Each,
        };
        let wanted = (order.threads(), rule);
        let cores = match self.current.take() {
            Some((cores, have)) if have == wanted => cores,
            _ => Cores::start(wanted).map_err(|error| {
                Failure::host("starting a runtime", &error, "ulimit -n and ulimit -l")
            })?,
        };
        let main = run(cores.tasks.clone(), order.clone());
        // A runtime schedules the future of `block_on` differently, so the main future is a task.
        let outcome = cores.main.block_on(async { joined(spawn(main).await) });
        if outcome.is_ok() {
            self.current = Some((cores, wanted));
        }
        // After a failure the runtimes end here, with all tasks of the sample.
        outcome
    }
}

/// Which runtime runs a task.
#[derive(Clone, Copy, PartialEq)]
enum Rule {
    /// The runtime that takes the task first: all share one dispatcher.
    First,
    /// A given runtime: each has its own dispatcher.
    Each,
}

struct Cores {
    main: Runtime,
    tasks: Tasks,
}

impl Cores {
    fn start((count, rule): (usize, Rule)) -> io::Result<Self> {
        let ring = RING.clone().map_err(io::Error::other)?;
        let (dispatchers, threads) = match rule {
            _ if count <= 1 => (0, count),
            Rule::First => (1, count),
            Rule::Each => (count, 1),
        };
        let threads = NonZeroUsize::new(threads).unwrap_or(NonZeroUsize::MIN);
        let dispatcher = |_| {
            let builder = Dispatcher::builder().worker_threads(threads);
            builder.proactor_builder(ring.clone()).build()
        };
        let workers: io::Result<_> = (0..dispatchers).map(dispatcher).collect();
        Ok(Self {
            tasks: Tasks(workers?),
            main: Runtime::builder().with_proactor(ring).build()?,
        })
    }
}

/// The dispatchers whose runtimes start tasks; if there are none, this thread's runtime does.
#[derive(Clone)]
struct Tasks(Rc<[Dispatcher]>);

impl Tasks {
    /// Starts a task by dispatcher `index`, or on this thread's runtime if there is no dispatcher.
    /// The returned future joins the task.
    fn start<F: Future<Output = Result<u64, Failure>> + 'static>(
        &self,
        index: usize,
        body: impl FnOnce() -> F + Send + 'static,
    ) -> Result<impl Future<Output = Result<u64, Failure>>, Failure> {
        let task = match self.0.get(index) {
            None => Task::Here(spawn(body())),
            Some(dispatcher) => {
                let started = dispatcher.dispatch(body);
                Task::There(started.map_err(|_| Failure::failed("all threads have panicked"))?)
            }
        };
        Ok(task.join())
    }

    /// Starts an equal part of `count` tasks on each runtime. Returns the sum of their results.
    async fn run_all<F: Future<Output = Result<u64, Failure>> + 'static>(
        &self,
        count: u64,
        body: impl Fn(u64) -> F + Clone + Send + 'static,
    ) -> Result<u64, Failure> {
        if self.0.is_empty() {
            return run_part(0..count, body).await;
        }
        let mut parts = Vec::with_capacity(self.0.len());
        for index in 0..self.0.len() {
            let numbers = (index as u64..count).step_by(self.0.len());
            let body = body.clone();
            parts.push(self.start(index, move || run_part(numbers, body))?);
        }
        join_all(parts).await
    }
}

async fn run_part<F: Future<Output = Result<u64, Failure>> + 'static>(
    numbers: impl Iterator<Item = u64>,
    body: impl Fn(u64) -> F,
) -> Result<u64, Failure> {
    let tasks = numbers.map(|number| spawn(body(number)));
    let tasks: Vec<_> = tasks
        .map(|task| async move { joined(task.await) })
        .collect();
    join_all(tasks).await
}

enum Task<R> {
    Here(JoinHandle<Result<u64, Failure>>),
    There(R),
}

impl<R> Task<R> {
    async fn join<E>(self) -> Result<u64, Failure>
    where
        R: Future<Output = Result<Result<u64, Failure>, E>>,
    {
        match self {
            Self::Here(task) => joined(task.await),
            Self::There(value) => value
                .await
                .unwrap_or_else(|_| Err(Failure::failed("a task panicked"))),
        }
    }
}

fn joined<T>(result: Result<Result<T, Failure>, JoinError>) -> Result<T, Failure> {
    result.unwrap_or_else(|error| Err(failure(error)))
}

fn failure(error: JoinError) -> Failure {
    match error {
        JoinError::Panicked(payload) => Failure::from_panic(payload),
        JoinError::Cancelled => Failure::failed("a task was cancelled"),
    }
}

async fn join_all(tasks: Vec<impl Future<Output = Result<u64, Failure>>>) -> Result<u64, Failure> {
    let mut sum = 0;
    for task in tasks {
        sum += task.await?;
    }
    Ok(sum)
}

async fn run(tasks: Tasks, order: Order) -> Result<Outcome, Failure> {
    match order.workload.shape {
        Shape::Sleepers => sleepers(&tasks, &order).await,
        Shape::TcpEcho => tcp_echo(tasks, &order).await,
        Shape::Fanout => fanout(&tasks, &order).await,
        Shape::FileRead => file_read(&tasks, &order).await,
        _ => Err(Failure::not_supported(
            refuses(order.workload).unwrap_or_default(),
        )),
    }
}

async fn repeat(
    order: &Order,
    before: impl Fn() -> Result<(), Failure>,
    once: impl AsyncFn() -> Result<u64, Failure>,
) -> Result<Outcome, Failure> {
    let mut checksum = 0;
    let mut meter = Meter::begin(false);
    for _ in 0..order.iterations {
        before()?;
        let watch = meter.start();
        checksum += once().await?;
        meter.stop(watch);
    }
    Ok(Outcome::new(meter.finish(), checksum))
}

async fn sleepers(tasks: &Tasks, order: &Order) -> Result<Outcome, Failure> {
    let (count, time) = (
        order.get("tasks_count"),
        Duration::from_nanos(order.get("sleep_ns")),
    );
    let sleeper = move |index| async move {
        sleep(time).await;
        Ok(index + 1)
    };
    let outcome = repeat(
        order,
        || Ok(()),
        async || tasks.run_all(count, sleeper).await,
    )
    .await?;
    let over = over_ns(&outcome.measured, order, time);
    Ok(outcome.with("over_ns", over))
}

async fn tcp_echo(tasks: Tasks, order: &Order) -> Result<Outcome, Failure> {
    let (connections, block_bytes) = (order.count("connections_count"), block_bytes(order));
    let meter = Meter::begin(true);
    let (listener, address) = listen()
        .await
        .map_err(|error| Failure::host("listening on the loopback", &error, "ulimit -n"))?;
    let server = spawn(async move {
        let mut served = Vec::with_capacity(connections);
        while served.len() < connections {
            let stream = accept(&listener)
                .await
                .map_err(|error| Failure::host("accepting a connection", &error, "ulimit -n"))?;
            served.push(tasks.start(0, move || echo(stream, block_bytes))?);
        }
        join_all(served).await
    });
    let plan = load::Plan::new(order, address);
    // A failed load returns here and so cancels `server`.
    let report = joined(spawn_blocking(move || load::run(&plan.arguments())).await)?;
    joined(server.await)?;
    Ok(report.into_outcome(meter.finish()))
}

async fn listen() -> io::Result<(TcpListener, SocketAddr)> {
    let listener = TcpListener::bind(server_address()).await?;
    backlog::lengthen(&listener)?;
    let address = listener.local_addr()?;
    Ok((listener, address))
}

async fn accept(listener: &TcpListener) -> io::Result<TcpStream> {
    let (stream, _) = listener.accept().await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Echoes until the client closes the connection. The kernel has the buffer during an operation.
async fn echo(mut stream: TcpStream, block_bytes: usize) -> Result<u64, Failure> {
    let mut block = Vec::with_capacity(block_bytes);
    let mut echoed = 0;
    loop {
        let BufResult(read, filled) = stream.read(block).await;
        let Ok(size @ 1..) = read else {
            return Ok(echoed);
        };
        let BufResult(written, mut emptied) = stream.write_all(filled).await;
        if written.is_err() {
            // The generator counts the missing answers.
            return Ok(echoed);
        }
        echoed += size as u64;
        emptied.clear();
        block = emptied;
    }
}

async fn fanout(tasks: &Tasks, order: &Order) -> Result<Outcome, Failure> {
    let (requests, waits) = (order.get("requests_count"), order.get("waits_count"));
    let (wait, steps) = (
        Duration::from_nanos(order.get("wait_ns")),
        order.get("steps_count"),
    );
    let answer = move |request| answer(request, waits, wait, steps);
    repeat(
        order,
        || Ok(()),
        async || tasks.run_all(requests, answer).await,
    )
    .await
}

async fn answer(request: u64, waits: u64, wait: Duration, steps: u64) -> Result<u64, Failure> {
    let waiting: Vec<_> = (0..waits).map(|_| spawn(sleep(wait))).collect();
    let mut sum = lehmer::after(request, steps) % 1_000;
    for wait in waiting {
        wait.await.map_err(failure)?;
        sum += 1;
    }
    Ok(sum)
}

async fn file_read(tasks: &Tasks, order: &Order) -> Result<Outcome, Failure> {
    let (count, block_bytes) = (order.get("tasks_count"), order.count("block_bytes"));
    let files = Files::create(count as usize, order.get("file_bytes"))?;
    let is_cold = order.get("cold") == 1;
    let paths: Arc<[PathBuf]> = (0..count).map(|index| files.path(index)).collect();
    let reader = move |index: u64| {
        let path = paths[index as usize].clone();
        async move {
            add_up(path, block_bytes)
                .await
                .map_err(|error| Failure::host("reading a temporary file", &error, "ulimit -n"))
        }
    };
    let before = || if is_cold { files.drop_cache() } else { Ok(()) };
    repeat(order, before, async || {
        tasks.run_all(count, reader.clone()).await
    })
    .await
}

async fn add_up(path: PathBuf, block_bytes: usize) -> io::Result<u64> {
    let file = File::open(path).await?;
    let mut block = Vec::with_capacity(block_bytes);
    let (mut sum, mut position) = (0, 0);
    loop {
        let BufResult(read, mut filled) = file.read_at(block, position).await;
        match read? {
            0 => return Ok(sum),
            size => position += size as u64,
        }
        sum += bytes::add_up(&filled);
        filled.clear();
        block = filled;
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::sync::Mutex;
    use std::thread;

    use super::*;

    #[test]
    fn refused_ring_names_the_error_and_the_way_out() {
        for (errno, way_out) in [
            (Errno::EPERM, "kernel.io_uring_disabled"),
            (Errno::ENOSYS, "CONFIG_IO_URING"),
            (Errno::ENOMEM, "ulimit -l"),
            (Errno::EINVAL, "5.11"),
        ] {
            let said = no_ring(&errno.into());
            assert!(said.contains(way_out), "{said}");
            assert!(
                said.contains(&format!("os error {}", errno as i32)),
                "{said}"
            );
        }
    }

    #[test]
    fn an_equal_part_of_the_tasks_runs_on_each_runtime() {
        if let Err(why) = &*RING {
            eprintln!("skipped: {why}");
            return;
        }
        for (count, tasks_on_each) in [(1, vec![8]), (3, vec![2, 3, 3])] {
            let cores = Cores::start((count, Rule::Each)).unwrap();
            let seen: Arc<Mutex<HashMap<_, usize>>> = Arc::default();
            let noted = seen.clone();
            let body = move |number| {
                let noted = noted.clone();
                async move {
                    *noted
                        .lock()
                        .unwrap()
                        .entry(thread::current().id())
                        .or_default() += 1;
                    Ok(number)
                }
            };
            let sum = cores.main.block_on(cores.tasks.run_all(8, body)).unwrap();
            assert_eq!(sum, 28);
            let mut seen: Vec<_> = seen.lock().unwrap().values().copied().collect();
            seen.sort_unstable();
            assert_eq!(seen, tasks_on_each);
        }
    }

    #[test]
    fn ring_is_the_default_only_where_the_kernel_does_not_know_the_settings() {
        const SETTINGS: [&str; 4] = [
            "coop_taskrun",
            "taskrun_flag",
            "single_issuer",
            "defer_taskrun",
        ];
        let are_set = |ring: &ProactorBuilder, value: bool| {
            let ring = format!("{ring:?}");
            SETTINGS
                .iter()
                .all(|name| ring.contains(&format!("{name}: {value}")))
        };
        let taken = recommended_ring(|ring| {
            assert!(are_set(ring, true), "{ring:?}");
            Ok(())
        });
        assert!(are_set(&taken.unwrap(), true));
        let unknown = recommended_ring(|_| Err(Errno::EINVAL.into()));
        assert!(are_set(&unknown.unwrap(), false));
        let full = recommended_ring(|_| Err(Errno::ENOMEM.into())).unwrap_err();
        assert_eq!(full.raw_os_error(), Some(libc::ENOMEM));
    }
}
