use std::hint::black_box;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::Blocking;
use super::team::{Team, join_all, start_all, wait_until};
use crate::host::affinity;
use crate::host::clock::now_ns;
use crate::host::futex;
use crate::kernels::working_set;
use crate::lane::{Failure, OrThrow, Order, Outcome};
use crate::measure::{Latencies, Meter};

/// The clock of `switch.hog`.
pub(super) struct Clock {
    tick: u64,
    due: u64,
}

impl Clock {
    pub(super) fn start(order: &Order) -> Self {
        let tick = order.get("tick_ns");
        Self {
            tick,
            due: now_ns() + tick,
        }
    }

    pub(super) fn until_due(&self) -> Duration {
        Duration::from_nanos(self.due.saturating_sub(now_ns()))
    }

    /// The delays of all ticks since the last call. A stall delays each tick that was due in it.
    pub(super) fn take_delays(&mut self) -> impl Iterator<Item = u64> + use<> {
        let (now, tick, first) = (now_ns(), self.tick, self.due);
        let passed = now.checked_sub(first).map_or(0, |late| late / tick + 1);
        self.due += passed * tick;
        (0..passed).map(move |index| now - (first + index * tick))
    }
}

pub(super) fn with_tick_figures(outcome: Outcome, delays: &[u64], tick: u64) -> Outcome {
    let mut latencies = Latencies::new();
    delays.iter().for_each(|&delay| latencies.record(delay));
    let missed = delays.iter().filter(|&&delay| delay >= tick).count();
    let mut outcome = outcome.with("worst_delay_ns", latencies.worst_ns()).with(
        "missed_ticks_ratio",
        missed as f64 / delays.len().max(1) as f64,
    );
    let achieved = outcome.per_second(latencies.count());
    outcome.latency = Some(latencies.report(Some(1e9 / tick as f64), achieved));
    outcome
}

pub(super) fn yields<L: Blocking>(lane: &L, order: &Order) -> Result<Outcome, Failure> {
    let yields = order.get("yields_count") * order.iterations;
    let meter = Meter::begin(L::PROCESSES);
    let mut team = Team::new(lane)?;
    for _ in 0..order.count("tasks_count") {
        let lane = lane.clone();
        team.add(move || {
            let mut done = 0;
            while done < yields {
                lane.yield_now();
                done += 1;
            }
            black_box(done)
        })?;
    }
    team.race_sum(meter)
}

/// `cpus`: where to pin the main task and the other task.
pub(super) fn ping_pong<L: Blocking>(
    lane: &L,
    order: &Order,
    capacity: usize,
    cpus: [Option<usize>; 2],
) -> Result<Outcome, Failure> {
    let rounds = order.get("rounds_count") * order.iterations;
    let mut meter = Meter::begin(L::PROCESSES);
    let (there, back) = (lane.channel(capacity)?, lane.channel(capacity)?);
    let mut team = Team::new(lane)?;
    let (other, receive, reply) = (lane.clone(), there.clone(), back.clone());
    team.add(move || {
        if let Some(cpu) = cpus[1] {
            affinity::pin(&[cpu]).or_throw("pinning a task");
        }
        for _ in 0..rounds {
            let value = other.recv(&receive);
            other.send(&reply, value + 1);
        }
        0
    })?;
    if let Some(cpu) = cpus[0] {
        affinity::pin(&[cpu]).map_err(|errno| {
            Failure::failed(format!("pinning the main task to CPU {cpu}: {errno}"))
        })?;
    }
    team.assemble();
    team.start();
    let checksum = meter.time(|| {
        let mut value = 0;
        for _ in 0..rounds {
            lane.send(&there, value);
            value = lane.recv(&back);
        }
        value
    });
    team.join()?;
    Ok(Outcome::new(meter.finish(), checksum))
}

/// Tasks that are threads or processes are pinned to one CPU if the order says so.
pub(super) fn round_trip<L: Blocking>(lane: &L, order: &Order) -> Result<Outcome, Failure> {
    let capacity = order.count("capacity_count");
    let allowed = allowed()?;
    let cpus = match allowed.first() {
        Some(&first) if L::PINNABLE && order.threads() == 1 => [Some(first); 2],
        _ => [None; 2],
    };
    restore_affinity_after(&allowed, || ping_pong(lane, order, capacity, cpus))
}

