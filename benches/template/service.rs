//! A handler of a TCP server: the work for one request.

use std::time::Duration;

use workloads::catalogue::{SERVES, Shape, Workload};
use workloads::handler::{AsyncWaits, Handler, Waits};

/// Each connection has a task. It reads requests of `payload_bytes` bytes one after another, and
/// writes an answer of the same length to each.
pub const SERVICE: Workload = Workload {
    id: "own.my_load_service",
    title: "My service",
    question: "How many requests a second does my handler answer at most?",
    activity: "answering one of my requests",
    leaves_out: "A network card. The backend's own work: waiting for it is a sleep.",
    shape: Shape::Handler(Handler {
        blocking: answer,
        stackless: |bytes, waits| Box::pin(answer_async(bytes, waits)),
    }),
    ..SERVES
};

/// How long the backend takes.
const BACKEND: Duration = Duration::from_micros(200);

/// For threads, processes and goroutines. Wait only with `waits`: it blocks the task, but on a lane
/// of goroutines no thread.
fn answer(bytes: &mut [u8], waits: &dyn Waits) {
    waits.sleep(BACKEND);
    compute(bytes);
}

/// For tokio and smol. The load generator compares the answers of both forms with those of the
/// blocking form.
async fn answer_async(bytes: &mut [u8], waits: &dyn AsyncWaits) {
    waits.sleep(BACKEND).await;
    compute(bytes);
}

/// Turns the request into its answer, of the same length.
fn compute(bytes: &mut [u8]) {
    bytes.reverse();
}
