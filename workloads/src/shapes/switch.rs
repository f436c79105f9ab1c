//! Going from one task to another.

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

/// How long the victim of `switch.hog` sleeps each time.
pub(super) const VICTIM_SLEEP: Duration = Duration::from_millis(1);

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

/// `switch.pingpong` and the like, over channels of that capacity; `cpus` pins
/// the main task and the other.
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

pub(super) fn placement<L: Blocking>(lane: &L, order: &Order) -> Result<Outcome, Failure> {
    if !L::PINNABLE {
        return Err(Failure::not_supported(
            "the runtime, not the task, decides on which CPU a task runs",
        ));
    }
    let allowed = allowed()?;
    let cpus = match (order.get("placement"), allowed.as_slice()) {
        (0, [first, ..]) => [Some(*first), Some(*first)],
        (1, [first, second, ..]) => [Some(*first), Some(*second)],
        (1, _) => return Err(Failure::not_supported("the lane has one CPU only")),
        _ => [None, None],
    };
    unpinned_after(&allowed, || ping_pong(lane, order, 0, cpus))
}

/// `switch.roundtrip`: a runtime has been given as many threads as it may
/// use; tasks that are threads are pinned where that is one.
pub(super) fn round_trip<L: Blocking>(lane: &L, order: &Order) -> Result<Outcome, Failure> {
    let capacity = order.count("capacity_count");
    let allowed = allowed()?;
    let cpus = match allowed.first() {
        Some(&first) if L::PINNABLE && order.threads() == 1 => [Some(first); 2],
        _ => [None; 2],
    };
    unpinned_after(&allowed, || ping_pong(lane, order, capacity, cpus))
}

/// `switch.futex`: a number that goes up, and a futex on its lower half.
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
    affinity::allowed().map_err(|errno| Failure::failed(format!("reading the CPU set: {errno}")))
}

/// Runs a sample that may pin the main task, and undoes that.
fn unpinned_after(
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

/// `switch.ring`, and `switch.working_set`, where each task goes over `size`
/// bytes of its own on every hop.
pub(super) fn ring<L: Blocking>(lane: &L, order: &Order, size: u64) -> Result<Outcome, Failure> {
    let (tasks, hops) = (
        order.get("tasks_count"),
        order.get("hops_count") * order.iterations,
    );
    let alone = (size > 0).then(|| sum_alone(tasks, size));
    let mut meter = Meter::begin(L::PROCESSES);
    let channels = (0..tasks)
        .map(|_| lane.channel(1))
        .collect::<Result<Vec<_>, _>>()?;
    let end = lane.channel(1)?;
    let mut team = Team::new(lane)?;
    // A task needs two of the channels; in lanes of processes it has them all.
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
                sum += working_set::go_over(&array);
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
    Ok(match alone {
        Some(ns) => outcome.with("sum_alone_ns", ns),
        None => outcome,
    })
}

/// What a hop's reading costs in one task that goes over all arrays in turn.
pub(super) fn sum_alone(tasks: u64, size: u64) -> f64 {
    let arrays: Vec<_> = (0..tasks).map(|_| working_set::array(size)).collect();
    let start = now_ns();
    for _ in 0..4 {
        for array in &arrays {
            black_box(working_set::go_over(array));
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
        let body = move || {
            let mut noted = Vec::new();
            while stop.load(Ordering::Relaxed) == 0 {
                let start = now_ns();
                task.sleep(VICTIM_SLEEP);
                noted.push((now_ns() - start).saturating_sub(VICTIM_SLEEP.as_nanos() as u64));
                slept.fetch_add(1, Ordering::Relaxed);
            }
            for &delay in &noted {
                task.send(&delays, delay);
            }
            task.send(&delays, u64::MAX);
            noted.len() as u64
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
    // The victim ends what it has noted with a number that is no delay.
    let mut latencies = Latencies::new();
    loop {
        match lane.recv(&delays) {
            u64::MAX => break,
            delay => latencies.record(delay),
        }
    }
    let slept = lane.join(victim)?;
    let done = done?;
    let mut outcome = Outcome::new(meter.finish(), done / hogs as u64)
        .with("worst_delay_ns", latencies.worst_ns());
    outcome.latency = Some(latencies.report(None, outcome.per_second(slept)));
    Ok(outcome)
}

/// Reads the clock until the time is over; calls and awaits nothing that could
/// yield.
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
