use std::sync::atomic::Ordering;
use std::time::Duration;

use super::Blocking;
use crate::lane::{Failure, Outcome};
use crate::measure::Meter;

/// Tasks that wait at a gate until all have started. Dropping a team before [`Team::start`] ends
/// its tasks.
pub(super) struct Team<'a, L: Blocking> {
    lane: &'a L,
    gate: L::Gate,
    arrived: L::Shared,
    tasks: Vec<L::Task>,
    started: bool,
}

impl<'a, L: Blocking> Team<'a, L> {
    pub(super) fn new(lane: &'a L) -> Result<Self, Failure> {
        Ok(Self {
            lane,
            gate: lane.gate()?,
            arrived: lane.shared()?,
            tasks: Vec::new(),
            started: false,
        })
    }

    pub(super) fn add(
        &mut self,
        body: impl FnOnce() -> u64 + Send + 'static,
    ) -> Result<(), Failure> {
        let (lane, gate, arrived) = (self.lane.clone(), self.gate.clone(), self.arrived.clone());
        let task = self.lane.spawn(move || {
            arrived.fetch_add(1, Ordering::Relaxed);
            if lane.wait(&gate) { body() } else { 0 }
        })?;
        self.tasks.push(task);
        Ok(())
    }

    /// Waits until every task is at the gate or about to wait there.
    pub(super) fn assemble(&self) {
        let all = self.tasks.len() as u64;
        wait_until(self.lane, || self.arrived.load(Ordering::Relaxed) == all);
    }

    pub(super) fn start(&mut self) {
        self.started = true;
        self.lane.open(&self.gate, true);
    }

    pub(super) fn join(&mut self) -> Result<u64, Failure> {
        join_all(self.lane, self.tasks.drain(..))
    }

    /// Times from the opening of the gate to the last join. Returns the sum of the results.
    pub(super) fn race(&mut self, meter: &mut Meter) -> Result<u64, Failure> {
        self.assemble();
        meter.time(|| {
            self.start();
            self.join()
        })
    }

    pub(super) fn race_sum(mut self, mut meter: Meter) -> Result<Outcome, Failure> {
        let sum = self.race(&mut meter)?;
        Ok(Outcome::new(meter.finish(), sum))
    }

    /// Times from the opening of the gate to the last join. `main` returns the checksum.
    pub(super) fn race_against(
        mut self,
        mut meter: Meter,
        main: impl FnOnce() -> u64,
    ) -> Result<Outcome, Failure> {
        self.assemble();
        let checksum = meter.time(|| {
            self.start();
            let checksum = main();
            self.join().map(|_| checksum)
        })?;
        Ok(Outcome::new(meter.finish(), checksum))
    }
}

impl<L: Blocking> Drop for Team<'_, L> {
    fn drop(&mut self) {
        if !self.started {
            self.lane.open(&self.gate, false);
            // The caller reports the first failure.
            let _ = self.join();
        }
    }
}

/// If a task cannot be started, joins the earlier ones, which must be able to end without it.
pub(super) fn start_all<L, F>(
    lane: &L,
    count: usize,
    body: impl Fn(u64) -> F,
) -> Result<Vec<L::Task>, Failure>
where
    L: Blocking,
    F: FnOnce() -> u64 + Send + 'static,
{
    let mut tasks = Vec::with_capacity(count);
    for index in 0..count as u64 {
        match lane.spawn(body(index)) {
            Ok(task) => tasks.push(task),
            Err(failure) => {
                let _ = join_all(lane, tasks);
                return Err(failure);
            }
        }
    }
    Ok(tasks)
}

/// Joins all tasks even after a failure. Returns the sum of their results, or the first failure.
pub(super) fn join_all<L: Blocking>(
    lane: &L,
    tasks: impl IntoIterator<Item = L::Task>,
) -> Result<u64, Failure> {
    let mut result = Ok(0);
    for task in tasks {
        match (lane.join(task), &mut result) {
            (Ok(number), Ok(sum)) => *sum += number,
            (Err(failure), Ok(_)) => result = Err(failure),
            (_, Err(_)) => {}
        }
    }
    result
}

/// Yields the CPU between the first 100 checks, then sleeps.
pub(super) fn wait_until(lane: &impl Blocking, done: impl Fn() -> bool) {
    for _ in 0..100 {
        if done() {
            return;
        }
        lane.yield_now();
    }
    while !done() {
        lane.sleep(Duration::from_micros(100));
    }
}

/// Checks that a sample lasts until its last task ends, not only the main task's part.
#[cfg(test)]
pub(crate) fn assert_that_a_sample_ends_with_its_last_task<L: Blocking>(lane: &L) {
    const REST: Duration = Duration::from_millis(20);
    let last = lane.channel(1).unwrap();
    let mut team = Team::new(lane).unwrap();
    let (own, to) = (lane.clone(), last.clone());
    let task = move || {
        own.send(&to, 7);
        own.sleep(REST);
        1
    };
    team.add(task).unwrap();
    let outcome = team.race_against(Meter::begin(L::PROCESSES), || lane.recv(&last));
    let outcome = outcome.unwrap();
    assert_eq!(outcome.checksum, 7);
    assert!(outcome.measured.elapsed >= REST, "{outcome:?}");
}
