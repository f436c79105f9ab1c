//! Tasks that wait, and their memory.

use std::sync::atomic::Ordering;
use std::time::Duration;

use super::team::{join_all, wait_until};
use super::{Blocking, check_task_limit};
use crate::kernels::descend::descend;
use crate::lane::{Failure, Order, Outcome};
use crate::measure::{Meter, study};

/// More than one level of [`descend`] takes, with its array of 512 bytes.
const LEVEL_BYTES: usize = 768;
/// For the frames before and after the descent.
const REST_BYTES: usize = 6 << 10;

pub(super) fn parked<L: Blocking>(lane: &L, order: &Order) -> Result<Outcome, Failure> {
    measure_waiting(lane, order, |index, wait| {
        wait();
        index + 1
    })
}

pub(super) fn deep<L: Blocking>(lane: &L, order: &Order) -> Result<Outcome, Failure> {
    let levels = levels(lane, order)?;
    measure_waiting(lane, order, move |_, wait| descend(levels, wait))
}

pub(super) fn shrink<L: Blocking>(lane: &L, order: &Order) -> Result<Outcome, Failure> {
    let levels = levels(lane, order)?;
    measure_waiting(lane, order, move |_, wait| {
        let depth = descend(levels, &mut || {});
        wait();
        depth
    })
}

fn levels<L: Blocking>(lane: &L, order: &Order) -> Result<u64, Failure> {
    let levels = order.get("levels_count");
    match lane.stack_bytes() {
        Some(stack) if levels as usize * LEVEL_BYTES + REST_BYTES > stack => {
            Err(Failure::not_supported(format!(
                "{levels} levels do not fit a stack of {stack} bytes, which is all that a task has here"
            )))
        }
        _ => Ok(levels),
    }
}

/// Requests a reading of the ledger without waiting tasks, then one with them.
fn measure_waiting<L, F>(lane: &L, order: &Order, body: F) -> Result<Outcome, Failure>
where
    L: Blocking,
    F: Fn(u64, &mut dyn FnMut()) -> u64 + Clone + Send + 'static,
{
    // The first task has costs of its own, so one is started before the reading.
    let count = order.get("tasks_count");
    check_task_limit(lane, count)?;
    let first = Waiting::start(lane, 1, &body)?;
    first.end()?;
    let mut meter = Meter::begin(L::PROCESSES);
    lane.blocking(study::read_memory)?;
    let waiting = meter.time(|| Waiting::start(lane, count, &body))?;
    lane.sleep(Duration::from_nanos(order.get("wait_ns")));
    lane.blocking(study::read_memory)?;
    let checksum = waiting.end()?;
    Ok(Outcome::new(meter.finish(), checksum))
}

struct Waiting<'a, L: Blocking> {
    lane: &'a L,
    gate: L::Gate,
    tasks: Vec<L::Task>,
}

impl<'a, L: Blocking> Waiting<'a, L> {
    fn start<F>(lane: &'a L, count: u64, body: &F) -> Result<Self, Failure>
    where
        F: Fn(u64, &mut dyn FnMut()) -> u64 + Clone + Send + 'static,
    {
        let arrived = lane.shared()?;
        let mut waiting = Self {
            lane,
            gate: lane.gate()?,
            tasks: Vec::with_capacity(count as usize),
        };
        for index in 0..count {
            let (task_lane, gate, arrived, body) = (
                lane.clone(),
                waiting.gate.clone(),
                arrived.clone(),
                body.clone(),
            );
            let started = lane.spawn(move || {
                body(index, &mut || {
                    arrived.fetch_add(1, Ordering::Relaxed);
                    task_lane.wait(&gate);
                })
            });
            match started {
                Ok(task) => waiting.tasks.push(task),
                Err(mut failure) => {
                    let _ = waiting.end();
                    failure.message = format!(
                        "{index} of {count} tasks were waiting when the next could not be started: {}",
                        failure.message
                    );
                    return Err(failure);
                }
            }
        }
        wait_until(lane, || arrived.load(Ordering::Relaxed) == count);
        Ok(waiting)
    }

    fn end(self) -> Result<u64, Failure> {
        self.lane.open(&self.gate, true);
        join_all(self.lane, self.tasks)
    }
}