/// A number that grows, and a futex on its lower 32 bits.
pub(super) fn futex<L: Blocking>(lane: &L, order: &Order) -> Result<Outcome, Failure> {
    if !L::PINNABLE {
        return Err(Failure::not_supported(
            "a futex blocks the thread that its tasks share",
        ));
    }
    let rounds = order.get("rounds_count") * order.iterations;
    if 2 * rounds > u64::from(u32::MAX) {
        return Err(Failure::not_supported(format!(
            "{rounds} round trips do not fit a futex, which has 32 bits"
        )));
    }
    let mut meter = Meter::begin(L::PROCESSES);
    let turn = lane.shared()?;
    let mut team = Team::new(lane)?;
    let number = turn.clone();
    team.add(move || {
        for round in 0..rounds {
            futex::wait_for(&number, 2 * round + 1);
            futex::set(&number, 2 * round + 2);
        }
        0
    })?;
    team.assemble();
    team.start();
    meter.time(|| {
        for round in 0..rounds {
            futex::set(&turn, 2 * round + 1);
            futex::wait_for(&turn, 2 * round + 2);
        }
    });
    team.join()?;
    let checksum = turn.load(Ordering::Relaxed) / 2;
    Ok(Outcome::new(meter.finish(), checksum))
}

fn allowed() -> Result<Vec<usize>, Failure> {
    affinity::read_mask().map_err(|errno| Failure::failed(format!("reading the CPU set: {errno}")))
}

fn restore_affinity_after(
    allowed: &[usize],
    sample: impl FnOnce() -> Result<Outcome, Failure>,
) -> Result<Outcome, Failure> {
    let outcome = sample();
    affinity::pin(allowed)
        .map_err(|errno| Failure::failed(format!("going back to all CPUs of the lane: {errno}")))?;
    outcome
}

pub(super) fn pipe_ping_pong<L: Blocking>(lane: &L, order: &Order) -> Result<Outcome, Failure> {
    let rounds = order.get("rounds_count") * order.iterations;
    let mut meter = Meter::begin(L::PROCESSES);
    let (there, back) = (lane.pipe()?, lane.pipe()?);
    let mut team = Team::new(lane)?;
    let (other, receive, reply) = (lane.clone(), there.clone(), back.clone());
    team.add(move || {
        for _ in 0..rounds {
            let value = other.read(&receive);
            other.write(&reply, value + 1);
        }
        0
    })?;
    team.assemble();
    team.start();
    let checksum = meter.time(|| {
        let mut value = 0;
        for _ in 0..rounds {
            lane.write(&there, value);
            value = lane.read(&back);
        }
        value
    });
    team.join()?;
    Ok(Outcome::new(meter.finish(), checksum))
}

/// In `switch.working_set` each task reads `size` bytes of its own on every hop.
pub(super) fn ring<L: Blocking>(lane: &L, order: &Order, size: u64) -> Result<Outcome, Failure> {
    let (tasks, hops) = (
        order.get("tasks_count"),
        order.get("hops_count") * order.iterations,
    );
    let alone_ns = (size > 0).then(|| time_sum_alone(tasks, size));
    let mut meter = Meter::begin(L::PROCESSES);
    let channels = (0..tasks)
        .map(|_| lane.channel(1))
        .collect::<Result<Vec<_>, _>>()?;
    let end = lane.channel(1)?;
    let mut team = Team::new(lane)?;
    // A task uses two of the channels. A process inherits all channels.
    for index in 0..tasks {
        let lane = lane.clone();
        let from = channels[index as usize].clone();
        let to = channels[((index + 1) % tasks) as usize].clone();
        let end = end.clone();
        team.add(move || {
            let array = working_set::array(size);
            let mut sum = 0;
            for _ in 0..hops / tasks + u64::from(index < hops % tasks) {
                let value = lane.recv(&from) + 1;
                sum += working_set::sum_array(&array);
                lane.send(if value == hops { &end } else { &to }, value);
            }
            sum
        })?;
    }
    team.assemble();
    team.start();
    let value = meter.time(|| {
        lane.send(&channels[0], 0);
        lane.recv(&end)
    });
    let sums = team.join()?;
    let outcome = Outcome::new(meter.finish(), value + sums);
    Ok(match alone_ns {
        Some(ns) => outcome.with("sum_alone_ns", ns),
        None => outcome,
    })
}

/// The time of a hop if one task reads all arrays in turn.
pub(super) fn time_sum_alone(tasks: u64, size: u64) -> f64 {
    let arrays: Vec<_> = (0..tasks).map(|_| working_set::array(size)).collect();
    let start = now_ns();
    for _ in 0..4 {
        for array in &arrays {
            black_box(working_set::sum_array(array));
        }
    }
    (now_ns() - start) as f64 / (4 * tasks) as f64
}

