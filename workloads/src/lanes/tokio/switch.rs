//! Going from one task to another.

use std::hint::black_box;
use std::sync::atomic::Ordering;
use std::time::Duration;

use ::tokio::spawn;
use ::tokio::sync::mpsc;
use ::tokio::task::yield_now;
use ::tokio::time::sleep;

use super::team::{Flag, Team, failure, join_all, number_pipe, wait_until};
use crate::host::clock::now_ns;
use crate::kernels::working_set;
use crate::lane::{Failure, OrThrow, Order, Outcome};
use crate::measure::{Latencies, Meter};

const VICTIM_SLEEP: Duration = Duration::from_millis(1);
/// A channel's end is dropped by a task that has failed, never before.
const GONE: &str = "the other end of the channel is gone";

pub(super) async fn yields(order: &Order) -> Result<Outcome, Failure> {
    let yields = order.get("yields_count") * order.iterations;
    let mut team = Team::new();
    for _ in 0..order.get("tasks_count") {
        team.add(async move {
            let mut done = 0;
            while done < yields {
                yield_now().await;
                done += 1;
            }
            black_box(done)
        });
    }
    team.assemble().await;
    let mut meter = Meter::begin(false);
    let watch = meter.start();
    team.start();
    let checksum = team.join().await?;
    meter.stop(watch);
    Ok(Outcome::new(meter.finish(), checksum))
}

pub(super) async fn ping_pong(order: &Order) -> Result<Outcome, Failure> {
    let rounds = order.get("rounds_count") * order.iterations;
    let (there, mut receive) = mpsc::channel(1);
    let (reply, mut back) = mpsc::channel(1);
    let mut team = Team::new();
    team.add(async move {
        for _ in 0..rounds {
            let value: u64 = receive.recv().await.ok_or(GONE).or_throw("ping-pong");
            reply.send(value + 1).await.or_throw("ping-pong");
        }
        0
    });
    team.assemble().await;
    team.start();
    let mut meter = Meter::begin(false);
    let watch = meter.start();
    let mut value = 0;
    for _ in 0..rounds {
        there.send(value).await.or_throw("ping-pong");
        value = back.recv().await.ok_or(GONE).or_throw("ping-pong");
    }
    meter.stop(watch);
    team.join().await?;
    Ok(Outcome::new(meter.finish(), value))
}

pub(super) async fn pipe_ping_pong(order: &Order) -> Result<Outcome, Failure> {
    let rounds = order.get("rounds_count") * order.iterations;
    let (mut there, mut receive) = number_pipe()?;
    let (mut reply, mut back) = number_pipe()?;
    let mut team = Team::new();
    team.add(async move {
        for _ in 0..rounds {
            let value = receive.read().await;
            reply.write(value + 1).await;
        }
        0
    });
    team.assemble().await;
    team.start();
    let mut meter = Meter::begin(false);
    let watch = meter.start();
    let mut value = 0;
    for _ in 0..rounds {
        there.write(value).await;
        value = back.read().await;
    }
    meter.stop(watch);
    team.join().await?;
    Ok(Outcome::new(meter.finish(), value))
}

/// `switch.ring`, and `switch.working_set`, where each task goes over `size`
/// bytes of its own on every hop.
pub(super) async fn ring(order: &Order, size: u64) -> Result<Outcome, Failure> {
    let (tasks, hops) = (
        order.get("tasks_count"),
        order.get("hops_count") * order.iterations,
    );
    let alone = (size > 0).then(|| sum_alone(tasks, size));
    let (senders, receivers): (Vec<_>, Vec<_>) = (0..tasks).map(|_| mpsc::channel(1)).unzip();
    let (end, mut result) = mpsc::channel(1);
    let mut team = Team::new();
    for (index, mut from) in (0..).zip(receivers) {
        let to = senders[((index + 1) % tasks) as usize].clone();
        let end = end.clone();
        team.add(async move {
            let array = working_set::array(size);
            let mut sum = 0;
            for _ in 0..hops / tasks + u64::from(index < hops % tasks) {
                let value: u64 = from.recv().await.ok_or(GONE).or_throw("ring") + 1;
                sum += working_set::go_over(&array);
                if value == hops { &end } else { &to }
                    .send(value)
                    .await
                    .or_throw("ring");
            }
            sum
        });
    }
    team.assemble().await;
    team.start();
    let mut meter = Meter::begin(false);
    let watch = meter.start();
    senders[0].send(0).await.or_throw("ring");
    let value: u64 = result.recv().await.ok_or(GONE).or_throw("ring");
    meter.stop(watch);
    let sums = team.join().await?;
    let outcome = Outcome::new(meter.finish(), value + sums);
    Ok(match alone {
        Some(ns) => outcome.with("sum_alone_ns", ns),
        None => outcome,
    })
}

