use std::future::Future;
use std::hint::black_box;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::Stackless;
use super::team::{join_all, timed, wait_until};
use crate::catalogue::Shape;
use crate::lane::{Failure, Order, Outcome};
use crate::measure::study;

/// A request to the study blocks this thread, but all tasks wait then. A separate thread would
/// count as memory of the tasks.
pub(super) async fn hold<L: Stackless>(lane: &L, order: &Order) -> Result<Outcome, Failure> {
    let count = order.get("tasks_count");
    // The first task has costs of its own, so one is started before the reading.
    Waiting::start(lane, order, 1).await.end().await?;
    study::read_memory()?;
    let (measured, waiting) = timed(Waiting::start(lane, order, count)).await;
    L::sleep(Duration::from_nanos(order.get("wait_ns"))).await;
    study::read_memory()?;
    let checksum = waiting.end().await?;
    Ok(Outcome::new(measured, checksum))
}

struct Waiting<L: Stackless> {
    gate: L::Gate,
    tasks: Vec<L::Task>,
}

impl<L: Stackless> Waiting<L> {
    async fn start(lane: &L, order: &Order, count: u64) -> Self {
        let (gate, arrived) = (L::gate(), Arc::new(AtomicU64::new(0)));
        let mut tasks = Vec::with_capacity(count as usize);
        for index in 0..count {
            let (gate, arrived) = (gate.clone(), arrived.clone());
            // Each body contains its own wait: a future that is captured and then awaited takes its
            // memory twice.
            tasks.push(match order.workload.shape {
                Shape::Deep => {
                    let wait = async move {
                        arrived.fetch_add(1, Ordering::Relaxed);
                        L::wait(&gate).await;
                    };
                    lane.spawn(descend(order.get("levels_count"), Box::pin(wait)))
                }
                Shape::Shrink => {
                    let levels = order.get("levels_count");
                    lane.spawn(async move {
                        let depth = descend(levels, Box::pin(async {})).await;
                        arrived.fetch_add(1, Ordering::Relaxed);
                        L::wait(&gate).await;
                        depth
                    })
                }
                _ => lane.spawn(async move {
                    arrived.fetch_add(1, Ordering::Relaxed);
                    L::wait(&gate).await;
                    index + 1
                }),
            });
        }
        wait_until::<L>(|| arrived.load(Ordering::Relaxed) == count).await;
        Self { gate, tasks }
    }

    async fn end(self) -> Result<u64, Failure> {
        L::open(&self.gate);
        join_all::<L>(self.tasks).await
    }
}

type Bottom = Pin<Box<dyn Future<Output = ()> + Send>>;

/// The kernel `descend` as futures: a level is a boxed future with 512 bytes that live across the
/// wait.
fn descend(levels: u64, bottom: Bottom) -> Pin<Box<dyn Future<Output = u64> + Send>> {
    Box::pin(async move {
        let mut frame = [levels as u8; 512];
        black_box(&mut frame);
        let below = if levels > 1 {
            descend(levels - 1, bottom).await
        } else {
            bottom.await;
            0
        };
        black_box(&mut frame);
        below + 1
    })
}