pub(super) fn hog<L: Blocking>(lane: &L, order: &Order) -> Result<Outcome, Failure> {
    let (hogs, time) = (order.or_cpus("hogs_count"), order.get("hog_ns"));
    let mut meter = Meter::begin(L::PROCESSES);
    let (slept, stop) = (lane.shared()?, lane.shared()?);
    let delays = lane.channel(64)?;
    let victim = {
        let (task, slept, stop, delays) =
            (lane.clone(), slept.clone(), stop.clone(), delays.clone());
        let mut clock = Clock::start(order);
        let body = move || {
            let mut victim_delays = Vec::new();
            while stop.load(Ordering::Relaxed) == 0 {
                task.sleep(clock.until_due());
                victim_delays.extend(clock.take_delays());
                slept.fetch_add(1, Ordering::Relaxed);
            }
            for &delay in &victim_delays {
                task.send(&delays, delay);
            }
            task.send(&delays, u64::MAX);
            victim_delays.len() as u64
        };
        lane.spawn(body)?
    };
    wait_until(lane, || slept.load(Ordering::Relaxed) > 0);
    let done = meter.time(|| {
        let mut sum = 0;
        for _ in 0..order.iterations {
            sum += join_all(lane, start_all(lane, hogs, |_| move || spin(time))?)?;
        }
        Ok(sum)
    });
    stop.store(1, Ordering::Relaxed);
    // The victim ends its delays with `u64::MAX`.
    let received = || Some(lane.recv(&delays)).filter(|delay| *delay != u64::MAX);
    let late: Vec<u64> = std::iter::from_fn(received).collect();
    lane.join(victim)?;
    let outcome = Outcome::new(meter.finish(), done? / hogs as u64);
    Ok(with_tick_figures(outcome, &late, order.get("tick_ns")))
}

/// Reads the clock until the time is over, without yielding.
pub(super) fn spin(time: u64) -> u64 {
    let end = now_ns() + time;
    while now_ns() < end {}
    1
}

pub(super) fn idle_wake<L: Blocking>(lane: &L, order: &Order) -> Result<Outcome, Failure> {
    let rounds = order.get("rounds_count") * order.iterations;
    let idle = Duration::from_nanos(order.get("idle_ns"));
    let mut meter = Meter::begin(L::PROCESSES);
    let (there, back) = (lane.channel(0)?, lane.channel(0)?);
    let mut team = Team::new(lane)?;
    let (other, receive, reply) = (lane.clone(), there.clone(), back.clone());
    team.add(move || {
        for _ in 0..rounds {
            let sent = other.recv(&receive);
            other.send(&reply, now_ns() - sent);
        }
        0
    })?;
    team.assemble();
    team.start();
    let mut latencies = Latencies::new();
    meter.time(|| {
        for _ in 0..rounds {
            if !idle.is_zero() {
                lane.sleep(idle);
            }
            lane.send(&there, now_ns());
            latencies.record(lane.recv(&back));
        }
    });
    team.join()?;
    let mut outcome =
        Outcome::new(meter.finish(), latencies.count()).with("wake_ns", latencies.median_ns());
    outcome.latency = Some(latencies.report(None, outcome.per_second(rounds)));
    Ok(outcome)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_tick_during_a_stall_is_late() {
        let mut clock = Clock {
            tick: 1_000_000,
            due: now_ns() - 3_500_000,
        };
        let late: Vec<u64> = clock.take_delays().collect();
        assert!(late.len() >= 4, "{late:?}");
        assert!(late[0] >= 3_500_000 && late.is_sorted_by(|a, b| a - b == 1_000_000));
        assert!(clock.until_due() <= Duration::from_millis(1));
    }

    #[test]
    fn missed_ticks_are_those_that_are_late_by_a_tick_or_more() {
        let outcome = with_tick_figures(Outcome::default(), &[30, 20, 10, 3], 10);
        assert_eq!(outcome.metrics["missed_ticks_ratio"], 0.75);
        assert_eq!(outcome.metrics["worst_delay_ns"], 30.0);
        let latency = outcome.latency.unwrap();
        assert!(latency.corrected);
        assert_eq!(
            latency.buckets.iter().map(|(_, count)| count).sum::<u64>(),
            4
        );
    }
}
