//! Independent chunks of work.

use std::sync::atomic::Ordering;

use super::Blocking;
use super::team::{join_all, start_all};
use crate::kernels::Kernel;
use crate::lane::{Failure, Order, Outcome};
use crate::measure::Meter;

/// A lane that schedules gets one task for each chunk. Any other lane gets as many tasks as may run
/// at once, and they take chunks from a counter.
pub(super) fn chunks<L: Blocking>(
    lane: &L,
    order: &Order,
    kernel: Kernel,
) -> Result<Outcome, Failure> {
    let (run_chunk, chunks) = order.chunks(kernel);
    let mut meter = Meter::begin(L::PROCESSES);
    let checksum = meter.time(|| {
        let mut sum = 0;
        for _ in 0..order.iterations {
            let tasks = if L::SCHEDULES {
                start_all(lane, chunks as usize, |index| {
                    let run_chunk = run_chunk.clone();
                    move || run_chunk(index)
                })?
            } else {
                let next = lane.shared()?;
                start_all(lane, order.threads(), |_| {
                    let (run_chunk, next) = (run_chunk.clone(), next.clone());
                    move || {
                        let mut sum = 0;
                        loop {
                            match next.fetch_add(1, Ordering::Relaxed) {
                                index if index < chunks => sum += run_chunk(index),
                                _ => return sum,
                            }
                        }
                    }
                })?
            };
            sum += join_all(lane, tasks)?;
        }
        Ok(sum)
    })?;
    Ok(Outcome::new(meter.finish(), checksum))
}
