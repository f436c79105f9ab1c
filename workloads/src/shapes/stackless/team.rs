use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::Stackless;
use crate::lane::{Failure, Outcome};
use crate::measure::{Measured, Meter};

pub(super) async fn join_all<L: Stackless>(
    tasks: impl IntoIterator<Item = L::Task, IntoIter: Send> + Send,
) -> Result<u64, Failure> {
    let mut sum = 0;
    for task in tasks {
        sum += L::join(task).await?;
    }
    Ok(sum)
}

pub(super) async fn run_all<L: Stackless, F>(
    lane: &L,
    count: u64,
    body: impl Fn(u64) -> F + Send,
) -> Result<u64, Failure>
where
    F: Future<Output = u64> + Send + 'static,
{
    let mut tasks = Vec::with_capacity(count as usize);
    for index in 0..count {
        tasks.push(lane.spawn(body(index)));
    }
    join_all::<L>(tasks).await
}

pub(super) async fn timed<T>(section: impl Future<Output = T> + Send) -> (Measured, T) {
    let mut meter = Meter::begin(false);
    let watch = meter.start();
    let result = section.await;
    meter.stop(watch);
    (meter.finish(), result)
}

pub(super) async fn timed_sum(
    section: impl Future<Output = Result<u64, Failure>> + Send,
) -> Result<Outcome, Failure> {
    let (measured, checksum) = timed(section).await;
    Ok(Outcome::new(measured, checksum?))
}

/// Tasks that wait at a gate until all have started. After a failure the tasks are not joined: they
/// end when the runtime shuts down or when their handles are dropped.
pub(super) struct Team<'a, L: Stackless> {
    lane: &'a L,
    gate: L::Gate,
    arrived: Arc<AtomicU64>,
    tasks: Vec<L::Task>,
}

impl<'a, L: Stackless> Team<'a, L> {
    pub(super) fn new(lane: &'a L) -> Self {
        Self {
            lane,
            gate: L::gate(),
            arrived: Arc::default(),
            tasks: Vec::new(),
        }
    }

    pub(super) fn add(&mut self, body: impl Future<Output = u64> + Send + 'static) {
        let (gate, arrived) = (self.gate.clone(), self.arrived.clone());
        self.tasks.push(self.lane.spawn(async move {
            arrived.fetch_add(1, Ordering::Relaxed);
            L::wait(&gate).await;
            body.await
        }));
    }

    /// Waits until every task is at the gate or about to wait there.
    pub(super) async fn assemble(&self) {
        let (all, arrived) = (self.tasks.len() as u64, &self.arrived);
        wait_until::<L>(|| arrived.load(Ordering::Relaxed) == all).await;
    }

    pub(super) fn start(&self) {
        L::open(&self.gate);
    }

    pub(super) async fn join(&mut self) -> Result<u64, Failure> {
        join_all::<L>(std::mem::take(&mut self.tasks)).await
    }

    /// Times from the opening of the gate to the last join.
    pub(super) async fn race(&mut self) -> Result<(Measured, u64), Failure> {
        self.assemble().await;
        let (measured, sum) = timed(async {
            self.start();
            self.join().await
        })
        .await;
        Ok((measured, sum?))
    }

    pub(super) async fn race_sum(&mut self) -> Result<Outcome, Failure> {
        let (measured, sum) = self.race().await?;
        Ok(Outcome::new(measured, sum))
    }

    /// Times from the opening of the gate to the last join. `main` returns the checksum.
    pub(super) async fn race_against(
        &mut self,
        main: impl Future<Output = u64> + Send,
    ) -> Result<Outcome, Failure> {
        self.assemble().await;
        timed_sum(async {
            self.start();
            let checksum = main.await;
            self.join().await.map(|_| checksum)
        })
        .await
    }

    /// Times only `main`. The checksum is its result plus the sum of the tasks' results.
    pub(super) async fn serve(
        &mut self,
        main: impl Future<Output = u64> + Send,
    ) -> Result<Outcome, Failure> {
        self.assemble().await;
        self.start();
        let (measured, checksum) = timed(main).await;
        let tasks_sum = self.join().await?;
        Ok(Outcome::new(measured, checksum + tasks_sum))
    }
}

pub(super) async fn wait_until<L: Stackless>(done: impl Fn() -> bool + Send) {
    while !done() {
        L::yield_now().await;
    }
}

/// Checks that a sample lasts until its last task ends, not only the main task's part.
#[cfg(test)]
pub(crate) async fn assert_that_a_sample_ends_with_its_last_task<L: Stackless>(lane: L) {
    const REST: std::time::Duration = std::time::Duration::from_millis(20);
    let (to, mut last) = L::channel(1);
    let mut team = Team::new(&lane);
    team.add(async move {
        L::send(&to, 7).await;
        L::sleep(REST).await;
        1
    });
    let outcome = team.race_against(L::recv(&mut last)).await.unwrap();
    assert_eq!(outcome.checksum, 7);
    assert!(outcome.measured.elapsed >= REST, "{outcome:?}");
}
