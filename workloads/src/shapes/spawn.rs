use std::sync::atomic::Ordering;

use super::team::{join_all, start_all};
use super::{Blocking, check_task_limit};
use crate::host::clock::now_ns;
use crate::lane::{Failure, Order, Outcome};
use crate::measure::{Meter, Starts};

pub(super) fn fork_join<L: Blocking>(lane: &L, order: &Order) -> Result<Outcome, Failure> {
    let tasks = order
        .parameters
        .get("tasks_count")
        .map_or(1, |&count| count as usize);
    let mut meter = Meter::begin(L::PROCESSES);
    let checksum = meter.time(|| {
        let mut sum = 0;
        for _ in 0..order.iterations {
            sum += join_all(lane, start_all(lane, tasks, |index| move || index + 1)?)?;
        }
        Ok(sum)
    })?;
    Ok(Outcome::new(meter.finish(), checksum))
}

pub(super) fn first_instruction<L: Blocking>(lane: &L, order: &Order) -> Result<Outcome, Failure> {
    let mut starts = Starts::new();
    let first = lane.shared()?;
    let mut meter = Meter::begin(L::PROCESSES);
    let checksum = meter.time(|| {
        let mut sum = 0;
        for _ in 0..order.iterations {
            let noted = first.clone();
            let called = now_ns();
            let task = lane.spawn(move || {
                noted.store(now_ns(), Ordering::Relaxed);
                1
            })?;
            let returned = now_ns();
            sum += lane.join(task)?;
            let finished = now_ns();
            starts.record(called, returned, first.load(Ordering::Relaxed), finished);
        }
        Ok(sum)
    })?;
    Ok(starts.outcome(meter.finish(), checksum))
}

pub(super) fn skynet<L: Blocking>(lane: &L, order: &Order) -> Result<Outcome, Failure> {
    let leaves = order.get("leaves_count");
    if 10_u64.pow(leaves.ilog10()) != leaves {
        return Err(Failure::not_supported(format!(
            "{leaves} leaves make no tree of tens; take a power of 10"
        )));
    }
    // Nearly all tasks of the tree wait at the same time.
    check_task_limit(lane, leaves + leaves / 9)?;
    let mut meter = Meter::begin(L::PROCESSES);
    let checksum = meter.time(|| {
        let mut sum = 0;
        for _ in 0..order.iterations {
            let root = lane.clone();
            let task = lane
                .spawn(move || node(&root, 0, leaves).unwrap_or_else(|failure| failure.throw()))?;
            sum += lane.join(task)?;
        }
        Ok(sum)
    })?;
    Ok(Outcome::new(meter.finish(), checksum))
}

fn node<L: Blocking>(lane: &L, first: u64, leaves: u64) -> Result<u64, Failure> {
    if leaves == 1 {
        return Ok(first);
    }
    let part = leaves / 10;
    let children = start_all(lane, 10, |child| {
        let lane = lane.clone();
        move || node(&lane, first + child * part, part).unwrap_or_else(|failure| failure.throw())
    })?;
    join_all(lane, children)
}
