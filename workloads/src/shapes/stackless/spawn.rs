use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::Stackless;
use super::team::{join_all, run_all, timed, timed_sum};
use crate::host::clock::now_ns;
use crate::kernels::Kernel;
use crate::lane::{Failure, Order, Outcome};
use crate::measure::Starts;

pub(super) async fn fork_join<L: Stackless>(lane: &L, order: &Order) -> Result<Outcome, Failure> {
    let tasks = order.parameters.get("tasks_count").copied().unwrap_or(1);
    timed_sum(async {
        let mut sum = 0;
        for _ in 0..order.iterations {
            sum += run_all(lane, tasks, |index| async move { index + 1 }).await?;
        }
        Ok(sum)
    })
    .await
}

pub(super) async fn first_instruction<L: Stackless>(
    lane: &L,
    order: &Order,
) -> Result<Outcome, Failure> {
    let mut starts = Starts::new();
    let first = Arc::new(AtomicU64::new(0));
    let (measured, checksum) = timed(async {
        let mut sum = 0;
        for _ in 0..order.iterations {
            let noted = first.clone();
            let called = now_ns();
            let task = lane.spawn(async move {
                noted.store(now_ns(), Ordering::Relaxed);
                1
            });
            let returned = now_ns();
            sum += L::join(task).await?;
            let finished = now_ns();
            starts.record(called, returned, first.load(Ordering::Relaxed), finished);
        }
        Ok(sum)
    })
    .await;
    Ok(starts.outcome(measured, checksum?))
}

pub(super) async fn skynet<L: Stackless>(lane: &L, order: &Order) -> Result<Outcome, Failure> {
    let leaves = order.get("leaves_count");
    if 10_u64.pow(leaves.ilog10()) != leaves {
        return Err(Failure::not_supported(format!(
            "{leaves} leaves make no tree of tens; take a power of 10"
        )));
    }
    timed_sum(async {
        let mut sum = 0;
        for _ in 0..order.iterations {
            sum += L::join(node(lane, 0, leaves)).await?;
        }
        Ok(sum)
    })
    .await
}

fn node<L: Stackless>(lane: &L, first: u64, leaves: u64) -> L::Task {
    if leaves == 1 {
        return lane.spawn(async move { first });
    }
    let own = lane.clone();
    lane.spawn(async move {
        let part = leaves / 10;
        let children: Vec<_> = (0..10)
            .map(|child| node(&own, first + child * part, part))
            .collect();
        join_all::<L>(children)
            .await
            .unwrap_or_else(|failure| failure.throw())
    })
}

pub(super) async fn chunks<L: Stackless>(
    lane: &L,
    order: &Order,
    kernel: Kernel,
) -> Result<Outcome, Failure> {
    let (chunk, chunks) = order.chunks(kernel);
    timed_sum(async {
        let mut sum = 0;
        for _ in 0..order.iterations {
            let run = |index| {
                let chunk = chunk.clone();
                async move { chunk(index) }
            };
            sum += run_all(lane, chunks, run).await?;
        }
        Ok(sum)
    })
    .await
}
