use std::hint::black_box;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::Stackless;
use super::team::{Team, run_all, timed, wait_until};
use crate::host::clock::now_ns;
use crate::kernels::working_set;
use crate::lane::{Failure, Order, Outcome};
use crate::measure::Latencies;
use crate::shapes::switch::{Clock, spin, time_sum_alone, with_tick_figures};

pub(super) async fn yields<L: Stackless>(lane: &L, order: &Order) -> Result<Outcome, Failure> {
    let yields = order.get("yields_count") * order.iterations;
    let mut team = Team::new(lane);
    for _ in 0..order.get("tasks_count") {
        team.add(async move {
            let mut done = 0;
            while done < yields {
                L::yield_now().await;
                done += 1;
            }
            black_box(done)
        });
    }
    team.race_sum().await
}

pub(super) async fn ping_pong<L: Stackless>(
    lane: &L,
    order: &Order,
    capacity: usize,
) -> Result<Outcome, Failure> {
    let rounds = order.get("rounds_count") * order.iterations;
    let (there, mut receive) = L::channel(capacity);
    let (reply, mut back) = L::channel(capacity);
    let mut team = Team::new(lane);
    team.add(async move {
        for _ in 0..rounds {
            let value = L::recv(&mut receive).await;
            L::send(&reply, value + 1).await;
        }
        0
    });
    team.serve(async move {
        let mut value = 0;
        for _ in 0..rounds {
            L::send(&there, value).await;
            value = L::recv(&mut back).await;
        }
        value
    })
    .await
}

pub(super) async fn pipe_ping_pong<L: Stackless>(
    lane: &L,
    order: &Order,
) -> Result<Outcome, Failure> {
    let rounds = order.get("rounds_count") * order.iterations;
    let (mut there, mut receive) = super::share::number_pipe::<L>()?;
    let (mut reply, mut back) = super::share::number_pipe::<L>()?;
    let mut team = Team::new(lane);
    team.add(async move {
        for _ in 0..rounds {
            let value = L::read_pipe(&mut receive).await;
            L::write_pipe(&mut reply, value + 1).await;
        }
        0
    });
    team.serve(async move {
        let mut value = 0;
        for _ in 0..rounds {
            L::write_pipe(&mut there, value).await;
            value = L::read_pipe(&mut back).await;
        }
        value
    })
    .await
}

/// In `switch.working_set` each task reads `size` bytes of its own on every hop.
pub(super) async fn ring<L: Stackless>(
    lane: &L,
    order: &Order,
    size: u64,
) -> Result<Outcome, Failure> {
    let (tasks, hops) = (
        order.get("tasks_count"),
        order.get("hops_count") * order.iterations,
    );
    let alone_ns = (size > 0).then(|| time_sum_alone(tasks, size));
    let (senders, receivers): (Vec<_>, Vec<_>) = (0..tasks).map(|_| L::channel(1)).unzip();
    let (end, mut result) = L::channel(1);
    let mut team = Team::new(lane);
    for (index, mut from) in (0..).zip(receivers) {
        let to = senders[((index + 1) % tasks) as usize].clone();
        let end = end.clone();
        team.add(async move {
            let array = working_set::array(size);
            let mut sum = 0;
            for _ in 0..hops / tasks + u64::from(index < hops % tasks) {
                let value = L::recv(&mut from).await + 1;
                sum += working_set::sum_array(&array);
                L::send(if value == hops { &end } else { &to }, value).await;
            }
            sum
        });
    }
    let first = senders[0].clone();
    let outcome = team
        .serve(async move {
            L::send(&first, 0).await;
            L::recv(&mut result).await
        })
        .await?;
    Ok(match alone_ns {
        Some(ns) => outcome.with("sum_alone_ns", ns),
        None => outcome,
    })
}

pub(super) async fn hog<L: Stackless>(lane: &L, order: &Order) -> Result<Outcome, Failure> {
    let (hogs, time) = (order.or_cpus("hogs_count") as u64, order.get("hog_ns"));
    let (slept, stop) = (
        Arc::new(AtomicBool::new(false)),
        Arc::new(AtomicBool::new(false)),
    );
    let delays = Arc::new(Mutex::new(Vec::new()));
    let victim = {
        let (slept, stop, delays) = (slept.clone(), stop.clone(), delays.clone());
        let mut clock = Clock::start(order);
        lane.spawn(async move {
            let mut victim_delays = Vec::new();
            while !stop.load(Ordering::Relaxed) {
                L::sleep(clock.until_due()).await;
                victim_delays.extend(clock.take_delays());
                slept.store(true, Ordering::Relaxed);
            }
            *delays.lock().unwrap_or_else(PoisonError::into_inner) = victim_delays;
            0
        })
    };
    wait_until::<L>(|| slept.load(Ordering::Relaxed)).await;
    let (measured, done) = timed(async {
        let mut sum = 0;
        for _ in 0..order.iterations {
            sum += run_all(lane, hogs, |_| async move { spin(time) }).await?;
        }
        Ok::<u64, Failure>(sum)
    })
    .await;
    stop.store(true, Ordering::Relaxed);
    L::join(victim).await?;
    let late = std::mem::take(&mut *delays.lock().unwrap_or_else(PoisonError::into_inner));
    let outcome = Outcome::new(measured, done? / hogs);
    Ok(with_tick_figures(outcome, &late, order.get("tick_ns")))
}

pub(super) async fn idle_wake<L: Stackless>(lane: &L, order: &Order) -> Result<Outcome, Failure> {
    let rounds = order.get("rounds_count") * order.iterations;
    let idle = Duration::from_nanos(order.get("idle_ns"));
    let (there, mut receive) = L::channel(0);
    let (reply, mut back) = L::channel(0);
    let mut team = Team::new(lane);
    team.add(async move {
        for _ in 0..rounds {
            let sent = L::recv(&mut receive).await;
            L::send(&reply, now_ns() - sent).await;
        }
        0
    });
    let mut latencies = Latencies::new();
    let mut outcome = team
        .serve(async {
            for _ in 0..rounds {
                if !idle.is_zero() {
                    L::sleep(idle).await;
                }
                L::send(&there, now_ns()).await;
                latencies.record(L::recv(&mut back).await);
            }
            latencies.count()
        })
        .await?
        .with("wake_ns", latencies.median_ns());
    outcome.latency = Some(latencies.report(None, outcome.per_second(rounds)));
    Ok(outcome)
}
