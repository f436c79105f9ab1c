//! Starting tasks.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use ::tokio::spawn;
use ::tokio::task::JoinHandle;

use super::team::{join, join_all};
use crate::host::clock::now_ns;
use crate::kernels::Kernel;
use crate::lane::{Failure, Order, Outcome};
use crate::measure::{Latencies, Meter};

pub(super) async fn fork_join(order: &Order) -> Result<Outcome, Failure> {
    let tasks = order.parameters.get("tasks_count").copied().unwrap_or(1);
    let mut checksum = 0;
    let mut meter = Meter::begin(false);
    let watch = meter.start();
    for _ in 0..order.iterations {
        let mut started = Vec::with_capacity(tasks as usize);
        for index in 0..tasks {
            started.push(spawn(async move { index + 1 }));
        }
        checksum += join_all(started).await?;
    }
    meter.stop(watch);
    Ok(Outcome::new(meter.finish(), checksum))
}

pub(super) async fn first_instruction(order: &Order) -> Result<Outcome, Failure> {
    let (mut returns, mut firsts, mut finishes) =
        (Latencies::new(), Latencies::new(), Latencies::new());
    let first = Arc::new(AtomicU64::new(0));
    let mut checksum = 0;
    let mut meter = Meter::begin(false);
    let watch = meter.start();
    for _ in 0..order.iterations {
        let noted = first.clone();
        let called = now_ns();
        let task = spawn(async move {
            noted.store(now_ns(), Ordering::Relaxed);
            1
        });
        let returned = now_ns();
        checksum += join(task).await?;
        let finished = now_ns();
        let ran = first.load(Ordering::Relaxed);
        returns.record(returned - called);
        firsts.record(ran - called);
        finishes.record(finished - ran);
    }
    meter.stop(watch);
    let mut outcome = Outcome::new(meter.finish(), checksum)
        .with("spawn_return_ns", returns.median_ns())
        .with("first_instruction_ns", firsts.median_ns())
        .with("finish_ns", finishes.median_ns());
    outcome.latency = Some(firsts.report(None, outcome.per_second(order.iterations)));
    Ok(outcome)
}

pub(super) async fn skynet(order: &Order) -> Result<Outcome, Failure> {
    let leaves = order.get("leaves_count");
    if 10_u64.pow(leaves.ilog10()) != leaves {
        return Err(Failure::not_supported(format!(
            "{leaves} leaves make no tree of tens; take a power of 10"
        )));
    }
    let mut checksum = 0;
    let mut meter = Meter::begin(false);
    let watch = meter.start();
    for _ in 0..order.iterations {
        checksum += join(node(0, leaves)).await?;
    }
    meter.stop(watch);
    Ok(Outcome::new(meter.finish(), checksum))
}

/// Starts a task over `leaves` leaves from number `first` on.
fn node(first: u64, leaves: u64) -> JoinHandle<u64> {
    if leaves == 1 {
        return spawn(async move { first });
    }
    spawn(async move {
        let part = leaves / 10;
        let children: Vec<_> = (0..10)
            .map(|child| node(first + child * part, part))
            .collect();
        join_all(children)
            .await
            .unwrap_or_else(|failure| failure.throw())
    })
}

/// All `cpu.*`: a task for each chunk, on as many threads as may run at once.
pub(super) async fn chunks(order: &Order, kernel: Kernel) -> Result<Outcome, Failure> {
    let chunks = order.get("chunks_count");
    let chunk = kernel(&order.parameters);
    let mut checksum = 0;
    let mut meter = Meter::begin(false);
    let watch = meter.start();
    for _ in 0..order.iterations {
        let mut started = Vec::with_capacity(chunks as usize);
        for index in 0..chunks {
            let chunk = chunk.clone();
            started.push(spawn(async move { chunk(index) }));
        }
        checksum += join_all(started).await?;
    }
    meter.stop(watch);
    Ok(Outcome::new(meter.finish(), checksum))
}
