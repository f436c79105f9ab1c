//! Tasks that are started together and joined together, and what they share.

use std::future::Future;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use ::tokio::io::{AsyncReadExt, AsyncWriteExt};
use ::tokio::net::unix::pipe;
use ::tokio::sync::Semaphore;
use ::tokio::task::{JoinError, JoinHandle, yield_now};

use crate::lane::{Failure, OrThrow};

/// What a task that did not return is to its joiner.
pub(super) fn failure(error: JoinError) -> Failure {
    match error.try_into_panic() {
        Ok(payload) => Failure::from_panic(payload),
        Err(error) => Failure::failed(format!("a task was cancelled: {error}")),
    }
}

/// Joins one task.
pub(super) async fn join(task: JoinHandle<u64>) -> Result<u64, Failure> {
    task.await.map_err(failure)
}

/// Joins all; the sum of what they hand over.
pub(super) async fn join_all(
    tasks: impl IntoIterator<Item = JoinHandle<u64>>,
) -> Result<u64, Failure> {
    let mut sum = 0;
    for task in tasks {
        sum += join(task).await?;
    }
    Ok(sum)
}

/// What tasks wait at until it is opened: a semaphore that never has a permit
/// and lets all go when it is closed.
#[derive(Clone)]
pub(super) struct Gate(Arc<Semaphore>);

impl Gate {
    pub(super) fn new() -> Self {
        Self(Arc::new(Semaphore::new(0)))
    }

    pub(super) async fn wait(&self) {
        // The only end is an error: the gate has been opened.
        let _ = self.0.acquire().await;
    }

    pub(super) fn open(&self) {
        self.0.close();
    }
}

/// Tasks that wait at a gate until they are all there. If a sample fails the
/// runtime ends, and they with it.
pub(super) struct Team {
    gate: Gate,
    arrived: Arc<AtomicU64>,
    tasks: Vec<JoinHandle<u64>>,
}

impl Team {
    pub(super) fn new() -> Self {
        Self {
            gate: Gate::new(),
            arrived: Arc::default(),
            tasks: Vec::new(),
        }
    }

    pub(super) fn add(&mut self, body: impl Future<Output = u64> + Send + 'static) {
        let (gate, arrived) = (self.gate.clone(), self.arrived.clone());
        self.tasks.push(::tokio::spawn(async move {
            arrived.fetch_add(1, Ordering::Relaxed);
            gate.wait().await;
            body.await
        }));
    }

    pub(super) async fn assemble(&self) {
        let all = self.tasks.len() as u64;
        wait_until(|| self.arrived.load(Ordering::Relaxed) == all).await;
    }

    pub(super) fn start(&self) {
        self.gate.open();
    }

    pub(super) async fn join(&mut self) -> Result<u64, Failure> {
        join_all(self.tasks.drain(..)).await
    }
}

/// Waits for what tasks do to shared memory, leaving the CPU to them.
pub(super) async fn wait_until(done: impl Fn() -> bool) {
    while !done() {
        yield_now().await;
    }
}

/// A flag that one task sets and another looks at.
pub(super) type Flag = Arc<AtomicBool>;

/// A kernel pipe of numbers.
pub(super) fn number_pipe() -> Result<(Writer, Reader), Failure> {
    let made: io::Result<_> = pipe::pipe();
    let (writer, reader) =
        made.map_err(|error| Failure::host("making a pipe", &error, "ulimit -n"))?;
    Ok((Writer(writer), Reader(reader)))
}

pub(super) struct Writer(pipe::Sender);

impl Writer {
    pub(super) async fn write(&mut self, number: u64) {
        self.0
            .write_all(&number.to_le_bytes())
            .await
            .or_throw("writing a pipe");
    }
}

pub(super) struct Reader(pipe::Receiver);

impl Reader {
    pub(super) async fn read(&mut self) -> u64 {
        let mut bytes = [0; 8];
        self.0
            .read_exact(&mut bytes)
            .await
            .or_throw("reading a pipe");
        u64::from_le_bytes(bytes)
    }
}