/// What a hop's reading costs in one task that goes over all arrays in turn.
fn sum_alone(tasks: u64, size: u64) -> f64 {
    let arrays: Vec<_> = (0..tasks).map(|_| working_set::array(size)).collect();
    let start = now_ns();
    for _ in 0..4 {
        for array in &arrays {
            black_box(working_set::go_over(array));
        }
    }
    (now_ns() - start) as f64 / (4 * tasks) as f64
}

pub(super) async fn hog(order: &Order) -> Result<Outcome, Failure> {
    let (hogs, time) = (order.or_cpus("hogs_count"), order.get("hog_ns"));
    let (slept, stop) = (Flag::default(), Flag::default());
    let victim = {
        let (slept, stop) = (slept.clone(), stop.clone());
        spawn(async move {
            let mut latencies = Latencies::new();
            while !stop.load(Ordering::Relaxed) {
                let start = now_ns();
                sleep(VICTIM_SLEEP).await;
                latencies.record((now_ns() - start).saturating_sub(VICTIM_SLEEP.as_nanos() as u64));
                slept.store(true, Ordering::Relaxed);
            }
            latencies
        })
    };
    wait_until(|| slept.load(Ordering::Relaxed)).await;
    let mut meter = Meter::begin(false);
    let watch = meter.start();
    let mut done = 0;
    for _ in 0..order.iterations {
        let started: Vec<_> = (0..hogs)
            .map(|_| spawn(async move { spin(time) }))
            .collect();
        done += join_all(started).await?;
    }
    meter.stop(watch);
    stop.store(true, Ordering::Relaxed);
    let latencies = victim.await.map_err(failure)?;
    let mut outcome = Outcome::new(meter.finish(), done / hogs as u64)
        .with("worst_delay_ns", latencies.worst_ns());
    outcome.latency = Some(latencies.report(None, outcome.per_second(latencies.count())));
    Ok(outcome)
}

/// Reads the clock until the time is over; awaits nothing.
fn spin(time: u64) -> u64 {
    let end = now_ns() + time;
    while now_ns() < end {}
    1
}

pub(super) async fn idle_wake(order: &Order) -> Result<Outcome, Failure> {
    let rounds = order.get("rounds_count") * order.iterations;
    let idle = Duration::from_nanos(order.get("idle_ns"));
    let (there, mut receive) = mpsc::channel(1);
    let (reply, mut back) = mpsc::channel(1);
    let mut team = Team::new();
    team.add(async move {
        for _ in 0..rounds {
            let sent: u64 = receive.recv().await.ok_or(GONE).or_throw("idle wake");
            reply.send(now_ns() - sent).await.or_throw("idle wake");
        }
        0
    });
    team.assemble().await;
    team.start();
    let mut latencies = Latencies::new();
    let mut meter = Meter::begin(false);
    let watch = meter.start();
    for _ in 0..rounds {
        if !idle.is_zero() {
            sleep(idle).await;
        }
        there.send(now_ns()).await.or_throw("idle wake");
        latencies.record(back.recv().await.ok_or(GONE).or_throw("idle wake"));
    }
    meter.stop(watch);
    team.join().await?;
    let mut outcome =
        Outcome::new(meter.finish(), latencies.count()).with("wake_ns", latencies.median_ns());
    outcome.latency = Some(latencies.report(None, outcome.per_second(rounds)));
    Ok(outcome)
}
